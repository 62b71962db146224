#include "daemon/control/service.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <systemd/sd-daemon.h>

int bd_service_listen_fd(int *ret_fd, struct bd_error *error)
{
	int count = sd_listen_fds(1);
	if (count < 0)
		return bd_error_set(error, count, "cannot take over the socket of the service manager: %s", strerror(-count));
	if (count > 1)
		return bd_error_set(error, -EINVAL, "batchd listens on one socket; its socket unit gives %d", count);
	*ret_fd = count == 1 ? SD_LISTEN_FDS_START : -1;
	return 0;
}

void bd_service_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void bd_service_reloading(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void bd_service_stopping(void)
{
	sd_notify(0, "STOPPING=1");
}

uint64_t bd_service_watchdog_ms(void)
{
	uint64_t period_us = 0;
	if (sd_watchdog_enabled(0, &period_us) <= 0)
		return 0;
	uint64_t half_ms = period_us / 2000;
	return half_ms ? half_ms : 1;
}

void bd_service_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}
