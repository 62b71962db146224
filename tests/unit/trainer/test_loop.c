/* The training loop over features in memory: what a loss that is no number, and weights that give one, do to checkpoints and errors. */
#include "trainer/learning/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define RECORDS 10
#define WIDTH 2
#define ROWS 4
#define MOST_EVENTS 512

/* A run's data and what its hooks were told. */
struct run {
	float features[RECORDS * WIDTH], labels[RECORDS];
	uint8_t present[RECORDS];
	struct bd_feature_cache cache;
	struct bd_model_file file;
	struct bd_network network;
	struct bd_optimizer *optimizer;
	struct bd_metric_set metrics;
	struct bd_feed *feed;
	float gradient[ROWS];
	volatile int stop;
	uint64_t stop_behind; /* this step; 0: never */
	struct bd_loop loop;
	struct bd_error error;
	uint64_t saved[MOST_EVENTS];
	enum bd_proof proofs[MOST_EVENTS];
	size_t saves, skips, reports;
	bool saved_bad_weights, refuses;
	unsigned begun;
	double last_report;
};

static void on_step(void *context, const struct bd_loop *loop)
{
	struct run *run = context;
	run->stop = run->stop_behind > 0 && loop->state.step >= run->stop_behind;
}

static int on_save(void *context, const struct bd_loop *loop, bool is_best)
{
	struct run *run = context;
	(void)is_best;
	/* The dense layer's bias and kernel: what has run away is beyond a million here. */
	for (size_t i = 0; i < run->network.parameter_count; i++)
		for (size_t k = 0; k < run->network.parameters[i]->count; k++)
			run->saved_bad_weights = run->saved_bad_weights || !(fabsf(run->network.parameters[i]->value[k]) < 1e6f);
	assert_true(run->saves < MOST_EVENTS);
	run->proofs[run->saves] = loop->proof;
	run->saved[run->saves++] = loop->state.step;
	return 0;
}

static void on_skipped(void *context, const struct bd_loop *loop)
{
	(void)loop;
	((struct run *)context)->skips++;
}

static void on_report(void *context, const struct bd_loop *loop, const struct bd_loop_report *report)
{
	struct run *run = context;
	(void)loop;
	run->reports++;
	run->last_report = report->loss;
}

/* `optimizer` as in a model file. All numbers of the data are 1 until the test changes them. */
static void begin(struct run *run, const char *optimizer, uint64_t epochs)
{
	memset(run, 0, sizeof *run);
	char path[] = "/tmp/test-loop-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
	assert_non_null(file);
	fprintf(file,
	        "input: {height: 1, width: 1, channels: 2}\n"
	        "layers:\n"
	        "  - {type: conv2d, filters: 2, kernel_size: 1, trainable: false}\n"
	        "  - flatten\n"
	        "  - {type: dense, units: 3}\n"
	        "  - {type: dense, units: 1}\n"
	        "loss: mean_squared_error\noptimizer: %s\n",
	        optimizer);
	fclose(file);
	const struct bd_network_options options = { .batch = ROWS, .threads = 1, .training = true };
	assert_int_equal(bd_model_file_load(path, &run->file, &run->error), 0);
	unlink(path);
	assert_int_equal(bd_network_init(&run->file, &options, &run->network, &run->error), 0);
	bd_graph_weights_changed(run->network.graph);
	assert_int_equal(bd_optimizer_create(&run->file.training.optimizer, run->network.parameters, run->network.parameter_count,
	                                     &run->optimizer, &run->error),
	                 0);
	assert_int_equal(bd_metric_set_init(&run->file.training, &run->network, &run->metrics, &run->error), 0);
	for (size_t i = 0; i < RECORDS; i++) {
		run->present[i] = 1;
		run->labels[i] = run->features[i * WIDTH] = run->features[i * WIDTH + 1] = 1;
	}
	run->cache = (struct bd_feature_cache){ .records = RECORDS,
		                                .width = WIDTH,
		                                .target_width = 1,
		                                .places = 1,
		                                .features = run->features,
		                                .present = run->present,
		                                .values = run->labels };
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.spec.batch = ROWS;
	request.spec.shuffle = BD_SHUFFLE_NONE;
	request.spec.epochs = epochs;
	request.spec.remainder = BD_REMAINDER_CARRY;
	assert_int_equal(bd_feed_of_cache(&run->cache, &request.spec, &run->feed, &run->error), 0);
	run->loop = (struct bd_loop){
		.options = { .report_every = 1, .best_metric = -1 },
		.hooks = { .context = run, .step = on_step, .report = on_report, .save = on_save, .skipped = on_skipped },
		.network = &run->network,
		.optimizer = run->optimizer,
		.feed = run->feed,
		.window_metrics = &run->metrics,
		.evaluation_metrics = &run->metrics,
		.gradient = run->gradient,
		.stop = &run->stop,
		.state = { .last_loss = NAN },
		.saved_step = UINT64_MAX,
		.good_step = UINT64_MAX
	};
}

static void end(struct run *run)
{
	bd_feed_close(run->feed);
	bd_metric_set_finish(&run->metrics);
	bd_optimizer_destroy(run->optimizer);
	bd_network_finish(&run->network);
	bd_model_file_finish(&run->file);
}

static void says(const struct run *run, const char *text)
{
	if (!strstr(run->error.text, text))
		fail_msg("'%s' does not say '%s'", run->error.text, text);
}

#define GOOD_RATE "{name: sgd, learning_rate: 0.001}"
/* The step behind the boundary has a rate at which weights run away: finite, and squared beyond what a float holds. */
#define BREAKS_IN_STEP(boundary) "{name: sgd, schedule: {name: step, boundaries: [" boundary "], values: [0.001, 1.0e+30]}}"

static void number_of_the_data_that_is_none_is_told_with_its_record(void **state)
{
	(void)state;
	static const struct {
		bool is_label;
		float value;
		const char *text;
	} faults[] = {
		{ true, NAN, "step 2: the loss is NaN: record 6: its label holds NaN" },
		{ true, -INFINITY, "record 6: its label holds a number that is infinite" },
		{ false, NAN, "record 6: its picture holds NaN" },
	};
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct run run;
		begin(&run, GOOD_RATE, 1);
		*(faults[i].is_label ? &run.labels[6] : &run.features[6 * WIDTH + 1]) = faults[i].value;
		assert_int_equal(bd_loop_run(&run.loop, &run.error), -EDOM);
		says(&run, faults[i].text);
		assert_null(strstr(run.error.text, "learning_rate"));
		end(&run);
	}
}

static void batches_with_such_numbers_are_left_out_and_the_others_learned(void **state)
{
	(void)state;
	struct run run;
	begin(&run, GOOD_RATE, 2);
	run.labels[6] = NAN; /* in the second and the fifth of five batches: 4..7 and 16..19 */
	run.loop.options.on_nan = BD_ON_NAN_SKIP;
	run.loop.options.checkpoint_every = 1;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), 0);
	assert_int_equal(run.skips, 2);
	assert_int_equal(run.loop.learned, 3);
	assert_int_equal(run.loop.state.step, 5);
	/* The data is at fault, not the weights: they are saved, and good. */
	assert_int_equal(run.saved[run.saves - 1], 5);
	assert_true(isfinite(run.loop.state.last_loss));
	end(&run);
}

static void run_without_one_learned_batch_fails_and_saves_nothing(void **state)
{
	(void)state;
	struct run run;
	begin(&run, GOOD_RATE, 3);
	for (size_t i = 0; i < RECORDS; i++)
		run.labels[i] = NAN;
	run.loop.options.on_nan = BD_ON_NAN_SKIP;
	run.loop.options.checkpoint_every = 2;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), -EDOM);
	says(&run, "all 8 batches were left out, and nothing was learned: record ");
	assert_int_equal(run.saves, 0);
	assert_int_equal(run.reports, 8);
	assert_true(isnan(run.last_report) && isnan(run.loop.state.last_loss));
	end(&run);
}

static void weights_that_run_away_are_never_saved(void **state)
{
	(void)state;
	for (int skip = 0; skip < 2; skip++) {
		struct run run;
		begin(&run, BREAKS_IN_STEP("18"), 0); /* step 20, a checkpoint's, is the first with the high rate */
		run.loop.options.on_nan = skip ? BD_ON_NAN_SKIP : BD_ON_NAN_STOP;
		run.loop.options.checkpoint_every = 5;
		run.loop.options.steps = 400;
		assert_int_equal(bd_loop_run(&run.loop, &run.error), -EDOM);
		says(&run, "the last good checkpoint is that of step 15");
		assert_int_equal(run.loop.good_step, 15);
		assert_int_equal(run.saves, 3);
		assert_int_equal(run.saved[2], 15);
		assert_false(run.saved_bad_weights);
		end(&run);
	}
}

/* 3 epochs of 10 records are 8 batches: the last one is no multiple of any interval. */
static void end_of_the_data_is_proven_as_every_other_checkpoint(void **state)
{
	(void)state;
	for (int breaks = 0; breaks < 2; breaks++) {
		struct run run;
		begin(&run, breaks ? BREAKS_IN_STEP("6") : GOOD_RATE, 3);
		run.loop.options.checkpoint_every = 3;
		assert_int_equal(bd_loop_run(&run.loop, &run.error), breaks ? -EDOM : 0);
		assert_int_equal(run.loop.state.step, 8);
		assert_int_equal(run.loop.proof, breaks ? BD_PROOF_BAD : BD_PROOF_GOOD);
		assert_int_equal(run.loop.good_step, breaks ? 6 : 8);
		if (breaks)
			says(&run, "are not saved; the last good checkpoint is that of step 6");
		assert_int_equal(run.saves, breaks ? 2 : 3);
		for (size_t i = 0; i < run.saves; i++)
			assert_int_equal(run.proofs[i], BD_PROOF_GOOD);
		end(&run);
	}
}

static void checkpoint_that_is_no_good_is_named_as_the_one_to_remove(void **state)
{
	(void)state;
	struct run run;
	begin(&run, GOOD_RATE, 0);
	for (size_t i = 0; i < run.network.parameter_count; i++)
		for (size_t k = 0; k < run.network.parameters[i]->count; k++)
			run.network.parameters[i]->value[k] = 1e30f;
	bd_graph_weights_changed(run.network.graph);
	run.loop.state.step = run.loop.saved_step = 40; /* gone on from */
	run.loop.options.steps = 50;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), -EDOM);
	says(&run, "step 41: the loss is ");
	says(&run, "the weights of the checkpoint of step 40 are no good; remove it");
	assert_int_equal(run.saves, 0);
	end(&run);
}

static int on_begun(void *context, const struct bd_loop *loop, struct bd_error *error)
{
	struct run *run = context;
	(void)loop;
	run->begun++;
	assert_int_equal(run->saves, 0);
	return run->refuses ? bd_error_set(error, -EACCES, "refused") : 0;
}

static void run_begins_once_behind_its_first_good_batch(void **state)
{
	(void)state;
	struct run run;
	for (int refuses = 0; refuses < 2; refuses++) {
		begin(&run, GOOD_RATE, 2);
		run.labels[1] = NAN; /* in the first and the third batch */
		run.loop.options.on_nan = BD_ON_NAN_SKIP;
		run.loop.options.checkpoint_every = 1;
		run.loop.hooks.begun = on_begun;
		run.refuses = refuses;
		assert_int_equal(bd_loop_run(&run.loop, &run.error), refuses ? -EACCES : 0);
		assert_int_equal(run.begun, 1);
		assert_int_equal(run.loop.learned, refuses ? 1 : 3);
		assert_int_equal(run.saves, refuses ? 0 : 4);
		end(&run);
	}
	begin(&run, GOOD_RATE, 1);
	run.labels[1] = NAN;
	run.loop.hooks.begun = on_begun;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), -EDOM);
	assert_int_equal(run.begun, 0);
	end(&run);
}

static void interruption_saves_the_step(void **state)
{
	(void)state;
	struct run run;
	begin(&run, GOOD_RATE, 0);
	run.loop.options.steps = 100;
	run.loop.options.checkpoint_every = 4;
	run.stop_behind = 6;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), -EINTR);
	assert_int_equal(run.saves, 2);
	assert_int_equal(run.saved[0], 4);
	assert_int_equal(run.saved[1], 6);
	/* Nothing is known of the newest weights yet. */
	assert_int_equal(run.loop.good_step, 4);
	end(&run);
}

static void interruption_does_not_save_weights_that_ran_away(void **state)
{
	(void)state;
	struct run run;
	begin(&run, BREAKS_IN_STEP("8"), 0);
	run.loop.options.steps = 400;
	run.loop.options.checkpoint_every = 5;
	run.loop.options.on_nan = BD_ON_NAN_SKIP;
	run.stop_behind = 23;
	assert_int_equal(bd_loop_run(&run.loop, &run.error), -EINTR);
	assert_int_equal(run.loop.saved_step, 5);
	assert_false(run.saved_bad_weights);
	end(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(number_of_the_data_that_is_none_is_told_with_its_record),
		cmocka_unit_test(batches_with_such_numbers_are_left_out_and_the_others_learned),
		cmocka_unit_test(run_without_one_learned_batch_fails_and_saves_nothing),
		cmocka_unit_test(weights_that_run_away_are_never_saved),
		cmocka_unit_test(end_of_the_data_is_proven_as_every_other_checkpoint),
		cmocka_unit_test(checkpoint_that_is_no_good_is_named_as_the_one_to_remove),
		cmocka_unit_test(run_begins_once_behind_its_first_good_batch),
		cmocka_unit_test(interruption_saves_the_step),
		cmocka_unit_test(interruption_does_not_save_weights_that_ran_away),
	};
	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
