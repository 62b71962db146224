/*
 * picture_list.h - what `tfrecord convert` converts: pictures and their classes, from one of three places.
 *
 *   a folder with one sub-folder a class (common/record/image_folder.h)
 *   a LIST.csv of `path,class` lines without a header, paths relative to the list; classes in byte order
 *   a pair of IDX files: the classes are the labels' numbers
 */
#ifndef BD_TOOLS_TFRECORD_PICTURE_LIST_H
#define BD_TOOLS_TFRECORD_PICTURE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/image_folder.h"
#include "tools/tfrecord/idx.h"

/* A list of 14 million pictures with long paths stays below. */
#define BD_CSV_LIMIT_BYTES (2ull << 30)

struct bd_picture_list {
	size_t count;
	int64_t *labels; /* (count) */
	char **classes;
	size_t class_count;
	char **paths; /* (count), or NULL: the pictures are in `images` */
	bool has_heading; /* the first line of a CSV names its columns, and is no picture */
	struct bd_image_folder folder; /* what was not taken of a folder; its arrays of pictures and classes are the list's */
	struct bd_idx images; /* (count, height, width) or (count, height, width, 3) */
};

/*
 * From a folder of class folders, a file of `path,class` lines, or a pair of IDX files. -EINVAL (nothing in it, a wrong line), -EBADMSG (a wrong IDX file) and what opening says name the file; -ENOMEM.
 * `skip`: what cannot be looked at in a folder is left out and stands in folder.unreadable. Free with bd_picture_list_finish.
 */
BD_MUST_CHECK int bd_picture_list_of_folder(const char *path, bool skip, struct bd_picture_list *ret_list, struct bd_error *error);
BD_MUST_CHECK int bd_picture_list_of_csv(const char *path, struct bd_picture_list *ret_list, struct bd_error *error);
BD_MUST_CHECK int bd_picture_list_of_idx(const char *images, const char *labels, struct bd_picture_list *ret_list,
                                         struct bd_error *error);

/* Takes zeroed ones too. */
void bd_picture_list_finish(struct bd_picture_list *list);

#endif
