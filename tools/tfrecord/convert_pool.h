/*
 * convert_pool.h - pictures to records on several threads, handed out in the order of the list of work.
 *
 * Why: decoding is the work and each picture stands alone, but the shards' bytes must not depend on the number of threads.
 * Workers take the next picture and put its record into a window of slots; the one consumer takes the slots in order, so no
 * more than a window of records is held.
 * Threads: one consumer, which created the pool.
 */
#ifndef BD_TOOLS_TFRECORD_CONVERT_POOL_H
#define BD_TOOLS_TFRECORD_CONVERT_POOL_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "tools/tfrecord/picture_record.h"

struct bd_convert_pool;

/* Starts `jobs` threads on order[0 .. count), indexes into the list; all borrowed until destroy. */
BD_MUST_CHECK int bd_convert_pool_create(const struct bd_picture_list *list, const struct bd_record_options *options,
                                         const uint64_t *order, size_t count, uint32_t jobs, struct bd_convert_pool **ret_pool,
                                         struct bd_error *error);

/* Stops the threads where they are, joins them; takes NULL. */
void bd_convert_pool_destroy(struct bd_convert_pool *pool);

/*
 * The next record in order; bytes are lent until the next call. -ENODATA after the last. The status of bd_record_make otherwise;
 * a picture that failed is passed over by the next call.
 */
BD_MUST_CHECK int bd_convert_pool_next(struct bd_convert_pool *pool, const uint8_t **ret_bytes, size_t *ret_length,
                                       struct bd_record_shape *ret_shape, struct bd_error *error);

#endif
