/*
 * metrics.h - the daemon's figures as Prometheus text (exposition format 0.0.4).
 *
 * Names begin with batchd_. Per-stream series carry the labels stream, dataset and user; streams come and go, so there are as many as run.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_METRICS_H
#define BD_CONTROL_METRICS_H

#include <sys/types.h>

struct bd_server;

/* malloc'd; NULL without memory. `only` restricts the per-stream series to one user's; NULL: all. */
char *bd_metrics_text(struct bd_server *server, const uid_t *only);

/* ru_maxrss of this process. */
unsigned long long bd_peak_rss_bytes(void);

#endif
