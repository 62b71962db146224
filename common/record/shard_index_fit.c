/* Whether an index is that of its shard, by the headers of records that it names. */
#include <errno.h>
#include <inttypes.h>

#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

/*
 * Headers of a plain shard that are compared before an index is believed, besides the last. One that lies beside a shard may be of anybody; a kept
 * one is that of this file unless somebody gave the file its times back, and each header may be a seek of a cold disk.
 */
#define COMPARED_BESIDE 64u
#define COMPARED_KEPT 3u

/* 1; 0: something else lies there; -errno of reading, -ENOMEM. */
static int header_is_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index, uint64_t record,
                           struct bd_error *error)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	uint64_t length;
	struct bd_index_entry entry = bd_shard_index_entry(index, record);
	if (entry.damaged)
		return 1;
	int result = bd_shard_cursor_read(cursor, index, fd, index->offsets[record], header, sizeof header, error);
	if (result == -EBADMSG || result == -ESTALE)
		return 0;
	return result < 0 ? result : bd_tfrecord_is_header(header, &length) && length == entry.length;
}

static int some_are_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index, struct bd_error *error)
{
	uint64_t step = index->count / (index->beside ? COMPARED_BESIDE : COMPARED_KEPT) + 1;
	int there = 1;
	for (uint64_t record = 0; there > 0 && record < index->count; record += step)
		there = header_is_there(cursor, fd, index, record, error);
	return there > 0 && index->count ? header_is_there(cursor, fd, index, index->count - 1, error) : there;
}

/* The first record whose header is at or behind the place; the last one where none is. */
static uint64_t record_behind(const struct bd_shard_index *index, uint64_t place)
{
	uint64_t low = 0, high = index->count - 1;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (index->offsets[middle] < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* What can be inflated at small cost. */
static int cheap_ones_are_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index, struct bd_error *error)
{
	int there = index->count ? header_is_there(cursor, fd, index, 0, error) : 1;
	if (there <= 0 || !index->count || !index->point_count)
		return there;
	return header_is_there(cursor, fd, index, record_behind(index, index->points[index->point_count - 1].out), error);
}

int bd_shard_index_fits(int fd, const struct bd_shard_index *index, struct bd_error *error)
{
	struct bd_shard_cursor *cursor;
	int result = bd_shard_cursor_create(&cursor, error);
	if (result < 0)
		return result;
	result = index->compression == BD_COMPRESSION_NONE ? some_are_there(cursor, fd, index, error)
	                                                   : cheap_ones_are_there(cursor, fd, index, error);
	bd_shard_cursor_destroy(cursor);
	return result;
}

int bd_shard_index_check_entry(const struct bd_shard_index *index, int fd, const char *path, const char *cache_folder,
                               uint64_t record, struct bd_error *error)
{
	struct bd_shard_cursor *cursor;
	if (index->compression != BD_COMPRESSION_NONE)
		return 0;
	int result = bd_shard_cursor_create(&cursor, error);
	if (result < 0)
		return result;
	int there = header_is_there(cursor, fd, index, record, error);
	bd_shard_cursor_destroy(cursor);
	if (there < 0)
		bd_error_prefix(error, "%s", path);
	if (there)
		return there < 0 ? there : 0;
	if (index->beside)
		return bd_error_set(error, -ESTALE,
		                    "%s: the index beside it does not fit record %" PRIu64
		                    ": make it anew with 'tfrecord index --force', or remove it",
		                    path, record);
	if (cache_folder)
		bd_shard_index_remove_cached(cache_folder, &index->key);
	return bd_error_set(error, -ESTALE,
	                    "%s: the index does not fit record %" PRIu64
	                    ", the shard has changed: open the stream anew, which indexes it again",
	                    path, record);
}
