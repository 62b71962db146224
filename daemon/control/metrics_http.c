#include "daemon/control/metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "daemon/control/config.h"

/* One collector and a few curious people. */
#define CONNECTIONS_MAX 16
#define CONNECTION_MEMORY_BYTES 16384
#define IDLE_TIMEOUT_S 10

struct bd_metrics_http {
	struct MHD_Daemon *daemon;
	bd_metrics_source *source;
	void *context;
	uv_poll_t poll;
	uv_timer_t timer;
	int open_handles;
};

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *type, char *text_take)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text_take), text_take, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text_take);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_bytes, void **state)
{
	(void)version, (void)upload;
	struct bd_metrics_http *http = context;
	if (!*state) { /* the first call comes with the headers alone */
		*state = http;
		return MHD_YES;
	}
	if (*upload_bytes) {
		*upload_bytes = 0;
		return MHD_YES;
	}
	unsigned status = MHD_HTTP_OK;
	const char *type = "text/plain; version=0.0.4; charset=utf-8";
	char *text;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		text = strdup("only GET\n");
	} else if (strcmp(url, "/metrics") != 0) {
		status = MHD_HTTP_NOT_FOUND;
		text = strdup("the figures are at /metrics\n");
	} else {
		text = http->source(http->context);
	}
	return text ? answer_text(connection, status, type, text) : MHD_NO;
}

static void run(struct bd_metrics_http *http);

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status, (void)events;
	run(poll->data);
}

static void on_timer(uv_timer_t *timer)
{
	run(timer->data);
}

static void run(struct bd_metrics_http *http)
{
	MHD_run(http->daemon);
	MHD_UNSIGNED_LONG_LONG wait_ms;
	if (MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES)
		uv_timer_start(&http->timer, on_timer, wait_ms, 0);
	else
		uv_timer_stop(&http->timer);
}

/*
 * The listening socket is bound here, and not by the library, since only then the reason of a failure is known: what the library
 * leaves in errno belongs to its own cleaning up. Without SO_REUSEPORT, so that a second daemon cannot share the port unseen;
 * with SO_REUSEADDR, so that a daemon that starts again can bind while connections of the one before are in TIME_WAIT.
 */
static int listen_socket(const char *listen_text, int *ret_socket, struct bd_error *error)
{
	char host[64];
	uint16_t port;
	int result = bd_config_split_listen(listen_text, host, &port, error);
	if (result < 0)
		return result;
	struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool is_ipv4 = inet_pton(AF_INET, host, &ipv4.sin_addr) == 1;
	const struct sockaddr *address = is_ipv4 ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&ipv6;
	socklen_t length = is_ipv4 ? sizeof ipv4 : sizeof ipv6;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 || bind(fd, address, length) < 0 ||
	    listen(fd, CONNECTIONS_MAX) < 0) {
		int code = -errno;
		if (fd >= 0)
			close(fd);
		return bd_error_set(error, code, "metrics: cannot listen on %s: %s%s", listen_text, strerror(-code),
		                    code == -EADDRINUSE ? "; another program has this port, give 'metrics: {listen}' a free one"
		                                        : "");
	}
	*ret_socket = fd;
	return 0;
}

/* The library owns and closes the socket once its daemon is there. */
static int start_daemon(struct bd_metrics_http *http, const char *listen_text, struct bd_error *error)
{
	int fd = -1;
	int result = listen_socket(listen_text, &fd, error);
	if (result < 0)
		return result;
	http->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
	                                MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	                                (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
	                                MHD_OPTION_END);
	if (http->daemon)
		return 0;
	close(fd);
	return bd_error_set(error, -ENOMEM, "metrics: the HTTP server on %s did not start: no memory or no descriptors (ulimit -n)",
	                    listen_text);
}

int bd_metrics_http_create(uv_loop_t *loop, const char *listen, bd_metrics_source *source, void *context,
                           struct bd_metrics_http **ret_http, struct bd_error *error)
{
	struct bd_metrics_http *http = calloc(1, sizeof *http);
	if (!http)
		return bd_error_set(error, -ENOMEM, "metrics: no memory");
	http->source = source;
	http->context = context;
	int result = start_daemon(http, listen, error);
	if (result < 0) {
		free(http);
		return result;
	}
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int code = info ? uv_poll_init(loop, &http->poll, info->epoll_fd) : UV_EINVAL;
	if (code < 0) {
		MHD_stop_daemon(http->daemon);
		free(http);
		return bd_error_set(error, code, "metrics: cannot poll the HTTP server: %s", uv_strerror(code));
	}
	uv_timer_init(loop, &http->timer);
	http->open_handles = 2;
	http->poll.data = http->timer.data = http;
	uv_poll_start(&http->poll, UV_READABLE, on_readable);
	*ret_http = http;
	return 0;
}

/* The epoll descriptor must outlive its poll handle. */
static void on_closed(uv_handle_t *handle)
{
	struct bd_metrics_http *http = handle->data;
	if (--http->open_handles)
		return;
	MHD_stop_daemon(http->daemon);
	free(http);
}

void bd_metrics_http_destroy(struct bd_metrics_http *http)
{
	if (!http)
		return;
	uv_poll_stop(&http->poll);
	uv_close((uv_handle_t *)&http->poll, on_closed);
	uv_close((uv_handle_t *)&http->timer, on_closed);
}
