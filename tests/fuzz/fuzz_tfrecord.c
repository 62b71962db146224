/* fuzz_tfrecord - a shard's bytes, plain or compressed: read with and without bodies, indexed, and read again by the index. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/record/record_reader.h"
#include "common/record/shard_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads the whole shard; a record may not be larger than the stream that was seen. */
static uint64_t read_shard(int fd, bool bodies)
{
	struct bd_record_reader reader;
	struct bd_record record;
	if (bd_record_reader_init(&reader, fd, BD_COMPRESSION_AUTO, bodies, 1 << 20, NULL) < 0)
		return 0;
	uint64_t position = 0;
	while (bd_record_reader_next(&reader, &record, NULL) > 0) {
		if (record.offset != position || record.end < position)
			abort();
		position = record.end;
	}
	uint64_t records = reader.number;
	bd_record_reader_finish(&reader);
	return records;
}

static void read_by_index(int fd, const struct bd_shard_index *index)
{
	static uint8_t buffer[1 << 16];
	struct bd_shard_cursor *cursor;
	if (bd_shard_cursor_create(&cursor, NULL) < 0)
		return;
	for (uint64_t i = bd_shard_index_count(index); i-- > 0;) {
		struct bd_index_entry entry = bd_shard_index_entry(index, i);
		if (entry.length <= sizeof buffer &&
		    bd_shard_cursor_read(cursor, index, fd, entry.offset, buffer, entry.length, NULL) < 0 && !entry.damaged)
			abort();
	}
	bd_shard_cursor_destroy(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		return 0;
	read_shard(fd, true);
	uint64_t records = read_shard(fd, false);
	struct bd_index_options options = { .ignore_text = true, .memory_limit_bytes = 64 << 20, .point_distance_bytes = 64 };
	struct bd_shard_index *index;
	if (bd_shard_index_open_fd(fd, "fuzz", &options, &index, NULL) < 0)
		return 0;
	if (bd_shard_index_count(index) != records)
		abort();
	read_by_index(fd, index);
	bd_shard_index_destroy(index);
	return 0;
}
