#include "common/stream/histogram.h"

#include <stddef.h>

/* Values below 16 have a bucket each; above, four bits behind the leading one choose it. */
static size_t bucket_of(uint64_t value)
{
	if (value < 16)
		return (size_t)value;
	unsigned shift = 63 - (unsigned)__builtin_clzll(value) - 4;
	return (size_t)(shift + 1) * 16 + (size_t)((value >> shift) & 15);
}

static uint64_t middle_of(size_t bucket)
{
	if (bucket < 16)
		return bucket;
	unsigned shift = (unsigned)(bucket / 16) - 1;
	return ((16 + bucket % 16) << shift) + ((UINT64_C(1) << shift) >> 1);
}

void bd_histogram_add(struct bd_histogram *histogram, uint64_t value)
{
	histogram->count++;
	histogram->buckets[bucket_of(value)]++;
}

uint64_t bd_histogram_quantile(const struct bd_histogram *histogram, double share)
{
	uint64_t rank = (uint64_t)(share * (double)histogram->count), seen = 0;
	for (size_t i = 0; i < BD_HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen > rank || (seen == histogram->count && seen > 0))
			return middle_of(i);
	}
	return 0;
}

void bd_histogram_merge(struct bd_histogram *histogram, const struct bd_histogram *other)
{
	histogram->count += other->count;
	for (size_t i = 0; i < BD_HISTOGRAM_BUCKETS; i++)
		histogram->buckets[i] += other->buckets[i];
}
