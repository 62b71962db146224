#include "trainer/commands/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/progress.h"
#include "common/image/encode.h"
#include "common/record/dataset.h"
#include "trainer/commands/data_options.h"
#include "trainer/commands/interrupt.h"
#include "trainer/commands/picture_files.h"
#include "trainer/commands/trained_model.h"
#include "trainer/learning/evaluation.h"
#include "trainer/model/input_description.h"
#include "trainer/report/npy.h"
#include "trainer/report/prediction_line.h"
#include "trainer/report/prediction_sheet.h"

#define DEFAULT_BATCH 50
#define MAX_BATCH 65536
/* Pictures on a sheet: still one that a person looks at. */
#define SHEET_PICTURES 200

struct predict {
	/* the command line */
	struct bd_data_options data;
	struct bd_trained_model model;
	const char *dataset, *like, *sheet_path, *layer, *save_path, *model_file;
	const char *const *words; /* pictures */
	size_t word_count;
	uint64_t limit, batch;
	bool csv, force, json, quiet;
	/* what it becomes */
	const volatile int *stop;
	struct bd_picture_files files;
	struct bd_dataset *named; /* of --data: the files' names where its records are files */
	char *dataset_text, *description;
	char **classes;
	size_t class_count;
	struct bd_client *client;
	struct bd_feed *feed;
	struct bd_answers answers;
	struct bd_prediction_sheet *sheet;
	struct bd_npy_writer npy;
	bool npy_is_open, without_labels;
	float *outputs; /* (batch, width) */
	struct bd_progress *progress;
	struct bd_data_wait wait;
	uint64_t done, without_answer;
};

/* ---- command line ---- */

static int check_words(struct predict *predict, const struct bd_arguments *arguments, struct bd_error *error)
{
	predict->words = arguments->words;
	predict->word_count = arguments->word_count;
	if (!predict->model.folder) {
		if (arguments->word_count == 0)
			return bd_error_set(error, -EINVAL, "give --model-dir DIR or a MODEL.yaml first");
		predict->model_file = *predict->words++;
		predict->word_count--;
	}
	if (!predict->dataset && predict->word_count == 0)
		return bd_error_set(error, -EINVAL,
		                    "give pictures, folders of pictures, - (a list of them on standard input) or --data");
	if (predict->dataset && predict->word_count > 0)
		return bd_error_set(error, -EINVAL,
		                    "give pictures or --data, not both; --like DATASET.yaml says how pictures become the input");
	if ((predict->layer != NULL) != (predict->save_path != NULL))
		return bd_error_set(error, -EINVAL, "--output-layer NAME and --save FILE.npy go together");
	if ((predict->sheet_path && strcmp(predict->sheet_path, "-") == 0) ||
	    (predict->save_path && strcmp(predict->save_path, "-") == 0))
		return bd_error_set(error, -EINVAL, "--sheet and --save want a file, not -: standard output has the predictions");
	if (predict->sheet_path && !bd_picture_name_is_good(predict->sheet_path))
		return bd_error_set(error, -EINVAL, "--sheet %s: sheets are PNG or JPEG; give a name that ends in .png or .jpg",
		                    predict->sheet_path);
	if (predict->json && predict->csv)
		return bd_error_set(error, -EINVAL, "--json and --csv exclude each other");
	if (predict->layer && predict->csv)
		return bd_error_set(error, -EINVAL,
		                    "--csv writes what the model says, --output-layer wants a layer's numbers instead");
	return bd_trained_model_check(&predict->model, error);
}

enum { OPTIONS = 9 };

static void fill_options(struct predict *predict, struct bd_option ret_options[OPTIONS])
{
	const struct bd_option options[OPTIONS] = {
		{ .name = "data",
		  .kind = BD_OPTION_TEXT,
		  .value = &predict->dataset,
		  .argument = "TEST.yaml",
		  .help = "the records of a dataset instead of pictures" },
		{ .name = "limit",
		  .kind = BD_OPTION_U64,
		  .value = &predict->limit,
		  .argument = "N",
		  .minimum = 1,
		  .help = "only the first N" },
		{ .name = "like",
		  .kind = BD_OPTION_TEXT,
		  .value = &predict->like,
		  .argument = "DATASET.yaml",
		  .help = "how pictures become the model's input (default: DIR/" BD_INPUT_DESCRIPTION_NAME ")" },
		{ .name = "csv", .kind = BD_OPTION_FLAG, .value = &predict->csv, .help = "comma-separated lines with a heading" },
		{ .name = "sheet",
		  .kind = BD_OPTION_TEXT,
		  .value = &predict->sheet_path,
		  .argument = "FILE.png|FILE.jpg",
		  .help = "the pictures with what was predicted, as one picture (the first 200)" },
		{ .name = "output-layer",
		  .kind = BD_OPTION_TEXT,
		  .value = &predict->layer,
		  .argument = "NAME",
		  .help = "a layer whose output is wanted instead, for --save" },
		{ .name = "save",
		  .kind = BD_OPTION_TEXT,
		  .value = &predict->save_path,
		  .argument = "FILE.npy",
		  .help = "where that goes: float32 (records, …) in the order of the data" },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &predict->force, .help = "write over files that are there" },
		{ .name = "batch",
		  .kind = BD_OPTION_U64,
		  .value = &predict->batch,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_BATCH,
		  .help = "pictures at a time (default 50)" },
	};
	memcpy(ret_options, options, sizeof options);
}

static int parse(struct predict *predict, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	struct bd_option options[OPTIONS];
	fill_options(predict, options);
	bd_data_options_init(&predict->data);
	bd_trained_model_init(&predict->model);
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "predict",
		.usage = "--model-dir DIR | MODEL.yaml   PICTURE|FOLDER|-… | --data TEST.yaml [options]",
		.summary =
			"What a trained model says about pictures or about the records of a dataset. - reads paths from standard "
			"input, one a line.",
		.groups = { { NULL, options, OPTIONS },
		            { "Model", predict->model.options, BD_TRAINED_MODEL_OPTION_COUNT },
		            { "Daemon", predict->data.options, BD_DATA_OPTION_COUNT } },
		.maximum_words = SIZE_MAX,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	predict->json = ret_arguments->json;
	predict->quiet = ret_arguments->quiet;
	r = check_words(predict, ret_arguments, &error);
	if (r == 0)
		return -1;
	bd_arguments_finish(ret_arguments);
	return bd_usage_error(&command, &error);
}

/* ---- data ---- */

/* The description of the pictures: --like, else the model directory's, else none. */
static int find_description(struct predict *predict, struct bd_error *error)
{
	if (predict->like) {
		predict->description = strdup(predict->like);
	} else if (predict->model.folder) {
		predict->description = bd_path_join(predict->model.folder, BD_INPUT_DESCRIPTION_NAME);
		if (predict->description && access(predict->description, F_OK) < 0) {
			free(predict->description);
			predict->description = NULL;
			return 0;
		}
	} else {
		return 0;
	}
	if (!predict->description)
		return bd_error_set(error, -ENOMEM, "no memory for a path");
	return bd_input_description_classes(predict->description, &predict->classes, &predict->class_count, error);
}

static int request_files(struct predict *predict, struct bd_stream_request *request, struct bd_error *error)
{
	const struct bd_model *model = &predict->model.file.model;
	int r = bd_picture_files_find(predict->words, predict->word_count, &predict->files, error);
	if (r < 0)
		return r;
	size_t count = predict->limit && predict->limit < predict->files.count ? (size_t)predict->limit : predict->files.count;
	r = bd_input_description_files(predict->description, (const char *const *)predict->files.absolute, count, model->height,
	                               model->width, model->channels, &predict->dataset_text, error);
	request->dataset = "pictures";
	request->dataset_text = predict->dataset_text;
	request->dataset_folder = "/";
	return r;
}

/* Records of image folders have names; those of shards do not, and a daemon's dataset is not ours to read. */
static void find_names(struct predict *predict)
{
	struct bd_error ignored;
	if (access(predict->dataset, F_OK) < 0 || bd_dataset_load(predict->dataset, &predict->named, &ignored) < 0)
		predict->named = NULL;
	if (predict->named && predict->named->source == BD_SOURCE_TFRECORD) {
		bd_dataset_destroy(predict->named);
		predict->named = NULL;
	}
}

static const char *name_of(const struct predict *predict, uint64_t record)
{
	if (predict->files.count)
		return record < predict->files.count ? predict->files.shown[record] : NULL;
	return predict->named && record < predict->named->path_count ? predict->named->paths[record] : NULL;
}

/*
 * The pictures must be made as in training. Labels take the model's numbers where their names are known to it; data with other classes
 * can be predicted all the same, and its labels are then left out: their numbers would mean something else.
 */
static int match_data(struct predict *predict, struct bd_error *error)
{
	struct bd_error other = { 0 };
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(predict->feed));
	int64_t *numbers = NULL;
	if (!predict->model.match)
		return 0;
	int r = predict->data.allow_other_preprocessing
	                ? 0
	                : bd_data_match_check(predict->model.match, predict->dataset, schema, error);
	if (r < 0)
		return r;
	if (bd_data_match_numbers(predict->model.match, predict->dataset, schema, &numbers, &other) == 0)
		return bd_feed_renumber_take(predict->feed, (uint32_t)predict->batch, numbers, schema->class_count, error);
	predict->without_labels = true;
	if (!predict->quiet)
		fprintf(stderr, "batchtrain: %s; its labels are left out\n", other.text);
	return 0;
}

static int open_data(struct predict *predict, struct bd_error *error)
{
	const struct bd_model *model = &predict->model.file.model;
	const struct bd_feed_shape shape = {
		.height = model->height, .width = model->width, .channels = model->channels, .output = predict->model.network.output
	};
	struct bd_stream_request request;
	bd_data_request_once(&request, predict->dataset, (uint32_t)predict->batch);
	predict->wait = (struct bd_data_wait){ .progress = &predict->progress, .quiet = predict->quiet };
	bd_data_request_wait(&request, &predict->wait);
	int r = predict->dataset ? 0 : request_files(predict, &request, error);
	if (predict->dataset)
		find_names(predict);
	if (r == 0)
		r = bd_data_options_connect(&predict->data, predict->dataset, &predict->client, error);
	if (r == 0)
		r = bd_feed_open(predict->client, &request, &shape, &predict->feed, error);
	if (r < 0)
		return r;
	bd_data_print_notes(predict->feed, predict->quiet);
	if (predict->dataset && !predict->like)
		r = match_data(predict, error);
	if (r < 0)
		return r;
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(predict->feed));
	/* The model's own names, in the order of its outputs; --like says how pictures are made, not what the outputs mean. */
	size_t class_count;
	const char *const *classes = bd_data_match_classes(predict->model.match, &class_count);
	if (class_count == 0) {
		classes = predict->class_count ? (const char *const *)predict->classes : schema->classes;
		class_count = predict->class_count ? predict->class_count : schema->class_count;
	}
	predict->answers = bd_answers_of(&predict->model.file, &predict->model.network, classes, class_count);
	if (predict->sheet_path)
		r = bd_prediction_sheet_create(schema, &predict->answers, SHEET_PICTURES, &predict->sheet, error);
	return r;
}

/* ---- the pass ---- */

static int say_row(struct predict *predict, const struct bd_feed_batch *batch, uint32_t row, struct bd_error *error)
{
	const float *output = predict->outputs + row * predict->answers.width;
	const struct bd_prediction_line line = {
		.answers = &predict->answers,
		.name = name_of(predict, batch->records[row]),
		.record = batch->records[row],
		.label = batch->targets.classes && predict->model.network.places == 1 && !predict->without_labels
		                 ? &batch->targets.classes[row]
		                 : NULL,
		.output = output,
	};
	predict->without_answer += !bd_prediction_line_is_answer(&line);
	if (predict->sheet) {
		int r = bd_prediction_sheet_add(predict->sheet, batch, row, output, error);
		if (r < 0)
			return r;
	}
	if (predict->layer)
		return 0;
	if (predict->json)
		return bd_json_print_line(stdout, bd_prediction_line_json(&line), error);
	if (predict->csv)
		bd_prediction_line_print_csv(&line);
	else
		bd_prediction_line_print(&line);
	return 0;
}

/* The last layer's output is what the model file says, also where the graph ends at the logits. */
static bool is_last_layer(const struct predict *predict)
{
	const struct bd_model *model = &predict->model.file.model;
	return strcmp(model->layers[model->layer_count - 1].name, predict->layer) == 0;
}

static int save_layer(struct predict *predict, uint32_t rows, struct bd_error *error)
{
	struct bd_shape shape;
	const float *values = bd_graph_layer_output(predict->model.network.graph, predict->layer, &shape);
	if (!values)
		return bd_error_set(error, -EINVAL, "layer '%s' is done together with its neighbour: its output is not kept",
		                    predict->layer);
	if (!predict->npy_is_open) {
		int r = bd_npy_writer_open(&predict->npy, predict->save_path, predict->force, &shape, error);
		if (r < 0)
			return r;
		predict->npy_is_open = true;
	}
	return bd_npy_writer_add(&predict->npy, is_last_layer(predict) ? predict->outputs : values, rows, error);
}

static int predict_batch(struct predict *predict, struct bd_feed_batch *batch, struct bd_error *error)
{
	const struct bd_network *network = &predict->model.network;
	if (predict->limit && batch->rows > predict->limit - predict->done)
		batch->rows = (uint32_t)(predict->limit - predict->done);
	if (batch->rows == 0)
		return 0;
	const float *outputs = bd_network_forward(network, batch, false, 0);
	memcpy(predict->outputs, outputs, (size_t)batch->rows * network->width * sizeof *outputs);
	bd_network_probabilities(network, predict->outputs, batch->rows);
	int r = predict->layer ? save_layer(predict, batch->rows, error) : 0;
	for (uint32_t i = 0; r == 0 && i < batch->rows; i++)
		r = say_row(predict, batch, i, error);
	predict->done += batch->rows;
	bd_progress_update(predict->progress, predict->done, NULL);
	return r;
}

static int predict_all(struct predict *predict, struct bd_error *error)
{
	struct bd_feed_batch batch;
	int r = 0;
	while (!predict->limit || predict->done < predict->limit) {
		r = bd_feed_next(predict->feed, predict->stop, &batch, error);
		if (r < 0)
			break;
		r = predict_batch(predict, &batch, error);
		bd_feed_release(predict->feed);
		if (r < 0)
			return r;
	}
	return r == -ENODATA ? 0 : r;
}

/* Pictures that could not be read, each a line; the others were answered. Returns their number. */
static size_t say_unreadable(struct predict *predict)
{
	struct bd_quarantine_entry entries[64];
	struct bd_error ignored;
	size_t all = 0, count = 0;
	while (bd_stream_quarantine(bd_feed_stream(predict->feed), all, entries, 64, &count, &ignored) == 0 && count > 0) {
		for (size_t i = 0; i < count; i++) {
			const char *name = name_of(predict, entries[i].record);
			fprintf(stderr, "batchtrain: %s: %s\n", name ? name : entries[i].file, entries[i].reason);
		}
		all += count;
	}
	return all;
}

/* What --output-layer gives a program instead of predictions. */
static int say_saved(const struct predict *predict, struct bd_error *error)
{
	json_t *object = json_object();
	json_object_set_new(object, "layer", bd_json_text(predict->layer, strlen(predict->layer)));
	json_object_set_new(object, "output", bd_json_text(predict->save_path, strlen(predict->save_path)));
	json_object_set_new(object, "records", json_integer((json_int_t)predict->done));
	return bd_json_print_line(stdout, object, error);
}

static int run(struct predict *predict, struct bd_error *error)
{
	int r = bd_trained_model_load(&predict->model, predict->model_file, (uint32_t)predict->batch,
	                              (uint32_t)predict->data.threads, predict->layer, error);
	if (r == 0)
		r = find_description(predict, error);
	if (r == 0)
		r = open_data(predict, error);
	if (r < 0)
		return r;
	predict->outputs = calloc((size_t)predict->batch * predict->model.network.width, sizeof *predict->outputs);
	if (!predict->outputs)
		return bd_error_set(error, -ENOMEM, "no memory for a batch of outputs");
	if (predict->csv)
		bd_prediction_print_heading(&predict->answers);
	uint64_t records = bd_feed_records(predict->feed),
		 total = predict->limit && predict->limit < records ? predict->limit : records;
	predict->progress = bd_progress_create("predict", total, "pictures",
	                                       predict->quiet || (!predict->layer && isatty(STDOUT_FILENO)));
	r = predict_all(predict, error);
	bd_progress_finish(predict->progress);
	if (r == 0 && predict->npy_is_open) {
		predict->npy_is_open = false;
		r = bd_npy_writer_commit(&predict->npy, error);
	}
	if (r == 0 && predict->layer && predict->json)
		r = say_saved(predict, error);
	if (r == 0 && predict->without_answer > 0)
		r = bd_error_set(error, -EDOM,
		                 "%" PRIu64 " of %" PRIu64
		                 " outputs are no finite numbers: the weights are no good (--checkpoint best or STEP takes "
		                 "others), or the data holds such numbers",
		                 predict->without_answer, predict->done);
	if (r == 0 && predict->sheet)
		r = bd_prediction_sheet_write(predict->sheet, predict->sheet_path, error);
	if (r == 0 && predict->files.count && say_unreadable(predict) + predict->files.refused > 0)
		r = bd_error_set(error, -EBADMSG, "%" PRIu64 " of %" PRIu64 " pictures were answered; the others cannot be read",
		                 predict->done, total + predict->files.refused);
	return r;
}

static int check_outputs(const struct predict *predict, struct bd_error *error)
{
	const char *const paths[] = { predict->sheet_path, predict->save_path };
	for (size_t i = 0; i < 2; i++) {
		if (paths[i] && !predict->force && access(paths[i], F_OK) == 0)
			return bd_error_set(error, -EEXIST, "%s: is there already; --force writes over it", paths[i]);
	}
	return 0;
}

static void finish(struct predict *predict)
{
	if (predict->npy_is_open)
		bd_npy_writer_abandon(&predict->npy);
	bd_prediction_sheet_destroy(predict->sheet);
	bd_feed_close(predict->feed);
	bd_client_close(predict->client);
	bd_dataset_destroy(predict->named);
	bd_picture_files_finish(&predict->files);
	bd_classes_free(predict->classes, predict->class_count);
	free(predict->dataset_text);
	free(predict->description);
	free(predict->outputs);
	bd_trained_model_finish(&predict->model);
}

int bd_predict_command(int argc, char **argv)
{
	static struct predict predict;
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	predict = (struct predict){ .batch = DEFAULT_BATCH };
	int status = parse(&predict, argc, argv, &arguments);
	if (status >= 0)
		return status;
	predict.stop = bd_interrupt_watch();
	int r = check_outputs(&predict, &error);
	if (r == 0)
		r = run(&predict, &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	finish(&predict);
	bd_arguments_finish(&arguments);
	return status;
}
