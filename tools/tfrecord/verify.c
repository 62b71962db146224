#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/record/record_reader.h"
#include "tools/tfrecord/commands.h"
#include "tools/tfrecord/shard_files.h"

/* Errors of one file that are listed one by one; the rest is counted. */
#define LISTED_ERRORS 10000u

struct verifying {
	bool json, quiet;
	struct bd_progress *progress;
	uint64_t done_bytes; /* of the files before this one */
	uint64_t records, bad_files;
};

static void note_error(struct verifying *verifying, const char *path, const struct bd_record *record, uint64_t errors, json_t *list)
{
	if (errors > LISTED_ERRORS)
		return;
	json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:o}", "record", (json_int_t)record->number, "offset",
	                                      (json_int_t)record->offset, "reason", bd_damage_name(record->damage), "detail",
	                                      bd_json_text(record->reason, strlen(record->reason))));
	if (verifying->json && verifying->quiet)
		return;
	struct bd_error error = { 0 };
	bd_record_damage_error(record, &error);
	bd_error_prefix(&error, "%s", path);
	bd_progress_clear(verifying->progress);
	fprintf(verifying->json ? stderr : stdout, "%s\n", error.text);
}

static int read_all(struct verifying *verifying, const char *path, struct bd_record_reader *reader, uint64_t *ret_records,
                    uint64_t *ret_errors, json_t *list, struct bd_error *error)
{
	struct bd_record record;
	uint64_t errors = 0, records = 0;
	int result;
	while ((result = bd_record_reader_next(reader, &record, error)) > 0) {
		if (bd_shard_files_interrupted())
			return bd_error_set(error, -EINTR, "interrupted");
		records += record.end > record.offset; /* a bad trailer behind the last record is none */
		if (record.damage != BD_DAMAGE_NONE)
			note_error(verifying, path, &record, ++errors, list);
		bd_progress_update(verifying->progress, verifying->done_bytes + bd_shard_stream_file_position(&reader->stream),
		                   NULL);
	}
	bd_progress_update(verifying->progress, verifying->done_bytes + reader->stream.size, NULL);
	*ret_records = records;
	*ret_errors = errors;
	return result;
}

static int print_file(struct verifying *verifying, const char *path, uint64_t records, uint64_t errors, json_t *list_take,
                      struct bd_error *error)
{
	verifying->records += records;
	verifying->bad_files += errors > 0;
	if (!verifying->json) {
		json_decref(list_take);
		return 0;
	}
	json_t *line = json_pack("{s:o, s:I, s:b, s:o}", "file", bd_json_text(path, strlen(path)), "records", (json_int_t)records,
	                         "ok", errors == 0, "errors", list_take);
	if (errors > LISTED_ERRORS)
		json_object_set_new(line, "errors_not_listed", json_integer((json_int_t)(errors - LISTED_ERRORS)));
	bd_progress_clear(verifying->progress);
	return bd_json_print_line(stdout, line, error);
}

/* A file that cannot be read is told like a damaged one, and the others are still looked at. */
static int unreadable(struct verifying *verifying, const char *path, const struct bd_error *why, json_t *list_take,
                      struct bd_error *error)
{
	json_array_append_new(list_take, json_pack("{s:i, s:i, s:s, s:o}", "record", 0, "offset", 0, "reason", "unreadable",
	                                           "detail", bd_json_text(why->text, strlen(why->text))));
	bd_progress_clear(verifying->progress);
	bd_print_error("tfrecord verify", why);
	return print_file(verifying, path, 0, 1, list_take, error);
}

static int verify_file(struct verifying *verifying, const struct bd_shard_file *file, struct bd_error *error)
{
	struct bd_record_reader reader;
	struct bd_error why = { 0 };
	json_t *list = json_array();
	uint64_t errors = 0;
	int fd = bd_shard_file_open(file, &why);
	if (fd < 0)
		return unreadable(verifying, file->path, &why, list, error);
	int result = bd_record_reader_init(&reader, fd, file->compression, true, 0, &why);
	uint64_t records = 0, bytes = 0;
	if (result == 0) {
		result = read_all(verifying, file->path, &reader, &records, &errors, list, &why);
		bytes = reader.stream.size;
		bd_record_reader_finish(&reader);
	}
	close(fd);
	verifying->done_bytes += bytes;
	if (result == -EINTR) {
		json_decref(list);
		return bd_error_set(error, result, "interrupted");
	}
	if (result < 0) {
		bd_error_prefix(&why, "%s", file->path);
		return unreadable(verifying, file->path, &why, list, error);
	}
	return print_file(verifying, file->path, records, errors, list, error);
}

static uint64_t bytes_of(const struct bd_shard_files *files)
{
	uint64_t bytes = 0;
	struct stat status;
	for (size_t i = 0; i < files->count; i++)
		if (stat(files->items[i].path, &status) == 0)
			bytes += (uint64_t)status.st_size;
	return bytes;
}

static int run(void *context, const struct bd_arguments *arguments, const struct bd_shard_files *files, struct bd_error *error)
{
	struct verifying *verifying = context;
	int result = 0;
	verifying->json = arguments->json;
	verifying->quiet = arguments->quiet;
	verifying->progress = bd_progress_create("verify", bytes_of(files), "bytes", verifying->quiet);
	for (size_t i = 0; result == 0 && i < files->count; i++)
		result = verify_file(verifying, &files->items[i], error);
	bd_progress_finish(verifying->progress);
	if (result == 0 && !verifying->json)
		printf("%zu files, %" PRIu64 " records, %" PRIu64 " files damaged\n", files->count, verifying->records,
		       verifying->bad_files);
	return result;
}

int bd_tfrecord_verify(int argc, char **argv)
{
	const struct bd_command command = {
		.program = "tfrecord",
		.name = "verify",
		.usage = "FILE... [options]",
		.summary =
			"Checks every CRC of shards, and of compressed ones the checksums of the compression too. FILE may be a\n"
			"dataset file or '-'. Exits with 1 where anything is damaged.",
		.minimum_words = 1,
		.maximum_words = SIZE_MAX,
	};
	struct verifying verifying = { 0 };
	int status = bd_shard_files_run(&command, run, &verifying, argc, argv);
	return status == BD_EXIT_DONE && verifying.bad_files ? BD_EXIT_FAILED : status;
}
