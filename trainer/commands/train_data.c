#include "trainer/commands/train.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "trainer/model/input_description.h"

/* Features kept in memory where --memory says nothing: 30,000 records of VGG16's 8192 floats. */
#define DEFAULT_CACHE_BYTES (UINT64_C(1) << 30)

static void say_away(struct bd_train *train, const char *what, uint64_t limit_s)
{
	char text[128];
	if (!bd_data_notice_away(&train->away, what, limit_s, text, sizeof text) || train->quiet)
		return;
	bd_progress_clear(train->progress);
	if (train->report)
		bd_training_report_say(train->report, "%s", text);
	else
		fprintf(stderr, "batchtrain: %s\n", text);
}

static void show_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
	struct bd_train *train = context;
	if (strcmp(what, BD_PROGRESS_RECONNECTING) == 0) {
		say_away(train, what, total);
		return;
	}
	if (total == 0)
		return;
	if (!train->progress)
		train->progress = bd_progress_create(what, total, "bytes", train->quiet);
	bd_progress_set_total(train->progress, total);
	bd_progress_update(train->progress, done, NULL);
}

void bd_train_end_progress(struct bd_train *train)
{
	bd_progress_finish(train->progress);
	train->progress = NULL;
}

int bd_train_open(struct bd_train *train, const struct bd_stream_request *request, struct bd_feed **ret_feed,
                  struct bd_error *error)
{
	const struct bd_model *model = &train->file.model;
	const struct bd_feed_shape shape = { .height = model->height,
		                             .width = model->width,
		                             .channels = model->channels,
		                             .output = train->network.output,
		                             .wants_labels = true };
	int r = bd_feed_open(train->client, request, &shape, ret_feed, error);
	bd_train_end_progress(train);
	if (r < 0)
		return r;
	r = bd_data_options_match(&train->data, train->match, request->dataset, request->spec.batch, *ret_feed, error);
	if (r == 0)
		r = bd_loss_check(&train->network.loss, train->network.classes, bd_feed_has_classes(*ret_feed), error);
	if (r < 0) {
		bd_feed_close(*ret_feed);
		*ret_feed = NULL;
	}
	return r;
}

static int open_once(struct bd_train *train, const char *dataset, struct bd_feed **ret_feed, struct bd_error *error)
{
	struct bd_stream_request request;
	bd_data_request_once(&request, dataset, train->spec.batch);
	request.spec.slots = train->spec.slots;
	if (dataset == train->train_data)
		request.spec.augment = train->spec.augment;
	request.on_progress = show_progress;
	request.context = train;
	return bd_train_open(train, &request, ret_feed, error);
}

/*
 * What the model is trained on, for later evaluations and predictions. A run that goes on keeps its data.yaml; where its pictures may be
 * made otherwise now, it is written anew with the model's own names and order of classes.
 */
static int describe(struct bd_train *train, const struct bd_feed *feed, struct bd_error *error)
{
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(feed));
	size_t class_count;
	const char *const *classes = bd_data_match_classes(train->match, &class_count);
	int r = 0;
	if (class_count == 0) {
		classes = schema->classes;
		class_count = schema->class_count;
	}
	if (!train->match || train->data.allow_other_preprocessing)
		r = bd_input_description_of(schema, classes, class_count, &train->description, error);
	if (r == 0 && !train->match)
		r = bd_data_match_create(train->train_data, train->description, &train->match, error);
	return r == 0 && train->eval_data ? bd_train_check_evaluation(train, error) : r;
}

static int open_training(struct bd_train *train, struct bd_error *error)
{
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = train->train_data;
	request.spec = train->spec;
	request.spec.start_epoch = train->loop.state.epoch;
	request.spec.start_batch = train->loop.state.batch;
	request.on_progress = show_progress;
	request.context = train;
	int r = bd_train_open(train, &request, &train->feed, error);
	if (r < 0)
		return r;
	bd_data_print_notes(train->feed, train->quiet);
	return describe(train, train->feed, error);
}

/* Weights in front of the first trained one are what the cache saves. */
static bool has_frozen_base(const struct bd_train *train)
{
	const struct bd_network *network = &train->network;
	return network->parameter_count > 0 && !network->parameters[0]->trainable && !network->parameters[0]->gradient;
}

static void show_features(void *context, uint64_t done)
{
	bd_progress_update(((struct bd_train *)context)->progress, done, NULL);
}

/* One pass over a dataset through the frozen part. */
static int fill_cache(struct bd_train *train, const char *dataset, struct bd_feature_cache *ret_cache, struct bd_error *error)
{
	struct bd_feed *feed = NULL;
	uint64_t memory = train->data.memory_bytes ? train->data.memory_bytes : DEFAULT_CACHE_BYTES;
	if (!has_frozen_base(train))
		return bd_error_set(error, -EINVAL, "--cache-features: the model has no frozen base; set 'trainable: false'");
	int r = open_once(train, dataset, &feed, error);
	if (r < 0)
		return r;
	r = bd_feature_cache_check(bd_stream_schema(bd_feed_stream(feed)), error);
	if (r == 0 && dataset == train->train_data) {
		bd_data_print_notes(feed, train->quiet);
		r = describe(train, feed, error);
	}
	if (r == 0) {
		train->progress = bd_progress_create("features", bd_feed_records(feed), "records", train->quiet);
		r = bd_feature_cache_fill(feed, train->network.graph, train->network.width, train->network.places, memory,
		                          train->folder.path, train->stop, show_features, train, ret_cache, error);
		bd_train_end_progress(train);
	}
	if (r == 0)
		ret_cache->dataset = strdup(dataset); /* for messages only */
	bd_feed_close(feed);
	return r;
}

static int open_cached(struct bd_train *train, struct bd_error *error)
{
	struct bd_stream_spec spec = train->spec;
	spec.start_epoch = train->loop.state.epoch;
	spec.start_batch = train->loop.state.batch;
	int r = fill_cache(train, train->train_data, &train->train_cache, error);
	return r < 0 ? r : bd_feed_of_cache(&train->train_cache, &spec, &train->feed, error);
}

int bd_train_open_data(struct bd_train *train, struct bd_error *error)
{
	return train->cache_features ? open_cached(train, error) : open_training(train, error);
}

int bd_train_check_evaluation(struct bd_train *train, struct bd_error *error)
{
	struct bd_stream_request request;
	struct bd_feed *feed = NULL;
	bd_data_request_once(&request, train->eval_data, 1);
	request.on_progress = show_progress;
	request.context = train;
	int r = bd_train_open(train, &request, &feed, error);
	if (r == 0)
		bd_data_print_notes(feed, train->quiet);
	bd_feed_close(feed);
	return r;
}

int bd_train_open_evaluation(void *context, struct bd_feed **ret_feed, struct bd_error *error)
{
	struct bd_train *train = context;
	struct bd_stream_request request;
	if (!train->cache_features)
		return open_once(train, train->eval_data, ret_feed, error);
	if (!train->eval_cache.features) {
		int r = fill_cache(train, train->eval_data, &train->eval_cache, error);
		if (r < 0)
			return r;
	}
	bd_data_request_once(&request, train->eval_data, train->spec.batch);
	return bd_feed_of_cache(&train->eval_cache, &request.spec, ret_feed, error);
}
