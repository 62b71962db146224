/*
 * daemon_socket.h - which running daemon a command means where its line does not say so.
 *
 * Why: the service's socket has one place. Questions to "the" daemon, and datasets that only a daemon knows by name, go there by
 * themselves; a dataset file is read by a private daemon all the same, since its reader may have more rights to it than the service.
 * Threads: no state.
 */
#ifndef BD_STREAM_DAEMON_SOCKET_H
#define BD_STREAM_DAEMON_SOCKET_H

/* Of the service (systemd/batchd.socket); $BATCHD_SERVICE_SOCKET names another place, for tests and packagers. */
#define BD_SERVICE_SOCKET "/run/batchd/batchd.sock"

/*
 * `given` (--connect; NULL or "": nothing), else $BATCHD_SOCKET, else the service's socket where there is one. NULL: none of them. Borrowed from
 * argument or environment.
 */
const char *bd_daemon_socket(const char *given);

/*
 * The same for a stream of `dataset`: the service's socket only where it is a name, no file that is there, and no path. NULL: a private
 * daemon.
 */
const char *bd_daemon_socket_of(const char *given, const char *dataset);

#endif
