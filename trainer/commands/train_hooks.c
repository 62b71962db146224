#include "trainer/commands/train.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* On the sheet of predictions of each evaluation. */
#define SHEET_PICTURES 32

static void on_step(void *context, const struct bd_loop *loop)
{
	struct bd_train *train = context;
	if (train->away && !train->quiet)
		bd_training_report_say(train->report, "the daemon is back");
	train->away = false;
	bd_training_report_step(train->report, loop);
}

static void say_event_failure(struct bd_train *train, int r, const struct bd_error *error)
{
	if (r < 0)
		bd_training_report_say(train->report, "no more events for TensorBoard are complete: %s", error->text);
}

static void on_report(void *context, const struct bd_loop *loop, const struct bd_loop_report *line)
{
	struct bd_train *train = context;
	struct bd_error error = { 0 };
	bd_training_report_line(train->report, loop, line);
	if (line->is_due)
		say_event_failure(train, bd_training_events_report(train->events, loop, line, &error), &error);
}

/* A few records of the evaluation data, drawn over all of it, with what the net says about them. */
static int draw_sheet(struct bd_train *train, struct bd_feed *feed, struct bd_error *error)
{
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(feed));
	size_t class_count;
	const char *const *classes = bd_data_match_classes(train->match, &class_count);
	struct bd_answers answers = bd_answers_of(&train->file, &train->network, classes, class_count);
	struct bd_prediction_sheet *sheet = NULL;
	struct bd_feed_batch batch;
	int r = bd_prediction_sheet_create(schema, &answers, SHEET_PICTURES, &sheet, error);
	while (r == 0 && !bd_prediction_sheet_is_full(sheet) && (r = bd_feed_next(feed, train->stop, &batch, error)) == 0) {
		if (batch.rows > 0) {
			size_t floats = (size_t)batch.rows * train->network.width;
			memcpy(train->loop.gradient, bd_network_forward(&train->network, &batch, false, 0), floats * sizeof(float));
			bd_network_probabilities(&train->network, train->loop.gradient, batch.rows);
		}
		for (uint32_t i = 0; r == 0 && i < batch.rows; i++)
			r = bd_prediction_sheet_add(sheet, &batch, i, train->loop.gradient + i * train->network.width, error);
		bd_feed_release(feed);
	}
	if (r == 0 || r == -ENODATA)
		r = bd_training_events_sheet(train->events, train->loop.state.step, sheet, error);
	bd_prediction_sheet_destroy(sheet);
	return r;
}

static void show_sheet(struct bd_train *train)
{
	struct bd_stream_request request;
	struct bd_feed *feed = NULL;
	struct bd_error error = { 0 };
	bd_data_request_once(&request, train->eval_data, (uint32_t)bd_min_u64(train->spec.batch, SHEET_PICTURES));
	request.spec.shuffle = BD_SHUFFLE_GLOBAL;
	int r = bd_train_open(train, &request, &feed, &error);
	if (r == 0)
		r = draw_sheet(train, feed, &error);
	bd_feed_close(feed);
	if (r < 0 && r != -EINTR)
		bd_training_report_say(train->report, "no sheet of predictions: %s", error.text);
}

static void on_evaluation(void *context, const struct bd_loop *loop, bool is_best)
{
	struct bd_train *train = context;
	struct bd_error error = { 0 };
	bd_training_report_evaluation(train->report, loop, is_best);
	if (loop->evaluation.fault[0])
		bd_training_report_say(train->report, "%s: the loss is no finite number: %s", train->eval_data,
		                       loop->evaluation.fault);
	say_event_failure(train, bd_training_events_evaluation(train->events, loop, &error), &error);
	say_event_failure(train, bd_training_events_weights(train->events, loop, &error), &error);
	show_sheet(train);
}

static int on_save(void *context, const struct bd_loop *loop, bool is_best)
{
	struct bd_train *train = context;
	struct bd_error error = { 0 };
	int r = bd_saving_save(&train->saving, loop, is_best, &error);
	if (r < 0)
		bd_training_report_say(train->report, "step %" PRIu64 ": no checkpoint saved: %s", loop->state.step, error.text);
	else if (!train->eval_data)
		say_event_failure(train, bd_training_events_weights(train->events, loop, &error), &error);
	return r;
}

static void on_skipped(void *context, const struct bd_loop *loop)
{
	bd_training_report_say(((struct bd_train *)context)->report,
	                       "step %" PRIu64 ": the loss is no finite number%s%s; its batch is left out", loop->state.step + 1,
	                       loop->fault[0] ? ": " : "", loop->fault);
}

struct bd_loop_hooks bd_train_hooks(struct bd_train *train)
{
	return (struct bd_loop_hooks){ .context = train,
		                       .step = on_step,
		                       .report = on_report,
		                       .evaluation = on_evaluation,
		                       .save = on_save,
		                       .skipped = on_skipped,
		                       .open_evaluation = train->eval_data ? bd_train_open_evaluation : NULL };
}
