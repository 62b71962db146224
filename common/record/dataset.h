/*
 * dataset.h - the dataset file: which files, which features, what to do with bad records.
 *
 * The words are those of the YAML file (README, "Dataset file"). Three sources:
 *
 *   shards: train-*.tfrecord            a glob, or a list of files and globs, relative to the dataset file
 *                                      sets NAME-00003-of-00008 that a glob finds must be whole (shard_set.h), unless `partial: true`
 *   shards: {folder: images/}           an image folder, one sub-folder a class: features `image` and `label`
 *   shards: {files: [a.jpg, b.png]}     pictures without labels, for prediction
 *
 * Order of the records: the files in byte order of their paths within a glob, globs in the order of the list; of an image
 * folder as common/record/image_folder.h has it. The key `classes` sets the order of its classes: the folders' names, each once. What
 * cannot be looked at is an error; with `on_error: skip` it is left out as far as `skip_limit` allows, and noted.
 * Ownership: everything belongs to the dataset. Threads: read-only once loaded.
 */
#ifndef BD_RECORD_DATASET_H
#define BD_RECORD_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/image/image_options.h"
#include "common/record/inflate.h"

/* Limits: what a hostile dataset file could otherwise ask for. */
#define BD_DATASET_MAX_RANK 4
#define BD_DATASET_MAX_FEATURES 1024u
#define BD_DATASET_MAX_ELEMENTS (1u << 28) /* values of one feature of one record: 1 GiB of floats */
#define BD_DATASET_MAX_FILES (16u << 20) /* ImageNet's 22k set has 14 million pictures */
#define BD_DATASET_MAX_CLASSES (1u << 20)

enum bd_feature_type { BD_FEATURE_IMAGE, BD_FEATURE_INT64, BD_FEATURE_FLOAT, BD_FEATURE_BYTES };

struct bd_feature {
	char *name;
	size_t name_length;
	enum bd_feature_type type;
	bool sequence; /* of sequence_features: a feature list; `shape` is that of one step */
	uint32_t rank; /* of one record; 0 = one value */
	int64_t shape[BD_DATASET_MAX_RANK];
	uint64_t elements; /* product of shape */
	bool varlen; /* values + row_splits; shape is then [] */
	/* for records without the key; one of the lists, by type: */
	uint64_t default_count; /* 0: none; 1: one value, repeated over the shape; else as many as the shape has, in C order */
	float *default_floats;
	int64_t *default_integers;
	char **default_texts;
	struct bd_image_options image; /* type image only */
};

enum bd_dataset_source { BD_SOURCE_TFRECORD, BD_SOURCE_FOLDER, BD_SOURCE_FILES };
enum bd_on_error { BD_ON_ERROR_FAIL, BD_ON_ERROR_SKIP };

/*
 * What whoever asks may see of the file system, where that is less than this process may: files that are looked for on another user's
 * behalf must not tell him what lies in folders that are closed to him.
 */
struct bd_dataset_guard {
	/* Opens a folder for listing: 0 or -errno with the reason. */
	int (*open_folder)(void *context, const char *path, int *ret_fd, struct bd_error *error);
	/* 0: there is something, and the way to it is open; -ENOENT; another -errno with the reason: he cannot know. */
	int (*look)(void *context, const char *path, struct bd_error *error);
	void *context;
};

struct bd_dataset {
	char *name; /* the dataset file, for messages */
	enum bd_dataset_source source;
	char **paths; /* absolute, in the order of the records: shards, or one picture each */
	size_t path_count;
	int64_t *labels; /* FOLDER: the class of each picture; else NULL */
	char **classes; /* names: the key `classes`, or the sub-folders; may be none */
	size_t class_count;
	char **notes; /* for people: one line on each oddity of an image folder, such as what was left out */
	size_t note_count;
	enum bd_compression compression;
	struct bd_feature *features; /* those of `features`, then those of `sequence_features`, in the file's order */
	size_t feature_count;
	enum bd_on_error on_error;
	double skip_limit; /* 0..1 */
	bool partial; /* sets of shards need not be whole: what is missing is a note */
	const struct bd_dataset_guard *guard; /* while it is parsed; else NULL */
};

/*
 * Reads a dataset file. Files and folders it names must be there. Returns 0; -EINVAL: file, line and what is wrong, with the
 * nearest key for a typo; -ENOENT: no file, or a glob or folder without any; -ENOMEM; other -errno of reading.
 */
BD_MUST_CHECK int bd_dataset_load(const char *path, struct bd_dataset **ret_dataset, struct bd_error *error);

/* The same from the text of such a file; relative paths are relative to `folder`. */
BD_MUST_CHECK int bd_dataset_parse(const char *name, const char *folder, const char *text, size_t length,
                                   struct bd_dataset **ret_dataset, struct bd_error *error);

/* The same, seeing no more than the guard allows. A path that it does not let see may be among the dataset's: opening it is refused later. */
BD_MUST_CHECK int bd_dataset_parse_guarded(const char *name, const char *folder, const char *text, size_t length,
                                           const struct bd_dataset_guard *guard, struct bd_dataset **ret_dataset,
                                           struct bd_error *error);
void bd_dataset_destroy(struct bd_dataset *dataset);

/* Bytes of all the strings that a record without this feature of type bytes gets. */
uint64_t bd_feature_default_bytes(const struct bd_feature *feature);

#endif
