#include "daemon/data/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/record/tfrecord.h"

#define PAGE_BYTES 4096

/* What the items of one read share. */
struct reading {
	struct bd_records *source;
	struct bd_worker *worker;
	uint64_t now_ns;
	int fd;
	bool close, drop;
};

/* Bytes of the record that are wanted: a shard's footer too. */
static uint64_t wanted(const struct bd_records *source, const struct bd_place *place)
{
	return place->length + (source->files[place->file].index ? BD_TFRECORD_FOOTER_BYTES : 0);
}

static int name_record(const struct bd_records *source, const struct bd_read_item *item, int result, struct bd_error *error)
{
	char record[512];
	bd_records_name_record(source, item->record, record, sizeof record);
	bd_error_prefix(error, "%s", record);
	return result;
}

/* How many items from the first on are neighbours that fit, and the extent they make. */
static size_t extent_of(const struct bd_records *source, const struct bd_read_item *items, size_t count, size_t room,
                        uint64_t *ret_bytes)
{
	const struct bd_place *first = &items[0].place;
	uint64_t end = first->offset + wanted(source, first);
	size_t taken = 1;
	for (; taken < count; taken++) {
		const struct bd_place *place = &items[taken].place;
		if (place->damage || place->file != first->file || place->offset < end || place->offset - end > BD_READER_GAP_BYTES)
			break;
		uint64_t next_end = place->offset + wanted(source, place);
		if (next_end - first->offset > room)
			break;
		end = next_end;
	}
	*ret_bytes = end - first->offset;
	return taken;
}

/* Whole pages, also those that a neighbour shares: it lies on the same track, and pages left at the edges would add up. */
static void drop(int fd, uint64_t offset, uint64_t bytes)
{
	uint64_t begin = offset / PAGE_BYTES * PAGE_BYTES, end = (offset + bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	posix_fadvise(fd, (off_t)begin, (off_t)(end - begin), POSIX_FADV_DONTNEED);
}

static int read_plain(struct reading *reading, uint8_t *buffer, struct bd_read_item *items, size_t count, uint64_t bytes,
                      struct bd_error *error)
{
	const struct bd_place *first = &items[0].place;
	size_t got;
	int result = bd_file_read_full(reading->fd, buffer, bytes, first->offset, &got, error);
	if (result < 0)
		return name_record(reading->source, &items[0], result, error);
	if (reading->drop)
		drop(reading->fd, first->offset, bytes);
	if (got < bytes) {
		result = bd_records_check(reading->source, first->file, reading->fd, error);
		if (result == 0)
			result = bd_error_set(error, -ESTALE, "%s: ends at byte %" PRIu64 ", where it did not end before",
			                      reading->source->dataset->paths[first->file], first->offset + got);
		return result;
	}
	for (size_t i = 0; i < count; i++)
		items[i].data = buffer + (items[i].place.offset - first->offset);
	return 0;
}

/* Of a compressed shard, one after the other through the worker's cursor. */
static int read_inflated(struct reading *reading, uint8_t *buffer, struct bd_read_item *item, uint64_t bytes,
                         struct bd_error *error)
{
	struct bd_shard_cursor *cursor;
	int result = bd_worker_cursor(reading->worker, &cursor, error);
	if (result == 0)
		result = bd_shard_cursor_read(cursor, reading->source->files[item->place.file].index, reading->fd,
		                              item->place.offset, buffer, bytes, error);
	if (result < 0)
		return name_record(reading->source, item, result, error);
	item->data = buffer;
	return 0;
}

/* One extent of neighbours; *ret_count of the items are done and take *ret_bytes of the buffer. */
static int read_extent(struct reading *reading, uint8_t *buffer, size_t room, struct bd_read_item *items, size_t count,
                       size_t *ret_count, uint64_t *ret_bytes, struct bd_error *error)
{
	struct bd_records *source = reading->source;
	int result = bd_records_borrow(source, items[0].place.file, reading->now_ns, &reading->fd, &reading->close, error);
	if (result < 0)
		return result;
	if (bd_records_is_compressed(source, items[0].place.file)) {
		*ret_count = 1;
		*ret_bytes = wanted(source, &items[0].place);
		result = read_inflated(reading, buffer, items, *ret_bytes, error);
	} else {
		*ret_count = extent_of(source, items, count, room, ret_bytes);
		result = read_plain(reading, buffer, items, *ret_count, *ret_bytes, error);
	}
	if (reading->close)
		close(reading->fd);
	return result;
}

int bd_reader_fill(struct bd_records *source, struct bd_worker *worker, uint8_t *buffer, size_t room, bool drop_read,
                   struct bd_read_item *items, size_t count, size_t *ret_done, uint64_t *ret_bytes, struct bd_error *error)
{
	struct reading reading = { .source = source, .worker = worker, .now_ns = bd_now_ns(), .drop = drop_read };
	size_t done = 0;
	uint64_t used = 0;
	while (done < count) {
		size_t taken;
		uint64_t bytes;
		if (items[done].place.damage || items[done].data) {
			done++;
			continue;
		}
		const uint8_t *inflated = source->files[items[done].place.file].inflated;
		if (inflated) {
			items[done].data = inflated + items[done].place.offset;
			done++;
			continue;
		}
		if (wanted(source, &items[done].place) > room - used)
			break;
		int result = read_extent(&reading, buffer + used, room - used, items + done, count - done, &taken, &bytes, error);
		if (result < 0)
			return result;
		done += taken;
		used += bytes;
	}
	*ret_done = done;
	*ret_bytes = used;
	return 0;
}
