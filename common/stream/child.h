/*
 * child.h - a private batchd: a child process on a socketpair, for one client.
 *
 * Why: one command trains on a machine without a service, over the same protocol, ring and code.
 * The child is `batchd --private-fd 3 ...`, its standard input and output are /dev/null and our standard error, it is in a process group
 * of its own (Ctrl-C of the terminal reaches the trainer, which then ends it in order), and it ends when
 * its socket does. Further connections are made by sending it one end of a new socketpair (ADOPT).
 * Threads: one at a time.
 */
#ifndef BD_STREAM_CHILD_H
#define BD_STREAM_CHILD_H

#include <sys/types.h>

#include <batchd/client.h>

#include "common/stream/session.h"

#define BD_CHILD_ENDING_BYTES 96

struct bd_child {
	pid_t pid; /* 0: none */
	char ending[BD_CHILD_ENDING_BYTES]; /* of the last one that ended by itself: how; "": none did */
	struct bd_session session; /* the first connection: only ADOPT goes over it */
};

/* The daemon to start: options->program, $BATCHD_DAEMON, beside this program (written to buffer), or a name for PATH. */
const char *bd_child_program(const struct bd_daemon_options *options, char *buffer, size_t size);

/* Starts it and greets. -ENOENT: no batchd found, and the text says where it was looked for. */
BD_MUST_CHECK int bd_child_start(const struct bd_daemon_options *options, struct bd_child *ret_child, struct bd_error *error);

/* A further connection, not greeted yet. An error means: the child is gone. */
BD_MUST_CHECK int bd_child_connect(struct bd_child *child, int *ret_socket, struct bd_error *error);

/* Where it has ended by itself, or does so within a moment: notes how in child->ending, "exit status 1" or "killed by signal 9 (Killed)". */
void bd_child_note_ending(struct bd_child *child);

/* Ends it and waits for it, by force after some seconds. forked: this process only has a copy: frees memory. Idempotent. */
void bd_child_finish(struct bd_child *child, bool forked);

#endif
