/*
 * metrics_http.h - GET /metrics for Prometheus; the only file that knows libmicrohttpd.
 *
 * The HTTP server runs on the daemon's loop (its epoll descriptor is polled there), so that the text is made where the
 * figures are. Slow readers, many connections and long requests are bounded by the limits in the .c file.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_METRICS_HTTP_H
#define BD_CONTROL_METRICS_HTTP_H

#include <uv.h>

#include <batchd/error.h>

struct bd_metrics_http;

/* The text of the figures: malloc'd, NULL without memory. */
typedef char *bd_metrics_source(void *context);

/* Listens on `listen` ("127.0.0.1:9464"). 0, -EINVAL, -EADDRINUSE or what the system says. */
BD_MUST_CHECK int bd_metrics_http_create(uv_loop_t *loop, const char *listen, bd_metrics_source *source, void *context,
                                         struct bd_metrics_http **ret_http, struct bd_error *error);

/* Closes all of it; the loop must turn once more to free it. Takes NULL. */
void bd_metrics_http_destroy(struct bd_metrics_http *http);

#endif
