#include "daemon/data/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/arithmetic.h"
#include "common/stream/spec.h"

/* Any number: it decides which records are kept, for all streams alike. */
#define CACHE_SEED 0x6361636865ull

enum { EMPTY, FILLING, FULL };

bool bd_cache_can_keep(const struct bd_layout *layout)
{
	return layout->fixed_row_bytes && !layout->part_count && bd_layout_is_repeatable(layout);
}

int bd_cache_init(struct bd_cache *ret_cache, const struct bd_layout *layout, uint64_t records, uint64_t bytes,
                  struct bd_error *error)
{
	struct bd_stream_spec spec;
	struct bd_cache cache = { .row_bytes = layout->fixed_row_bytes };
	*ret_cache = (struct bd_cache){ 0 };
	if (!bd_cache_can_keep(layout))
		return 0;
	cache.places = bd_min_u64(bytes / (cache.row_bytes + sizeof *cache.states), records);
	if (!cache.places)
		return 0;
	bd_stream_spec_init(&spec);
	spec.shuffle = BD_SHUFFLE_GLOBAL;
	spec.seed = CACHE_SEED;
	int result = bd_order_init(&cache.places_of, records, &spec, error);
	if (result < 0)
		return result;
	cache.bytes = cache.places * (cache.row_bytes + sizeof *cache.states);
	/* mapped, not allocated: pages are taken as they are filled */
	void *rows = mmap(NULL, cache.places * cache.row_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                  -1, 0);
	cache.states = calloc(cache.places, sizeof *cache.states);
	if (rows == MAP_FAILED || !cache.states) {
		if (rows != MAP_FAILED)
			munmap(rows, cache.places * cache.row_bytes);
		free(cache.states);
		return bd_error_set(error, -ENOMEM, "cache: out of memory");
	}
	cache.rows = rows;
	*ret_cache = cache;
	return 0;
}

void bd_cache_finish(struct bd_cache *cache)
{
	if (cache->rows)
		munmap(cache->rows, cache->places * cache->row_bytes);
	free(cache->states);
	*cache = (struct bd_cache){ 0 };
}

bool bd_cache_get(struct bd_cache *cache, const struct bd_layout *layout, uint64_t record, uint8_t *slot, uint32_t row)
{
	if (!cache->places)
		return false;
	uint64_t place = bd_order_record(&cache->places_of, 0, record);
	/* acquire: pairs with the release in bd_cache_put; the row was written before */
	if (place >= cache->places || atomic_load_explicit(&cache->states[place], memory_order_acquire) != FULL)
		return false;
	const uint8_t *from = cache->rows + place * cache->row_bytes;
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *feature = &layout->features[i];
		memcpy(slot + feature->offset + row * feature->row_bytes, from, feature->row_bytes);
		from += feature->row_bytes;
	}
	return true;
}

void bd_cache_put(struct bd_cache *cache, const struct bd_layout *layout, uint64_t record, const uint8_t *slot, uint32_t row)
{
	uint8_t expected = EMPTY;
	if (!cache->places)
		return;
	uint64_t place = bd_order_record(&cache->places_of, 0, record);
	/* relaxed: who wins writes, nobody reads before FULL */
	if (place >= cache->places || !atomic_compare_exchange_strong_explicit(&cache->states[place], &expected, FILLING,
	                                                                       memory_order_relaxed, memory_order_relaxed))
		return;
	uint8_t *to = cache->rows + place * cache->row_bytes;
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *feature = &layout->features[i];
		memcpy(to, slot + feature->offset + row * feature->row_bytes, feature->row_bytes);
		to += feature->row_bytes;
	}
	/* release: pairs with the acquire in bd_cache_get */
	atomic_store_explicit(&cache->states[place], FULL, memory_order_release);
}
