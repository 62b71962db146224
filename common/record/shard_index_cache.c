/* The cache folder: indexes by the device and inode of their shards. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/record/shard_index_parts.h"
#include "common/record/shard_index_sweep.h"

/* No larger file is read: 2^28 records. */
#define FORM_LIMIT_BYTES ((size_t)1 << 32)

static char *cache_path(const char *folder, const struct bd_shard_key *key)
{
	char *path;
	if (asprintf(&path, "%s/%016" PRIx64 "-%016" PRIx64 ".index", folder, key->device, key->inode) < 0)
		return NULL;
	return path;
}

/* It is in use: a sweep takes others first. */
static void renew(const char *path)
{
	struct stat status;
	if (stat(path, &status) == 0 && time(NULL) - status.st_mtime > (time_t)BD_INDEX_CACHE_RECENT_S)
		(void)utimensat(AT_FDCWD, path, NULL, 0); /* another user's file ages as if nobody used it */
}

struct bd_shard_index *bd_shard_index_load_cached(const char *folder, const struct bd_shard_key *key)
{
	char *path = cache_path(folder, key);
	uint8_t *bytes = NULL;
	size_t length;
	struct bd_shard_index *index = NULL;
	if (path && bd_file_read_all(path, FORM_LIMIT_BYTES, &bytes, &length, NULL) == 0) {
		if (bd_shard_index_decode(bytes, length, key, &index, NULL) < 0)
			index = NULL;
		else
			renew(path);
		free(bytes);
	}
	free(path);
	return index;
}

/* Written beside and renamed, so that nobody sees a half; not synced, since the checksum tells a torn file after a crash. */
static void write_atomically(const char *path, const uint8_t *bytes, size_t length)
{
	char *temporary;
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return;
	int fd = mkstemp(temporary);
	if (fd >= 0) {
		bool good = bd_write_full(fd, bytes, length, NULL) == 0;
		good = close(fd) == 0 && good;
		if (!good || rename(temporary, path) != 0)
			unlink(temporary);
	}
	free(temporary);
}

void bd_shard_index_store_cached(const char *folder, const struct bd_shard_index *index)
{
	uint8_t *bytes = NULL;
	size_t length = 0;
	if (bd_make_folders(folder, 0700, NULL) < 0 || bd_shard_index_encode(index, &bytes, &length, NULL) < 0)
		return;
	char *path = cache_path(folder, &index->key);
	if (path)
		write_atomically(path, bytes, length);
	free(path);
	free(bytes);
	bd_shard_index_sweep_now_and_then(folder, time(NULL));
}

void bd_shard_index_remove_cached(const char *folder, const struct bd_shard_key *key)
{
	char *path = cache_path(folder, key);
	if (path)
		unlink(path);
	free(path);
}

char *bd_shard_index_cache_folder(void)
{
	const char *given = getenv("BATCHD_CACHE_DIR"), *service = getenv("CACHE_DIRECTORY"), *xdg = getenv("XDG_CACHE_HOME"),
		   *home = getenv("HOME");
	if (given && *given)
		return strdup(given);
	if (service && *service)
		return strndup(service, strcspn(service, ":"));
	if (xdg && *xdg == '/')
		return bd_path_join(xdg, "batchd");
	return home && *home == '/' ? bd_path_join(home, ".cache/batchd") : NULL;
}
