#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "common/record/record_reader.h"
#include "tools/tfrecord/commands.h"
#include "tools/tfrecord/record_json.h"
#include "tools/tfrecord/shard_files.h"

/* Values of a list that a person is shown. */
#define SHOWN_VALUES 8u

struct showing {
	bool json, sequence, one;
	uint64_t record; /* the only one wanted, where `one` */
	uint64_t left; /* records still to be shown */
	struct bd_example example;
	struct bd_sequence_example sequence_example;
};

/* 1: it is what is asked for, and its views are in `showing`; 0: it is not; -ENOMEM. */
static int parse(struct showing *showing, const struct bd_record *record, struct bd_error *error)
{
	return showing->sequence ? bd_record_read_sequence_example(record->data, record->length, &showing->sequence_example, error)
	                         : bd_record_read_example(record->data, record->length, &showing->example, error);
}

/* ---- for programs ---- */

static json_t *json_of(const struct showing *showing, const char *path, const struct bd_record *record, bool parsed)
{
	json_t *line = json_pack("{s:o, s:I, s:I, s:I}", "file", bd_json_text(path, strlen(path)), "record",
	                         (json_int_t)record->number, "offset", (json_int_t)record->offset, "length",
	                         (json_int_t)record->length);
	if (parsed && showing->sequence) {
		json_object_set_new(line, "context", bd_json_features(&showing->sequence_example.context));
		json_object_set_new(line, "feature_lists", bd_json_feature_lists(&showing->sequence_example));
	} else if (parsed) {
		json_object_set_new(line, "features", bd_json_features(&showing->example));
	} else {
		json_object_set_new(line, "data", bd_json_base64(record->data, record->length));
	}
	return line;
}

/* ---- for people ---- */

static void print_quoted(const uint8_t *bytes, size_t length)
{
	size_t shown = length < 40 ? length : 40;
	putchar('"');
	for (size_t i = 0; i < shown; i++) {
		if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
			putchar(bytes[i]);
		else
			printf("\\x%02x", bytes[i]);
	}
	printf(shown < length ? "\"... (%zu bytes)" : "\"", length);
}

static void print_values(const struct bd_feature_view *view)
{
	int64_t numbers[SHOWN_VALUES];
	float floats[SHOWN_VALUES];
	struct bd_bytes_view strings[SHOWN_VALUES];
	size_t count = 0;
	int result = 0;
	if (view->kind == BD_VALUE_INT64)
		result = bd_feature_read_int64(view, numbers, SHOWN_VALUES, &count, NULL);
	else if (view->kind == BD_VALUE_FLOAT)
		result = bd_feature_read_float(view, floats, SHOWN_VALUES, &count, NULL);
	else if (view->kind == BD_VALUE_BYTES)
		result = bd_feature_read_bytes(view, strings, SHOWN_VALUES, &count, NULL);
	printf("%s[%zu]", bd_value_kind_name(view->kind), count);
	for (size_t i = 0; result == 0 && i < count && i < SHOWN_VALUES; i++) {
		putchar(' ');
		if (view->kind == BD_VALUE_INT64)
			printf("%" PRId64, numbers[i]);
		else if (view->kind == BD_VALUE_FLOAT)
			printf("%.7g", (double)floats[i]);
		else
			print_quoted(strings[i].bytes, strings[i].length);
	}
	printf(count > SHOWN_VALUES ? " ...\n" : "\n");
}

static void print_name(const char *name, size_t length)
{
	printf("  ");
	for (size_t i = 0; i < length; i++)
		putchar((unsigned char)name[i] < 0x20 || name[i] == 0x7f ? '?' : name[i]);
	printf(": ");
}

static void print_features(const struct bd_example *example)
{
	for (size_t i = 0; i < example->count; i++) {
		print_name(example->features[i].name, example->features[i].name_length);
		print_values(&example->features[i]);
	}
}

static void print_lists(const struct bd_sequence_example *example)
{
	for (size_t i = 0; i < example->list_count; i++) {
		struct bd_step_cursor cursor;
		struct bd_feature_view step;
		print_name(example->lists[i].name, example->lists[i].name_length);
		printf("%zu steps\n", example->lists[i].steps);
		bd_step_cursor_begin(&example->lists[i], &cursor);
		while (bd_step_cursor_next(&cursor, &step, NULL) > 0) {
			printf("    ");
			print_values(&step);
		}
	}
}

static void print_record(const struct showing *showing, const char *path, const struct bd_record *record, bool parsed)
{
	printf("%s: record %" PRIu64 " at byte %" PRIu64 ", %" PRIu64 " bytes\n", path, record->number, record->offset,
	       record->length);
	if (parsed && showing->sequence) {
		print_features(&showing->sequence_example.context);
		print_lists(&showing->sequence_example);
	} else if (parsed) {
		print_features(&showing->example);
	} else {
		printf("  no %s: ", showing->sequence ? "SequenceExample" : "Example");
		print_quoted(record->data, record->length);
		putchar('\n');
	}
}

/* ---- ---- */

static int show(struct showing *showing, const char *path, const struct bd_record *record, struct bd_error *error)
{
	int parsed = parse(showing, record, error);
	if (parsed < 0)
		return parsed;
	showing->left--;
	if (showing->json)
		return bd_json_write_line(stdout, json_of(showing, path, record, parsed), error);
	print_record(showing, path, record, parsed);
	return ferror(stdout) ? bd_error_set(error, -EIO, "cannot write: %s", strerror(errno)) : 0;
}

/* With --record the bodies before it are not read. */
static int show_records(struct showing *showing, const char *path, struct bd_record_reader *reader, struct bd_error *error)
{
	struct bd_record record;
	bool found = false;
	int result = 1;
	while (result > 0 && showing->left && !found) {
		reader->bodies = !showing->one || reader->number == showing->record;
		if (bd_shard_files_interrupted())
			return bd_error_set(error, -EINTR, "interrupted");
		result = bd_record_reader_next(reader, &record, error);
		if (result <= 0)
			break;
		found = showing->one && record.number == showing->record;
		if (showing->one && !found)
			continue;
		if (record.damage != BD_DAMAGE_NONE)
			return bd_record_damage_error(&record, error);
		int shown = show(showing, path, &record, error);
		if (shown < 0)
			return shown;
	}
	if (result == 0 && showing->one && !found)
		return bd_error_set(error, -ERANGE, "there is no record %" PRIu64 "; the last is %" PRId64, showing->record,
		                    (int64_t)reader->number - 1);
	return result < 0 ? result : 0;
}

static int show_file(struct showing *showing, const struct bd_shard_file *file, struct bd_error *error)
{
	struct bd_record_reader reader;
	int fd = bd_shard_file_open(file, error);
	if (fd < 0)
		return fd;
	int result = bd_record_reader_init(&reader, fd, file->compression, true, 0, error);
	if (result == 0) {
		result = show_records(showing, file->path, &reader, error);
		bd_record_reader_finish(&reader);
	}
	if (result < 0 && result != -EIO)
		bd_error_prefix(error, "%s", file->path);
	close(fd);
	return result;
}

static int run(void *context, const struct bd_arguments *arguments, const struct bd_shard_files *files, struct bd_error *error)
{
	struct showing *showing = context;
	int result = 0;
	showing->json = arguments->json;
	for (size_t i = 0; result == 0 && showing->left && i < files->count; i++)
		result = show_file(showing, &files->items[i], error);
	bd_example_finish(&showing->example);
	bd_sequence_example_finish(&showing->sequence_example);
	if (fflush(stdout) != 0 && result == 0)
		result = bd_error_set(error, -EIO, "cannot write: %s", strerror(errno));
	return result;
}

int bd_tfrecord_cat(int argc, char **argv)
{
	struct showing showing = { .left = UINT64_MAX };
	const struct bd_option options[] = {
		{ .name = "record",
		  .kind = BD_OPTION_U64,
		  .value = &showing.record,
		  .given = &showing.one,
		  .argument = "N",
		  .help = "only record N of each file, from 0" },
		{ .name = "limit", .kind = BD_OPTION_U64, .value = &showing.left, .argument = "N", .help = "at most N records" },
		{ .name = "sequence", .kind = BD_OPTION_FLAG, .value = &showing.sequence, .help = "read them as SequenceExamples" },
	};
	const struct bd_command command = {
		.program = "tfrecord",
		.name = "cat",
		.usage = "FILE... [options]",
		.summary = "Shows the records of shards, CRCs checked; at the first damaged one it stops. FILE may be a dataset "
			   "file or '-'.",
		.groups = { { .options = options, .count = BD_COUNT_OF(options) } },
		.minimum_words = 1,
		.maximum_words = SIZE_MAX,
	};
	return bd_shard_files_run(&command, run, &showing, argc, argv);
}
