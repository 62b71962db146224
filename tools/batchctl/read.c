#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/sha256.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/npy.h"
#include "tools/batchctl/quarantine.h"
#include "tools/batchctl/target.h"

struct reading {
	struct bd_target target;
	struct bd_stream_spec spec;
	uint64_t limit; /* batches; 0: to the end */
	const char *save;
	bool force, json, quiet;
	uint64_t batches;
};

/* A name's slashes would be folders. */
static char in_file_name(char c)
{
	return c == '/' ? '_' : c;
}

/* DIR/000012.NAME.npy */
static char *path_of(const struct reading *reading, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%06" PRIu64 ".%s.npy", reading->save, reading->batches, name) < 0)
		return NULL;
	for (char *c = path + strlen(reading->save) + 1; *c; c++)
		*c = in_file_name(*c);
	return path;
}

static bool share_a_file(const char *one, const char *other)
{
	while (*one && in_file_name(*one) == in_file_name(*other))
		one++, other++;
	return in_file_name(*one) == in_file_name(*other);
}

/* No two arrays may go to one file: the second would replace the first. */
static int check_file_names(const struct bd_schema *schema, struct bd_error *error)
{
	for (size_t i = 0; i < schema->array_count; i++)
		for (size_t j = 0; j < i; j++)
			if (share_a_file(schema->arrays[j].name, schema->arrays[i].name))
				return bd_error_set(
					error, -EINVAL,
					"--save: '%s' and '%s' would share the file 000000.%s.npy, as '/' in a name becomes '_': "
					"read one of them with a dataset file of its own",
					schema->arrays[j].name, schema->arrays[i].name,
					strchr(schema->arrays[i].name, '/') ? schema->arrays[j].name : schema->arrays[i].name);
	return 0;
}

static int save_batch(const struct reading *reading, const struct bd_batch *batch, struct bd_error *error)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < batch->array_count; i++) {
		char *path = path_of(reading, batch->arrays[i].name);
		result = path ? bd_npy_write(path, reading->force, &batch->arrays[i], error)
		              : bd_error_set(error, -ENOMEM, "out of memory");
		free(path);
	}
	return result;
}

static json_t *json_of(const struct bd_batch *batch)
{
	json_t *records = json_array(), *sums = json_object();
	for (uint32_t i = 0; i < batch->rows; i++)
		json_array_append_new(records, json_integer((json_int_t)batch->records[i]));
	for (size_t i = 0; i < batch->array_count; i++) {
		char hex[BD_SHA256_HEX_BYTES];
		bd_sha256_hex(batch->arrays[i].data, bd_array_bytes(&batch->arrays[i]), hex);
		bd_json_set(sums, batch->arrays[i].name, strlen(batch->arrays[i].name), json_string(hex));
	}
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "epoch", (json_int_t)batch->epoch, "batch", (json_int_t)batch->batch, "rows",
	                 (json_int_t)batch->rows, "records", records, "sha256", sums);
}

static int show_batch(const struct reading *reading, const struct bd_batch *batch, struct bd_error *error)
{
	if (reading->json)
		return bd_json_print_line(stdout, json_of(batch), error);
	printf("epoch %" PRIu64 " batch %" PRIu64 ": %" PRIu32 " rows\n", batch->epoch, batch->batch, batch->rows);
	return 0;
}

static int read_batches(struct reading *reading, struct bd_stream *stream, struct bd_error *error)
{
	while (reading->limit == 0 || reading->batches < reading->limit) {
		struct bd_batch batch;
		if (bd_interrupted())
			return bd_error_set(error, -EINTR, "interrupted");
		int result = bd_stream_next(stream, -1, &batch, error);
		if (result == -ENODATA)
			return 0;
		if (result < 0)
			return result;
		result = reading->save ? save_batch(reading, &batch, error) : 0;
		if (result == 0)
			result = show_batch(reading, &batch, error);
		bd_stream_release(stream, &batch);
		if (result < 0)
			return result;
		reading->batches++;
	}
	return 0;
}

/* A stream may begin where it ends, as that of a trainer that comes back for its last batch; whoever reads asked for something. */
static int check_batches(const struct reading *reading, const struct bd_schema *schema, struct bd_error *error)
{
	const struct bd_stream_spec *spec = &reading->spec;
	if (reading->batches > 0)
		return 0;
	if (spec->start_epoch || spec->start_batch)
		return bd_error_set(error, -ENODATA, "no batch was read: the data ends at --start %" PRIu64 ":%" PRIu64,
		                    spec->start_epoch, spec->start_batch);
	return bd_error_set(error, -ENODATA,
	                    "no batch was read: the %" PRIu64 " records fill no batch of %" PRIu32 " rows, and --remainder drop "
	                    "leaves them out",
	                    schema->records, spec->batch);
}

static int print_result(const struct reading *reading, struct bd_stream *stream, struct bd_error *error)
{
	struct bd_stream_statistics statistics;
	json_t *quarantine = NULL;
	int result = bd_stream_statistics(stream, &statistics, error);
	if (result == 0)
		result = bd_quarantine_json(stream, &quarantine, error);
	if (result < 0)
		return result;
	if (reading->json)
		return bd_json_print_line(stdout,
		                          json_pack("{s:I, s:I, s:o}", "batches", (json_int_t)reading->batches, "skipped",
		                                    (json_int_t)statistics.skipped, "quarantine", quarantine),
		                          error);
	printf("%" PRIu64 " batches, %" PRIu64 " records, %" PRIu64 " damaged records left out\n", reading->batches,
	       statistics.records, statistics.skipped);
	json_decref(quarantine);
	return 0;
}

static int run(void *context, const struct bd_arguments *arguments, struct bd_error *error)
{
	struct reading *reading = context;
	struct bd_stream *stream = NULL;
	reading->json = arguments->json;
	reading->quiet = arguments->quiet;
	int result = reading->save ? bd_make_folders(reading->save, 0777, error) : 0;
	if (result == 0)
		result = bd_target_open(&reading->target, arguments->words[0], &reading->spec, reading->quiet, &stream, error);
	if (result == 0 && reading->save)
		result = check_file_names(bd_stream_schema(stream), error);
	if (result == 0)
		result = read_batches(reading, stream, error);
	if (result == 0)
		result = check_batches(reading, bd_stream_schema(stream), error);
	if (result == 0)
		result = print_result(reading, stream, error);
	bd_target_close(&reading->target, stream);
	return result;
}

static int check(void *context, struct bd_error *error)
{
	const struct reading *reading = context;
	return reading->force && !reading->save ? bd_error_set(error, -EINVAL, "--force belongs to --save") : 0;
}

int bd_command_read(int argc, char **argv)
{
	struct reading reading = { .limit = 0 };
	const struct bd_option own[] = {
		{ .name = "batches",
		  .kind = BD_OPTION_U64,
		  .value = &reading.limit,
		  .argument = "N",
		  .help = "stop after so many; 0: all" },
		{ .name = "save",
		  .kind = BD_OPTION_TEXT,
		  .value = &reading.save,
		  .argument = "DIR",
		  .help = "write DIR/000000.NAME.npy, ..." },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &reading.force, .help = "replace files that are there" },
	};
	struct bd_stream_command command = {
		.command = {
			.program = BD_BATCHCTL,
			.name = "read",
			.usage = "DATASET [options]",
			.summary = "Reads batches: which records, and the SHA-256 of each array (--json); --save writes the arrays. A "
				   "DATASET of\n"
				   "'-' is a dataset file on standard input.",
			.groups = { { .options = own, .count = BD_COUNT_OF(own) } },
			.minimum_words = 1,
			.maximum_words = 1,
		},
		.target = &reading.target,
		.spec = &reading.spec,
		.check = check,
		.run = run,
		.context = &reading,
	};
	bd_stream_spec_init(&reading.spec);
	return bd_stream_command_run(&command, argc, argv);
}
