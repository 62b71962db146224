/* Reads ranges of a shard's uncompressed stream. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/file.h"
#include "common/record/shard_index_parts.h"

struct bd_shard_cursor {
	struct bd_inflater *inflater; /* made for the first compressed shard */
	uint64_t serial; /* of the index whose shard it is in; 0: none */
	int fd;
};

int bd_shard_cursor_create(struct bd_shard_cursor **ret_cursor, struct bd_error *error)
{
	struct bd_shard_cursor *cursor = calloc(1, sizeof *cursor);
	if (!cursor)
		return bd_error_set(error, -ENOMEM, "no memory for a cursor");
	*ret_cursor = cursor;
	return 0;
}

void bd_shard_cursor_destroy(struct bd_shard_cursor *cursor)
{
	if (!cursor)
		return;
	bd_inflater_destroy(cursor->inflater);
	free(cursor);
}

/* The last access point at or before `offset`; NULL: the beginning. */
static const struct bd_access_point *point_before(const struct bd_shard_index *index, uint64_t offset)
{
	size_t low = 0, high = index->point_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->points[middle].out <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &index->points[low - 1] : NULL;
}

/* Places the inflater at or before `offset`, by the shorter way. */
static int go_near(struct bd_shard_cursor *cursor, const struct bd_shard_index *index, int fd, uint64_t offset,
                   struct bd_error *error)
{
	const struct bd_access_point *point = point_before(index, offset);
	if (!cursor->inflater) {
		int result = bd_inflater_create(fd, index->compression, &cursor->inflater, error);
		if (result < 0)
			return result;
	}
	bool here = cursor->serial == index->serial && cursor->fd == fd;
	uint64_t at = bd_inflater_out(cursor->inflater);
	if (here && at <= offset && (!point || point->out <= at))
		return 0;
	cursor->serial = index->serial;
	cursor->fd = fd;
	return bd_inflater_restart(cursor->inflater, fd, index->compression, point, error);
}

static int read_compressed(struct bd_shard_cursor *cursor, const struct bd_shard_index *index, int fd, uint64_t offset,
                           void *buffer, size_t bytes, size_t *ret_bytes, struct bd_error *error)
{
	int result = go_near(cursor, index, fd, offset, error);
	while (result == 0 && bd_inflater_out(cursor->inflater) < offset) {
		uint64_t skip = offset - bd_inflater_out(cursor->inflater);
		size_t step = skip < SIZE_MAX ? (size_t)skip : SIZE_MAX, done;
		result = bd_inflater_read(cursor->inflater, NULL, step, &done, error);
		if (result == 0 && done < step)
			return 0;
	}
	if (result == 0)
		result = bd_inflater_read(cursor->inflater, buffer, bytes, ret_bytes, error);
	if (result < 0)
		cursor->serial = 0; /* a broken inflater is no place to go on from */
	/* Damage right behind what was wanted is found with its last byte: it belongs to the next record. */
	return result == -EBADMSG && *ret_bytes == bytes ? 0 : result;
}

int bd_shard_cursor_read(struct bd_shard_cursor *cursor, const struct bd_shard_index *index, int fd, uint64_t offset, void *buffer,
                         size_t bytes, struct bd_error *error)
{
	size_t done = 0;
	int result;
	if (index->compression == BD_COMPRESSION_NONE)
		result = bd_file_read_full(fd, buffer, bytes, offset, &done, error);
	else
		result = read_compressed(cursor, index, fd, offset, buffer, bytes, &done, error);
	if (result == 0 && done == bytes)
		return 0;
	if (!bd_shard_index_is_current(index, fd))
		return bd_error_set(error, -ESTALE, "the file changed after it was indexed");
	if (result < 0)
		return result;
	return bd_error_set(error, -EBADMSG, "the stream ends at byte %" PRIu64 ", before byte %" PRIu64, offset + done,
	                    offset + bytes);
}
