/*
 * service.h - what systemd gives the daemon and wants to hear from it; the only file that knows libsystemd.
 *
 * Outside of systemd ($NOTIFY_SOCKET, $LISTEN_FDS and $WATCHDOG_USEC unset) every function does nothing.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_SERVICE_H
#define BD_CONTROL_SERVICE_H

#include <stdint.h>

#include <batchd/error.h>

/* The listening socket of batchd.socket: *ret_fd = -1 where there is none. -EINVAL for more than one. */
BD_MUST_CHECK int bd_service_listen_fd(int *ret_fd, struct bd_error *error);

/* READY=1 with a line for `systemctl status`; RELOADING=1, which ready ends; STOPPING=1. */
void bd_service_ready(const char *status);
void bd_service_reloading(void);
void bd_service_stopping(void);

/* How often bd_service_alive is wanted, in milliseconds: half of WatchdogSec; 0 = never. */
uint64_t bd_service_watchdog_ms(void);
void bd_service_alive(void);

#endif
