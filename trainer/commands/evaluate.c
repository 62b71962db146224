#include "trainer/commands/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/progress.h"
#include "trainer/commands/data_options.h"
#include "trainer/commands/interrupt.h"
#include "trainer/commands/trained_model.h"
#include "trainer/learning/evaluation.h"
#include "trainer/report/training_report.h"

/* Rows of a batch: enough to keep every processor busy, little memory. */
#define DEFAULT_BATCH 50
#define MAX_BATCH 65536

struct evaluate {
	struct bd_data_options data;
	struct bd_trained_model model;
	const char *dataset;
	uint64_t batch;
	bool wants_confusion, augments, json, quiet;
	const volatile int *stop;
	struct bd_client *client;
	struct bd_feed *feed;
	struct bd_metric_set metrics;
	struct bd_confusion confusion;
	struct bd_progress *progress;
	struct bd_data_wait wait;
	uint64_t done;
	struct bd_evaluation evaluation;
};

static int parse(struct evaluate *evaluate, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	const struct bd_option options[] = {
		{ .name = "data",
		  .kind = BD_OPTION_TEXT,
		  .value = &evaluate->dataset,
		  .argument = "TEST.yaml",
		  .help = "the dataset" },
		{ .name = "batch",
		  .kind = BD_OPTION_U64,
		  .value = &evaluate->batch,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_BATCH,
		  .help = "records at a time (default 50)" },
		{ .name = "augment",
		  .kind = BD_OPTION_FLAG,
		  .value = &evaluate->augments,
		  .help = "with the dataset file's random crops and flips, which are otherwise training's alone" },
		{ .name = "confusion",
		  .kind = BD_OPTION_FLAG,
		  .value = &evaluate->wants_confusion,
		  .help = "also the confusion matrix: a row for each class, a column for each answer" },
	};
	bd_data_options_init(&evaluate->data);
	bd_trained_model_init(&evaluate->model);
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "evaluate",
		.usage = "--model-dir DIR | MODEL.yaml --data TEST.yaml [options]",
		.summary = "Loss and metrics of a trained model on a dataset.",
		.groups = { { NULL, options, sizeof options / sizeof *options },
		            { "Model", evaluate->model.options, BD_TRAINED_MODEL_OPTION_COUNT },
		            { "Daemon", evaluate->data.options, BD_DATA_OPTION_COUNT } },
		.maximum_words = 1,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	if (!evaluate->dataset)
		r = bd_error_set(&error, -EINVAL, "--data is missing: the dataset to evaluate on");
	else if ((evaluate->model.folder != NULL) == (ret_arguments->word_count == 1))
		r = bd_error_set(&error, -EINVAL, "give --model-dir DIR or one MODEL.yaml");
	else
		r = bd_trained_model_check(&evaluate->model, &error);
	evaluate->json = ret_arguments->json;
	evaluate->quiet = ret_arguments->quiet;
	if (r == 0)
		return -1;
	bd_arguments_finish(ret_arguments);
	return bd_usage_error(&command, &error);
}

static void watch(void *context, const struct bd_feed_batch *batch, const float *outputs)
{
	struct evaluate *evaluate = context;
	evaluate->done += batch->rows;
	if (evaluate->wants_confusion)
		bd_confusion_update(&evaluate->confusion, outputs, &batch->targets, batch->rows * evaluate->model.network.places);
	bd_progress_update(evaluate->progress, evaluate->done, NULL);
}

static int open_data(struct evaluate *evaluate, struct bd_error *error)
{
	const struct bd_model *model = &evaluate->model.file.model;
	const struct bd_network *network = &evaluate->model.network;
	const struct bd_feed_shape shape = { .height = model->height,
		                             .width = model->width,
		                             .channels = model->channels,
		                             .output = network->output,
		                             .wants_labels = true };
	struct bd_stream_request request;
	bd_data_request_once(&request, evaluate->dataset, (uint32_t)evaluate->batch);
	request.spec.augment = evaluate->augments ? BD_AUGMENT_ON : BD_AUGMENT_OFF;
	evaluate->wait = (struct bd_data_wait){ .progress = &evaluate->progress, .quiet = evaluate->quiet };
	bd_data_request_wait(&request, &evaluate->wait);
	int r = bd_data_options_connect(&evaluate->data, evaluate->dataset, &evaluate->client, error);
	if (r == 0)
		r = bd_feed_open(evaluate->client, &request, &shape, &evaluate->feed, error);
	if (r == 0)
		bd_data_print_notes(evaluate->feed, evaluate->quiet);
	if (r == 0)
		r = bd_data_options_match(&evaluate->data, evaluate->model.match, evaluate->dataset, (uint32_t)evaluate->batch,
		                          evaluate->feed, error);
	return r < 0 ? r : bd_loss_check(&network->loss, network->classes, bd_feed_has_classes(evaluate->feed), error);
}

static int run(struct evaluate *evaluate, const char *model_file, struct bd_error *error)
{
	struct bd_network *network = &evaluate->model.network;
	int r = bd_trained_model_load(&evaluate->model, model_file, (uint32_t)evaluate->batch, (uint32_t)evaluate->data.threads,
	                              NULL, error);
	if (r == 0 && !network->has_loss)
		r = bd_error_set(error, -EINVAL, "%s: the model has no loss", evaluate->model.path);
	if (r == 0)
		r = bd_metric_set_init(&evaluate->model.file.training, network, &evaluate->metrics, error);
	if (r == 0 && evaluate->wants_confusion)
		r = bd_confusion_init(&evaluate->confusion, &network->loss, network->classes, error);
	if (r == 0)
		r = open_data(evaluate, error);
	if (r < 0)
		return r;
	evaluate->progress = bd_progress_create("evaluate", bd_feed_records(evaluate->feed), "records", evaluate->quiet);
	r = bd_evaluate(network, evaluate->feed, &evaluate->metrics, evaluate->stop, watch, evaluate, &evaluate->evaluation, error);
	bd_progress_finish(evaluate->progress);
	return r;
}

static json_t *confusion_json(const struct bd_confusion *confusion)
{
	json_t *rows = json_array();
	for (size_t truth = 0; truth < confusion->classes; truth++) {
		json_t *row = json_array();
		for (size_t said = 0; said < confusion->classes; said++)
			json_array_append_new(row, json_integer((json_int_t)confusion->counts[truth * confusion->classes + said]));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* The model's names, whose numbers the labels have; else the data's. */
static const char *const *class_names(const struct evaluate *evaluate, size_t *ret_count)
{
	const char *const *names = bd_data_match_classes(evaluate->model.match, ret_count);
	if (*ret_count > 0)
		return names;
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(evaluate->feed));
	*ret_count = schema->class_count;
	return schema->classes;
}

static json_t *classes_json(const char *const *classes, size_t count)
{
	json_t *names = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(names, bd_json_text(classes[i], strlen(classes[i])));
	return names;
}

static void print_for_people(const struct evaluate *evaluate)
{
	size_t class_count;
	const char *const *classes = class_names(evaluate, &class_count);
	const struct bd_confusion *confusion = &evaluate->confusion;
	printf("%" PRIu64 " records: loss %.4f", evaluate->evaluation.records, evaluate->evaluation.loss);
	for (size_t i = 0; i < evaluate->metrics.count; i++)
		printf(", %s %.4f", bd_metric_name(evaluate->metrics.metrics[i]), evaluate->evaluation.metrics[i]);
	printf("\n");
	for (size_t truth = 0; evaluate->wants_confusion && truth < confusion->classes; truth++) {
		if (truth < class_count)
			printf("%s was taken for:", classes[truth]);
		else
			printf("class %zu was taken for:", truth);
		for (size_t said = 0; said < confusion->classes; said++)
			printf(" %" PRIu64, confusion->counts[truth * confusion->classes + said]);
		printf("\n");
	}
}

static int give_result(const struct evaluate *evaluate, struct bd_error *error)
{
	if (!evaluate->json) {
		print_for_people(evaluate);
		return 0;
	}
	json_t *object = bd_evaluation_json(&evaluate->evaluation, &evaluate->metrics);
	if (evaluate->model.folder)
		json_object_set_new(object, "step", json_integer((json_int_t)evaluate->model.step));
	if (evaluate->wants_confusion) {
		size_t class_count;
		const char *const *classes = class_names(evaluate, &class_count);
		json_object_set_new(object, "confusion", confusion_json(&evaluate->confusion));
		if (class_count > 0)
			json_object_set_new(object, "classes", classes_json(classes, class_count));
	}
	return bd_json_print_line(stdout, object, error);
}

int bd_evaluate_command(int argc, char **argv)
{
	static struct evaluate evaluate;
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	evaluate = (struct evaluate){ .batch = DEFAULT_BATCH };
	int status = parse(&evaluate, argc, argv, &arguments);
	if (status >= 0)
		return status;
	evaluate.stop = bd_interrupt_watch();
	int r = run(&evaluate, arguments.word_count ? arguments.words[0] : NULL, &error);
	if (r == 0)
		r = give_result(&evaluate, &error);
	if (r == 0 && evaluate.evaluation.fault[0])
		r = bd_error_set(&error, -EDOM, "%s: the loss is no finite number: %s", evaluate.dataset,
		                 evaluate.evaluation.fault);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	bd_feed_close(evaluate.feed);
	bd_client_close(evaluate.client);
	bd_metric_set_finish(&evaluate.metrics);
	bd_confusion_finish(&evaluate.confusion);
	bd_trained_model_finish(&evaluate.model);
	bd_arguments_finish(&arguments);
	return status;
}
