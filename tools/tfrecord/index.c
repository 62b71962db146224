#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/record/shard_index.h"
#include "tools/tfrecord/commands.h"
#include "tools/tfrecord/shard_files.h"

struct indexing {
	bool json, quiet, text, force;
	size_t bad_files;
	struct bd_progress *progress;
};

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
	struct indexing *indexing = context;
	bd_progress_set_total(indexing->progress, total);
	bd_progress_update(indexing->progress, done, NULL);
	return !bd_shard_files_interrupted();
}

/* The lines of other loaders where they say enough; a compressed shard also needs places to start from, which they cannot hold. */
static int write_index(const struct indexing *indexing, const struct bd_shard_index *index, const char *path,
                       struct bd_error *error)
{
	if (indexing->text || bd_shard_index_compression(index) == BD_COMPRESSION_NONE)
		return bd_shard_index_write_text(index, path, indexing->force, error);
	return bd_shard_index_write(index, path, indexing->force, error);
}

static int report(const struct indexing *indexing, const struct bd_shard_file *file, const struct bd_shard_index *index,
                  const char *path, struct bd_error *error)
{
	size_t damaged;
	bd_shard_index_damage(index, &damaged);
	if (indexing->json)
		return bd_json_print_line(
			stdout,
			json_pack("{s:o, s:o, s:I, s:I, s:s, s:I}", "file", bd_json_text(file->path, strlen(file->path)), "index",
		                  bd_json_text(path, strlen(path)), "records", (json_int_t)bd_shard_index_count(index), "bytes",
		                  (json_int_t)bd_shard_index_bytes(index), "compression",
		                  bd_compression_names[bd_shard_index_compression(index)], "damaged", (json_int_t)damaged),
			error);
	printf("%s: %" PRIu64 " records\n", path, bd_shard_index_count(index));
	return 0;
}

static int index_file(struct indexing *indexing, const struct bd_shard_file *file, struct bd_error *error)
{
	struct bd_index_options options = {
		.compression = file->compression, .ignore_text = true, .progress = on_progress, .context = indexing
	};
	struct bd_shard_index *index;
	char *path;
	if (!strcmp(file->path, "-"))
		return bd_error_set(error, -EINVAL, "an index lies beside its shard; standard input has no place");
	if (asprintf(&path, "%s.idx", file->path) < 0)
		return bd_error_set(error, -ENOMEM, "no memory");
	indexing->progress = bd_progress_create(file->path, 0, "bytes", indexing->quiet);
	int result = bd_shard_index_open(file->path, &options, &index, error);
	bd_progress_finish(indexing->progress);
	if (result == 0) {
		const char *reason;
		if (bd_shard_index_is_foreign(index, &reason))
			result = bd_error_set(error, -EBADMSG, "%s", reason);
		else
			result = write_index(indexing, index, path, error);
		if (result == -EBADMSG)
			bd_error_prefix(error, "%s", file->path);
		if (result == 0)
			result = report(indexing, file, index, path, error);
		bd_shard_index_destroy(index);
	}
	free(path);
	return result;
}

static int run(void *context, const struct bd_arguments *arguments, const struct bd_shard_files *files, struct bd_error *error)
{
	struct indexing *indexing = context;
	int result = 0;
	indexing->json = arguments->json;
	indexing->quiet = arguments->quiet;
	for (size_t i = 0; result == 0 && i < files->count; i++) {
		struct bd_error why = { 0 };
		int unread = index_file(indexing, &files->items[i], &why);
		if (unread == 0)
			continue;
		if (bd_shard_files_interrupted() || unread == -ENOMEM) {
			*error = why;
			result = unread;
		} else { /* the others are still indexed */
			bd_print_error("tfrecord index", &why);
			indexing->bad_files++;
		}
	}
	return result;
}

int bd_tfrecord_index(int argc, char **argv)
{
	struct indexing indexing = { 0 };
	const struct bd_option options[] = {
		{ .name = "text",
		  .kind = BD_OPTION_FLAG,
		  .value = &indexing.text,
		  .help = "lines `offset size` also for a compressed shard, counting its uncompressed bytes" },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &indexing.force, .help = "replace an index that is there" },
	};
	const struct bd_command command = {
		.program = "tfrecord",
		.name = "index",
		.usage = "FILE... [options]",
		.summary = "Writes FILE.idx beside each shard: where its records lie. For a plain shard these are the lines "
			   "`offset size` that\n"
			   "other loaders read; for a compressed one batchd's own form, with places in the middle to start from.",
		.groups = { { .options = options, .count = BD_COUNT_OF(options) } },
		.minimum_words = 1,
		.maximum_words = SIZE_MAX,
	};
	int status = bd_shard_files_run(&command, run, &indexing, argc, argv);
	return status == BD_EXIT_DONE && indexing.bad_files ? BD_EXIT_FAILED : status;
}
