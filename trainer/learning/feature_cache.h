/*
 * feature_cache.h - a frozen base's output, kept once for every record of a dataset.
 *
 * Why: a base that is not trained gives the same numbers for the same picture in every epoch, and it is nearly all of the work. One
 * pass over the data in the records' own order fills the cache; training then takes its batches from here, in the order that the
 * stream would have given (common/stream/order.h), so that the weights come out the same bit by bit.
 * Where: in memory up to a bound; past it in a file of the given folder that has no name any more (gone with the process in any case).
 * Random crops and flips make a picture another one in every epoch: bd_feature_cache_check refuses them.
 * Threads: filled by one; then read-only.
 */
#ifndef BD_LEARNING_FEATURE_CACHE_H
#define BD_LEARNING_FEATURE_CACHE_H

#include <batchd/client.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bd_feed;
struct bd_graph;

struct bd_feature_cache {
	char *dataset; /* the file that it is of, or NULL */
	uint64_t records;
	size_t width; /* floats of one record's features */
	size_t target_width;
	size_t places; /* class numbers of one record */
	float *features; /* (records, width), mapped */
	uint8_t *present; /* (records): 0 where the record was left out */
	int64_t *classes; /* (records, places), or NULL */
	float *values; /* (records, target_width), or NULL */
	size_t mapped_bytes;
	bool on_disk;
};

/* -EINVAL with the reason where the stream's pictures are drawn at random (its schema's image options say so). */
BD_MUST_CHECK int bd_feature_cache_check(const struct bd_schema *schema, struct bd_error *error);

/*
 * Runs `feed` (one epoch of the dataset) to its end through the graph's frozen part. memory_bytes: what the features may take in
 * memory; else they lie in a file in `folder`. -EINVAL: the graph has no frozen part; -EINTR: *stop; -ENOSPC, -ENOMEM; the stream's errors.
 * on_progress (may be NULL) is told the records done.
 */
BD_MUST_CHECK int bd_feature_cache_fill(struct bd_feed *feed, struct bd_graph *graph, size_t target_width, size_t places,
                                        uint64_t memory_bytes, const char *folder, const volatile int *stop,
                                        void (*on_progress)(void *context, uint64_t done), void *context,
                                        struct bd_feature_cache *ret_cache, struct bd_error *error);

/* Takes zeroed. */
void bd_feature_cache_finish(struct bd_feature_cache *cache);

#endif
