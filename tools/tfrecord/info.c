#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/units.h"
#include "common/record/record_reader.h"
#include "tools/tfrecord/commands.h"
#include "tools/tfrecord/feature_table.h"
#include "tools/tfrecord/record_json.h"
#include "tools/tfrecord/shard_files.h"

struct totals {
	uint64_t records, damaged, bytes, stream_bytes, longest;
	uint64_t damaged_bytes;
	char beginning[BD_DAMAGE_REASON_BYTES]; /* why the first bytes are no record; "" */
	unsigned compressions; /* bit 1 << enum bd_compression */
};

struct informing {
	bool json, quiet;
	uint64_t sample; /* records of each file whose features are looked at */
	size_t bad_files;
	uint64_t examples, sequence_examples, others;
	struct totals totals; /* of all files */
	struct bd_feature_table table;
	struct bd_example example;
	struct bd_sequence_example sequence_example;
};

static int look_at_record(struct informing *informing, const struct bd_record *record, struct bd_error *error)
{
	struct bd_sequence_example *sequence = &informing->sequence_example;
	int result = bd_record_read_sequence_example(record->data, record->length, sequence, error);
	if (result > 0 && sequence->list_count) {
		informing->sequence_examples++;
		return bd_feature_table_add_sequence(&informing->table, sequence, error);
	}
	if (result >= 0)
		result = bd_record_read_example(record->data, record->length, &informing->example, error);
	if (result > 0) {
		informing->examples++;
		return bd_feature_table_add(&informing->table, &informing->example, error);
	}
	informing->others += result == 0;
	return result;
}

static void add_damage(struct totals *totals, const struct bd_record *record)
{
	totals->damaged++;
	totals->damaged_bytes += record->end - record->offset;
	if (!record->number && record->damage != BD_DAMAGE_TRUNCATED && record->damage != BD_DAMAGE_DATA_CRC)
		memcpy(totals->beginning, record->reason, sizeof totals->beginning);
}

/* Counts all records, and looks into the first ones. */
static int read_records(struct informing *informing, struct bd_record_reader *reader, struct totals *totals,
                        struct bd_progress *progress, struct bd_error *error)
{
	struct bd_record record;
	int result;
	for (;;) {
		reader->bodies = reader->number < informing->sample;
		if (bd_shard_files_interrupted())
			return bd_error_set(error, -EINTR, "interrupted");
		result = bd_record_reader_next(reader, &record, error);
		if (result <= 0)
			break;
		totals->records += record.end > record.offset; /* a bad trailer behind the last record is none */
		totals->longest = bd_max_u64(totals->longest, record.length);
		if (record.damage != BD_DAMAGE_NONE)
			add_damage(totals, &record);
		else if (record.data && (result = look_at_record(informing, &record, error)) < 0)
			return result;
		bd_progress_update(progress, bd_shard_stream_file_position(&reader->stream), NULL);
	}
	if (result == 0 && totals->beginning[0] && totals->damaged_bytes > reader->offset / 2)
		return bd_error_set(error, -EBADMSG, "%s", totals->beginning);
	bd_progress_update(progress, reader->stream.size, NULL);
	totals->bytes = reader->stream.size;
	totals->stream_bytes = reader->offset;
	totals->compressions = 1u << reader->stream.compression;
	return result;
}

static int read_file(struct informing *informing, const struct bd_shard_file *file, struct totals *totals, struct bd_error *error)
{
	struct bd_record_reader reader;
	int fd = bd_shard_file_open(file, error);
	if (fd < 0)
		return fd;
	int result = bd_record_reader_init(&reader, fd, file->compression, true, 0, error);
	if (result == 0) {
		struct bd_progress *progress = bd_progress_create(file->path, reader.stream.size, "bytes", informing->quiet);
		result = read_records(informing, &reader, totals, progress, error);
		bd_progress_finish(progress);
		bd_record_reader_finish(&reader);
	}
	if (result < 0)
		bd_error_prefix(error, "%s", file->path);
	close(fd);
	return result;
}

static void add_totals(struct totals *all, const struct totals *one)
{
	all->records += one->records;
	all->damaged += one->damaged;
	all->bytes += one->bytes;
	all->stream_bytes += one->stream_bytes;
	all->longest = bd_max_u64(all->longest, one->longest);
	all->compressions |= one->compressions;
}

/* ---- showing ---- */

static const char *compression_name(const struct totals *totals)
{
	for (enum bd_compression c = BD_COMPRESSION_NONE; c <= BD_COMPRESSION_ZLIB; c++)
		if (totals->compressions == 1u << c)
			return bd_compression_names[c];
	return "mixed";
}

static json_t *totals_json(const struct totals *totals)
{
	return json_pack("{s:I, s:I, s:I, s:s, s:I, s:I}", "records", (json_int_t)totals->records, "bytes",
	                 (json_int_t)totals->bytes, "uncompressed_bytes", (json_int_t)totals->stream_bytes, "compression",
	                 compression_name(totals), "longest_record", (json_int_t)totals->longest, "damaged",
	                 (json_int_t)totals->damaged);
}

static int print_file(const struct informing *informing, const char *path, const struct totals *totals, struct bd_error *error)
{
	char size[32];
	if (informing->json) {
		json_t *line = totals_json(totals);
		json_object_set_new(line, "file", bd_json_text(path, strlen(path)));
		return bd_json_print_line(stdout, line, error);
	}
	bd_format_size(totals->bytes, size, sizeof size);
	printf("%s: %" PRIu64 " records, %s, compression %s", path, totals->records, size, compression_name(totals));
	if (totals->damaged)
		printf(", %" PRIu64 " damaged ('tfrecord verify' lists them)", totals->damaged);
	putchar('\n');
	return 0;
}

static const char *record_type(const struct informing *informing)
{
	if (informing->sequence_examples)
		return informing->others ? "mixed" : "SequenceExample";
	if (informing->examples)
		return informing->others ? "mixed" : "Example";
	return informing->others ? "unknown" : "none";
}

/* The last line: all files together; of a single one with its name. */
static int print_result(const struct informing *informing, const struct bd_shard_files *files, struct bd_error *error)
{
	uint64_t looked_at = informing->examples + informing->sequence_examples + informing->others;
	if (!informing->json) {
		printf("%" PRIu64 " records; features of the %" PRIu64 " looked at (%s):\n", informing->totals.records, looked_at,
		       record_type(informing));
		bd_feature_table_print(&informing->table, stdout);
		return 0;
	}
	json_t *line = totals_json(&informing->totals);
	if (files->count == 1)
		json_object_set_new(line, "file", bd_json_text(files->items[0].path, strlen(files->items[0].path)));
	json_object_set_new(line, "files", json_integer((json_int_t)files->count));
	json_object_set_new(line, "type", json_string(record_type(informing)));
	json_object_set_new(line, "looked_at", json_integer((json_int_t)looked_at));
	json_object_set_new(line, "features", bd_feature_table_json(&informing->table, false));
	if (informing->sequence_examples)
		json_object_set_new(line, "sequence_features", bd_feature_table_json(&informing->table, true));
	return bd_json_print_line(stdout, line, error);
}

static int run(void *context, const struct bd_arguments *arguments, const struct bd_shard_files *files, struct bd_error *error)
{
	struct informing *informing = context;
	int result = 0;
	informing->json = arguments->json;
	informing->quiet = arguments->quiet;
	for (size_t i = 0; result == 0 && i < files->count; i++) {
		struct totals totals = { 0 };
		struct bd_error why = { 0 };
		int unread = read_file(informing, &files->items[i], &totals, &why);
		if (bd_shard_files_interrupted() || unread == -ENOMEM) {
			*error = why;
			result = unread ? unread : -EINTR;
			break;
		}
		if (unread < 0) { /* the others are still looked at */
			bd_print_error("tfrecord info", &why);
			informing->bad_files++;
			continue;
		}
		add_totals(&informing->totals, &totals);
		if (files->count > 1 || !informing->json)
			result = print_file(informing, files->items[i].path, &totals, error);
	}
	if (result == 0 && informing->bad_files < files->count)
		result = print_result(informing, files, error);
	bd_feature_table_finish(&informing->table);
	bd_example_finish(&informing->example);
	bd_sequence_example_finish(&informing->sequence_example);
	return result;
}

int bd_tfrecord_info(int argc, char **argv)
{
	struct informing informing = { .sample = 1000 };
	const struct bd_option options[] = {
		{ .name = "sample",
		  .kind = BD_OPTION_U64,
		  .value = &informing.sample,
		  .argument = "N",
		  .help = "look into the first N records of each file for their features [1000]" },
	};
	const struct bd_command command = {
		.program = "tfrecord",
		.name = "info",
		.usage = "FILE|DATASET.yaml... [options]",
		.summary = "Tells records, bytes, compression, and the features with their kinds and shapes. Damage is counted, "
			   "not refused;\n"
			   "a file that is no shard fails, the others are still told. FILE may be '-'.",
		.groups = { { .options = options, .count = BD_COUNT_OF(options) } },
		.minimum_words = 1,
		.maximum_words = SIZE_MAX,
	};
	int status = bd_shard_files_run(&command, run, &informing, argc, argv);
	return status == BD_EXIT_DONE && informing.bad_files ? BD_EXIT_FAILED : status;
}
