#include "common/record/shard_index_sweep.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"

/* A name is DEVICE-INODE.index, each 16 hexadecimal digits; while it is written, six characters of mkstemp's follow. */
#define DIGITS 16u
#define SUFFIX ".index"
#define NAME_LENGTH (2 * DIGITS + 1 + sizeof SUFFIX - 1)
#define TEMPORARY_LENGTH (NAME_LENGTH + 7)

/* What is half written for so long, nobody is writing. */
#define HALF_S 3600

/* Its time is that of the last sweep. */
#define MARK ".swept"

/* Without the version, the magic's last byte. */
static const uint8_t magic[] = { 'B', 'D', 'I', 'N', 'D', 'E', 'X' };

struct entry {
	char name[TEMPORARY_LENGTH + 1];
	uint64_t bytes;
	time_t used;
};

struct entries {
	struct entry *items;
	size_t count, room;
	uint64_t bytes;
};

static bool is_hex(const char *text, size_t length)
{
	return strspn(text, "0123456789abcdef") >= length;
}

static bool is_index_name(const char *name)
{
	size_t length = strlen(name);
	return (length == NAME_LENGTH || length == TEMPORARY_LENGTH) && is_hex(name, DIGITS) && name[DIGITS] == '-' &&
	       is_hex(name + DIGITS + 1, DIGITS) && !strncmp(name + 2 * DIGITS + 1, SUFFIX, sizeof SUFFIX - 1) &&
	       (length == NAME_LENGTH || name[NAME_LENGTH] == '.');
}

static bool is_temporary(const struct entry *entry)
{
	return strlen(entry->name) == TEMPORARY_LENGTH;
}

/* An index, or the beginning of one. */
static bool has_magic(int folder, const struct entry *entry)
{
	uint8_t bytes[sizeof magic];
	size_t length = 0;
	int fd = openat(folder, entry->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	bool good = bd_file_read_full(fd, bytes, sizeof bytes, 0, &length, NULL) == 0 && !memcmp(bytes, magic, length) &&
	            (length == sizeof magic || is_temporary(entry));
	close(fd);
	return good;
}

static void remove_entry(int folder, struct entries *entries, const struct entry *entry)
{
	if (has_magic(folder, entry) && unlinkat(folder, entry->name, 0) == 0 && !is_temporary(entry))
		entries->bytes -= entry->bytes;
}

static bool add(struct entries *entries, const struct entry *entry)
{
	if (entries->count == entries->room) {
		size_t room = entries->room ? entries->room * 2 : 256;
		struct entry *items = reallocarray(entries->items, room, sizeof *items);
		if (!items)
			return false;
		entries->items = items;
		entries->room = room;
	}
	entries->items[entries->count++] = *entry;
	entries->bytes += entry->bytes;
	return true;
}

/* Lists the indexes; what is left of killed writers goes at once. */
static void list(DIR *listing, time_t now, struct entries *ret_entries)
{
	struct dirent *found;
	int folder = dirfd(listing);
	while ((found = readdir(listing))) {
		struct entry entry = { 0 };
		struct stat status;
		if (!is_index_name(found->d_name) || fstatat(folder, found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(status.st_mode) || status.st_uid != geteuid())
			continue;
		memcpy(entry.name, found->d_name, strlen(found->d_name));
		entry.bytes = (uint64_t)status.st_size;
		entry.used = status.st_mtime;
		if (!is_temporary(&entry)) {
			if (!add(ret_entries, &entry))
				return;
		} else if (now - entry.used > HALF_S) {
			remove_entry(folder, ret_entries, &entry);
		}
	}
}

static int by_use(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	if (left->used != right->used)
		return left->used < right->used ? -1 : 1;
	return strcmp(left->name, right->name);
}

static void bound(int folder, struct entries *entries, uint64_t limit_bytes, time_t now)
{
	size_t at = 0, end = entries->count;
	qsort(entries->items, entries->count, sizeof *entries->items, by_use);
	for (; at < end; at++) {
		time_t unused_s = now - entries->items[at].used;
		bool over = entries->bytes > limit_bytes && unused_s > BD_INDEX_CACHE_RECENT_S;
		if (!over && unused_s <= BD_INDEX_CACHE_UNUSED_S)
			break;
		remove_entry(folder, entries, &entries->items[at]);
	}
	while (end > at && entries->bytes > limit_bytes)
		remove_entry(folder, entries, &entries->items[--end]);
}

void bd_shard_index_sweep(const char *folder, uint64_t limit_bytes, time_t now)
{
	struct entries entries = { .count = 0 };
	DIR *listing = opendir(folder);
	if (!listing)
		return;
	list(listing, now, &entries);
	if (entries.count)
		bound(dirfd(listing), &entries, limit_bytes, now);
	free(entries.items);
	closedir(listing);
}

/* The mark is made or renewed before the work, so that others do not do it, too. */
static bool is_due(const char *folder, time_t now)
{
	struct stat status;
	char *path = bd_path_join(folder, MARK);
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	bool due = fd >= 0;
	if (path && !due && lstat(path, &status) == 0) {
		time_t since_s = now - status.st_mtime;
		/* a mark of the future is that of a clock which was set back; a little of it is that of a file server's clock */
		due = (since_s >= (time_t)BD_INDEX_CACHE_SWEEP_S || since_s <= -(time_t)BD_INDEX_CACHE_SWEEP_S) &&
		      utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return due;
}

void bd_shard_index_sweep_now_and_then(const char *folder, time_t now)
{
	if (is_due(folder, now))
		bd_shard_index_sweep(folder, BD_INDEX_CACHE_BYTES, now);
}
