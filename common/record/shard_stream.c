#include "common/record/shard_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"

/* A jump past the window by more than a page comes from large records: then only a header is read. */
#define FAR_JUMP_BYTES 4096u
#define FAR_READ_BYTES 64u
#define NEAR_READ_BYTES (256u << 10)
/* Output that is skipped at one time: some milliseconds, so that `stop` is seen soon. */
#define SKIP_BYTES (16u << 20)

static int check_stop(const struct bd_shard_stream *stream, struct bd_error *error)
{
	/* relaxed: nothing else is read because of it */
	if (!stream->stop || !atomic_load_explicit(stream->stop, memory_order_relaxed))
		return 0;
	return bd_error_set(error, -ECANCELED, "reading was stopped");
}

static int detect(struct bd_shard_stream *stream, struct bd_error *error)
{
	uint8_t magic[BD_COMPRESSION_MAGIC_BYTES];
	size_t length;
	int result = bd_file_read_full(stream->fd, magic, sizeof magic, 0, &length, error);
	if (result == 0)
		stream->compression = bd_compression_detect(magic, length);
	return result;
}

int bd_shard_stream_init(struct bd_shard_stream *ret_stream, int fd, enum bd_compression compression, struct bd_error *error)
{
	struct bd_shard_stream stream = { .fd = fd, .compression = compression };
	struct stat status;
	if (fstat(fd, &status) != 0)
		return bd_error_set(error, -errno, "cannot look at the file: %s", strerror(errno));
	if (S_ISDIR(status.st_mode))
		return bd_error_set(error, -EISDIR, "is a folder, not a shard");
	if (!S_ISREG(status.st_mode))
		return bd_error_set(error, -ESPIPE, "is no regular file");
	stream.size = (uint64_t)status.st_size;
	int result = compression == BD_COMPRESSION_AUTO ? detect(&stream, error) : 0;
	if (result == 0 && stream.compression != BD_COMPRESSION_NONE)
		result = bd_inflater_create(fd, stream.compression, &stream.inflater, error);
	if (result == 0)
		*ret_stream = stream;
	return result;
}

void bd_shard_stream_finish(struct bd_shard_stream *stream)
{
	if (stream->jumping) /* the descriptor is the caller's */
		posix_fadvise(stream->fd, 0, 0, POSIX_FADV_NORMAL);
	bd_inflater_destroy(stream->inflater);
	free(stream->window);
	*stream = (struct bd_shard_stream){ .fd = -1 };
}

/* Moves the window's beginning to `offset`, which may lie past its end. */
static int slide(struct bd_shard_stream *stream, uint64_t offset, struct bd_error *error)
{
	uint64_t gone = offset - stream->start;
	if (gone <= stream->length) {
		stream->length -= (size_t)gone;
		if (stream->length) /* an empty window may have no memory yet */
			memmove(stream->window, stream->window + gone, stream->length);
		stream->start = offset;
		return 0;
	}
	uint64_t skip = gone - stream->length;
	stream->start += stream->length;
	stream->length = 0;
	if (!stream->inflater) {
		stream->start = offset;
		return 0;
	}
	while (skip && !stream->ended) {
		size_t done, step = (size_t)bd_min_u64(skip, SKIP_BYTES);
		int result = check_stop(stream, error);
		if (result < 0)
			return result;
		result = bd_inflater_read(stream->inflater, NULL, step, &done, &stream->failure);
		stream->start += done;
		skip -= done;
		stream->ended = result < 0 || done < step;
		if (result < 0 && result != -EBADMSG) {
			if (error)
				*error = stream->failure;
			return result;
		}
	}
	return 0;
}

static int grow(struct bd_shard_stream *stream, size_t room, struct bd_error *error)
{
	if (room <= stream->room)
		return 0;
	uint8_t *grown = realloc(stream->window, room);
	if (!grown)
		return bd_error_set(error, -ENOMEM, "no memory for a record of %zu bytes", room);
	stream->window = grown;
	stream->room = room;
	return 0;
}

/* Reads up to `bytes` more behind the window. */
static int extend(struct bd_shard_stream *stream, size_t bytes, struct bd_error *error)
{
	size_t done, needed;
	if (!bd_add_size(stream->length, bytes, &needed))
		return bd_error_set(error, -ENOMEM, "no memory for a record of 2^64 bytes");
	int result = check_stop(stream, error);
	if (result == 0)
		result = grow(stream, needed, error);
	if (result < 0)
		return result;
	if (stream->inflater) {
		result = bd_inflater_read(stream->inflater, stream->window + stream->length, bytes, &done, &stream->failure);
		if (result < 0 && result != -EBADMSG) {
			if (error)
				*error = stream->failure;
			return result;
		}
		stream->ended = result < 0 || done < bytes;
	} else {
		result = bd_file_read_full(stream->fd, stream->window + stream->length, bytes, stream->start + stream->length,
		                           &done, error);
		if (result < 0)
			return result;
		stream->ended = done < bytes;
	}
	stream->length += done;
	return 0;
}

int bd_shard_stream_peek(struct bd_shard_stream *stream, uint64_t offset, size_t want, const uint8_t **ret_bytes,
                         size_t *ret_length, struct bd_error *error)
{
	uint64_t end = stream->start + stream->length;
	if (offset > end || offset - stream->start + want > stream->length) {
		bool far = offset > end && offset - end > FAR_JUMP_BYTES;
		size_t step = far ? FAR_READ_BYTES : NEAR_READ_BYTES;
		if (far && !stream->inflater && !stream->jumping) {
			/* from header to header: reading ahead would fetch the bodies */
			posix_fadvise(stream->fd, 0, 0, POSIX_FADV_RANDOM);
			stream->jumping = true;
		}
		int result = slide(stream, offset, error);
		while (result == 0 && stream->length < want && !stream->ended) {
			/* no more at once than there already is: a length that lies costs no memory */
			size_t missing = want - stream->length, most = stream->length > step ? stream->length : step;
			result = extend(stream, missing > most ? most : missing > step ? missing : step, error);
		}
		if (result < 0)
			return result;
	}
	if (offset < stream->start || offset - stream->start > stream->length) {
		*ret_bytes = NULL; /* the stream ends before `offset` */
		*ret_length = 0;
		return 0;
	}
	size_t before = (size_t)(offset - stream->start);
	*ret_bytes = stream->window + before;
	*ret_length = stream->length - before;
	return 0;
}

int bd_shard_stream_failure(const struct bd_shard_stream *stream, struct bd_error *error)
{
	if (stream->failure.code && error)
		*error = stream->failure;
	return stream->failure.code;
}

uint64_t bd_shard_stream_file_position(const struct bd_shard_stream *stream)
{
	if (stream->inflater)
		return bd_inflater_in(stream->inflater);
	return stream->start < stream->size ? stream->start : stream->size;
}
