/*
 * folder.h - the names in a folder, all of them or an error.
 *
 * Why: readdir() returns NULL for the end of a folder and for an error alike; whoever does not look at errno takes a failing disk for
 * an empty folder, and begins anew in one that is full of checkpoints.
 * Threads: no state; any thread.
 */
#ifndef BD_BASE_FOLDER_H
#define BD_BASE_FOLDER_H

#include <stddef.h>

#include <batchd/error.h>

/*
 * All names but "." and "..", in byte order. 0, -ENOENT and other -errno of opening or reading the folder, -ENOMEM; *ret_names is freed by
 * bd_folder_names_free, which takes NULL.
 */
BD_MUST_CHECK int bd_folder_list(const char *path, char ***ret_names, size_t *ret_count, struct bd_error *error);
void bd_folder_names_free(char **names, size_t count);

#endif
