/* Whether an index is that of its shard, by the headers of records that it names. */
#include <errno.h>
#include <inttypes.h>

#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

/* Headers of a plain shard that are compared before an index is believed: the first, the last, and some between. */
#define COMPARED_HEADERS 64u

static bool header_is_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index, uint64_t record)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	uint64_t length;
	struct bd_index_entry entry = bd_shard_index_entry(index, record);
	if (entry.damaged)
		return true;
	return bd_shard_cursor_read(cursor, index, fd, index->offsets[record], header, sizeof header, NULL) == 0 &&
	       bd_tfrecord_is_header(header, &length) && length == entry.length;
}

static bool some_are_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index)
{
	uint64_t step = index->count / COMPARED_HEADERS + 1;
	for (uint64_t record = 0; record < index->count; record += step)
		if (!header_is_there(cursor, fd, index, record))
			return false;
	return !index->count || header_is_there(cursor, fd, index, index->count - 1);
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
static bool cheap_ones_are_there(struct bd_shard_cursor *cursor, int fd, const struct bd_shard_index *index)
{
	if (!index->count)
		return true;
	if (!header_is_there(cursor, fd, index, 0))
		return false;
	if (!index->point_count)
		return true;
	return header_is_there(cursor, fd, index, record_behind(index, index->points[index->point_count - 1].out));
}

bool bd_shard_index_fits(int fd, const struct bd_shard_index *index)
{
	struct bd_shard_cursor *cursor;
	if (bd_shard_cursor_create(&cursor, NULL) < 0)
		return false;
	bool fits = index->compression == BD_COMPRESSION_NONE ? some_are_there(cursor, fd, index)
	                                                      : cheap_ones_are_there(cursor, fd, index);
	bd_shard_cursor_destroy(cursor);
	return fits;
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
	bool fits = header_is_there(cursor, fd, index, record);
	bd_shard_cursor_destroy(cursor);
	if (fits)
		return 0;
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
