/*
 * output_set.h - several output files that appear together or not at all.
 *
 * Why: shards without their siblings are worse than none. Files are written without a name (O_TMPFILE) where the file system
 * can do that, so that even a killed process leaves nothing; elsewhere under hidden names that are removed. They get their
 * names at the end. Folders that had to be made are taken away again when nothing is kept.
 * Threads: one.
 */
#ifndef BD_TOOLS_TFRECORD_OUTPUT_SET_H
#define BD_TOOLS_TFRECORD_OUTPUT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_output_set;

/* Makes `folder` where it is missing. */
BD_MUST_CHECK int bd_output_set_create(const char *folder, struct bd_output_set **ret_set, struct bd_error *error);

/* Removes all that is not to be kept; takes NULL. */
void bd_output_set_destroy(struct bd_output_set *set);

/* A new empty file, open for writing; the set closes it. */
BD_MUST_CHECK int bd_output_set_add(struct bd_output_set *set, int *ret_fd, struct bd_error *error);

size_t bd_output_set_count(const struct bd_output_set *set);

/* The name (without folder) that file number `index`, in the order of adding, gets. A file without one is not published. */
BD_MUST_CHECK int bd_output_set_name(struct bd_output_set *set, size_t index, const char *name, struct bd_error *error);

/* Syncs all files and gives them their names, in order. -EEXIST where one is taken. They are removed with the set until they are kept. */
BD_MUST_CHECK int bd_output_set_publish(struct bd_output_set *set, struct bd_error *error);

/* After bd_output_set_publish: the files stay. */
void bd_output_set_keep(struct bd_output_set *set);

#endif
