/*
 * picture_files.h - the picture files that a command line means: files as they are, folders with everything in them, `-` for a list of
 * both on standard input.
 */
#ifndef BD_COMMANDS_PICTURE_FILES_H
#define BD_COMMANDS_PICTURE_FILES_H

#include <stddef.h>

#include <batchd/error.h>

/* As many as one dataset text holds (16 MiB in the protocol). */
#define BD_PICTURE_FILES_MAX 100000

struct bd_picture_files {
	char **shown; /* as the person wrote them, folders extended */
	char **absolute; /* the same, absolute */
	size_t count;
	size_t refused; /* paths that cannot be read, each told on standard error */
};

/*
 * Words in their order; a folder gives its regular files and those of its sub-folders in byte order, names that begin with a dot left out.
 * `-` reads such words from standard input, one a line, which may end in CR LF. A path that cannot be read (gone, closed, a name that is no UTF-8) is told
 * on standard error, counted, and left out. -ENODATA: no file at all; -ENOMEM, -EMFILE and the like: failures of our own. Finish takes zeroed.
 */
BD_MUST_CHECK int bd_picture_files_find(const char *const *words, size_t count, struct bd_picture_files *ret_files,
                                        struct bd_error *error);
void bd_picture_files_finish(struct bd_picture_files *files);

#endif
