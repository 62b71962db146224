/*
 * failing_malloc.h - a malloc that fails when it is told to, for the whole process; included by one file of a test.
 *
 * The sanitizers have allocators of their own: there BD_MALLOC_FAILS is false and nothing fails.
 */
#ifndef BD_TESTS_SUPPORT_FAILING_MALLOC_H
#define BD_TESTS_SUPPORT_FAILING_MALLOC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static int allocations_left = -1; /* the one after so many fails; below 0: none */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BD_MALLOC_FAILS false
#else
#define BD_MALLOC_FAILS true

extern void *__libc_malloc(size_t bytes);

/* Seen by the libraries too. */
__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
	if (allocations_left >= 0 && allocations_left-- == 0) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(bytes);
}
#endif

#endif
