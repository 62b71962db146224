/*
 * idx.h - the IDX files of MNIST and its relatives, gzip-compressed or not.
 *
 * Format (yann.lecun.com/exdb/mnist): two zero bytes, the type (8 = unsigned bytes, the only one read here), the number of
 * dimensions, each as a big-endian 32-bit number, then the values.
 */
#ifndef BD_TOOLS_TFRECORD_IDX_H
#define BD_TOOLS_TFRECORD_IDX_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#define BD_IDX_MAX_RANK 4

/* A declared size is not believed before that many bytes were read; this bounds what a compressed file may unfold to. */
#define BD_IDX_LIMIT_BYTES (4ull << 30)

struct bd_idx {
	uint32_t rank, shape[BD_IDX_MAX_RANK];
	uint8_t *file; /* freed by bd_idx_finish */
	const uint8_t *values;
};

/* Returns 0, -EBADMSG (no IDX file of bytes, or its length is not what its header says), -EFBIG, -ENOMEM, -errno. */
BD_MUST_CHECK int bd_idx_load(const char *path, struct bd_idx *ret_idx, struct bd_error *error);
void bd_idx_finish(struct bd_idx *idx);

#endif
