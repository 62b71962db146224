#include "tools/tfrecord/shard_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/tfrecord.h"

/* Records of a few hundred bytes should not cost a system call each. */
#define BUFFER_BYTES (64u << 10)

struct shard {
	int fd;
	uint64_t written; /* to the file */
	uint8_t *buffer;
	size_t used;
	struct bd_deflater *deflater; /* NULL: not compressed */
};

struct bd_shard_writer {
	struct bd_output_set *set;
	uint32_t fixed; /* number of shards, 0 = by size */
	uint64_t shard_bytes;
	enum bd_compression compression;
	struct shard **shards; /* each of its own: a deflater points to it */
	uint32_t count;
	uint64_t records;
	uint64_t current_bytes; /* of the last shard, uncompressed */
};

static int flush(struct shard *shard, struct bd_error *error)
{
	int status = bd_write_full(shard->fd, shard->buffer, shard->used, error);
	shard->used = 0;
	return status;
}

static int put(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct shard *shard = context;
	int status = 0;
	shard->written += length;
	if (shard->used + length > BUFFER_BYTES)
		status = flush(shard, error);
	if (!status && length > BUFFER_BYTES)
		return bd_write_full(shard->fd, bytes, length, error);
	if (!status) {
		memcpy(shard->buffer + shard->used, bytes, length);
		shard->used += length;
	}
	return status;
}

static int write_bytes(struct shard *shard, const void *bytes, size_t length, struct bd_error *error)
{
	return shard->deflater ? bd_deflater_write(shard->deflater, bytes, length, error) : put(shard, bytes, length, error);
}

static void free_buffers(struct shard *shard)
{
	bd_deflater_destroy(shard->deflater);
	free(shard->buffer);
	shard->deflater = NULL;
	shard->buffer = NULL;
}

static int end_shard(struct shard *shard, struct bd_error *error)
{
	if (!shard->buffer)
		return 0;
	int status = shard->deflater ? bd_deflater_end(shard->deflater, error) : 0;
	if (!status)
		status = flush(shard, error);
	free_buffers(shard);
	return status;
}

static int add_shard(struct bd_shard_writer *writer, struct bd_error *error)
{
	if (writer->count == BD_SHARDS_MAX)
		return bd_error_set(error, -E2BIG, "more than %u shards; choose a larger --shard-size", BD_SHARDS_MAX);
	if ((writer->count & (writer->count - 1)) == 0) {
		struct shard **larger = realloc(writer->shards, (writer->count ? writer->count * 2ull : 1) * sizeof *larger);
		if (!larger)
			return bd_error_set(error, -ENOMEM, "no memory");
		writer->shards = larger;
	}
	struct shard *shard = calloc(1, sizeof *shard);
	if (!shard)
		return bd_error_set(error, -ENOMEM, "no memory");
	shard->buffer = malloc(BUFFER_BYTES);
	int status = shard->buffer ? bd_output_set_add(writer->set, &shard->fd, error) : bd_error_set(error, -ENOMEM, "no memory");
	if (!status && writer->compression != BD_COMPRESSION_NONE)
		status = bd_deflater_create(writer->compression, -1, put, shard, &shard->deflater, error);
	if (status) {
		free_buffers(shard);
		free(shard);
		return status;
	}
	writer->shards[writer->count++] = shard;
	writer->current_bytes = 0;
	return 0;
}

int bd_shard_writer_create(struct bd_output_set *set, uint32_t shards, uint64_t shard_bytes, enum bd_compression compression,
                           struct bd_shard_writer **ret_writer, struct bd_error *error)
{
	struct bd_shard_writer *writer = calloc(1, sizeof *writer);
	if (!writer)
		return bd_error_set(error, -ENOMEM, "no memory");
	*writer = (struct bd_shard_writer){ .set = set, .fixed = shards, .shard_bytes = shard_bytes, .compression = compression };
	int status = add_shard(writer, error);
	while (!status && writer->count < shards)
		status = add_shard(writer, error);
	if (status) {
		bd_shard_writer_destroy(writer);
		return status;
	}
	*ret_writer = writer;
	return 0;
}

void bd_shard_writer_destroy(struct bd_shard_writer *writer)
{
	if (!writer)
		return;
	for (uint32_t i = 0; i < writer->count; i++) {
		free_buffers(writer->shards[i]);
		free(writer->shards[i]);
	}
	free(writer->shards);
	free(writer);
}

/* The shard that the next record of `bytes` bytes goes to. */
static int choose(struct bd_shard_writer *writer, uint64_t bytes, struct shard **ret_shard, struct bd_error *error)
{
	if (writer->fixed) {
		*ret_shard = writer->shards[writer->records % writer->fixed];
		return 0;
	}
	int status = 0;
	if (writer->current_bytes && writer->current_bytes + bytes > writer->shard_bytes) {
		status = end_shard(writer->shards[writer->count - 1], error);
		if (!status)
			status = add_shard(writer, error);
	}
	*ret_shard = writer->shards[writer->count - 1];
	return status;
}

int bd_shard_writer_add(struct bd_shard_writer *writer, const uint8_t *record, size_t length, struct bd_error *error)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES];
	struct shard *shard = NULL;
	int status = choose(writer, length + BD_TFRECORD_FRAMING_BYTES, &shard, error);
	bd_tfrecord_header(length, header);
	bd_tfrecord_footer(record, length, footer);
	if (!status)
		status = write_bytes(shard, header, sizeof header, error);
	if (!status)
		status = write_bytes(shard, record, length, error);
	if (!status)
		status = write_bytes(shard, footer, sizeof footer, error);
	writer->records++;
	writer->current_bytes += length + BD_TFRECORD_FRAMING_BYTES;
	return status;
}

int bd_shard_writer_end(struct bd_shard_writer *writer, const char *name, uint32_t *ret_shards, uint64_t *ret_bytes,
                        struct bd_error *error)
{
	size_t room = strlen(name) + 64;
	char *file = malloc(room);
	uint64_t bytes = 0;
	int status = file ? 0 : bd_error_set(error, -ENOMEM, "no memory");
	/* they were filled in turn */
	uint32_t used = (uint32_t)bd_min_u64(writer->count, writer->records);
	for (uint32_t i = 0; !status && i < used; i++) {
		status = end_shard(writer->shards[i], error);
		snprintf(file, room, "%s-%05" PRIu32 "-of-%05" PRIu32 ".tfrecord", name, i, used);
		if (!status)
			status = bd_output_set_name(writer->set, i, file, error);
		bytes += writer->shards[i]->written;
	}
	free(file);
	*ret_shards = used;
	*ret_bytes = bytes;
	return status;
}
