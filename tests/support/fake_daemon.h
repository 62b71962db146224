/*
 * fake_daemon.h - a daemon for tests of the client: real packets, ring and order, made-up data, in threads of the test.
 *
 * Its datasets have one array "x" (int64, rows x 2: record number and epoch) and one that varies, "v.values". It can be killed at
 * any moment and started again at the same socket, as systemd would.
 */
#ifndef BD_TESTS_SUPPORT_FAKE_DAEMON_H
#define BD_TESTS_SUPPORT_FAKE_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

/* Where in its work the daemon is when a session's limit drops it. */
enum bd_fake_death {
	BD_FAKE_DIES_BETWEEN_BATCHES,
	BD_FAKE_DIES_IN_A_SLOT, /* half of the next slot is written */
	BD_FAKE_DIES_BEFORE_THE_DOORBELL, /* of the last batch: a client that waits is not told of it */
};

struct bd_fake_options {
	const char *socket_path;
	uint64_t records;
	uint64_t publish_limit; /* batches a session gets before the daemon drops it; 0: none */
	enum bd_fake_death dies;
	bool fail_at_limit; /* says ERROR and ends the ring as FAILED in place of dropping */
	bool detach_at_limit; /* detaches the consumer as too slow */
	bool refuse_open; /* answers OPEN with ERROR -EACCES */
	unsigned drop_while_indexing; /* closes the n-th session after OPEN; 0: none */
	bool other_version; /* answers HELLO with ERROR -EPROTONOSUPPORT */
	unsigned classes; /* of the schema */
};

struct bd_fake_daemon;

struct bd_fake_daemon *bd_fake_daemon_start(const struct bd_fake_options *options);

/* Closes every socket at once, as a killed process would, and waits for the threads. */
void bd_fake_daemon_kill(struct bd_fake_daemon *daemon);

/* Sessions that were opened, doorbells that were received, bytes of TEXT. */
uint64_t bd_fake_daemon_sessions(struct bd_fake_daemon *daemon);
uint64_t bd_fake_daemon_doorbells(struct bd_fake_daemon *daemon);
uint64_t bd_fake_daemon_text_bytes(struct bd_fake_daemon *daemon);

#endif
