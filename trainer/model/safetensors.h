/*
 * safetensors.h - reads and writes .safetensors files: named tensors behind a JSON header.
 *
 * Format (github.com/huggingface/safetensors): u64 little-endian header length, that many bytes of JSON (it begins with '{', may end in
 * spaces), then the data. The header maps each name to {dtype, shape, data_offsets: [begin, end]}; "__metadata__" maps strings to
 * strings. The data is covered by the tensors without hole or overlap.
 *
 * The reader takes the format at its word: what the description forbids is refused, also where the Python library is lenient (a leading
 * space, a name that stands twice). Everything is checked against the file's size before anything is allocated for it.
 *
 * The writer adds two checksums to the metadata, which bd_safetensors_verify checks: "sha256", of the data, and "header_sha256", of the
 * header as compact JSON with sorted keys, before this entry was added.
 * Threads: an open file belongs to one thread.
 */
#ifndef BD_MODEL_SAFETENSORS_H
#define BD_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "trainer/model/tensor.h"

/* The Python library's own limit. */
#define BD_SAFETENSORS_MAX_HEADER_BYTES 100000000u
/* A tensor of more dimensions is none of ours. */
#define BD_SAFETENSORS_MAX_RANK 8

struct bd_safetensors;

struct bd_safetensors_entry {
	char *name;
	char dtype[16]; /* "F32", "BF16", "I64", ... */
	int rank;
	uint64_t shape[BD_SAFETENSORS_MAX_RANK];
	uint64_t count; /* elements */
	uint64_t begin, bytes; /* in the data */
};

/*
 * Opens a file and checks its whole header. Close takes NULL. -EBADMSG with the reason: no safetensors file, truncated, or inconsistent;
 * -errno where it cannot be read; -ENOMEM.
 */
BD_MUST_CHECK int bd_safetensors_open(const char *path, struct bd_safetensors **ret_file, struct bd_error *error);

/* The same for bytes in memory, borrowed until close. `name` stands in errors. */
BD_MUST_CHECK int bd_safetensors_open_memory(const char *name, const void *bytes, size_t length, struct bd_safetensors **ret_file,
                                             struct bd_error *error);
void bd_safetensors_close(struct bd_safetensors *file);

/* The path, or the name given for memory. */
const char *bd_safetensors_name(const struct bd_safetensors *file);

/* The tensors in the order of their data, and by name (NULL: not there). Borrowed until close. */
size_t bd_safetensors_count(const struct bd_safetensors *file);
const struct bd_safetensors_entry *bd_safetensors_at(const struct bd_safetensors *file, size_t index);
const struct bd_safetensors_entry *bd_safetensors_find(const struct bd_safetensors *file, const char *name);

/* A metadata string, NULL: not there. */
const char *bd_safetensors_metadata(const struct bd_safetensors *file, const char *key);

/* Header and data against the checksums in the metadata. 0, also where the file has none; -EBADMSG: flipped; -EIO, -ENODATA: not readable. */
BD_MUST_CHECK int bd_safetensors_verify(struct bd_safetensors *file, struct bd_error *error);

/*
 * All elements of an entry as floats into ret_values (entry->count). F32, F64, F16 and BF16; -EINVAL for another dtype.
 */
BD_MUST_CHECK int bd_safetensors_read(struct bd_safetensors *file, const struct bd_safetensors_entry *entry, float *ret_values,
                                      struct bd_error *error);

struct bd_safetensors_text {
	const char *key, *value; /* UTF-8 */
};

/*
 * Writes a whole file atomically (bd_output), as F32. -EEXIST where it is there and not `force`; -ENOSPC and the like leave an older file
 * untouched; -EINVAL: a name twice or no UTF-8.
 */
BD_MUST_CHECK int bd_safetensors_write(const char *path, bool force, const struct bd_tensor *tensors, size_t count,
                                       const struct bd_safetensors_text *metadata, size_t metadata_count, struct bd_error *error);

#endif
