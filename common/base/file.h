/*
 * file.h - whole reads, atomic writes, paths.
 *
 * Why: short reads, EINTR, half-written outputs and temporary names are handled once, here.
 * Errors name the file: "PATH: cannot open: No such file or directory".
 * Threads: no state; any thread.
 */
#ifndef BD_BASE_FILE_H
#define BD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <batchd/error.h>

/*
 * Reads `bytes` bytes at `offset` with pread until all are there or the file ends; *ret_bytes < bytes only at the end of the file.
 * Returns 0 or -errno of the read.
 */
BD_MUST_CHECK int bd_file_read_full(int fd, void *buffer, size_t bytes, uint64_t offset, size_t *ret_bytes, struct bd_error *error);

/*
 * The whole file (or, for "-", standard input) in memory of its own, with a NUL behind it that *ret_length does not count; the caller
 * frees it. Returns 0, -EFBIG past limit_bytes, -EISDIR, -ENOMEM or -errno.
 */
BD_MUST_CHECK int bd_file_read_all(const char *path, size_t limit_bytes, uint8_t **ret_bytes, size_t *ret_length,
                                   struct bd_error *error);

/* Writes everything to a descriptor, over short writes and EINTR. Returns 0 or -errno. */
BD_MUST_CHECK int bd_write_full(int fd, const void *bytes, size_t length, struct bd_error *error);

/*
 * An output file that appears whole or not at all: written under a temporary name in its folder, renamed by bd_output_commit.
 * The path "-" is standard output, of which nothing can be taken back.
 * Zeroed is a valid, finished state.
 */
struct bd_output {
	FILE *stream; /* to write to; fileno() gives the descriptor */
	char *path, *temporary; /* temporary: NULL for standard output */
	bool replace;
};

/* Returns 0, -EEXIST where `path` is there and not `force`, or -errno. Nothing is to be freed after a failure. */
BD_MUST_CHECK int bd_output_open(struct bd_output *ret_output, const char *path, bool force, struct bd_error *error);

/* Flushes, syncs and renames. Ends the output in every case; after a failure the temporary file is gone and an older file of the name untouched. */
BD_MUST_CHECK int bd_output_commit(struct bd_output *output, struct bd_error *error);

/* Removes the temporary file; nothing happens on a finished or zeroed output. */
void bd_output_abandon(struct bd_output *output);

/*
 * Does the errno of opening or looking at a path speak of what lies there (gone, closed to us, a folder, too large), rather than
 * of this process or its host (no descriptors, no memory, a disk that fails)? Only the first may be left out under a "skip".
 */
bool bd_code_is_of_path(int code); /* positive or negative */

/* Paths: strings of their own, freed by the caller; NULL only without memory. */
char *bd_path_join(const char *folder, const char *name); /* an absolute name stays as it is */
char *bd_path_folder(const char *path); /* "a/b" -> "a", "b" -> "." */
const char *bd_path_base(const char *path); /* borrowed from path */

/* mkdir -p. Returns 0 also where the folder was there. */
BD_MUST_CHECK int bd_make_folders(const char *path, mode_t mode, struct bd_error *error);

#endif
