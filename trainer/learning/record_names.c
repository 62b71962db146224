#include "trainer/learning/record_names.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/record/dataset.h"
#include "common/record/shard_index.h"
#include "common/record/tfrecord.h"

struct bd_record_names {
	char *path; /* of the dataset file */
	uint64_t records;
	bool looked; /* the rest is known, or will not be */
	struct bd_dataset *dataset; /* NULL: not known */
	uint64_t *first; /* (path_count + 1): the number of each shard's first record */
	char *cache_folder;
};

struct bd_record_names *bd_record_names_create(const char *dataset, uint64_t records)
{
	struct bd_record_names *names = calloc(1, sizeof *names);
	if (names && dataset)
		names->path = strdup(dataset);
	if (names)
		names->records = records;
	return names;
}

void bd_record_names_destroy(struct bd_record_names *names)
{
	if (!names)
		return;
	bd_dataset_destroy(names->dataset);
	free(names->first);
	free(names->cache_folder);
	free(names->path);
	free(names);
}

static struct bd_shard_index *open_index(const struct bd_record_names *names, size_t shard)
{
	const struct bd_index_options options = { .compression = names->dataset->compression, .cache_folder = names->cache_folder };
	struct bd_shard_index *index;
	struct bd_error ignored;
	return bd_shard_index_open(names->dataset->paths[shard], &options, &index, &ignored) == 0 ? index : NULL;
}

/* False: not every record of the stream lies where the files that are there now say. */
static bool count_records(struct bd_record_names *names)
{
	size_t shards = names->dataset->path_count;
	if (names->dataset->source != BD_SOURCE_TFRECORD)
		return shards == names->records;
	names->first = calloc(shards + 1, sizeof *names->first);
	for (size_t i = 0; names->first && i < shards; i++) {
		struct bd_shard_index *index = open_index(names, i);
		if (!index)
			return false;
		names->first[i + 1] = names->first[i] + bd_shard_index_count(index);
		bd_shard_index_destroy(index);
	}
	return names->first && names->first[shards] == names->records;
}

static void look(struct bd_record_names *names)
{
	struct bd_error ignored;
	names->looked = true;
	if (!names->path || access(names->path, R_OK) < 0 || bd_dataset_load(names->path, &names->dataset, &ignored) < 0)
		return;
	names->cache_folder = bd_shard_index_cache_folder();
	if (!count_records(names)) {
		bd_dataset_destroy(names->dataset);
		names->dataset = NULL;
	}
}

static bool format_shard(const struct bd_record_names *names, uint64_t record, char *text, size_t size)
{
	size_t shard = 0;
	while (names->first[shard + 1] <= record)
		shard++;
	struct bd_shard_index *index = open_index(names, shard);
	if (!index || record - names->first[shard] >= bd_shard_index_count(index)) {
		bd_shard_index_destroy(index);
		return false;
	}
	struct bd_index_entry entry = bd_shard_index_entry(index, record - names->first[shard]);
	bd_shard_index_destroy(index);
	snprintf(text, size, "%s: record %" PRIu64 " at byte %" PRIu64, names->dataset->paths[shard], record,
	         entry.damaged ? entry.offset : entry.offset - BD_TFRECORD_HEADER_BYTES);
	return true;
}

void bd_record_names_format(struct bd_record_names *names, uint64_t record, char *text, size_t size)
{
	if (names && !names->looked)
		look(names);
	bool known = names && names->dataset && record < names->records;
	if (known && names->dataset->source != BD_SOURCE_TFRECORD)
		snprintf(text, size, "%s", names->dataset->paths[record]);
	else if (!known || !format_shard(names, record, text, size))
		snprintf(text, size, "record %" PRIu64, record);
}
