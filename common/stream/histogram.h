/*
 * histogram.h - quantiles of durations in fixed memory, for figures that are counted on the way of every batch.
 *
 * Buckets grow by 1/16: a quantile is right to about 6 %. Threads: one.
 */
#ifndef BD_STREAM_HISTOGRAM_H
#define BD_STREAM_HISTOGRAM_H

#include <stdint.h>

#define BD_HISTOGRAM_BUCKETS (61 * 16)

struct bd_histogram {
	uint64_t count;
	uint32_t buckets[BD_HISTOGRAM_BUCKETS];
};

void bd_histogram_add(struct bd_histogram *histogram, uint64_t value);

/* The value below which `share` (0 to 1) of all lie: the middle of its bucket; 0 where there is none. */
uint64_t bd_histogram_quantile(const struct bd_histogram *histogram, double share);

/* Adds the other's counts. */
void bd_histogram_merge(struct bd_histogram *histogram, const struct bd_histogram *other);

#endif
