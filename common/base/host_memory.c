#include "common/base/host_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* Paths below /sys/fs/cgroup are short; a longer one than this is none that we could read. */
#define PATH_ROOM 4096

/* The number behind `key` (or at the beginning of the file where key is NULL); false: no such file, line or number ("max"). */
static bool read_number(const char *path, const char *key, uint64_t *ret_number)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	char line[256];
	bool found = false;
	while (!found && fgets(line, sizeof line, file)) {
		const char *at = line;
		size_t length = key ? strlen(key) : 0;
		if (key && strncmp(line, key, length) != 0)
			continue;
		char *end;
		errno = 0;
		unsigned long long number = strtoull(at + length, &end, 10);
		if (end != at + length && errno == 0) {
			*ret_number = number;
			found = true;
		}
		if (!key)
			break;
	}
	fclose(file);
	return found;
}

static uint64_t subtract(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What one memory group leaves. Pages of files that nobody maps are given back by the kernel before it kills: they count as free. */
static uint64_t group_leaves(const char *folder, bool second_version)
{
	char path[PATH_ROOM + 64];
	uint64_t limit, used = 0, reclaimable = 0;
	snprintf(path, sizeof path, "%s/%s", folder, second_version ? "memory.max" : "memory.limit_in_bytes");
	if (!read_number(path, NULL, &limit) || limit >= (uint64_t)INT64_MAX / 2)
		return UINT64_MAX;
	snprintf(path, sizeof path, "%s/%s", folder, second_version ? "memory.current" : "memory.usage_in_bytes");
	read_number(path, NULL, &used);
	snprintf(path, sizeof path, "%s/memory.stat", folder);
	uint64_t inactive = 0, active = 0;
	read_number(path, second_version ? "inactive_file " : "total_inactive_file ", &inactive);
	read_number(path, second_version ? "active_file " : "total_active_file ", &active);
	reclaimable = inactive + active;
	return subtract(limit, subtract(used, reclaimable));
}

/* The group and all that it lies in, up to the mount: each may be the tightest. */
static uint64_t groups_leave(const char *mount, char *group, bool second_version)
{
	uint64_t least = UINT64_MAX;
	for (;;) {
		char folder[PATH_ROOM];
		if (snprintf(folder, sizeof folder, "%s%s", mount, group) < (int)sizeof folder)
			least = bd_min_u64(least, group_leaves(folder, second_version));
		char *slash = strrchr(group, '/');
		if (!slash || !*group)
			return least;
		*slash = '\0';
	}
}

/* One line of /proc/self/cgroup: "NUMBER:CONTROLLERS:PATH"; version 2 has number 0 and no controllers. */
static uint64_t line_leaves(const char *root, char *line)
{
	line[strcspn(line, "\n")] = '\0';
	char *controllers = strchr(line, ':');
	char *group = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!group)
		return UINT64_MAX;
	*controllers++ = *group++ = '\0';
	char mount[PATH_ROOM / 2];
	if (*controllers && strcmp(controllers, "memory") != 0)
		return UINT64_MAX;
	bool second_version = !*controllers;
	snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, second_version ? "" : "/memory");
	return groups_leave(mount, group, second_version);
}

uint64_t bd_host_memory_at(const char *root)
{
	char path[PATH_ROOM], line[PATH_ROOM / 4];
	uint64_t least = UINT64_MAX, available;
	snprintf(path, sizeof path, "%s/proc/meminfo", root);
	if (read_number(path, "MemAvailable:", &available) && available < UINT64_MAX / 1024)
		least = available * 1024;
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	FILE *file = fopen(path, "re");
	if (!file)
		return least;
	while (fgets(line, sizeof line, file))
		least = bd_min_u64(least, line_leaves(root, line));
	fclose(file);
	return least;
}

uint64_t bd_host_memory(void)
{
	return bd_host_memory_at("");
}
