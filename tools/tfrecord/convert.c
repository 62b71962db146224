#include "tools/tfrecord/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/base/random.h"
#include "common/record/class_order.h"
#include "tools/tfrecord/convert_pool.h"
#include "tools/tfrecord/dataset_text.h"
#include "tools/tfrecord/earlier_set.h"
#include "tools/tfrecord/output_set.h"
#include "tools/tfrecord/shard_writer.h"

/* A random permutation of the pictures, by Fisher and Yates: the records' order for every later reader. */
static uint64_t *shuffled(size_t count, uint64_t seed)
{
	uint64_t *order = calloc(count, sizeof *order);
	struct bd_random random = bd_random_of(seed, 0, 0);
	for (size_t i = 0; order && i < count; i++) {
		size_t j = (size_t)bd_random_below(&random, i + 1);
		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

/* ---- the run ---- */

struct run {
	const struct bd_convert *convert;
	struct bd_record_options record;
	uint64_t *order;
	struct bd_earlier_set *earlier;
	struct bd_output_set *set;
	struct bd_shard_writer *writer;
	struct bd_convert_pool *pool;
	struct bd_progress *progress;
	struct bd_record_shape shape; /* of all records so far */
	bool mixed;
	uint64_t done; /* pictures, broken ones too */
	struct bd_convert_result result;
};

static int hint_at_skip(struct bd_error *error)
{
	size_t length = strlen(error->text);
	snprintf(error->text + length, sizeof error->text - length, "; '--on-error skip' leaves such pictures out");
	return -EBADMSG;
}

static int interrupted(struct bd_error *error)
{
	return bd_error_set(error, -EINTR, "interrupted; nothing was written");
}

/* Raw pictures that are not resized take the size of the first readable one, in the order of the list. */
static int find_raw_size(struct run *run, struct bd_error *error)
{
	const struct bd_convert *convert = run->convert;
	if (run->record.encoding != BD_RECORD_RAW || run->record.height)
		return 0;
	int status = -ENODATA;
	struct bd_record_shape shape = { 0 };
	for (size_t i = 0; status && i < convert->list->count; i++) {
		status = bd_picture_list_size(convert->list, i, &shape, error);
		if (status && (status != -EBADMSG || !convert->skip))
			return status == -EBADMSG ? hint_at_skip(error) : status;
	}
	if (status)
		return bd_error_set(error, -EBADMSG, "none of the %zu pictures could be read", convert->list->count);
	run->record.raw_height = shape.height;
	run->record.raw_width = shape.width;
	return 0;
}

static void note(const struct run *run, const char *text)
{
	if (!run->convert->quiet)
		bd_print_notes("tfrecord convert", &text, 1);
}

static int tell_alike_classes(const struct run *run, struct bd_error *error)
{
	const struct bd_picture_list *list = run->convert->list;
	char text[BD_ERROR_TEXT_BYTES];
	int status = bd_class_names_alike(list->classes, list->class_count, text, sizeof text, error);
	if (status > 0)
		note(run, text);
	return status < 0 ? status : 0;
}

/* What the list of a folder does not hold. */
static void tell_left_out(struct run *run)
{
	const struct bd_image_folder *folder = &run->convert->list->folder;
	char text[BD_ERROR_TEXT_BYTES];
	if (run->convert->list->has_heading)
		note(run, "the first line of the list is a heading, and no picture");
	for (size_t i = 0; i < folder->unreadable_count; i++)
		fprintf(stderr, "tfrecord convert: left out: %s\n", folder->unreadable[i]);
	run->result.skipped = folder->unreadable_count;
	for (int i = 0; i < BD_IMAGE_FOLDER_REMARKS; i++) {
		if (bd_image_folder_say(folder, (enum bd_image_folder_remark)i, text, sizeof text))
			note(run, text);
		if (i != BD_IMAGE_FOLDER_EMPTY)
			run->result.ignored += folder->remarks[i].count;
	}
}

static int start(struct run *run, struct bd_error *error)
{
	const struct bd_convert *convert = run->convert;
	int status = bd_earlier_set_open(convert->folder, convert->name, &run->earlier, error);
	if (!status && !convert->force && bd_earlier_set_file(run->earlier))
		status = bd_error_set(error, -EEXIST, "%s/%s: is there already; --force replaces it", convert->folder,
		                      bd_earlier_set_file(run->earlier));
	if (!status)
		status = find_raw_size(run, error);
	if (status)
		return status;
	run->order = shuffled(convert->list->count, convert->seed);
	if (!run->order)
		return bd_error_set(error, -ENOMEM, "no memory for the order of the records");
	status = bd_output_set_create(convert->folder, &run->set, error);
	if (!status)
		status = bd_shard_writer_create(run->set, (uint32_t)bd_min_u64(convert->shards, convert->list->count),
		                                convert->shard_bytes, convert->compression, &run->writer, error);
	if (!status)
		status = bd_convert_pool_create(convert->list, &run->record, run->order, convert->list->count, convert->jobs,
		                                &run->pool, error);
	if (!status)
		status = tell_alike_classes(run, error);
	if (!status)
		tell_left_out(run);
	if (!status)
		run->progress = bd_progress_create("convert", convert->list->count, "records", convert->quiet);
	return status;
}

/* Pictures of one size share a shape; where some are grey and some not, they are read as RGB. */
static void note_shape(struct run *run, struct bd_record_shape shape)
{
	if (!run->result.records)
		run->shape = shape;
	if (run->shape.height != shape.height || run->shape.width != shape.width)
		run->mixed = true;
	if (shape.channels > run->shape.channels)
		run->shape.channels = shape.channels;
}

/* A broken picture: left out and told, or the end. */
static int leave_out(struct run *run, struct bd_error *error)
{
	if (!run->convert->skip)
		return hint_at_skip(error);
	bd_progress_clear(run->progress);
	fprintf(stderr, "tfrecord convert: left out: %s\n", error->text);
	run->result.skipped++;
	return 0;
}

/* A file that is being written has no name yet: the output is named. */
static int name_output(const struct run *run, int status, struct bd_error *error)
{
	if (status)
		bd_error_prefix(error, "%s/%s", run->convert->folder, run->convert->name);
	return status;
}

static int convert_all(struct run *run, struct bd_error *error)
{
	for (;;) {
		const uint8_t *bytes = NULL;
		size_t length = 0;
		struct bd_record_shape shape = { 0 };
		if (run->convert->interrupted && *run->convert->interrupted)
			return interrupted(error);
		int status = bd_convert_pool_next(run->pool, &bytes, &length, &shape, error);
		if (status == -ENODATA)
			return 0;
		if (status == -EBADMSG) {
			status = leave_out(run, error);
		} else if (!status) {
			status = name_output(run, bd_shard_writer_add(run->writer, bytes, length, error), error);
			note_shape(run, shape);
			run->result.records++;
		}
		if (status)
			return status;
		bd_progress_update(run->progress, ++run->done, NULL);
	}
}

/* The file that was added last. */
static int name_dataset_file(struct run *run, struct bd_error *error)
{
	char *file = NULL;
	if (asprintf(&file, "%s.yaml", run->convert->name) < 0)
		return bd_error_set(error, -ENOMEM, "no memory");
	int status = bd_output_set_name(run->set, bd_output_set_count(run->set) - 1, file, error);
	free(file);
	return status;
}

static int write_dataset_file(struct run *run, struct bd_error *error)
{
	const struct bd_convert *convert = run->convert;
	struct bd_dataset_text text = {
		.name = convert->name,
		.shards = run->result.shards,
		.records = run->result.records,
		.list = convert->list,
		.record = &run->record,
		.channels = convert->channels,
		.mean = convert->mean,
		.scale = convert->scale,
	};
	if (!run->mixed)
		text.shape = run->shape;
	if (!text.channels)
		text.channels = run->shape.channels == 1 ? "grey" : "rgb";
	if (text.mean && strchr(text.mean, ',') && !strcmp(text.channels, "grey"))
		return bd_error_set(error, -EINVAL, "--mean: grey pictures have one mean, not three: '%s'", text.mean);
	int fd = -1, status = bd_output_set_add(run->set, &fd, error);
	if (!status)
		status = name_dataset_file(run, error);
	if (status)
		return status;
	int copy = dup(fd);
	FILE *stream = copy < 0 ? NULL : fdopen(copy, "w");
	if (!stream) {
		if (copy >= 0)
			close(copy);
		return bd_error_set(error, -errno, "cannot write the dataset file: %s", strerror(errno));
	}
	status = bd_dataset_text_write(&text, stream, error);
	if (fclose(stream) != 0 && !status)
		status = bd_error_set(error, -errno, "cannot write the dataset file: %s", strerror(errno));
	return status;
}

/* With the earlier files out of the way until the new ones are whole. */
static int publish(struct run *run, struct bd_error *error)
{
	struct bd_error why = { 0 };
	int status = run->convert->force ? bd_earlier_set_move(run->earlier, error) : 0;
	if (!status)
		status = bd_output_set_publish(run->set, error);
	if (!status)
		status = bd_earlier_set_commit(run->earlier, error);
	if (status)
		return status;
	bd_output_set_keep(run->set);
	if (bd_earlier_set_drop(run->earlier, &why))
		fprintf(stderr, "tfrecord convert: the replaced files are still there, the next run removes them: %s\n", why.text);
	return 0;
}

static int finish(struct run *run, struct bd_error *error)
{
	const struct bd_convert *convert = run->convert;
	if (!run->result.records)
		return bd_error_set(error, -EBADMSG, "none of the %zu pictures could be read", convert->list->count);
	int status = bd_shard_writer_end(run->writer, convert->name, &run->result.shards, &run->result.bytes, error);
	if (!status)
		status = write_dataset_file(run, error);
	status = name_output(run, status, error);
	if (!status && convert->interrupted && *convert->interrupted)
		status = interrupted(error);
	return status ? status : publish(run, error);
}

/* The new files are gone; the earlier ones come back, or the text says where they are. */
static void restore(struct run *run, struct bd_error *error)
{
	struct bd_error why = { 0 };
	if (!run->earlier || !bd_earlier_set_restore(run->earlier, &why))
		return;
	struct bd_error first = *error;
	bd_error_set(error, first.code, "%s; %s", first.text, why.text);
}

int bd_convert_run(const struct bd_convert *convert, struct bd_convert_result *ret_result, struct bd_error *error)
{
	struct run run = { .convert = convert, .record = convert->record };
	struct bd_error own;
	error = error ? error : &own; /* the reason for what is left out is told, whether or not the caller asks */
	int status = start(&run, error);
	if (!status)
		status = convert_all(&run, error);
	bd_progress_finish(run.progress);
	bd_convert_pool_destroy(run.pool);
	if (!status)
		status = finish(&run, error);
	bd_shard_writer_destroy(run.writer);
	bd_output_set_destroy(run.set);
	if (status)
		restore(&run, error);
	bd_earlier_set_destroy(run.earlier);
	free(run.order);
	if (!status)
		*ret_result = run.result;
	return status;
}
