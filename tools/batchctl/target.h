/*
 * target.h - what every command of batchctl shares: which daemon, opening a stream with progress, being interrupted.
 */
#ifndef BD_BATCHCTL_TARGET_H
#define BD_BATCHCTL_TARGET_H

#include <batchd/client.h>

#include "common/base/options.h"
#include "common/stream/spec.h"

#define BD_TARGET_OPTION_COUNT 3

struct bd_progress;

/* --connect, --memory, --threads. */
struct bd_target {
	const char *connect;
	uint64_t memory_bytes, threads;
	bool memory_given, threads_given; /* refused where a running daemon is used */
	struct bd_option options[BD_TARGET_OPTION_COUNT];
	struct bd_client *client; /* between open and close */
	/* What is shown while a stream is opened, or opened again: lives as long as the streams. */
	struct bd_progress *progress;
	char *text; /* of a dataset "-", between reading and opening it */
	bool quiet, opened, away;
};

/* The option table; with_private false leaves out what only a private daemon takes. Returns the group for struct bd_command. */
struct bd_option_group bd_target_init(struct bd_target *target, bool with_private);

/* Connects to a running daemon only: questions to a daemon that was started for them make no sense. */
BD_MUST_CHECK int bd_target_connect_running(const struct bd_target *target, struct bd_client **ret_client, struct bd_error *error);

/*
 * A whole command that asks a running daemon one thing: parses `argv`, connects, calls `ask`, which asks and prints (`json`: a line of JSON), and
 * returns the exit status.
 */
typedef int bd_target_question(struct bd_client *client, bool json, struct bd_error *error);
int bd_target_ask(const char *name, const char *summary, bd_target_question *ask, int argc, char **argv);

/*
 * Of the dataset "-", standard input, the dataset file's text; of others nothing. Opening does this itself: it is called before only by who opens in
 * several processes, of which one would find the text. bd_target_close frees it, or bd_target_drop_text.
 */
BD_MUST_CHECK int bd_target_read_text(struct bd_target *target, const char *dataset, struct bd_error *error);
void bd_target_drop_text(struct bd_target *target);

/*
 * Connects, or starts a private daemon, and opens a stream, showing the index being built; *target outlives it. Interrupted by SIGINT and SIGTERM after
 * bd_interrupt_catch. bd_target_close also after a failure, then with NULL.
 */
BD_MUST_CHECK int bd_target_open(struct bd_target *target, const char *dataset, const struct bd_stream_spec *spec, bool quiet,
                                 struct bd_stream **ret_stream, struct bd_error *error);
void bd_target_close(struct bd_target *target, struct bd_stream *stream);

/*
 * A whole command that opens streams. `command` comes with the command's own options as its first group; the groups "Stream" (for *spec, whose values are
 * the defaults; `without`: as bd_stream_options_init) and "Daemon" are added. `check`, which may be NULL, looks at the command's own options before
 * the stream's are checked: -EINVAL is wrong usage. `run` does the work, interruptible.
 */
struct bd_stream_command {
	struct bd_command command;
	struct bd_target *target;
	struct bd_stream_spec *spec;
	const char *const *without;
	int (*check)(void *context, struct bd_error *error);
	int (*run)(void *context, const struct bd_arguments *arguments, struct bd_error *error);
	void *context;
	struct bd_stream_options stream; /* bd_stream_command_run's own */
};

/* Returns the exit status. */
int bd_stream_command_run(struct bd_stream_command *command, int argc, char **argv);

/* From now on SIGINT and SIGTERM set a flag and end waits with -EINTR. */
void bd_interrupt_catch(void);
bool bd_interrupted(void);

/* Prints the error as the command's; 130 where it is an interruption, else 1. */
int bd_target_failed(const struct bd_error *error);

#endif
