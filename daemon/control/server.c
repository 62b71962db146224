#include "daemon/control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/units.h"
#include "common/record/shard_index.h"
#include "daemon/control/log.h"
#include "daemon/control/metrics.h"
#include "daemon/control/metrics_http.h"
#include "daemon/control/reload.h"
#include "daemon/control/service.h"
#include "daemon/control/session.h"

/* Connections taken before the sessions get their turn. */
#define ACCEPTS_PER_TURN 64

/* When accept fails for want of descriptors or memory, waiting connections make the socket readable for ever: look away for a moment. */
#define ACCEPT_PAUSE_MS 100

/* Descriptors of a session: socket, pidfd, ctl, cons and its share of arenas and shards; and those of the daemon itself. */
#define DESCRIPTORS_PER_SESSION 5
#define DESCRIPTORS_RESERVED 64

static void on_signal(uv_signal_t *handle, int number);

/* ---- accepting ---- */

static void on_accept(uv_poll_t *poll, int status, int events);

static void watch_listener(struct bd_server *server, bool accept)
{
	if (accept == server->accepting || server->listener.fd < 0)
		return;
	server->accepting = accept;
	if (accept)
		uv_poll_start(&server->accept_poll, UV_READABLE, on_accept);
	else
		uv_poll_stop(&server->accept_poll);
}

static void on_accept_timer(uv_timer_t *timer)
{
	watch_listener(timer->data, true);
}

/* Out of descriptors: the spare one is given up to take the connection and close it, so that the peer learns of it instead of waiting. */
static void refuse_without_descriptors(struct bd_server *server)
{
	if (server->spare_fd >= 0) {
		close(server->spare_fd);
		int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	server->sessions_refused++;
}

static void refuse_at_limit(int fd_take)
{
	Batchd__Error message = BATCHD__ERROR__INIT;
	message.code = -EAGAIN;
	message.text = (char *)"batchd has as many connections as it can serve; try again later";
	int result = bd_wire_send(fd_take, BATCHD__TYPE__TYPE_ERROR, &message.base, NULL, 0, false, NULL);
	(void)result; /* it may be gone */
	close(fd_take);
}

void bd_server_adopt(struct bd_server *server, int fd_take, bool lifeline)
{
	struct bd_error error;
	int result = bd_listener_check_peer(fd_take, &error);
	if (result < 0) {
		close(fd_take);
	} else if (server->session_count >= server->session_limit) {
		server->sessions_refused++;
		refuse_at_limit(fd_take);
		return;
	} else {
		result = bd_control_session_create(server, fd_take, lifeline, &error);
	}
	if (result < 0) {
		server->sessions_refused++;
		bd_log(BD_LOG_INFO, "a connection was refused: %s", error.text);
		if (lifeline)
			bd_server_stop(server);
		return;
	}
	server->sessions_accepted++;
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	struct bd_server *server = poll->data;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			bd_server_adopt(server, fd, false);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		bd_log(BD_LOG_WARN, "cannot accept a connection: %s", strerror(errno));
		if (errno == EMFILE || errno == ENFILE)
			refuse_without_descriptors(server);
		watch_listener(server, false);
		uv_timer_start(&server->accept_timer, on_accept_timer, ACCEPT_PAUSE_MS, 0);
		return;
	}
}

/* ---- end ---- */

static void on_drain_timer(uv_timer_t *timer)
{
	struct bd_server *server = timer->data;
	bd_log(BD_LOG_WARN, "%u streams did not end within %d s and are cut; their clients go on at the next daemon",
	       server->streams.count, BD_DRAIN_MS / 1000);
	bd_server_stop(server);
}

static void close_listener(struct bd_server *server)
{
	if (server->listener.fd < 0)
		return;
	watch_listener(server, false);
	uv_timer_stop(&server->accept_timer);
	uv_close((uv_handle_t *)&server->accept_poll, NULL);
	bd_listener_close(&server->listener);
}

void bd_server_stream_gone(struct bd_server *server)
{
	if (server->draining && !server->streams.count && bd_open_queue_is_idle(&server->opens))
		bd_server_stop(server);
}

static void limit_drain(struct bd_server *server, bool waits)
{
	if (waits)
		uv_timer_stop(&server->drain_timer);
	else
		uv_timer_start(&server->drain_timer, on_drain_timer, BD_DRAIN_MS, 0);
}

void bd_server_drain(struct bd_server *server, const char *by, bool waits)
{
	if (server->draining) {
		limit_drain(server, waits);
		return;
	}
	server->draining = true;
	bd_service_stopping();
	if (waits)
		bd_log(BD_LOG_INFO, "draining (%s): %u streams go on until they end", by, server->streams.count);
	else
		bd_log(BD_LOG_INFO, "draining (%s): %u streams go on for at most %d s", by, server->streams.count,
		       BD_DRAIN_MS / 1000);
	close_listener(server);
	limit_drain(server, waits);
	bd_server_stream_gone(server);
}

/* Those with a stream come back to the next daemon for their next batch. */
static void tell_shutdown(struct bd_server *server)
{
	struct bd_error error;
	bd_error_set(&error, -ESHUTDOWN, "batchd is shutting down");
	for (struct bd_control_session *session = server->sessions, *next; session; session = next) {
		next = session->next;
		int result = session->member ? bd_control_session_send_error(session, &error) : 0;
		(void)result; /* closed then */
	}
}

void bd_server_stop(struct bd_server *server)
{
	if (server->stopped)
		return;
	server->stopped = true;
	bd_dataset_check_stop(&server->dataset_check);
	close_listener(server);
	tell_shutdown(server);
	while (server->sessions)
		bd_control_session_close(server->sessions, NULL);
	uv_stop(&server->loop);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int number)
{
	struct bd_server *server = handle->data;
	if (number == SIGHUP)
		bd_server_reload(server);
	else if (server->is_private && number == SIGINT)
		return; /* Ctrl-C goes to the whole group: the trainer saves its state first, and the daemon ends with it */
	else if (server->draining)
		bd_server_stop(server);
	else
		bd_server_drain(server, number == SIGTERM ? "SIGTERM" : "SIGINT", false);
}

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	bd_service_alive();
}

/* ---- start ---- */

static int create_engine(struct bd_server *server, struct bd_error *error)
{
	char *cache = bd_shard_index_cache_folder(), *quarantine = NULL;
	struct bd_error reason;
	if (cache && bd_make_folders(cache, 0700, &reason) < 0) {
		bd_log(BD_LOG_WARN, "indexes are not kept: %s", reason.text);
		free(cache);
		cache = NULL;
	}
	if (cache)
		quarantine = bd_path_join(cache, "quarantine");
	if (quarantine && bd_make_folders(quarantine, 0700, &reason) < 0) {
		bd_log(BD_LOG_WARN, "lists of damaged records are not kept: %s", reason.text);
		free(quarantine);
		quarantine = NULL;
	}
	struct bd_engine_options options = {
		.threads = server->config.threads,
		.memory_bytes = server->config.memory_bytes,
		.cache_bytes = server->config.cache_bytes,
		.cache_folder = cache,
		.quarantine_folder = quarantine,
	};
	int result = bd_engine_create(&options, &server->engine, error);
	free(quarantine);
	free(cache);
	return result;
}

/* The soft limit is a default for programs that use select(); this one does not. */
static uint32_t raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return BD_SESSIONS_MAX;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur == RLIM_INFINITY)
		return BD_SESSIONS_MAX;
	uint64_t usable = limit.rlim_cur > 2 * DESCRIPTORS_RESERVED ? limit.rlim_cur - DESCRIPTORS_RESERVED : limit.rlim_cur / 2;
	return (uint32_t)bd_min_u64(usable / DESCRIPTORS_PER_SESSION + 1, BD_SESSIONS_MAX);
}

/* The loop's own descriptors, a session and one stream of one shard: with fewer nothing at all could be served. */
#define DESCRIPTORS_MIN 20

static int check_descriptors(struct bd_error *error)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_MIN)
		return 0;
	return bd_error_set(error, -EMFILE, "batchd may open %llu files here (ulimit -n, LimitNOFILE=), and needs %d at least",
	                    (unsigned long long)limit.rlim_cur, DESCRIPTORS_MIN);
}

static int open_listener(struct bd_server *server, struct bd_error *error)
{
	int inherited;
	int result = bd_service_listen_fd(&inherited, error);
	if (result < 0)
		return result;
	if (inherited >= 0)
		return bd_listener_adopt(inherited, &server->listener, error);
	if (!server->config.socket_path)
		return bd_error_set(error, -EINVAL,
		                    "no socket to listen on: give --socket PATH, or 'socket: {path: ...}' in the configuration");
	struct bd_listener_options options = {
		.path = server->config.socket_path,
		.mode = server->config.socket_mode,
		.group_given = server->config.socket_group_given,
		.group = server->config.socket_group,
	};
	return bd_listener_open(&options, &server->listener, error);
}

static void start_handles(struct bd_server *server)
{
	uv_timer_init(&server->loop, &server->accept_timer);
	uv_timer_init(&server->loop, &server->drain_timer);
	uv_timer_init(&server->loop, &server->watchdog_timer);
	uv_signal_init(&server->loop, &server->hup);
	uv_signal_init(&server->loop, &server->term);
	uv_signal_init(&server->loop, &server->interrupt);
	server->accept_timer.data = server->drain_timer.data = server->watchdog_timer.data = server;
	server->hup.data = server->term.data = server->interrupt.data = server;
	uv_signal_start(&server->hup, on_signal, SIGHUP);
	uv_signal_start(&server->term, on_signal, SIGTERM);
	uv_signal_start(&server->interrupt, on_signal, SIGINT);
	uint64_t period_ms = bd_service_watchdog_ms();
	if (period_ms)
		uv_timer_start(&server->watchdog_timer, on_watchdog, 0, period_ms);
}

static char *metrics_of(void *context)
{
	return bd_metrics_text(context, NULL);
}

/* What needs a loop and may fail: the socket, or the private connection, and the metrics. */
static int start_serving(struct bd_server *server, int private_fd, struct bd_error *error)
{
	if (server->is_private) {
		int result = bd_listener_check_peer(private_fd, error);
		if (result == 0)
			bd_server_adopt(server, private_fd, true);
		if (result == 0 && server->stopped)
			result = bd_error_set(error, -ECONNRESET, "--private-fd: the client is gone");
		return result;
	}
	if (server->config.metrics_listen) {
		int result = bd_metrics_http_create(&server->loop, server->config.metrics_listen, metrics_of, server, &server->http,
		                                    error);
		if (result < 0)
			return result;
	}
	int result = uv_poll_init(&server->loop, &server->accept_poll, server->listener.fd);
	if (result < 0)
		return bd_error_set(error, result, "cannot watch the socket: %s", uv_strerror(result));
	server->accept_poll.data = server;
	watch_listener(server, true);
	return 0;
}

/* A private daemon's client waits for the answer to its HELLO: it learns why there is none. */
static bool tell_private_client(int private_fd, const struct bd_error *error)
{
	Batchd__Error message = BATCHD__ERROR__INIT;
	message.code = error->code;
	message.text = (char *)error->text;
	return private_fd >= 0 && bd_wire_send(private_fd, BATCHD__TYPE__TYPE_ERROR, &message.base, NULL, 0, false, NULL) == 0;
}

int bd_server_init(struct bd_server *server, const struct bd_server_options *options, struct bd_error *error)
{
	*server = (struct bd_server){
		.config = *options->config_take,
		.config_path = options->config_path,
		.is_private = options->private_fd >= 0,
		.listener = BD_LISTENER_NONE,
		.started_ns = bd_now_ns(),
		.spare_fd = -1,
	};
	server->session_limit = raise_descriptor_limit();
	setenv("UV_THREADPOOL_SIZE", BD_OPEN_JOB_THREADS, 0);
	signal(SIGPIPE, SIG_IGN);
	int result = check_descriptors(error);
	if (result == 0 && !server->is_private)
		result = open_listener(server, error);
	if (result == 0)
		result = create_engine(server, error);
	if (result == 0) {
		result = uv_loop_init(&server->loop);
		if (result < 0) {
			bd_error_set(error, result, "cannot start the event loop: %s", uv_strerror(result));
			bd_engine_destroy(server->engine);
		}
	}
	if (result < 0) {
		server->client_knows = tell_private_client(options->private_fd, error);
		bd_listener_close(&server->listener);
		bd_config_finish(&server->config);
		return result;
	}
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	bd_stream_table_init(&server->streams, &server->loop, server->engine);
	bd_open_queue_init(&server->opens, &server->loop);
	bd_dataset_check_init(&server->dataset_check, &server->loop, &server->config);
	start_handles(server);
	result = start_serving(server, options->private_fd, error);
	if (result < 0) {
		if (server->listener.fd >= 0 && !server->accept_poll.data)
			bd_listener_close(&server->listener);
		bd_server_finish(server);
	}
	return result;
}

static void say_ready(const struct bd_server *server)
{
	uint64_t used, limit;
	char memory[32], text[256];
	bd_engine_memory(server->engine, &used, &limit);
	bd_format_size(limit, memory, sizeof memory);
	snprintf(text, sizeof text, "%zu datasets, %s of memory, %u threads", server->config.dataset_count, memory,
	         bd_engine_threads(server->engine));
	bd_service_ready(text);
	if (!server->is_private)
		bd_log(BD_LOG_INFO, "ready on %s: %s",
		       server->listener.path ? server->listener.path : "the service manager's socket", text);
}

void bd_server_run(struct bd_server *server)
{
	say_ready(server);
	bd_dataset_check_start(&server->dataset_check);
	if (!server->stopped)
		uv_run(&server->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *context)
{
	(void)context;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void bd_server_finish(struct bd_server *server)
{
	bd_server_stop(server);
	bd_metrics_http_destroy(server->http);
	bd_stream_table_finish(&server->streams);
	uv_walk(&server->loop, close_handle, NULL);
	/* Jobs whose sessions are gone end first; uv_stop has been used up by then. */
	while (uv_run(&server->loop, UV_RUN_DEFAULT) != 0)
		;
	uv_loop_close(&server->loop);
	bd_engine_destroy(server->engine);
	bd_quota_finish(&server->quota);
	bd_config_finish(&server->config);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
}
