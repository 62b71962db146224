#include "common/record/shard_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

struct bd_shard_key bd_shard_key_of(const struct stat *status)
{
	return (struct bd_shard_key){ .device = status->st_dev,
		                      .inode = status->st_ino,
		                      .size = (uint64_t)status->st_size,
		                      .mtime_ns = (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
		                      .ctime_ns = (int64_t)status->st_ctim.tv_sec * 1000000000 + status->st_ctim.tv_nsec };
}

bool bd_shard_key_equal(const struct bd_shard_key *a, const struct bd_shard_key *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->mtime_ns == b->mtime_ns;
}

struct bd_shard_index *bd_shard_index_create(void)
{
	static _Atomic uint64_t last;
	struct bd_shard_index *index = calloc(1, sizeof *index);
	if (index) /* relaxed: only that numbers differ matters */
		index->serial = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
	return index;
}

static int check_unchanged(const struct bd_shard_index *index, int fd, struct bd_error *error)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return bd_error_set(error, -errno, "cannot look at the file: %s", strerror(errno));
	struct bd_shard_key key = bd_shard_key_of(&status);
	if (!bd_shard_key_equal(&key, &index->key))
		return bd_error_set(error, -ESTALE, "the file changed while it was indexed");
	return 0;
}

static int build(int fd, const struct bd_shard_key *key, const struct bd_index_options *options, struct bd_shard_index **ret_index,
                 struct bd_error *error)
{
	struct bd_shard_index *index = bd_shard_index_create();
	if (!index)
		return bd_error_set(error, -ENOMEM, "no memory for an index");
	int result = bd_shard_index_build(fd, options, index, error);
	index->key = *key;
	if (result == 0)
		result = check_unchanged(index, fd, error);
	if (result < 0) {
		bd_shard_index_destroy(index);
		return result;
	}
	*ret_index = index;
	return 0;
}

uint64_t bd_shard_index_limit(const struct bd_index_options *options)
{
	return options->memory_limit_bytes ? options->memory_limit_bytes : BD_SHARD_INDEX_MEMORY_BYTES;
}

bool bd_shard_index_same_compression(int fd, const struct bd_shard_index *index, const struct bd_index_options *options)
{
	uint8_t magic[BD_COMPRESSION_MAGIC_BYTES];
	size_t length;
	if (options->compression != BD_COMPRESSION_AUTO)
		return options->compression == index->compression;
	return bd_file_read_full(fd, magic, sizeof magic, 0, &length, NULL) == 0 &&
	       bd_compression_detect(magic, length) == index->compression;
}

/* The index of the cache folder, where it is that of this shard and of use here. */
static struct bd_shard_index *load_kept(int fd, const char *path, const struct bd_shard_key *key,
                                        const struct bd_index_options *options)
{
	struct bd_shard_index *index = NULL;
	if (options->cache_folder)
		index = bd_shard_index_load_cached(options->cache_folder, key);
	if (!index)
		return NULL;
	bool good = bd_shard_index_same_compression(fd, index, options) &&
	            bd_shard_index_memory(index) <= bd_shard_index_limit(options);
	int fits = good ? bd_shard_index_fits(fd, index, NULL) : 1;
	good = good && fits > 0;
	if (fits == 0)
		bd_notes_add(options->notes, "%s: the kept index does not fit the shard, which has other records now: made anew",
		             path);
	if (good)
		return index;
	bd_shard_index_destroy(index);
	return NULL;
}

int bd_shard_index_open_fd(int fd, const char *path, const struct bd_index_options *options, struct bd_shard_index **ret_index,
                           struct bd_error *error)
{
	struct stat status;
	struct bd_shard_index *index = NULL;
	if (fstat(fd, &status) != 0)
		return bd_error_set(error, -errno, "%s: cannot look at the file: %s", path, strerror(errno));
	struct bd_shard_key key = bd_shard_key_of(&status);
	index = load_kept(fd, path, &key, options);
	if (index) {
		*ret_index = index;
		return 0;
	}
	index = options->ignore_text ? NULL : bd_shard_index_load_beside(fd, path, &key, options);
	if (index) {
		*ret_index = index;
		return 0;
	}
	int result = build(fd, &key, options, &index, error);
	if (result < 0) {
		bd_error_prefix(error, "%s", path);
		return result;
	}
	/* Never what lay beside the path: whoever made a link to another's shard could give its index to all users of the cache. */
	if (options->cache_folder)
		bd_shard_index_store_cached(options->cache_folder, index);
	*ret_index = index;
	return 0;
}

int bd_shard_index_open(const char *path, const struct bd_index_options *options, struct bd_shard_index **ret_index,
                        struct bd_error *error)
{
	/* NONBLOCK: opening a pipe must not wait for its writer; it is refused */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	int result = bd_shard_index_open_fd(fd, path, options, ret_index, error);
	close(fd);
	return result;
}

void bd_shard_index_destroy(struct bd_shard_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->point_count; i++)
		bd_access_point_finish(&index->points[i]);
	free(index->points);
	free(index->damage);
	free(index->offsets);
	free(index);
}

/* ---- reading an index ---- */

uint64_t bd_shard_index_count(const struct bd_shard_index *index)
{
	return index->count;
}

enum bd_compression bd_shard_index_compression(const struct bd_shard_index *index)
{
	return index->compression;
}

uint64_t bd_shard_index_bytes(const struct bd_shard_index *index)
{
	return index->offsets[index->count];
}

uint64_t bd_shard_index_longest(const struct bd_shard_index *index)
{
	return index->longest;
}

size_t bd_shard_index_memory(const struct bd_shard_index *index)
{
	size_t bytes = sizeof *index + (index->count + 1) * sizeof *index->offsets + index->damage_count * sizeof *index->damage;
	for (size_t i = 0; i < index->point_count; i++) {
		const struct bd_access_point *point = &index->points[i];
		bytes += sizeof *point + (point->packed_bytes ? point->packed_bytes : point->window_bytes);
	}
	return bytes;
}

const struct bd_damaged_range *bd_shard_index_damage(const struct bd_shard_index *index, size_t *ret_count)
{
	*ret_count = index->damage_count;
	return index->damage;
}

static const struct bd_damaged_range *find_damage(const struct bd_shard_index *index, uint64_t record)
{
	size_t low = 0, high = index->damage_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->damage[middle].record == record)
			return &index->damage[middle];
		if (index->damage[middle].record < record)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct bd_index_entry bd_shard_index_entry(const struct bd_shard_index *index, uint64_t record)
{
	uint64_t offset = index->offsets[record], whole = index->offsets[record + 1] - offset;
	if (index->damage_count && find_damage(index, record))
		return (struct bd_index_entry){ .offset = offset, .damaged = true };
	return (struct bd_index_entry){ .offset = offset + BD_TFRECORD_HEADER_BYTES, .length = whole - BD_TFRECORD_FRAMING_BYTES };
}

int bd_shard_index_damage_error(const struct bd_shard_index *index, uint64_t record, struct bd_error *error)
{
	const struct bd_damaged_range *range = find_damage(index, record);
	if (!range)
		return bd_error_set(error, -EBADMSG, "record %" PRIu64 ": damaged", record);
	return bd_error_set(error, -EBADMSG, "record %" PRIu64 " at byte %" PRIu64 ": %s", record, range->offset, range->reason);
}

bool bd_shard_index_is_foreign(const struct bd_shard_index *index, const char **ret_reason)
{
	if (!index->damage_count || index->damage[0].record || index->damage[0].kind == BD_DAMAGE_TRUNCATED)
		return false;
	uint64_t good = bd_shard_index_bytes(index);
	for (size_t i = 0; i < index->damage_count; i++)
		good -= index->damage[i].end - index->damage[i].offset;
	*ret_reason = index->damage[0].reason;
	return index->damage[0].kind == BD_DAMAGE_FOREIGN || good < bd_shard_index_bytes(index) - good;
}

bool bd_shard_index_is_current(const struct bd_shard_index *index, int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return true;
	struct bd_shard_key key = bd_shard_key_of(&status);
	return bd_shard_key_equal(&key, &index->key);
}
