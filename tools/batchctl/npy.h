/*
 * npy.h - writes one array of a batch as a NumPy file (format version 1.0, C order, little-endian).
 */
#ifndef BD_BATCHCTL_NPY_H
#define BD_BATCHCTL_NPY_H

#include <batchd/client.h>

/* -EEXIST unless force. */
BD_MUST_CHECK int bd_npy_write(const char *path, bool force, const struct bd_array *array, struct bd_error *error);

/* Bytes of an array's data. */
size_t bd_array_bytes(const struct bd_array *array);

#endif
