/*
 * server.h - the daemon: one loop, its listener, sessions, streams, timers and signals.
 *
 * States: RUNNING -> DRAINING (SIGTERM, SIGINT, a DRAIN packet: the listener is closed, no new streams; running ones go on)
 * -> STOPPED: when the last stream has gone, or BD_DRAIN_MS after the start of draining, whatever comes first. A second signal, and
 * in a private daemon the end of its first connection, stop at once. Sessions that are cut find their stream again at the next daemon.
 * SIGHUP reads the configuration again: datasets, access and quotas of new streams; a broken file changes nothing.
 *
 * Threads: everything on the thread that calls bd_server_run.
 */
#ifndef BD_CONTROL_SERVER_H
#define BD_CONTROL_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include <batchd/error.h>

#include "daemon/control/config.h"
#include "daemon/control/dataset_check.h"
#include "daemon/control/listener.h"
#include "daemon/control/open_job.h"
#include "daemon/control/quota.h"
#include "daemon/control/stream_table.h"

struct bd_metrics_http;
struct bd_control_session;

/* systemd is told to wait 25 s; some of it is left for the cutting, and for threads that hang on a disk. */
#define BD_DRAIN_MS 20000
#define BD_LEAVE_S 4

/* Each takes up to five descriptors; also bounded by RLIMIT_NOFILE. */
#define BD_SESSIONS_MAX 4096

/* One user cannot take all places: a job array's 512 trainers have two connections each. */
#define BD_SESSIONS_PER_USER 1024

struct bd_server_options {
	const char *config_path; /* for SIGHUP; NULL: none */
	struct bd_config *config_take; /* the server's from bd_server_init on, also where it fails */
	int private_fd; /* -1: listen */
};

struct bd_server {
	uv_loop_t loop;
	struct bd_config config;
	const char *config_path;
	bool is_private;
	bool client_knows; /* a private client was told why there is no server */
	struct bd_engine *engine;
	struct bd_stream_table streams;
	struct bd_quota quota;
	struct bd_open_queue opens;
	struct bd_dataset_check dataset_check;
	struct bd_listener listener;
	struct bd_metrics_http *http;
	struct bd_control_session *sessions;
	uint32_t session_count, session_limit;
	uint64_t sessions_accepted, sessions_refused, protocol_errors; /* since the start */
	uint64_t started_ns, next_session_id;
	bool draining, stopped;
	int spare_fd; /* given up for a moment to refuse a connection when there are no descriptors left */
	uv_poll_t accept_poll;
	bool accepting;
	uv_timer_t accept_timer, drain_timer, watchdog_timer;
	uv_signal_t hup, term, interrupt;
};

/*
 * Starts everything: memory, threads, socket (of systemd where it gives one), metrics. Returns 0 or what failed, with the way out; after an error
 * nothing is left. *server must not move.
 */
BD_MUST_CHECK int bd_server_init(struct bd_server *server, const struct bd_server_options *options, struct bd_error *error);

/* Until it has stopped. */
void bd_server_run(struct bd_server *server);

void bd_server_finish(struct bd_server *server);

/* ---- for sessions ---- */

/* `by` for the log. waits: the streams that run have no time limit; a later call may give them one, or take it. */
void bd_server_drain(struct bd_server *server, const char *by, bool waits);

/* Cuts all sessions and ends the loop. */
void bd_server_stop(struct bd_server *server);

/* A connected socket becomes a session; closed where it cannot. `lifeline`: its end ends the daemon. */
void bd_server_adopt(struct bd_server *server, int fd_take, bool lifeline);

/* A stream has gone: while draining it may have been the last. */
void bd_server_stream_gone(struct bd_server *server);

#endif
