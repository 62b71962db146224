/*
 * clock.h - monotonic time.
 */
#ifndef BD_BASE_CLOCK_H
#define BD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define BD_NS_PER_S 1000000000ull
#define BD_NS_PER_MS 1000000ull
#define BD_NS_PER_US 1000ull

/* Nanoseconds of CLOCK_MONOTONIC: comparable between the processes of one host. */
static inline uint64_t bd_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * BD_NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
