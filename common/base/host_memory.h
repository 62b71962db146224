/*
 * host_memory.h - how much memory the host can still give this process.
 *
 * Why: memory that is asked for is granted and the process killed when it is used. Whoever needs much asks here first, and refuses with a
 * reason. Threads: no state.
 */
#ifndef BD_BASE_HOST_MEMORY_H
#define BD_BASE_HOST_MEMORY_H

#include <stdint.h>

/*
 * What this process can still be given: the least of MemAvailable and, for every memory group (cgroup v1 or v2) around it, its
 * limit less what cannot be reclaimed of its use. UINT64_MAX where the system tells nothing.
 */
uint64_t bd_host_memory(void);

/* The same, read under another root than "/", for tests. `group` is the text of /proc/self/cgroup below that root. */
uint64_t bd_host_memory_at(const char *root);

#endif
