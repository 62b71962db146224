/*
 * weight_hdf5.h - Keras' HDF5 layouts (weight_file.h) as a list, and their numbers.
 *
 * The HDF5 library crashes or hangs on some damaged files: call these inside bd_isolated.
 */
#ifndef BD_MODEL_WEIGHT_HDF5_H
#define BD_MODEL_WEIGHT_HDF5_H

#include <batchd/error.h>

#include "trainer/model/weight_list.h"

/* -ENOENT, -errno: not readable; -EBADMSG: damaged, or no weights of Keras in it. The list is to be finished in every case. */
BD_MUST_CHECK int bd_weight_hdf5_list(const char *path, struct bd_weight_list *list, struct bd_error *error);

/* The numbers of some variables, one after the other, into a stream. */
BD_MUST_CHECK int bd_weight_hdf5_copy(const char *path, const struct bd_weight_variable *const *variables, size_t count,
                                      FILE *stream, struct bd_error *error);

#endif
