/*
 * reload.h - SIGHUP: the configuration is read again.
 *
 * Datasets, their access and the quotas change for streams that are opened from now on; running ones go on. What was fixed at the
 * start (socket, memory, threads, cache, metrics) keeps its value, and a line in the log says so. A file with an error
 * changes nothing.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_RELOAD_H
#define BD_CONTROL_RELOAD_H

struct bd_config;
struct bd_server;

void bd_server_reload(struct bd_server *server);

/* Moves what a reload may change from `fresh` to `config`; returns the first key that differs but needs a restart, NULL: none. Exposed for tests. */
const char *bd_config_adopt(struct bd_config *config, struct bd_config *fresh);

#endif
