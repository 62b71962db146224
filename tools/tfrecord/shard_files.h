/*
 * shard_files.h - what the reading subcommands share: their FILE arguments, and Ctrl-C.
 *
 * A word is a shard, `-` (a shard on standard input, spooled to a temporary file, since reading jumps), or a dataset file ending in
 * .yaml or .yml, which stands for its shards with its compression.
 */
#ifndef BD_TOOLS_TFRECORD_SHARD_FILES_H
#define BD_TOOLS_TFRECORD_SHARD_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#include "common/record/inflate.h"

struct bd_shard_file {
	char *path;
	enum bd_compression compression;
};

struct bd_shard_files {
	struct bd_shard_file *items;
	size_t count;
};

/* Returns 0, -EINVAL (a wrong dataset file, or one of pictures), -ENOENT, -ENOMEM. */
BD_MUST_CHECK int bd_shard_files_of(const char *const *words, size_t count, struct bd_shard_files *ret_files,
                                    struct bd_error *error);
void bd_shard_files_finish(struct bd_shard_files *files);

/* Opens a shard for reading. Returns the descriptor, or -errno with the name in the error. */
BD_MUST_CHECK int bd_shard_file_open(const struct bd_shard_file *file, struct bd_error *error);

/* From now on SIGINT, SIGTERM and SIGHUP are only noted. */
void bd_shard_files_catch_signals(void);
bool bd_shard_files_interrupted(void);

/* The exit status for a result: 130 for -EINTR and -ECANCELED after a signal, 1 for other failures; prints the error. */
int bd_shard_files_exit(const char *program, int result, const struct bd_error *error);

#endif
