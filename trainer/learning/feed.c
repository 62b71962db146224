#include "trainer/learning/feed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/stream/order.h"
#include "trainer/learning/record_names.h"

enum target_kind {
	NO_TARGET,
	CLASSES, /* int64 (rows) as they lie */
	VALUES, /* float32 (rows, width) as they lie */
	CONVERTED, /* int64 (rows, width) copied to floats */
};

struct bd_feed {
	enum target_kind target_kind;
	size_t output_width; /* values of one record's output */
	size_t places; /* class numbers of one record: one for a vector, one a pixel for a picture */
	float *converted; /* (batch, output_width) for CONVERTED, and for VALUES that are renumbered */
	int64_t *numbers; /* the model's number of each class of the data; NULL: the same */
	size_t number_count;
	int64_t *renumbered; /* (batch, places) for CLASSES that are renumbered */
	uint64_t records;
	struct bd_record_names *names; /* NULL without memory */
	uint64_t waited_ns;
	struct {
		struct bd_stream *stream;
		struct bd_batch batch;
		bool held;
		size_t image, label; /* indexes of the arrays */
	} stream;
	struct {
		const struct bd_feature_cache *cache;
		struct bd_order order;
		struct bd_order_position position;
		float *features; /* (batch, width of the features) */
		float *values; /* (batch, output_width) */
		int64_t *classes; /* (batch, places) */
		uint64_t *numbers; /* (batch) */
	} cached;
};

/* ---- schema ---- */

static const struct bd_array_schema *find_array(const struct bd_schema *schema, const char *name, size_t *ret_index)
{
	for (size_t i = 0; i < schema->array_count; i++) {
		if (strcmp(schema->arrays[i].name, name) == 0) {
			*ret_index = i;
			return &schema->arrays[i];
		}
	}
	return NULL;
}

static void describe(const struct bd_array_schema *array, char *text, size_t size)
{
	size_t length = 0;
	text[0] = 0;
	for (uint32_t i = 1; i < array->rank && length + 24 < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, i > 1 ? "x" : "", array->shape[i]);
	if (array->rank <= 1)
		snprintf(text, size, "one number");
}

static int check_image(const struct bd_schema *schema, const struct bd_feed_shape *shape, size_t *ret_index, struct bd_error *error)
{
	const struct bd_array_schema *image = find_array(schema, "image", ret_index);
	if (!image) {
		size_t index;
		if (find_array(schema, "image.values", &index))
			return bd_error_set(error, -EINVAL,
			                    "the data's feature 'image' is bytes of any length; give it type: image");
		return bd_error_set(error, -EINVAL, "the data has no feature 'image', which is the model's input");
	}
	if (image->dtype == BD_INT64)
		return bd_error_set(error, -EINVAL, "the data's feature 'image' is int64; a model's input is a picture or floats");
	if (image->rank == 4 && image->shape[1] == shape->height && image->shape[2] == shape->width &&
	    image->shape[3] == shape->channels)
		return 0;
	if (image->rank == 4 && image->shape[1] == shape->channels && image->shape[2] == shape->height &&
	    image->shape[3] == shape->width)
		return bd_error_set(error, -EINVAL, "the data's pictures are laid out nchw; batchtrain reads 'layout: nhwc'");
	if (image->rank == 2 && shape->height == 1 && shape->width == 1 && image->shape[1] == shape->channels)
		return 0;
	char text[128];
	describe(image, text, sizeof text);
	return bd_error_set(error, -EINVAL,
	                    "the data's pictures are %s, the model's input is %ux%ux%u; set resize or channels in the dataset file",
	                    text, shape->height, shape->width, shape->channels);
}

/* The label's shape without the batch and without a last axis of 1 is `rank` dimensions of the output's. */
static bool label_has(const struct bd_array_schema *label, const struct bd_shape *output, int rank)
{
	int own = (int)label->rank - 1;
	if (own == rank + 1 && label->shape[own] == 1)
		own--;
	if (own != rank)
		return false;
	for (int i = 0; i < rank; i++)
		if (label->shape[i + 1] != output->dims[i])
			return false;
	return true;
}

static int refuse_label(const struct bd_array_schema *label, const struct bd_shape *output, struct bd_error *error)
{
	char text[128], wanted[64];
	describe(label, text, sizeof text);
	bd_shape_format(output, wanted, sizeof wanted);
	return bd_error_set(
		error, -EINVAL,
		"the data's label is %s of %s, the model's output is %s; it takes class numbers (int64, one%s) or numbers of "
		"the output's shape",
		text,
		label->dtype == BD_INT64     ? "int64"
		: label->dtype == BD_FLOAT32 ? "float32"
					     : "uint8",
		wanted, output->rank == 3 ? " for each pixel" : "");
}

static int check_label(const struct bd_schema *schema, const struct bd_shape *output, struct bd_feed *feed, bool wanted,
                       struct bd_error *error)
{
	const struct bd_array_schema *label = find_array(schema, "label", &feed->stream.label);
	if (!label && !wanted)
		return 0;
	if (!label)
		return bd_error_set(error, -EINVAL, "the data has no feature 'label', which is the model's target");
	bool one = label_has(label, output, output->rank - 1);
	bool full = label_has(label, output, output->rank) || (one && bd_shape_channels(output) == 1);
	if (label->dtype == BD_INT64 && one)
		feed->target_kind = CLASSES;
	else if (label->dtype == BD_INT64 && full)
		feed->target_kind = CONVERTED;
	else if (label->dtype == BD_FLOAT32 && full)
		feed->target_kind = VALUES;
	else if (wanted)
		return refuse_label(label, output, error);
	return 0;
}

int bd_feed_open(struct bd_client *client, const struct bd_stream_request *request, const struct bd_feed_shape *shape,
                 struct bd_feed **ret_feed, struct bd_error *error)
{
	struct bd_feed *feed = calloc(1, sizeof *feed);
	if (!feed)
		return bd_error_set(error, -ENOMEM, "no memory for a stream");
	feed->output_width = (size_t)bd_shape_count(&shape->output);
	feed->places = feed->output_width / (size_t)bd_shape_channels(&shape->output);
	struct bd_stream_request interruptible = *request;
	interruptible.interruptible = true;
	int r = bd_stream_open(client, &interruptible, &feed->stream.stream, error);
	if (r < 0)
		goto fail;
	const struct bd_schema *schema = bd_stream_schema(feed->stream.stream);
	feed->records = schema->records;
	feed->names = bd_record_names_create(request->dataset_text ? NULL : request->dataset, feed->records);
	r = check_image(schema, shape, &feed->stream.image, error);
	if (r == 0)
		r = check_label(schema, &shape->output, feed, shape->wants_labels, error);
	if (r < 0) {
		bd_error_prefix(error, "%s", request->dataset);
		goto fail;
	}
	if (feed->target_kind == CONVERTED) {
		feed->converted = calloc((size_t)request->spec.batch * feed->output_width, sizeof *feed->converted);
		if (!feed->converted) {
			r = bd_error_set(error, -ENOMEM, "no memory for a batch of targets");
			goto fail;
		}
	}
	*ret_feed = feed;
	return 0;
fail:
	bd_feed_close(feed);
	return r;
}

int bd_feed_of_cache(const struct bd_feature_cache *cache, const struct bd_stream_spec *spec, struct bd_feed **ret_feed,
                     struct bd_error *error)
{
	struct bd_feed *feed = calloc(1, sizeof *feed);
	if (!feed)
		return bd_error_set(error, -ENOMEM, "no memory for a stream");
	size_t batch = spec->batch;
	feed->records = cache->records;
	feed->names = bd_record_names_create(cache->dataset, feed->records);
	feed->output_width = cache->target_width;
	feed->places = cache->places;
	feed->target_kind = cache->classes ? CLASSES : cache->values ? VALUES : NO_TARGET;
	feed->cached.cache = cache;
	feed->cached.position = (struct bd_order_position){ spec->start_epoch, spec->start_batch };
	feed->cached.features = aligned_alloc(64, (batch * cache->width * sizeof(float) + 63) / 64 * 64);
	feed->cached.values = calloc(batch * (cache->target_width ? cache->target_width : 1), sizeof(float));
	feed->cached.classes = calloc(batch * (cache->places ? cache->places : 1), sizeof(int64_t));
	feed->cached.numbers = calloc(batch, sizeof(uint64_t));
	int r;
	if (!feed->cached.features || !feed->cached.values || !feed->cached.classes || !feed->cached.numbers)
		r = bd_error_set(error, -ENOMEM, "no memory for a batch of features");
	else
		r = bd_order_init(&feed->cached.order, cache->records, spec, error);
	if (r < 0) {
		bd_feed_close(feed);
		return r;
	}
	*ret_feed = feed;
	return 0;
}

void bd_feed_close(struct bd_feed *feed)
{
	if (!feed)
		return;
	bd_feed_release(feed);
	bd_stream_close(feed->stream.stream);
	bd_record_names_destroy(feed->names);
	free(feed->converted);
	free(feed->numbers);
	free(feed->renumbered);
	free(feed->cached.features);
	free(feed->cached.values);
	free(feed->cached.classes);
	free(feed->cached.numbers);
	free(feed);
}

struct bd_stream *bd_feed_stream(const struct bd_feed *feed)
{
	return feed->stream.stream;
}

int bd_feed_renumber_take(struct bd_feed *feed, uint32_t batch, int64_t *numbers, size_t count, struct bd_error *error)
{
	free(feed->numbers);
	feed->numbers = numbers;
	feed->number_count = count;
	if (!numbers || feed->target_kind == NO_TARGET)
		return 0;
	size_t columns = feed->output_width / feed->places;
	if (feed->target_kind == CLASSES) {
		feed->renumbered = calloc((size_t)batch * feed->places, sizeof *feed->renumbered);
		return feed->renumbered ? 0 : bd_error_set(error, -ENOMEM, "no memory for a batch of labels");
	}
	if (columns < 2)
		return bd_error_set(
			error, -EINVAL,
			"the classes stand in another order than the model's, and labels that are one float cannot be given other "
			"numbers; let the data list its classes in the model's order");
	if (!feed->converted)
		feed->converted = calloc((size_t)batch * feed->output_width, sizeof *feed->converted);
	return feed->converted ? 0 : bd_error_set(error, -ENOMEM, "no memory for a batch of labels");
}

bool bd_feed_has_classes(const struct bd_feed *feed)
{
	return feed->target_kind == CLASSES;
}

uint64_t bd_feed_records(const struct bd_feed *feed)
{
	return feed->records;
}

void bd_feed_name_record(struct bd_feed *feed, uint64_t record, char *text, size_t size)
{
	bd_record_names_format(feed->names, record, text, size);
}

uint64_t bd_feed_waited_ns(const struct bd_feed *feed)
{
	return feed->waited_ns;
}

/* ---- batches of a stream ---- */

static int renumber_classes(struct bd_feed *feed, const struct bd_batch *batch, const int64_t *label, struct bd_error *error)
{
	char name[BD_RECORD_NAME_BYTES];
	for (size_t i = 0; i < (size_t)batch->rows * feed->places; i++) {
		if (label[i] < 0 || label[i] >= (int64_t)feed->number_count) {
			bd_feed_name_record(feed, batch->records[i / feed->places], name, sizeof name);
			return bd_error_set(error, -ERANGE, "%s: label %" PRId64 " lies outside 0..%zu, the data's classes", name,
			                    label[i], feed->number_count - 1);
		}
		feed->renumbered[i] = feed->numbers[label[i]];
	}
	return 0;
}

/* The columns of one-hot labels; those of classes that the data does not have are 0. */
static void renumber_columns(struct bd_feed *feed, const struct bd_batch *batch, const void *label, bool is_float)
{
	size_t columns = feed->output_width / feed->places;
	for (size_t row = 0; row < (size_t)batch->rows * feed->places; row++) {
		float *to = feed->converted + row * columns;
		memset(to, 0, columns * sizeof *to);
		for (size_t i = 0; i < feed->number_count && i < columns; i++)
			if (feed->numbers[i] < (int64_t)columns)
				to[feed->numbers[i]] = is_float ? ((const float *)label)[row * columns + i]
				                                : (float)((const int64_t *)label)[row * columns + i];
	}
}

static int set_targets(struct bd_feed *feed, const struct bd_batch *batch, struct bd_targets *targets, struct bd_error *error)
{
	const void *label = feed->target_kind == NO_TARGET ? NULL : batch->arrays[feed->stream.label].data;
	int r = 0;
	*targets = (struct bd_targets){ 0 };
	switch (feed->target_kind) {
	case NO_TARGET:
		break;
	case CLASSES:
		if (feed->numbers)
			r = renumber_classes(feed, batch, label, error);
		targets->classes = feed->numbers ? feed->renumbered : label;
		break;
	case VALUES:
		if (feed->numbers)
			renumber_columns(feed, batch, label, true);
		targets->values = feed->numbers ? feed->converted : label;
		break;
	case CONVERTED:
		if (feed->numbers)
			renumber_columns(feed, batch, label, false);
		for (size_t i = 0; !feed->numbers && i < (size_t)batch->rows * feed->output_width; i++)
			feed->converted[i] = (float)((const int64_t *)label)[i];
		targets->values = feed->converted;
		break;
	}
	return r;
}

static int next_of_stream(struct bd_feed *feed, const volatile int *stop, struct bd_feed_batch *ret_batch, struct bd_error *error)
{
	struct bd_batch *batch = &feed->stream.batch;
	int r;
	do {
		r = bd_stream_next(feed->stream.stream, -1, batch, error);
	} while (r == -EINTR && !(stop && *stop));
	if (r < 0)
		return r;
	feed->stream.held = true;
	const struct bd_array *image = &batch->arrays[feed->stream.image];
	*ret_batch = (struct bd_feed_batch){
		.epoch = batch->epoch,
		.batch = batch->batch,
		.next_epoch = batch->next_epoch,
		.next_batch = batch->next_batch,
		.rows = batch->rows,
		.records = batch->records,
		.input = { .data = image->data,
		           .dtype = image->dtype == BD_UINT8 ? BD_GRAPH_UINT8 : BD_GRAPH_FLOAT32,
		           .row_bytes = (size_t)image->strides_bytes[0],
		           .scale = 1 },
	};
	return set_targets(feed, batch, &ret_batch->targets, error);
}

/* ---- batches of a cache ---- */

static void gather_row(struct bd_feed *feed, uint32_t row, uint64_t record)
{
	const struct bd_feature_cache *cache = feed->cached.cache;
	memcpy(feed->cached.features + row * cache->width, cache->features + record * cache->width, cache->width * sizeof(float));
	feed->cached.numbers[row] = record;
	if (cache->classes)
		memcpy(feed->cached.classes + row * cache->places, cache->classes + record * cache->places,
		       cache->places * sizeof *cache->classes);
	if (cache->values)
		memcpy(feed->cached.values + row * cache->target_width, cache->values + record * cache->target_width,
		       cache->target_width * sizeof(float));
}

static int next_of_cache(struct bd_feed *feed, struct bd_feed_batch *ret_batch, struct bd_error *error)
{
	struct bd_order_batch batch;
	struct bd_order_position next;
	int r = bd_order_batch_at(&feed->cached.order, feed->cached.position, &batch, &next);
	if (r == -ENODATA)
		return r;
	if (r < 0)
		return bd_error_set(error, r, "there is no batch %" PRIu64 " in epoch %" PRIu64, feed->cached.position.batch,
		                    feed->cached.position.epoch);
	uint32_t rows = 0;
	for (uint32_t i = 0; i < batch.rows; i++) {
		uint64_t epoch, record;
		bd_order_row(&feed->cached.order, &batch, i, &epoch, &record);
		if (feed->cached.cache->present[record])
			gather_row(feed, rows++, record);
	}
	feed->cached.position = next;
	*ret_batch = (struct bd_feed_batch){
		.epoch = batch.epoch,
		.batch = batch.batch,
		.next_epoch = next.epoch,
		.next_batch = next.batch,
		.rows = rows,
		.records = feed->cached.numbers,
		.features = feed->cached.features,
		.targets = { .classes = feed->target_kind == CLASSES ? feed->cached.classes : NULL,
		             .values = feed->target_kind == VALUES ? feed->cached.values : NULL },
	};
	return 0;
}

int bd_feed_next(struct bd_feed *feed, const volatile int *stop, struct bd_feed_batch *ret_batch, struct bd_error *error)
{
	uint64_t start = bd_now_ns();
	int r = stop && *stop        ? -EINTR
	        : feed->cached.cache ? next_of_cache(feed, ret_batch, error)
	                             : next_of_stream(feed, stop, ret_batch, error);
	feed->waited_ns += bd_now_ns() - start;
	return r;
}

void bd_feed_release(struct bd_feed *feed)
{
	if (feed->stream.held)
		bd_stream_release(feed->stream.stream, &feed->stream.batch);
	feed->stream.held = false;
}
