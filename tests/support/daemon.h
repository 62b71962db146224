/*
 * daemon.h - a real batchd for integration tests, and raw clients of it that do what no library would.
 *
 * $BUILD names the build folder (tests/run-integration sets it). Whatever the system refuses ends the test program with a message.
 */
#ifndef BD_TESTS_SUPPORT_DAEMON_H
#define BD_TESTS_SUPPORT_DAEMON_H

#include <stdint.h>
#include <sys/types.h>

#include "common/stream/ring.h"
#include "common/stream/spec.h"
#include "common/stream/wire.h"

struct bd_test_daemon {
	char *folder; /* its own, with socket, dataset and indexes in it */
	char *socket, *dataset; /* paths; the dataset's name is "numbers" */
	uint64_t records; /* record n has the int64 feature `label` = n */
	pid_t pid;
};

/* `extra`: further arguments, NULL-terminated; NULL: none. Returns when it listens. */
struct bd_test_daemon *bd_test_daemon_start(uint64_t records, const char *const *extra);

/* SIGKILL, and another one on the same socket and folder. */
void bd_test_daemon_restart(struct bd_test_daemon *daemon);

/* SIGTERM; returns its exit status, or -1 where it did not end within a minute. Takes NULL: 0. */
int bd_test_daemon_stop(struct bd_test_daemon *daemon_take);

/* Descriptors that it has open. */
unsigned bd_test_daemon_descriptors(const struct bd_test_daemon *daemon);

/* Waits until it has at most `most` open: what was closed may take a moment to go, what leaks never does. */
void bd_test_daemon_wait_descriptors(const struct bd_test_daemon *daemon, unsigned most);

/* Waits until it has no stream and no session but the asking one. */
void bd_test_daemon_wait_idle(const struct bd_test_daemon *daemon);

/* ---- a client without the library ---- */

struct bd_test_client {
	int socket;
	int arena, ctl, cons; /* after open; given away by map */
	struct bd_ring_view *view;
};

void bd_test_client_connect(const struct bd_test_daemon *daemon, struct bd_test_client *ret_client);
void bd_test_client_greet(struct bd_test_client *client);
/* OPEN to OPENED; 0, or the ERROR's code with its text. */
int bd_test_client_open(struct bd_test_client *client, const char *dataset, const struct bd_stream_spec *spec,
                        struct bd_error *ret_error);
void bd_test_client_map(struct bd_test_client *client);
/* Takes a batch, waiting for it. 0, -ENODATA ... as bd_ring_view_take. */
int bd_test_client_take(struct bd_test_client *client, struct bd_ring_item *ret_item);
void bd_test_client_close(struct bd_test_client *client);

#endif
