/* shards.h - makes small shards in memory, for the tests of this folder. */
#ifndef BD_TESTS_RECORD_SHARDS_H
#define BD_TESTS_RECORD_SHARDS_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/record/deflate.h"
#include "common/record/inflate.h"
#include "common/record/tfrecord.h"
#include "tests/unit/test.h"

struct shard {
	uint8_t *bytes;
	size_t length, room;
};

static inline void shard_append(struct shard *shard, const void *bytes, size_t length)
{
	if (shard->length + length + 1 > shard->room) {
		shard->room = 2 * (shard->length + length + 1);
		shard->bytes = realloc(shard->bytes, shard->room);
		assert_non_null(shard->bytes);
	}
	memcpy(shard->bytes + shard->length, bytes, length);
	shard->length += length;
}

static inline int shard_put(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	(void)error;
	shard_append(context, bytes, length);
	return 0;
}

/* A record whose bytes depend on its number. */
static inline void shard_record(struct shard *shard, size_t number, size_t length)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES], *data = malloc(length + 1);
	assert_non_null(data);
	uint32_t x = (uint32_t)number;
	for (size_t i = 0; i < length; i++)
		data[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 27);
	bd_tfrecord_header(length, header);
	bd_tfrecord_footer(data, length, footer);
	shard_append(shard, header, sizeof header);
	shard_append(shard, data, length);
	shard_append(shard, footer, sizeof footer);
	free(data);
}

static inline struct shard shard_of(size_t count, size_t length)
{
	struct shard shard = { 0 };
	for (size_t i = 0; i < count; i++)
		shard_record(&shard, i, length);
	return shard;
}

static inline struct shard shard_compressed(const struct shard *plain, enum bd_compression compression)
{
	struct shard packed = { 0 };
	struct bd_deflater *deflater;
	assert_int_equal(bd_deflater_create(compression, 1, shard_put, &packed, &deflater, NULL), 0);
	assert_int_equal(bd_deflater_write(deflater, plain->bytes, plain->length, NULL), 0);
	assert_int_equal(bd_deflater_end(deflater, NULL), 0);
	bd_deflater_destroy(deflater);
	return packed;
}

static inline int shard_file(const struct shard *shard)
{
	int fd = memfd_create("shard", MFD_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t done = 0; done < shard->length;) {
		ssize_t step = write(fd, shard->bytes + done, shard->length - done);
		assert_true(step > 0);
		done += (size_t)step;
	}
	return fd;
}

static inline void shard_free(struct shard *shard)
{
	free(shard->bytes);
	*shard = (struct shard){ 0 };
}

#endif
