#include "trainer/commands/commands.h"
#include "trainer/commands/train.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/notes.h"
#include "common/base/options.h"
#include "common/record/dataset.h"
#include "trainer/commands/interrupt.h"
#include "trainer/model/architecture.h"
#include "trainer/model/base_pixels.h"
#include "trainer/model/input_description.h"

/* As the estimator's and the tutorial's batches. */
#define DEFAULT_BATCH 20
#define DEFAULT_REPORT_EVERY 100
#define DEFAULT_KEEP 5
#define MAX_KEEP 100000
/* More than anyone lives to see, and far from where sums of steps would overflow. */
#define MAX_STEPS (UINT64_C(1) << 48)

static const char *const on_nan_names[] = { "stop", "skip", NULL };

/* ---- command line ---- */

/* Options that would do nothing without another one. */
static int check_combinations(const struct bd_train *train, struct bd_error *error)
{
	if (!train->eval_data && (train->patience > 0 || train->eval_every_given || train->best))
		return bd_error_set(error, -EINVAL, "--%s needs --eval-data TEST.yaml",
		                    train->patience > 0       ? "early-stopping"
		                    : train->eval_every_given ? "eval-every"
		                                              : "best");
	if (train->cache_features && (train->spec.share_group[0] || train->spec.cache_bytes > 0))
		return bd_error_set(error, -EINVAL,
		                    "--%s does nothing with --cache-features, which reads the data once and keeps what it needs",
		                    train->spec.share_group[0] ? "share-group" : "cache");
	return 0;
}

static int check(const struct bd_train *train, struct bd_error *error)
{
	if (!train->train_data)
		return bd_error_set(error, -EINVAL, "--data is missing: the dataset to train on");
	if (!train->model_dir)
		return bd_error_set(error, -EINVAL, "--model-dir is missing: where checkpoints and events go");
	if (train->steps == 0 && train->spec.epochs == 0)
		return bd_error_set(error, -EINVAL, "--steps or --epochs is missing: how long to train");
	return check_combinations(train, error);
}

enum { RUN_OPTIONS = 8, RHYTHM_OPTIONS = 6 };

static void fill_run_options(struct bd_train *train, struct bd_option ret_options[RUN_OPTIONS])
{
	const struct bd_option options[RUN_OPTIONS] = {
		{ .name = "data",
		  .kind = BD_OPTION_TEXT,
		  .value = &train->train_data,
		  .argument = "TRAIN.yaml",
		  .help = "the dataset to train on" },
		{ .name = "eval-data",
		  .kind = BD_OPTION_TEXT,
		  .value = &train->eval_data,
		  .argument = "TEST.yaml",
		  .help = "the dataset to evaluate on" },
		{ .name = "model-dir",
		  .kind = BD_OPTION_TEXT,
		  .value = &train->model_dir,
		  .argument = "DIR",
		  .help = "checkpoints, events and the model; training goes on from the newest checkpoint" },
		{ .name = "steps",
		  .kind = BD_OPTION_U64,
		  .value = &train->steps,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_STEPS,
		  .help = "steps in all, those of earlier runs included" },
		{ .name = "fresh",
		  .kind = BD_OPTION_FLAG,
		  .value = &train->fresh,
		  .help = "begin anew: delete the model directory's checkpoints and events" },
		{ .name = "cache-features",
		  .kind = BD_OPTION_FLAG,
		  .value = &train->cache_features,
		  .help = "compute a frozen base's output once a record and keep it: in memory within --memory (default 1GiB), "
		          "else in the model directory" },
		{ .name = "on-nan",
		  .kind = BD_OPTION_CHOICE,
		  .value = &train->on_nan,
		  .choices = on_nan_names,
		  .argument = "stop|skip",
		  .help = "when the loss is NaN or infinite: stop, or leave the batch out" },
		{ .name = "exact-convolutions",
		  .kind = BD_OPTION_FLAG,
		  .value = &train->exact,
		  .help = "no Winograd: slower, rounding errors a few times smaller" },
	};
	memcpy(ret_options, options, sizeof options);
}

static void fill_rhythm_options(struct bd_train *train, struct bd_option ret_options[RHYTHM_OPTIONS])
{
	const struct bd_option options[RHYTHM_OPTIONS] = {
		{ .name = "report-every",
		  .kind = BD_OPTION_U64,
		  .value = &train->report_every,
		  .argument = "STEPS",
		  .minimum = 1,
		  .maximum = MAX_STEPS,
		  .help = "loss and metrics since the last report (default 100)" },
		{ .name = "eval-every",
		  .kind = BD_OPTION_U64,
		  .value = &train->eval_every,
		  .given = &train->eval_every_given,
		  .argument = "STEPS",
		  .minimum = 1,
		  .maximum = MAX_STEPS,
		  .help = "evaluate on --eval-data (default: once an epoch)" },
		{ .name = "checkpoint-every",
		  .kind = BD_OPTION_U64,
		  .value = &train->checkpoint_every,
		  .given = &train->checkpoint_every_given,
		  .argument = "STEPS",
		  .minimum = 1,
		  .maximum = MAX_STEPS,
		  .help = "save a checkpoint (default: once an epoch)" },
		{ .name = "keep",
		  .kind = BD_OPTION_U64,
		  .value = &train->keep,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_KEEP,
		  .help = "newest checkpoints kept, beside the best (default 5)" },
		{ .name = "early-stopping",
		  .kind = BD_OPTION_U64,
		  .value = &train->patience,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_STEPS,
		  .help = "stop after N evaluations without a better one" },
		{ .name = "best",
		  .kind = BD_OPTION_TEXT,
		  .value = &train->best,
		  .argument = "loss|METRIC",
		  .help = "what makes an evaluation the best (default loss)" },
	};
	memcpy(ret_options, options, sizeof options);
}

static int parse(struct bd_train *train, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	static const char *const without[] = { "start", "rank", "world", NULL };
	struct bd_option run[RUN_OPTIONS], rhythm[RHYTHM_OPTIONS];
	fill_run_options(train, run);
	fill_rhythm_options(train, rhythm);
	bd_data_options_init(&train->data);
	bd_stream_options_init(&train->stream, &train->spec, without);
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "train",
		.usage = "MODEL.yaml --data TRAIN.yaml --model-dir DIR (--steps N | --epochs N) [options]",
		.summary = "Trains a model; goes on from the model directory's newest checkpoint, exactly as if it had not been "
			   "stopped. "
			   "Ctrl-C saves a checkpoint first.",
		.groups = { { NULL, run, RUN_OPTIONS },
		            { "Reports, evaluations and checkpoints", rhythm, RHYTHM_OPTIONS },
		            { "Daemon", train->data.options, BD_DATA_OPTION_COUNT },
		            { "Stream options", train->stream.options, train->stream.count } },
		.minimum_words = 1,
		.maximum_words = 1,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	r = bd_stream_options_apply(&train->stream, &error);
	if (r == 0)
		r = check(train, &error);
	train->model_path = ret_arguments->words ? ret_arguments->words[0] : NULL;
	train->json = ret_arguments->json;
	train->quiet = ret_arguments->quiet;
	if (r < 0) {
		bd_arguments_finish(ret_arguments);
		return bd_usage_error(&command, &error);
	}
	return -1;
}

/* ---- one run ---- */

static int find_best_metric(struct bd_train *train, struct bd_error *error)
{
	train->loop.options.best_metric = -1;
	if (!train->best || strcmp(train->best, "loss") == 0)
		return 0;
	for (size_t i = 0; i < train->evaluation_metrics.count; i++) {
		if (strcmp(bd_metric_name(train->evaluation_metrics.metrics[i]), train->best) == 0) {
			train->loop.options.best_metric = (int)i;
			return 0;
		}
	}
	return bd_error_set(error, -EINVAL, "--best %s: the model has no such metric; give loss, or add it to 'metrics:' of %s",
	                    train->best, train->model_path);
}

static int build(struct bd_train *train, struct bd_error *error)
{
	const struct bd_network_options options = { .batch = train->spec.batch,
		                                    .threads = (uint32_t)train->data.threads,
		                                    .training = true,
		                                    .exact = train->exact,
		                                    .seed = train->spec.seed };
	int r = bd_model_file_load(train->model_path, &train->file, error);
	if (r == 0 && !train->file.training.has_loss)
		r = bd_error_set(error, -EINVAL, "%s: the model has no loss; for two classes add 'loss: binary_crossentropy'",
		                 train->model_path);
	if (r == 0)
		r = bd_network_init(&train->file, &options, &train->network, error);
	if (r == 0)
		r = bd_optimizer_create(&train->file.training.optimizer, train->network.parameters, train->network.parameter_count,
		                        &train->optimizer, error);
	if (r == 0)
		r = bd_metric_set_init(&train->file.training, &train->network, &train->window_metrics, error);
	if (r == 0)
		r = bd_metric_set_init(&train->file.training, &train->network, &train->evaluation_metrics, error);
	return r < 0 ? r : find_best_metric(train, error);
}

/* The model that the directory's checkpoints are of must be this one: they know names and shapes of weights, and nothing else of it. */
static int check_architecture(const struct bd_train *train, struct bd_error *error)
{
	struct bd_checkpoint_list list = { 0 };
	struct bd_model_file was = { 0 };
	char *path = bd_path_join(train->folder.path, BD_MODEL_FILE_NAME), text[256];
	int r = path ? bd_checkpoint_list(train->folder.path, &list, error) : bd_error_set(error, -ENOMEM, "no memory for a path");
	bool compares = r == 0 && list.count > 0 && access(path, F_OK) == 0;
	bd_checkpoint_list_finish(&list);
	if (compares)
		r = bd_model_file_load(path, &was, error);
	if (compares && r == 0 && bd_architecture_differs(&was.model, &train->file.model, text, sizeof text))
		r = bd_error_set(
			error, -EINVAL,
			"%s: %s in %s: its checkpoints are of another model; --fresh begins anew, another --model-dir keeps "
			"them, and 'weights: FILE' in the model file takes those that fit",
			train->model_path, text, path);
	bd_model_file_finish(&was);
	free(path);
	return r;
}

/*
 * Names in their order, without folders: data may move. A daemon's own dataset is not ours to read, and its reason comes with the stream; only
 * what this process lacks is an error, else the checkpoints would know nothing of the files.
 */
static int name_files(struct bd_train *train, struct bd_error *error)
{
	struct bd_dataset *dataset = NULL;
	struct bd_sha256 sha;
	if (access(train->train_data, F_OK) < 0)
		return 0;
	int r = bd_dataset_load(train->train_data, &dataset, error);
	if (r < 0)
		return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EIO ? r : 0;
	bd_sha256_init(&sha);
	for (size_t i = 0; i < dataset->path_count; i++) {
		const char *name = bd_path_base(dataset->paths[i]);
		bd_sha256_update(&sha, name, strlen(name) + 1);
	}
	bd_sha256_finish(&sha, train->saving.files);
	bd_dataset_destroy(dataset);
	return 0;
}

static void print_notes(struct bd_train *train)
{
	bd_notes_close(&train->notes);
	if (!train->quiet)
		bd_print_notes("batchtrain", (const char *const *)train->notes.texts, train->notes.count);
}

/* The newest checkpoint, or the first weights. --fresh looks for none; it deletes them when nothing can be refused any more. */
static int restore(struct bd_train *train, struct bd_error *error)
{
	int r = train->fresh ? 0 : check_architecture(train, error);
	if (r == 0)
		r = bd_saving_init(train->folder.path, &train->network, train->optimizer, (size_t)train->keep, &train->saving,
		                   error);
	if (r < 0)
		return r;
	train->saving.notes = &train->notes;
	r = name_files(train, error);
	if (r < 0)
		return r;
	bd_saving_set_order(&train->saving, &train->spec, train->spec.seed);
	train->saving.best_metric = !train->eval_data ? NULL : train->best ? train->best : "loss";
	r = train->fresh ? -ENOENT : bd_saving_load_newest(&train->saving, &train->loop.state, &train->window_metrics, error);
	train->loop.saved_step = r == 0 ? train->loop.state.step : UINT64_MAX;
	train->loop.good_step = UINT64_MAX;
	print_notes(train);
	if (r < 0)
		train->loop.state.last_loss = NAN;
	if (r == 0)
		r = bd_data_match_load(train->folder.path, &train->match, error);
	else if (r == -ENOENT)
		r = bd_network_load_weights(&train->network, &train->file, error);
	if (r < 0)
		return r;
	bd_optimizer_set_iterations(train->optimizer, train->loop.state.step);
	bd_graph_weights_changed(train->network.graph);
	return 0;
}

static bool is_over(const struct bd_train *train)
{
	const struct bd_loop_state *state = &train->loop.state;
	return (train->steps > 0 && state->step >= train->steps) || (train->spec.epochs > 0 && state->epoch >= train->spec.epochs);
}

static int open_data(struct bd_train *train, struct bd_error *error)
{
	train->data.keeps_features = train->cache_features;
	int r = bd_data_options_connect(&train->data, train->train_data, &train->client, error);
	if (r < 0)
		return r;
	if (is_over(train)) {
		train->loop.options.steps = train->loop.state.step;
		return 0;
	}
	r = bd_train_open_data(train, error);
	if (r < 0)
		return r;
	uint64_t records = bd_feed_records(train->feed);
	if (train->spec.remainder == BD_REMAINDER_DROP && records < train->spec.batch)
		return bd_error_set(error, -EINVAL,
		                    "%s: %" PRIu64 " records never fill a batch of %" PRIu32
		                    ": make --batch smaller or give --remainder short",
		                    train->train_data, records, train->spec.batch);
	return bd_saving_check_records(&train->saving, records, error);
}

static uint64_t total_steps(const struct bd_train *train, uint64_t per_epoch)
{
	uint64_t records = train->feed ? bd_feed_records(train->feed) : 0, of_epochs = 0;
	if (train->spec.epochs > 0 && train->spec.remainder == BD_REMAINDER_CARRY)
		of_epochs = (records * train->spec.epochs + train->spec.batch - 1) / train->spec.batch;
	else if (train->spec.epochs > 0)
		of_epochs = per_epoch * train->spec.epochs;
	return train->steps > 0 && (of_epochs == 0 || train->steps < of_epochs) ? train->steps : of_epochs;
}

/* Training does not depend on events: a full disk costs the curves, nothing else. */
static void begin_events(struct bd_train *train)
{
	struct bd_error error = { 0 };
	const char *evaluation = train->eval_data ? train->folder.evaluation_path : NULL;
	if (bd_training_events_create(train->folder.path, evaluation, train->loop.state.step, &train->events, &error) < 0)
		bd_training_report_say(train->report, "no events for TensorBoard: %s", error.text);
}

static void say_doubts(struct bd_train *train)
{
	char doubt[256];
	struct bd_image_options image;
	if (bd_data_match_image(train->match, &image) && bd_base_pixels_doubt(&train->file.model.base, &image, doubt, sizeof doubt))
		bd_training_report_say(train->report, "%s: %s", train->train_data, doubt);
	if (bd_network_doubt(&train->file, &train->network, doubt, sizeof doubt))
		bd_training_report_say(train->report, "%s: %s", train->model_path, doubt);
}

/* From here on the run is in the model directory: a run that is refused leaves that as it was. */
static int begin_folder(struct bd_train *train, struct bd_error *error)
{
	int r = train->fresh ? bd_model_folder_clear(&train->folder, error) : 0;
	if (r == 0)
		r = bd_model_folder_keep_model(&train->folder, train->model_path, error);
	if (r == 0 && train->description)
		r = bd_input_description_save(train->description, train->folder.path, error);
	if (r == 0)
		begin_events(train);
	return r;
}

/* --fresh: an older run stays until a batch of the new one was good. */
static int on_begun(void *context, const struct bd_loop *loop, struct bd_error *error)
{
	(void)loop;
	return begin_folder(context, error);
}

static int prepare_loop(struct bd_train *train, struct bd_error *error)
{
	struct bd_loop *loop = &train->loop;
	uint64_t records = train->feed ? bd_feed_records(train->feed) : 1;
	uint64_t in_last = train->spec.remainder == BD_REMAINDER_DROP ? 0 : train->spec.batch - 1;
	uint64_t per_epoch = bd_max_u64(1, (records + in_last) / train->spec.batch);
	int best_metric = loop->options.best_metric;
	if (!train->feed)
		train->steps = loop->state.step;
	loop->options = (struct bd_loop_options){
		.steps = train->steps,
		.report_every = train->report_every,
		.eval_every = train->eval_every_given ? train->eval_every : BD_LOOP_EACH_EPOCH,
		.checkpoint_every = train->checkpoint_every_given ? train->checkpoint_every : BD_LOOP_EACH_EPOCH,
		.patience = train->patience,
		.best_metric = best_metric,
		.on_nan = train->on_nan == 1 ? BD_ON_NAN_SKIP : BD_ON_NAN_STOP,
	};
	loop->hooks = bd_train_hooks(train);
	if (train->fresh)
		loop->hooks.begun = on_begun;
	loop->network = &train->network;
	loop->optimizer = train->optimizer;
	loop->feed = train->feed;
	loop->window_metrics = &train->window_metrics;
	loop->evaluation_metrics = &train->evaluation_metrics;
	loop->stop = train->stop;
	loop->gradient = calloc((size_t)train->spec.batch * train->network.width, sizeof *loop->gradient);
	if (!loop->gradient)
		return bd_error_set(error, -ENOMEM, "no memory for a batch of outputs");
	const struct bd_training_report_options options = { .json = train->json,
		                                            .quiet = train->quiet,
		                                            .total_steps = total_steps(train, per_epoch),
		                                            .first_step = loop->state.step };
	return bd_training_report_create(&options, &train->report, error);
}

static int give_result(struct bd_train *train, struct bd_error *error)
{
	struct rusage usage;
	struct bd_stream *stream = train->feed ? bd_feed_stream(train->feed) : NULL;
	struct bd_stream_statistics statistics = { 0 };
	struct bd_error ignored;
	if (stream && bd_stream_statistics(stream, &statistics, &ignored) < 0)
		statistics = (struct bd_stream_statistics){ 0 };
	getrusage(RUSAGE_SELF, &usage);
	const struct bd_training_result result = {
		.wall_s = (double)(bd_now_ns() - train->start_ns) * 1e-9,
		.peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024,
		.daemon_peak_rss_bytes = statistics.daemon_peak_rss_bytes,
		.skipped = statistics.skipped,
		.features_cached = train->cache_features,
	};
	return bd_training_report_result(train->report, &train->loop, &result, error);
}

/* All steps are done already, or --early-stopping ended the run. */
static bool has_nothing_to_do(const struct bd_train *train)
{
	return !train->feed || (train->patience > 0 && train->loop.state.evaluations_since_best >= train->patience);
}

static void say_interrupted(const struct bd_train *train)
{
	uint64_t step = train->loop.state.step, saved = train->loop.saved_step;
	if (saved == step)
		bd_training_report_say(train->report, "interrupted after step %" PRIu64 "; the same command goes on from there",
		                       step);
	else if (saved != UINT64_MAX)
		bd_training_report_say(train->report,
		                       "interrupted after step %" PRIu64
		                       ", which is not saved; the same command goes on from step %" PRIu64,
		                       step, saved);
	else
		bd_training_report_say(train->report, "interrupted after step %" PRIu64 "; nothing is saved", step);
}

static int run(struct bd_train *train, struct bd_error *error)
{
	int r = build(train, error);
	if (r == 0)
		r = bd_model_folder_open(train->model_dir, &train->folder, error);
	if (r == 0)
		r = restore(train, error);
	if (r == 0)
		r = open_data(train, error);
	if (r == 0)
		r = prepare_loop(train, error);
	if (r == 0)
		say_doubts(train);
	if (r == 0 && !train->fresh)
		r = begin_folder(train, error);
	if (r == 0 && !has_nothing_to_do(train))
		bd_training_report_going_on(train->report);
	if (r == 0)
		r = bd_loop_run(&train->loop, error);
	if (r == -EINTR && train->report)
		say_interrupted(train);
	return r < 0 ? r : give_result(train, error);
}

static void finish(struct bd_train *train, bool refused)
{
	bd_train_end_progress(train);
	bd_training_report_destroy(train->report);
	bd_training_events_destroy(train->events);
	if (refused)
		bd_model_folder_abandon(&train->folder);
	free(train->description);
	bd_data_match_destroy(train->match);
	free(train->loop.gradient);
	bd_feed_close(train->feed);
	bd_client_close(train->client);
	bd_feature_cache_finish(&train->train_cache);
	bd_feature_cache_finish(&train->eval_cache);
	bd_saving_finish(&train->saving);
	bd_notes_finish(&train->notes);
	bd_metric_set_finish(&train->window_metrics);
	bd_metric_set_finish(&train->evaluation_metrics);
	bd_optimizer_destroy(train->optimizer);
	bd_network_finish(&train->network);
	bd_model_folder_finish(&train->folder);
	bd_model_file_finish(&train->file);
}

int bd_train_command(int argc, char **argv)
{
	struct bd_stream_request defaults;
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	static struct bd_train train;
	bd_stream_request_init(&defaults);
	train = (struct bd_train){ .spec = defaults.spec,
		                   .report_every = DEFAULT_REPORT_EVERY,
		                   .keep = DEFAULT_KEEP,
		                   .start_ns = bd_now_ns(),
		                   .folder = { .fd = -1 } };
	train.spec.batch = DEFAULT_BATCH;
	train.spec.shuffle = BD_SHUFFLE_GLOBAL;
	train.spec.epochs = 0;
	train.spec.remainder = BD_REMAINDER_CARRY;
	int status = parse(&train, argc, argv, &arguments);
	if (status >= 0)
		return status;
	bd_notes_init(&train.notes);
	train.stop = bd_interrupt_watch();
	int r = run(&train, &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	finish(&train, r < 0 && train.loop.state.step == 0);
	bd_arguments_finish(&arguments);
	return status;
}
