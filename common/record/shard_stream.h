/*
 * shard_stream.h - a shard as one stream of uncompressed bytes, looked at through a window that only moves forward.
 *
 * Why: the index and the sequential reader walk plain and compressed shards alike. On a plain shard a jump costs one small
 * read and bodies are not touched; a compressed one is inflated once.
 * Limits: the window grows by what is really there, never by what a length field says.
 * Threads: one at a time.
 */
#ifndef BD_RECORD_SHARD_STREAM_H
#define BD_RECORD_SHARD_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/inflate.h"

struct bd_shard_stream {
	int fd; /* borrowed */
	enum bd_compression compression; /* never AUTO after init */
	uint64_t size; /* of the file */
	struct bd_inflater *inflater; /* NULL: plain */
	uint8_t *window;
	size_t room;
	uint64_t start; /* position of window[0] in the uncompressed stream */
	size_t length; /* good bytes in the window */
	struct bd_error failure; /* why there is no more: code 0 = a clean end */
	bool ended;
	bool jumping; /* the kernel was told not to read ahead */
	const _Atomic bool *stop; /* set by the caller after init, or NULL: once it is true, reading ends with -ECANCELED */
};

/* `compression` AUTO is detected. Returns 0, -EISDIR, -ESPIPE (no regular file), -ENOMEM or -errno. */
BD_MUST_CHECK int bd_shard_stream_init(struct bd_shard_stream *ret_stream, int fd, enum bd_compression compression,
                                       struct bd_error *error);
void bd_shard_stream_finish(struct bd_shard_stream *stream);

/*
 * The bytes from `offset` on, which never goes backwards: at least `want`, or all there are before the end or damage; then
 * bd_shard_stream_failure says which. *ret_bytes is borrowed until the next call.
 * Returns 0, -ENOMEM, -ECANCELED, or -errno of reading.
 */
BD_MUST_CHECK int bd_shard_stream_peek(struct bd_shard_stream *stream, uint64_t offset, size_t want, const uint8_t **ret_bytes,
                                       size_t *ret_length, struct bd_error *error);

/* After a short peek: 0 where the stream ended cleanly, else -EBADMSG with the reason. */
BD_MUST_CHECK int bd_shard_stream_failure(const struct bd_shard_stream *stream, struct bd_error *error);

/* How many bytes of the file are behind the window's end, for progress. */
uint64_t bd_shard_stream_file_position(const struct bd_shard_stream *stream);

#endif
