/*
 * cache.h - decoded rows of a fixed part of the dataset, kept for later epochs.
 *
 * Why fixed: a cache that evicts by age keeps nothing of a dataset larger than itself when each epoch reads all of it. Here
 * a keyed permutation of the records decides once and for all which of them have a place: those that it sends below the number
 * of places. So the hit rate is the cached share of the data from the second epoch on, whatever the order, and a
 * record's place is computed, not looked up.
 * What is kept is a row as it lies in the slot. Streams whose rows differ each time that they are decoded (random crop or
 * flip) have no cache, nor have those with var-len features: their rows have no fixed size, and decoding them costs little. The bytes of
 * their records are in the page cache anyway.
 * States of a place: EMPTY -> FILLING -> FULL, never back.
 * Threads: any.
 */
#ifndef BD_DATA_CACHE_H
#define BD_DATA_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/stream/order.h"
#include "daemon/data/layout.h"

struct bd_cache {
	uint64_t places, row_bytes, bytes;
	struct bd_order places_of; /* the permutation */
	uint8_t *rows;
	_Atomic uint8_t *states;
};

/* Rows of one length that are the same in each epoch: those alone are kept. */
bool bd_cache_can_keep(const struct bd_layout *layout);

/* Places for as many rows as `bytes` allow, at most `records`; *ret_cache is empty (places 0) where that is none. -ENOMEM. */
BD_MUST_CHECK int bd_cache_init(struct bd_cache *ret_cache, const struct bd_layout *layout, uint64_t records, uint64_t bytes,
                                struct bd_error *error);
void bd_cache_finish(struct bd_cache *cache);

/* Copies the record's row into the slot: true. False where it is not there (yet). */
bool bd_cache_get(struct bd_cache *cache, const struct bd_layout *layout, uint64_t record, uint8_t *slot, uint32_t row);

/* Keeps the row that was just written, if the record has a place. */
void bd_cache_put(struct bd_cache *cache, const struct bd_layout *layout, uint64_t record, const uint8_t *slot, uint32_t row);

#endif
