/*
 * npy.h - writes float32 rows as a NumPy file, without knowing beforehand how many there will be.
 *
 * Format 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html): the header has room for any count and is written
 * again at the end. The file appears whole or not at all.
 */
#ifndef BD_REPORT_NPY_H
#define BD_REPORT_NPY_H

#include "common/base/file.h"
#include "trainer/model/shape.h"

struct bd_npy_writer {
	struct bd_output output;
	struct bd_shape shape; /* of one row */
	size_t row_count; /* floats of one row */
	uint64_t rows;
};

/* -EEXIST unless force. After 0 commit or abandon is owed. */
BD_MUST_CHECK int bd_npy_writer_open(struct bd_npy_writer *ret_writer, const char *path, bool force, const struct bd_shape *shape,
                                     struct bd_error *error);
BD_MUST_CHECK int bd_npy_writer_add(struct bd_npy_writer *writer, const float *rows, uint32_t count, struct bd_error *error);
BD_MUST_CHECK int bd_npy_writer_commit(struct bd_npy_writer *writer, struct bd_error *error);
void bd_npy_writer_abandon(struct bd_npy_writer *writer);

#endif
