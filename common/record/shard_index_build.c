/* Makes an index by walking from header to header. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/record/record_reader.h"
#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

/* How often progress is told: whichever comes first. */
#define PROGRESS_EVERY_RECORDS 4096u
#define PROGRESS_EVERY_BYTES (64u << 20)

struct builder {
	struct bd_record_reader reader;
	const struct bd_index_options *options;
	struct bd_shard_index *index;
	uint64_t room, room_limit; /* of offsets */
	uint64_t distance; /* between access points */
};

/* ---- access points ---- */

/* Every other one goes. */
static void thin_points(struct bd_shard_index *index)
{
	size_t kept = 0;
	for (size_t i = 0; i < index->point_count; i++) {
		if (i % 2)
			index->points[kept++] = index->points[i];
		else
			bd_access_point_finish(&index->points[i]);
	}
	index->point_count = kept;
}

static int take_point(void *context, const struct bd_access_point *point_take, struct bd_error *error)
{
	struct builder *builder = context;
	struct bd_shard_index *index = builder->index;
	(void)error;
	index->points[index->point_count++] = *point_take;
	if (index->point_count == BD_SHARD_MAX_POINTS) {
		thin_points(index);
		builder->distance *= 2;
		bd_inflater_collect(builder->reader.stream.inflater, builder->distance, take_point, builder);
	}
	return 0;
}

static int prepare_points(struct builder *builder, struct bd_error *error)
{
	if (!builder->reader.stream.inflater)
		return 0;
	builder->index->points = calloc(BD_SHARD_MAX_POINTS, sizeof *builder->index->points);
	if (!builder->index->points)
		return bd_error_set(error, -ENOMEM, "no memory for access points");
	uint64_t distance = builder->options->point_distance_bytes;
	builder->distance = distance ? distance : BD_SHARD_POINT_DISTANCE_BYTES;
	bd_inflater_collect(builder->reader.stream.inflater, builder->distance, take_point, builder);
	return 0;
}

/* ---- offsets and damage ---- */

/* Appends the offset of record `number`, or behind the last one the end. */
static int append_offset(struct builder *builder, uint64_t number, uint64_t offset, struct bd_error *error)
{
	struct bd_shard_index *index = builder->index;
	if (number == builder->room) {
		uint64_t room = bd_min_u64(builder->room ? 2 * builder->room : 1024, builder->room_limit);
		if (room <= builder->room)
			return bd_error_set(error, -ENOMEM, "more than %" PRIu64 " records: the index would pass its memory limit",
			                    builder->room);
		uint64_t *grown = realloc(index->offsets, room * sizeof *grown);
		if (!grown)
			return bd_error_set(error, -ENOMEM, "no memory for an index of %" PRIu64 " records", room);
		index->offsets = grown;
		builder->room = room;
	}
	index->offsets[number] = offset;
	return 0;
}

static int append_damage(struct bd_shard_index *index, const struct bd_record *record, struct bd_error *error)
{
	size_t count = index->damage_count;
	if ((count & (count - 1)) == 0) {
		struct bd_damaged_range *grown = realloc(index->damage, (count ? 2 * count : 1) * sizeof *grown);
		if (!grown)
			return bd_error_set(error, -ENOMEM, "no memory for the list of damage");
		index->damage = grown;
	}
	struct bd_damaged_range *range = &index->damage[count];
	*range = (struct bd_damaged_range){
		.record = record->number, .offset = record->offset, .end = record->end, .kind = record->damage
	};
	memcpy(range->reason, record->reason, strnlen(record->reason, sizeof range->reason - 1));
	index->damage_count = count + 1;
	return 0;
}

static int report(const struct builder *builder, struct bd_error *error)
{
	const struct bd_index_options *options = builder->options;
	const struct bd_shard_stream *stream = &builder->reader.stream;
	if (!options->progress || options->progress(options->context, bd_shard_stream_file_position(stream), stream->size))
		return 0;
	return bd_error_set(error, -ECANCELED, "indexing was stopped");
}

static int add_record(struct builder *builder, const struct bd_record *record, struct bd_error *error)
{
	struct bd_shard_index *index = builder->index;
	int result = append_offset(builder, record->number, record->offset, error);
	if (result < 0)
		return result;
	index->count = record->number + 1;
	if (record->damage != BD_DAMAGE_NONE)
		return append_damage(index, record, error);
	index->longest = bd_max_u64(index->longest, record->length);
	return 0;
}

static int walk(struct builder *builder, struct bd_error *error)
{
	struct bd_record record;
	uint64_t reported = 0;
	int result;
	while ((result = bd_record_reader_next(&builder->reader, &record, error)) > 0) {
		result = add_record(builder, &record, error);
		if (result == 0 &&
		    (record.number % PROGRESS_EVERY_RECORDS == 0 || record.offset - reported > PROGRESS_EVERY_BYTES)) {
			result = report(builder, error);
			reported = record.offset;
		}
		if (result < 0)
			return result;
	}
	return result < 0 ? result : append_offset(builder, builder->index->count, builder->reader.offset, error);
}

/* Doubling may have left half of the room empty. */
static void shrink(struct bd_shard_index *index)
{
	uint64_t *fitting = realloc(index->offsets, (index->count + 1) * sizeof *fitting);
	if (fitting)
		index->offsets = fitting;
}

int bd_shard_index_build(int fd, const struct bd_index_options *options, struct bd_shard_index *index, struct bd_error *error)
{
	struct builder builder = { .options = options,
		                   .index = index,
		                   .room_limit = bd_shard_index_limit(options) / sizeof *index->offsets };
	int result = bd_record_reader_init(&builder.reader, fd, options->compression, false, 0, error);
	if (result < 0)
		return result;
	builder.reader.stream.stop = options->stop;
	index->compression = builder.reader.stream.compression;
	result = prepare_points(&builder, error);
	if (result == 0)
		result = walk(&builder, error);
	if (result == 0)
		shrink(index);
	bd_record_reader_finish(&builder.reader);
	return result;
}
