/*
 * local_daemon.h - a batchd with a socket of its own in a temporary folder, for commands of several processes.
 *
 * A private daemon (batchd/client.h) belongs to one process; consumers that share a stream are several.
 */
#ifndef BD_BATCHCTL_LOCAL_DAEMON_H
#define BD_BATCHCTL_LOCAL_DAEMON_H

#include <sys/types.h>

#include <batchd/client.h>

struct bd_local_daemon {
	pid_t pid; /* 0: none */
	char folder[64], socket[96];
};

/* Starts it and waits until it answers. */
BD_MUST_CHECK int bd_local_daemon_start(struct bd_local_daemon *ret_daemon, uint64_t memory_bytes, uint32_t threads,
                                        struct bd_error *error);

/* Stops it and removes the folder. Idempotent. */
void bd_local_daemon_finish(struct bd_local_daemon *daemon);

#endif
