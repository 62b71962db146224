/*
 * shard_writer.h - records to numbered shards: dealt out in turn to a fixed number, or one shard after the other by size.
 *
 * Dealing in turn keeps shards within one record of each other whatever was left out on the way. By size, a shard ends before the
 * record that would take it past the limit (of uncompressed bytes), but holds at least one.
 * The files are members of an output set and get their names, NAME-00003-of-00008.tfrecord, when the number is known.
 */
#ifndef BD_TOOLS_TFRECORD_SHARD_WRITER_H
#define BD_TOOLS_TFRECORD_SHARD_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/deflate.h"
#include "tools/tfrecord/output_set.h"

/* Five digits in the names. */
#define BD_SHARDS_MAX 99999u

struct bd_shard_writer;

/* `shards` 0: by `shard_bytes`. The set is borrowed. Of a fixed number, those that stay empty get no name. */
BD_MUST_CHECK int bd_shard_writer_create(struct bd_output_set *set, uint32_t shards, uint64_t shard_bytes,
                                         enum bd_compression compression, struct bd_shard_writer **ret_writer,
                                         struct bd_error *error);
void bd_shard_writer_destroy(struct bd_shard_writer *writer);

/* The next record of the order; the bytes are copied. Errors of writing name the file. */
BD_MUST_CHECK int bd_shard_writer_add(struct bd_shard_writer *writer, const uint8_t *record, size_t length, struct bd_error *error);

/* Ends all shards that hold records and names them; *ret_bytes is the size of the files. */
BD_MUST_CHECK int bd_shard_writer_end(struct bd_shard_writer *writer, const char *name, uint32_t *ret_shards, uint64_t *ret_bytes,
                                      struct bd_error *error);

#endif
