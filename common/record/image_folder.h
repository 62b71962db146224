/*
 * image_folder.h - the pictures below a folder that has one sub-folder a class.
 *
 * Why: `tfrecord convert FOLDER` and `shards: {folder: FOLDER}` take the same pictures in the same order, and neither leaves
 * anything out in silence.
 *
 * Taken, as Keras' image_dataset_from_directory takes it: every sub-folder of the root is a class, also one without pictures
 * (its number stays) and a link to a folder; below it folders are entered at any depth, links to folders are not. Classes
 * in byte order or as `classes` says; within a class the folders in byte order of their paths, and the files of each in byte order.
 * Unlike Keras every regular file is a picture, whatever its name ends in. Names that begin with a dot are passed over.
 *
 * What cannot be looked at (a dangling link, a folder that cannot be listed) is an error, or with `skip` a line in
 * `unreadable`, where the fault is the path's own (bd_code_is_of_path). Everything else that is not taken is counted in
 * `remarks`, with its first names.
 * Threads: no state; any thread.
 */
#ifndef BD_RECORD_IMAGE_FOLDER_H
#define BD_RECORD_IMAGE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_dataset_guard;

enum bd_image_folder_remark {
	BD_IMAGE_FOLDER_LOOSE, /* a file beside the class folders */
	BD_IMAGE_FOLDER_LINK, /* a link to a folder, below a class folder */
	BD_IMAGE_FOLDER_SPECIAL, /* a device, a socket, ... */
	BD_IMAGE_FOLDER_EMPTY, /* a class without pictures */
	BD_IMAGE_FOLDER_REMARKS,
};

#define BD_IMAGE_FOLDER_NAMED 3

struct bd_image_folder {
	char **paths; /* (count), below the root as it was given */
	int64_t *labels; /* (count): number of the class */
	size_t count;
	char **classes;
	size_t class_count;
	char **unreadable; /* "PATH: reason" of what could not be looked at */
	size_t unreadable_count;
	struct {
		size_t count;
		char *names[BD_IMAGE_FOLDER_NAMED]; /* the first of them, below the root */
	} remarks[BD_IMAGE_FOLDER_REMARKS];
};

struct bd_image_folder_options {
	char *const *classes; /* the wanted order, the folders' names; NULL: byte order */
	size_t class_count;
	size_t limit; /* of pictures; 0: none */
	const struct bd_dataset_guard *guard; /* NULL: what this process may see */
	bool skip;
	const char *advice; /* how a person asks for `skip`: the end of the error's sentence */
};

/*
 * Returns 0, also without any class or picture; -EINVAL (`classes` are not the folders' names), -EFBIG (past the limit), -ENOMEM, or
 * -errno of what cannot be looked at. Free with bd_image_folder_finish.
 */
BD_MUST_CHECK int bd_image_folder_list(const char *root, const struct bd_image_folder_options *options,
                                       struct bd_image_folder *ret_folder, struct bd_error *error);

/* Takes zeroed ones too. */
void bd_image_folder_finish(struct bd_image_folder *folder);

/* One line on what a remark counted, with its first names; false: nothing was counted. */
bool bd_image_folder_say(const struct bd_image_folder *folder, enum bd_image_folder_remark remark, char *ret_text, size_t size);

#endif
