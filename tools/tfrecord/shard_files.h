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

#include "common/base/notes.h"
#include "common/base/options.h"
#include "common/record/inflate.h"

struct bd_shard_file {
	char *path;
	enum bd_compression compression;
};

struct bd_shard_files {
	struct bd_shard_file *items;
	size_t count;
	struct bd_notes notes; /* what is odd about them though it is no error */
};

/* Opens a shard for reading. Returns the descriptor, or -errno with the name in the error. */
BD_MUST_CHECK int bd_shard_file_open(const struct bd_shard_file *file, struct bd_error *error);

/* Whether SIGINT, SIGTERM or SIGHUP came while bd_shard_files_run was at work: it notes them only. */
bool bd_shard_files_interrupted(void);

/*
 * A whole reading subcommand: parses `argv`, finds the files, calls `work` and prints its error. Returns the exit status: 130 for a failure after a
 * signal, 1 for another one.
 */
typedef int bd_shard_files_work(void *context, const struct bd_arguments *arguments, const struct bd_shard_files *files,
                                struct bd_error *error);
int bd_shard_files_run(const struct bd_command *command, bd_shard_files_work *work, void *context, int argc, char **argv);

#endif
