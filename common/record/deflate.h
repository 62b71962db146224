/*
 * deflate.h - writes compressed shards: gzip or zlib.
 *
 * The same input, level and library give the same bytes: a gzip header carries no name and no time.
 * Threads: one compressor, one thread.
 */
#ifndef BD_RECORD_DEFLATE_H
#define BD_RECORD_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/inflate.h"

/* Takes finished bytes; a negative result ends the call that brought them. */
typedef int bd_deflate_put(void *context, const uint8_t *bytes, size_t length, struct bd_error *error);

struct bd_deflater;

/* `compression` GZIP or ZLIB; level 1..9, or -1 for zlib's default. Returns 0, -ENOMEM. */
BD_MUST_CHECK int bd_deflater_create(enum bd_compression compression, int level, bd_deflate_put *put, void *context,
                                     struct bd_deflater **ret_deflater, struct bd_error *error);
BD_MUST_CHECK int bd_deflater_write(struct bd_deflater *deflater, const void *bytes, size_t length, struct bd_error *error);

/* Writes what is left and the trailer; nothing may be written after it. */
BD_MUST_CHECK int bd_deflater_end(struct bd_deflater *deflater, struct bd_error *error);
void bd_deflater_destroy(struct bd_deflater *deflater);

#endif
