#include "daemon/data/losses.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/arithmetic.h"
#include "daemon/data/records.h"

/* Shards of about the same number of records: this share of the median more or fewer. */
#define ALIKE 0.1

struct shard {
	const struct bd_shard_index *index;
	const struct bd_damaged_range *ranges;
	size_t range_count;
	uint64_t good; /* records */
	uint64_t good_bytes;
	bool ends_badly; /* the last range reaches the end: records may have followed */
};

struct counting {
	struct bd_records *records;
	uint64_t typical; /* records of a whole shard; 0: they differ, or there is none */
	struct bd_losses losses;
	uint64_t ranges; /* of all shards */
	size_t worst; /* the shard that has lost most */
	uint64_t worst_lost;
	size_t worst_unknown;
};

static struct shard look_at(const struct bd_records *records, size_t number)
{
	struct shard shard = { .index = records->files[number].index };
	shard.ranges = bd_shard_index_damage(shard.index, &shard.range_count);
	shard.good = bd_shard_index_count(shard.index) - shard.range_count;
	shard.good_bytes = bd_shard_index_bytes(shard.index);
	for (size_t i = 0; i < shard.range_count; i++)
		shard.good_bytes -= shard.ranges[i].end - shard.ranges[i].offset;
	shard.ends_badly = shard.range_count && shard.ranges[shard.range_count - 1].end == bd_shard_index_bytes(shard.index);
	return shard;
}

static int compare_counts(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

/* The median of sorted counts, where more than half of them are about as large. */
static uint64_t typical_of(const uint64_t *counts, size_t count)
{
	size_t alike = 0;
	if (!count)
		return 0;
	uint64_t middle = counts[count / 2];
	double median = (double)middle;
	for (size_t i = 0; i < count; i++)
		alike += fabs((double)counts[i] - median) <= ALIKE * median;
	return 2 * alike > count ? middle : 0;
}

/* Of the shards that are whole. */
static int find_typical(struct counting *counting, struct bd_error *error)
{
	const struct bd_records *records = counting->records;
	uint64_t *counts = calloc(records->file_count + 1, sizeof *counts);
	size_t count = 0;
	if (!counts)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < records->file_count; i++) {
		struct shard shard = look_at(records, i);
		if (shard.good && !shard.ends_badly)
			counts[count++] = bd_shard_index_count(shard.index);
	}
	qsort(counts, count, sizeof *counts, compare_counts);
	counting->typical = typical_of(counts, count);
	free(counts);
	return 0;
}

/* Records of a range in the middle of a shard, by its bytes. */
static uint64_t records_of_range(const struct shard *shard, const struct bd_damaged_range *range)
{
	double mean = shard->good ? (double)shard->good_bytes / (double)shard->good : 0;
	uint64_t count = mean > 0 ? (uint64_t)((double)(range->end - range->offset) / mean + 0.5) : 1;
	return count ? count : 1;
}

/* Lost records of the shard; *ret_unknown: there may have been more. */
static uint64_t count_lost(const struct counting *counting, size_t number, const struct shard *shard, bool *ret_unknown)
{
	uint64_t lost = 0;
	*ret_unknown = false;
	for (size_t i = 0; i < shard->range_count; i++)
		lost += records_of_range(shard, &shard->ranges[i]);
	if (!shard->ends_badly && bd_shard_index_count(shard->index))
		return lost;
	uint64_t expected = bd_shard_index_count_beside(counting->records->dataset->paths[number]);
	if (!expected)
		expected = counting->typical;
	*ret_unknown = !expected && shard->range_count;
	return bd_max_u64(lost, expected - bd_min_u64(expected, shard->good));
}

static const char *reason_of(const struct shard *shard)
{
	return shard->range_count ? shard->ranges[shard->range_count - 1].reason : "is empty";
}

static void add_shard(struct counting *counting, size_t number)
{
	struct bd_records *records = counting->records;
	struct shard shard = look_at(records, number);
	bool unknown;
	uint64_t lost = count_lost(counting, number, &shard, &unknown);
	const char *path = records->dataset->paths[number];
	counting->ranges += shard.range_count;
	if (unknown && !shard.good) {
		counting->losses.shards++;
		counting->worst_unknown = number;
	}
	if (unknown) {
		bd_notes_add(&records->notes, "%s: %s; how many of its records are lost is not known", path, reason_of(&shard));
	} else if (lost > shard.range_count) {
		counting->losses.unseen += lost - shard.range_count;
		bd_notes_add(&records->notes, "%s: %s; about %" PRIu64 " of its records are lost", path, reason_of(&shard), lost);
	}
	if (lost > counting->worst_lost) {
		counting->worst_lost = lost;
		counting->worst = number;
	}
}

static int check_limits(const struct counting *counting, struct bd_error *error)
{
	const struct bd_records *records = counting->records;
	const struct bd_losses *losses = &counting->losses;
	double limit = records->dataset->skip_limit, lost = (double)(counting->ranges + losses->unseen),
	       all = (double)(records->records + losses->unseen);
	if (limit >= 1)
		return 0;
	if (losses->unseen && lost > limit * all) {
		struct shard shard = look_at(records, counting->worst);
		return bd_error_set(error, -EBADMSG,
		                    "%s: %s; about %.0f of %.0f records of the dataset are lost, more than skip_limit %g allows",
		                    records->dataset->paths[counting->worst], reason_of(&shard), lost, all, limit);
	}
	if ((double)losses->shards > limit * (double)records->file_count) {
		struct shard shard = look_at(records, counting->worst_unknown);
		return bd_error_set(error, -EBADMSG,
		                    "%s: %s; %zu of %zu shards cannot be read at all, more than skip_limit %g allows",
		                    records->dataset->paths[counting->worst_unknown], reason_of(&shard), losses->shards,
		                    records->file_count, limit);
	}
	return 0;
}

/* Files that are no shards: of another kind with records in it by chance, or with nothing good beside them. */
static int check_kinds(const struct bd_records *records, struct bd_error *error)
{
	uint64_t good = 0;
	for (size_t i = 0; i < records->file_count; i++)
		good += look_at(records, i).good;
	bool skips = records->dataset->on_error == BD_ON_ERROR_SKIP && good;
	for (size_t i = 0; i < records->file_count; i++) {
		const char *reason;
		if (!bd_shard_index_is_foreign(records->files[i].index, &reason) || (skips && !look_at(records, i).good))
			continue;
		return bd_error_set(error, -EBADMSG, "%s: %s", records->dataset->paths[i], reason);
	}
	return 0;
}

int bd_losses_count(struct bd_records *records, struct bd_losses *ret_losses, struct bd_error *error)
{
	struct counting counting = { .records = records };
	*ret_losses = counting.losses;
	if (records->dataset->source != BD_SOURCE_TFRECORD)
		return 0;
	int result = check_kinds(records, error);
	if (result < 0 || records->dataset->on_error != BD_ON_ERROR_SKIP)
		return result;
	result = find_typical(&counting, error);
	for (size_t i = 0; result == 0 && i < records->file_count; i++)
		add_shard(&counting, i);
	if (result == 0)
		result = check_limits(&counting, error);
	if (result == 0)
		*ret_losses = counting.losses;
	return result;
}
