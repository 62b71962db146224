#include "common/stream/messages.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream/spec.h"

/* ---- spec ---- */

void bd_spec_to_message(const struct bd_stream_spec *spec, Batchd__StreamSpec *ret_message)
{
	batchd__stream_spec__init(ret_message);
	ret_message->batch = spec->batch;
	ret_message->shuffle = (uint32_t)spec->shuffle;
	ret_message->window = spec->window;
	ret_message->seed = spec->seed;
	ret_message->epochs = spec->epochs;
	ret_message->remainder = (uint32_t)spec->remainder;
	ret_message->rank = spec->rank;
	ret_message->world = spec->world;
	ret_message->share_group = (char *)spec->share_group;
	ret_message->share_start = spec->share_start;
	ret_message->share_timeout_ns = spec->share_timeout_ns;
	ret_message->slots = spec->slots;
	ret_message->cache_bytes = spec->cache_bytes;
	ret_message->augment = (uint32_t)spec->augment;
}

int bd_spec_from_message(const Batchd__StreamSpec *message, struct bd_stream_spec *ret_spec, struct bd_error *error)
{
	if (message->shuffle > BD_SHUFFLE_GLOBAL || message->remainder > BD_REMAINDER_CARRY || message->augment > BD_AUGMENT_OFF)
		return bd_error_set(error, -EINVAL,
		                    "shuffle %" PRIu32 ", remainder %" PRIu32 " or augment %" PRIu32 " is not known to this daemon",
		                    message->shuffle, message->remainder, message->augment);
	if (strlen(message->share_group) >= BD_SHARE_GROUP_BYTES)
		return bd_error_set(error, -EINVAL, "share_group: longer than %d bytes", BD_SHARE_GROUP_BYTES - 1);
	struct bd_stream_spec spec = {
		.batch = message->batch,
		.shuffle = (enum bd_shuffle)message->shuffle,
		.window = message->window,
		.seed = message->seed,
		.epochs = message->epochs,
		.remainder = (enum bd_remainder)message->remainder,
		.rank = message->rank,
		.world = message->world,
		.share_start = message->share_start,
		.share_timeout_ns = message->share_timeout_ns,
		.slots = message->slots,
		.cache_bytes = message->cache_bytes,
		.augment = (enum bd_augment)message->augment,
	};
	snprintf(spec.share_group, sizeof spec.share_group, "%s", message->share_group);
	*ret_spec = spec;
	return 0;
}

/* ---- schema, out ---- */

#define ARRAYS_PER_PAGE 64
#define CLASSES_PER_PAGE 2048
/* Tags and lengths of one array or class, generously. */
#define ENTRY_OVERHEAD_BYTES 96

static size_t array_bytes(const struct bd_array_schema *array)
{
	return strlen(array->name) + (array->image ? strlen(array->image) : 0) + ENTRY_OVERHEAD_BYTES;
}

typedef int (*send_schema)(void *context, const Batchd__Schema *message, struct bd_error *error);

static int send_arrays(const struct bd_schema *schema, send_schema send, void *context, struct bd_error *error)
{
	Batchd__Array arrays[ARRAYS_PER_PAGE], *pointers[ARRAYS_PER_PAGE];
	Batchd__Schema page = BATCHD__SCHEMA__INIT;
	page.arrays = pointers;
	size_t bytes = 0;
	for (size_t i = 0; i < schema->array_count; i++) {
		const struct bd_array_schema *from = &schema->arrays[i];
		if (page.n_arrays == ARRAYS_PER_PAGE || (page.n_arrays > 0 && bytes + array_bytes(from) > BD_WIRE_PAGE_BYTES)) {
			int result = send(context, &page, error);
			if (result < 0)
				return result;
			page.n_arrays = bytes = 0;
		}
		Batchd__Array *to = pointers[page.n_arrays] = &arrays[page.n_arrays];
		batchd__array__init(to);
		to->name = (char *)from->name;
		to->dtype = (uint32_t)from->dtype;
		to->n_shape = from->rank;
		to->shape = (int64_t *)from->shape;
		if (from->image)
			to->image = (char *)from->image;
		page.n_arrays++;
		bytes += array_bytes(from);
	}
	return page.n_arrays ? send(context, &page, error) : 0;
}

static int send_classes(const struct bd_schema *schema, send_schema send, void *context, struct bd_error *error)
{
	Batchd__Schema page = BATCHD__SCHEMA__INIT;
	for (size_t i = 0; i < schema->class_count;) {
		size_t bytes = 0;
		page.classes = (char **)schema->classes + i;
		page.n_classes = 0;
		do
			bytes += strlen(schema->classes[i + page.n_classes++]) + ENTRY_OVERHEAD_BYTES;
		while (i + page.n_classes < schema->class_count && page.n_classes < CLASSES_PER_PAGE &&
		       bytes + strlen(schema->classes[i + page.n_classes]) + ENTRY_OVERHEAD_BYTES <= BD_WIRE_PAGE_BYTES);
		int result = send(context, &page, error);
		if (result < 0)
			return result;
		i += page.n_classes;
	}
	return 0;
}

/* A note that is too long is for the log only. */
static int send_notes(const struct bd_schema *schema, send_schema send, void *context, struct bd_error *error)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < schema->note_count && i < BD_WIRE_MAX_NOTES; i++) {
		char *note = (char *)schema->notes[i];
		Batchd__Schema page = BATCHD__SCHEMA__INIT;
		page.notes = &note;
		page.n_notes = 1;
		if (strlen(note) + ENTRY_OVERHEAD_BYTES <= BD_WIRE_PAGE_BYTES)
			result = send(context, &page, error);
	}
	return result;
}

int bd_schema_to_messages(const struct bd_schema *schema,
                          int (*send)(void *context, const Batchd__Schema *message, struct bd_error *error), void *context,
                          struct bd_error *error)
{
	int result = send_arrays(schema, send, context, error);
	if (result == 0)
		result = send_classes(schema, send, context, error);
	return result < 0 ? result : send_notes(schema, send, context, error);
}

/* ---- schema, in ---- */

static int add_array(struct bd_owned_schema *owned, const Batchd__Array *from, struct bd_error *error)
{
	size_t count = owned->schema.array_count;
	if (count == BD_WIRE_MAX_ARRAYS || from->n_shape == 0 || from->n_shape > BD_MAX_RANK ||
	    bd_dtype_bytes((enum bd_dtype)from->dtype) == 0)
		return bd_error_set(error, -EPROTO, "the daemon's schema: array '%s' has dtype %" PRIu32 " and rank %zu",
		                    from->name, from->dtype, from->n_shape);
	struct bd_array_schema *arrays = realloc(owned->arrays, (count + 1) * sizeof *arrays);
	if (!arrays)
		return bd_error_set(error, -ENOMEM, "out of memory");
	owned->schema.arrays = owned->arrays = arrays;
	struct bd_array_schema *to = &arrays[count];
	*to = (struct bd_array_schema){ .dtype = (enum bd_dtype)from->dtype, .rank = (uint32_t)from->n_shape };
	memcpy(to->shape, from->shape, from->n_shape * sizeof to->shape[0]);
	to->name = strdup(from->name);
	to->image = from->image[0] ? strdup(from->image) : NULL;
	owned->schema.array_count++;
	if (!to->name || (from->image[0] && !to->image))
		return bd_error_set(error, -ENOMEM, "out of memory");
	return 0;
}

/* Appends copies of `added` to the list, whose count follows each. */
static int add_texts(char ***list, size_t *count, char *const *added, size_t added_count, struct bd_error *error)
{
	if (!added_count)
		return 0;
	char **texts = realloc(*list, (*count + added_count) * sizeof *texts);
	if (!texts)
		return bd_error_set(error, -ENOMEM, "out of memory");
	*list = texts;
	for (size_t i = 0; i < added_count; i++) {
		texts[*count] = strdup(added[i]);
		if (!texts[*count])
			return bd_error_set(error, -ENOMEM, "out of memory");
		++*count;
	}
	return 0;
}

static int add_classes(struct bd_owned_schema *owned, const Batchd__Schema *message, struct bd_error *error)
{
	if (message->n_classes > BD_WIRE_MAX_CLASSES - owned->schema.class_count)
		return bd_error_set(error, -EPROTO, "the daemon's schema: more than %u classes", BD_WIRE_MAX_CLASSES);
	int result = add_texts(&owned->classes, &owned->schema.class_count, message->classes, message->n_classes, error);
	owned->schema.classes = (const char *const *)owned->classes;
	return result;
}

static int add_notes(struct bd_owned_schema *owned, const Batchd__Schema *message, struct bd_error *error)
{
	if (message->n_notes > BD_WIRE_MAX_NOTES - owned->schema.note_count)
		return bd_error_set(error, -EPROTO, "the daemon's schema: more than %u notes", BD_WIRE_MAX_NOTES);
	int result = add_texts(&owned->notes, &owned->schema.note_count, message->notes, message->n_notes, error);
	owned->schema.notes = (const char *const *)owned->notes;
	return result;
}

int bd_owned_schema_add(struct bd_owned_schema *owned, const Batchd__Schema *message, struct bd_error *error)
{
	for (size_t i = 0; i < message->n_arrays; i++) {
		int result = add_array(owned, message->arrays[i], error);
		if (result < 0)
			return result;
	}
	int result = add_classes(owned, message, error);
	return result < 0 ? result : add_notes(owned, message, error);
}

void bd_owned_schema_finish(struct bd_owned_schema *owned)
{
	for (size_t i = 0; i < owned->schema.array_count; i++) {
		free((char *)owned->arrays[i].name);
		free((char *)owned->arrays[i].image);
	}
	for (size_t i = 0; i < owned->schema.class_count; i++)
		free(owned->classes[i]);
	for (size_t i = 0; i < owned->schema.note_count; i++)
		free(owned->notes[i]);
	free(owned->notes);
	free(owned->arrays);
	free(owned->classes);
	*owned = (struct bd_owned_schema){ .arrays = NULL };
}

/* ---- figures ---- */

#define COPY_TEXT(to, from) ((void)snprintf(to, sizeof(to), "%s", from))

void bd_stream_info_from_message(const Batchd__StreamInfo *message, struct bd_stream_info *ret_info)
{
	struct bd_stream_info info = {
		.id = message->id,
		.consumers = message->consumers,
		.slots = message->slots,
		.slots_filled = message->slots_filled,
		.records_per_epoch = message->records_per_epoch,
		.batches = message->batches,
		.records = message->records,
		.bytes = message->bytes,
		.skipped = message->skipped,
		.disk_ns = message->disk_ns,
		.decode_ns = message->decode_ns,
		.ring_full_ns = message->ring_full_ns,
		.ring_empty_ns = message->ring_empty_ns,
		.memory_bytes = message->memory_bytes,
		.cache_hits = message->cache_hits,
		.cache_misses = message->cache_misses,
		.records_per_s = message->records_per_s,
	};
	COPY_TEXT(info.dataset, message->dataset);
	COPY_TEXT(info.user, message->user);
	COPY_TEXT(info.state, message->state);
	COPY_TEXT(info.bottleneck, message->bottleneck);
	for (size_t i = 0; i < message->n_members && info.member_count < BD_STREAM_MEMBERS; i++) {
		info.members[info.member_count].pid = message->members[i]->pid;
		COPY_TEXT(info.members[info.member_count].user, message->members[i]->user);
		info.member_count++;
	}
	if (message->position) {
		info.epoch = message->position->epoch;
		info.position = message->position->batch;
	}
	if (message->spec) {
		info.batch = message->spec->batch;
		info.epochs = message->spec->epochs;
		COPY_TEXT(info.share_group, message->spec->share_group);
		COPY_TEXT(info.shuffle, bd_shuffle_name((enum bd_shuffle)message->spec->shuffle));
	}
	*ret_info = info;
}

void bd_dataset_info_from_message(const Batchd__Dataset *message, struct bd_dataset_info *ret_info)
{
	struct bd_dataset_info info = { .name = "" };
	COPY_TEXT(info.name, message->name);
	COPY_TEXT(info.file, message->file);
	*ret_info = info;
}

void bd_status_from_message(const Batchd__Status *message, struct bd_daemon_status *ret_status)
{
	struct bd_daemon_status status = {
		.pid = message->pid,
		.uptime_s = message->uptime_s,
		.streams = message->streams,
		.sessions = message->sessions,
		.memory_used_bytes = message->memory_used_bytes,
		.memory_limit_bytes = message->memory_limit_bytes,
		.peak_rss_bytes = message->peak_rss_bytes,
		.draining = message->draining,
	};
	COPY_TEXT(status.version, message->version);
	*ret_status = status;
}
