/*
 * hdf5_file.h - as much of HDF5 as Keras' weight files need, behind the HDF5 library.
 *
 * Reading: groups, text attributes, and datasets of floats. A file comes from anywhere, so nothing outside it is touched: external
 * links, external storage, virtual datasets and filter plugins are refused, and counts and sizes are bounded before memory is taken.
 * Writing: a file is built in memory and saved atomically.
 * The library prints nothing. Threads: HDF5 is not thread-safe here; one thread at a time in the whole process.
 */
#ifndef BD_MODEL_HDF5_FILE_H
#define BD_MODEL_HDF5_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#define BD_HDF5_MAX_RANK 8
/* Strings of one attribute and children of one group: more than the layers of any model. */
#define BD_HDF5_MAX_ITEMS 65536
/* One dataset: the largest tensor of one sample (trainer/model/shape.h), as floats. */
#define BD_HDF5_MAX_FLOATS ((uint64_t)1 << 31)

struct bd_hdf5;

struct bd_strings {
	char **items;
	size_t count;
};
void bd_strings_finish(struct bd_strings *strings);

/* -ENOENT, -errno: not readable; -EBADMSG: no HDF5 file, or damaged. Close takes NULL. */
BD_MUST_CHECK int bd_hdf5_open(const char *path, struct bd_hdf5 **ret_file, struct bd_error *error);
void bd_hdf5_close(struct bd_hdf5 *file);

/* Whether a group or dataset is there, every part of its path included. */
bool bd_hdf5_has(struct bd_hdf5 *file, const char *path);
bool bd_hdf5_is_group(struct bd_hdf5 *file, const char *path);

/* Children of a group by name, hard links only. */
BD_MUST_CHECK int bd_hdf5_list(struct bd_hdf5 *file, const char *group, struct bd_strings *ret_names, struct bd_error *error);

/*
 * A text attribute or an array of texts; Keras cuts arrays that pass 64 KiB into NAME0, NAME1, ..., which are joined here.
 * -ENOENT: not there; -EBADMSG: not text.
 */
BD_MUST_CHECK int bd_hdf5_read_strings(struct bd_hdf5 *file, const char *object, const char *name, struct bd_strings *ret_strings,
                                       struct bd_error *error);

struct bd_hdf5_dataset {
	int rank;
	uint64_t shape[BD_HDF5_MAX_RANK];
	uint64_t count;
};
/* -ENOENT; -EBADMSG: damaged, refused, or not of floating point numbers. */
BD_MUST_CHECK int bd_hdf5_describe(struct bd_hdf5 *file, const char *path, struct bd_hdf5_dataset *ret_dataset,
                                   struct bd_error *error);

/* All of a dataset, which has `count` elements, as floats. */
BD_MUST_CHECK int bd_hdf5_read(struct bd_hdf5 *file, const char *path, float *ret_values, uint64_t count, struct bd_error *error);

/* A new file in memory. The writers below return -EIO where the library fails (no memory, a name twice). */
BD_MUST_CHECK int bd_hdf5_create(struct bd_hdf5 **ret_file, struct bd_error *error);
/* Parents are made too. */
BD_MUST_CHECK int bd_hdf5_make_group(struct bd_hdf5 *file, const char *path, struct bd_error *error);
BD_MUST_CHECK int bd_hdf5_write_text(struct bd_hdf5 *file, const char *object, const char *name, const char *text,
                                     struct bd_error *error);
BD_MUST_CHECK int bd_hdf5_write_strings(struct bd_hdf5 *file, const char *object, const char *name, const char *const *texts,
                                        size_t count, struct bd_error *error);
BD_MUST_CHECK int bd_hdf5_write(struct bd_hdf5 *file, const char *path, int rank, const int64_t *shape, const float *values,
                                struct bd_error *error);
/* Atomically; -EEXIST unless force. */
BD_MUST_CHECK int bd_hdf5_save(struct bd_hdf5 *file, const char *path, bool force, struct bd_error *error);

#endif
