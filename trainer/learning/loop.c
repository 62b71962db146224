#include "trainer/learning/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"

/* ---- one step ---- */

static int fail_of_loss(const struct bd_loop *loop, const char *what, struct bd_error *error)
{
	uint64_t step = loop->state.step + 1;
	if (loop->fault[0])
		return bd_error_set(error, -EDOM,
		                    "step %" PRIu64
		                    ": the loss is %s: %s; mend the data, or '--on-nan skip' leaves such batches out",
		                    step, what, loop->fault);
	if (loop->saved_step == loop->state.step && loop->good_step != loop->saved_step)
		return bd_error_set(error, -EDOM,
		                    "step %" PRIu64 ": the loss is %s: the weights of the checkpoint of step %" PRIu64
		                    " are no good; remove it to go on from an older one, or --fresh begins anew",
		                    step, what, loop->saved_step);
	if (loop->good_step == UINT64_MAX)
		return bd_error_set(error, -EDOM,
		                    "step %" PRIu64
		                    ": the loss is %s; no checkpoint was saved before; a smaller learning_rate may help",
		                    step, what);
	return bd_error_set(error, -EDOM,
	                    "step %" PRIu64 ": the loss is %s; the last good checkpoint is that of step %" PRIu64
	                    "; a smaller learning_rate may help",
	                    step, what, loop->good_step);
}

/* -EAGAIN: the batch was left out. */
static int refuse_loss(struct bd_loop *loop, const struct bd_feed_batch *batch, double loss, struct bd_error *error)
{
	loop->fault[0] = 0;
	if (!bd_proof_find_fault(loop->network, loop->feed, batch, loop->fault, sizeof loop->fault))
		loop->proof = BD_PROOF_BAD;
	if (loop->options.on_nan != BD_ON_NAN_SKIP || ++loop->skips > BD_NAN_SKIPS_MAX)
		return fail_of_loss(loop, isnan(loss) ? "NaN" : "infinite", error);
	loop->left_out++;
	loop->since_report.left_out++;
	/* A step is counted, with or without its batch: a resumed run takes the count from the checkpoint's step. */
	loop->learning_rate = bd_optimizer_begin(loop->optimizer);
	if (loop->hooks.skipped)
		loop->hooks.skipped(loop->hooks.context, loop);
	return -EAGAIN;
}

static void apply_piece(const void *optimizer, size_t piece)
{
	bd_optimizer_apply(optimizer, piece);
}

static void learn(struct bd_loop *loop, const struct bd_feed_batch *batch, const float *outputs, double loss)
{
	struct bd_network *network = loop->network;
	bd_metric_set_update(loop->window_metrics, outputs, &batch->targets, batch->rows * network->places);
	/* Large gradients meet their weights while they are in the cache. */
	const struct bd_gradient_taker taker = { bd_optimizer_take, loop->optimizer };
	loop->learning_rate = bd_optimizer_begin(loop->optimizer);
	bd_graph_backward(network->graph, loop->gradient, &taker);
	bd_optimizer_measure(loop->optimizer);
	bd_graph_parallel(network->graph, bd_optimizer_piece_count(loop->optimizer), apply_piece, loop->optimizer);
	bd_graph_trained_weights_changed(network->graph);
	loop->state.window.loss_sum += loss * batch->rows;
	loop->state.window.rows += batch->rows;
	loop->skips = 0;
	loop->learned++;
	loop->proof = BD_PROOF_NONE;
}

static int train_batch(struct bd_loop *loop, const struct bd_feed_batch *batch, struct bd_error *error)
{
	struct bd_network *network = loop->network;
	double loss;
	if (batch->rows == 0)
		return 0;
	const float *outputs = bd_network_forward(network, batch, true, loop->state.step);
	int r = bd_loss_compute(&network->loss, outputs, &batch->targets, batch->rows * network->places, network->classes, &loss,
	                        loop->gradient, error);
	if (r < 0) {
		bd_error_prefix(error, "step %" PRIu64 ", batch with record %" PRIu64, loop->state.step + 1, batch->records[0]);
		return r;
	}
	loss += bd_graph_penalty(network->graph);
	if (!isfinite(loss))
		return refuse_loss(loop, batch, loss, error);
	if (loop->saved_step == loop->state.step)
		loop->good_step = loop->saved_step;
	learn(loop, batch, outputs, loss);
	return 0;
}

/* `batch`: the next one's number in its epoch; 0 where the step was the last of an epoch. */
static bool is_due_at(uint64_t step, uint64_t batch, uint64_t every)
{
	if (every == BD_LOOP_EACH_EPOCH)
		return step > 0 && batch == 0;
	return every > 0 && step > 0 && step % every == 0;
}

/* Whether the weights after this step will be saved, or may be: the end of an epoch may be that of the data. */
static bool wants_proof(const struct bd_loop *loop, const struct bd_feed_batch *batch)
{
	uint64_t step = loop->state.step + 1;
	return batch->next_batch == 0 || is_due_at(step, batch->next_batch, loop->options.checkpoint_every) ||
	       is_due_at(step, batch->next_batch, loop->options.eval_every) || step == loop->options.steps ||
	       (loop->stop && *loop->stop);
}

static int begin(struct bd_loop *loop, struct bd_error *error)
{
	int r = loop->hooks.begun ? loop->hooks.begun(loop->hooks.context, loop, error) : 0;
	loop->has_begun = r == 0;
	return r;
}

static int run_step(struct bd_loop *loop, struct bd_error *error)
{
	struct bd_feed_batch batch;
	uint64_t start = bd_now_ns(), waited = bd_feed_waited_ns(loop->feed);
	int r = bd_feed_next(loop->feed, loop->stop, &batch, error);
	if (r < 0)
		return r;
	r = train_batch(loop, &batch, error);
	if (r == 0 && !loop->has_begun)
		r = begin(loop, error);
	if (r == 0 && batch.rows > 0 && wants_proof(loop, &batch))
		loop->proof = bd_proof_of(loop->network, &batch, loop->state.step);
	bd_feed_release(loop->feed);
	if (r < 0 && r != -EAGAIN)
		return r;
	loop->state.step++;
	loop->state.epoch = batch.next_epoch;
	loop->state.batch = batch.next_batch;
	uint64_t busy_ns = bd_now_ns() - start, waited_ns = bd_feed_waited_ns(loop->feed) - waited;
	loop->images += batch.rows;
	loop->busy_ns += busy_ns;
	loop->waited_ns += waited_ns;
	loop->since_report.images += batch.rows;
	loop->since_report.busy_ns += busy_ns;
	loop->since_report.waited_ns += waited_ns;
	if (loop->hooks.step)
		loop->hooks.step(loop->hooks.context, loop);
	return 0;
}

/* ---- report, evaluation, checkpoint ---- */

/* NaN where every batch since the last report was left out. */
static double window_loss(const struct bd_loop *loop)
{
	if (loop->state.window.rows)
		return loop->state.window.loss_sum / (double)loop->state.window.rows;
	return loop->since_report.left_out ? NAN : loop->state.last_loss;
}

static struct bd_loop_report make_report(struct bd_loop *loop, double metrics[BD_MAX_METRICS], bool is_due)
{
	double busy_s = (double)loop->since_report.busy_ns * 1e-9;
	for (size_t i = 0; i < loop->window_metrics->count; i++)
		metrics[i] = isnan(window_loss(loop)) ? NAN : bd_metric_result(loop->window_metrics->metrics[i]);
	return (struct bd_loop_report){
		.step = loop->state.step,
		.epoch = loop->state.epoch,
		.loss = window_loss(loop),
		.metrics = metrics,
		.learning_rate = loop->learning_rate,
		.images_per_s = busy_s > 0 ? (double)loop->since_report.images / busy_s : 0,
		.waited_share = busy_s > 0 ? (double)loop->since_report.waited_ns * 1e-9 / busy_s : 0,
		.is_due = is_due,
	};
}

static void begin_window(struct bd_loop *loop)
{
	if (loop->state.window.rows)
		loop->state.last_loss = window_loss(loop);
	memset(&loop->since_report, 0, sizeof loop->since_report);
	loop->state.window.loss_sum = 0;
	loop->state.window.rows = 0;
	bd_metric_set_reset(loop->window_metrics);
}

static bool metric_falls(const struct bd_loop *loop)
{
	if (loop->options.best_metric < 0)
		return true;
	const char *name = bd_metric_name(loop->evaluation_metrics->metrics[loop->options.best_metric]);
	return strstr(name, "error") != NULL;
}

/* Whether this evaluation is the best so far; counts for patience. */
static bool judge(struct bd_loop *loop)
{
	struct bd_loop_state *state = &loop->state;
	int metric = loop->options.best_metric;
	double value = metric < 0 ? loop->evaluation.loss : loop->evaluation.metrics[metric];
	/* Where the loss is not a number, an accuracy still is one, of predictions that mean nothing. */
	bool better = isfinite(value) && isfinite(loop->evaluation.loss) &&
	              (!state->has_best || (metric_falls(loop) ? value < state->best_value : value > state->best_value));
	if (!better) {
		state->evaluations_since_best++;
		return false;
	}
	state->has_best = true;
	state->best_value = value;
	state->best_step = state->step;
	state->evaluations_since_best = 0;
	return true;
}

static void save(struct bd_loop *loop, bool is_best)
{
	/* Nothing to keep: no batch was learned, or these weights would take the place of good ones. */
	if (loop->proof == BD_PROOF_BAD || (loop->learned == 0 && loop->left_out > 0))
		return;
	if (loop->hooks.begun && !loop->has_begun)
		return;
	loop->save_failed = loop->hooks.save && loop->hooks.save(loop->hooks.context, loop, is_best) < 0;
	if (loop->save_failed)
		return;
	loop->saved_step = loop->state.step;
	if (loop->proof == BD_PROOF_GOOD)
		loop->good_step = loop->saved_step;
}

static bool is_out_of_patience(const struct bd_loop *loop)
{
	return loop->options.patience > 0 && loop->state.evaluations_since_best >= loop->options.patience;
}

static int evaluate(struct bd_loop *loop, bool *ret_is_best, struct bd_error *error)
{
	struct bd_feed *feed = NULL;
	int r = loop->hooks.open_evaluation(loop->hooks.context, &feed, error);
	if (r == 0)
		r = bd_evaluate(loop->network, feed, loop->evaluation_metrics, loop->stop, loop->hooks.watch, loop->hooks.context,
		                &loop->evaluation, error);
	bd_feed_close(feed);
	if (r < 0)
		return r;
	loop->has_evaluation = true;
	/* At the end of a run that was complete already, it is the same evaluation once more. */
	*ret_is_best = loop->state.evaluated_step != loop->state.step && judge(loop);
	loop->state.evaluated_step = loop->state.step;
	if (loop->hooks.evaluation)
		loop->hooks.evaluation(loop->hooks.context, loop, *ret_is_best);
	loop->stopped_early = is_out_of_patience(loop);
	return 0;
}

static bool is_due(const struct bd_loop *loop, uint64_t every)
{
	return is_due_at(loop->state.step, loop->state.batch, every);
}

/* Also where a run was stopped between a step and its evaluation. */
static bool owes_evaluation(const struct bd_loop *loop, bool at_end)
{
	if (!loop->hooks.open_evaluation || loop->state.step == 0)
		return false;
	if (at_end && !loop->has_evaluation)
		return true;
	return (at_end || is_due(loop, loop->options.eval_every)) && loop->state.evaluated_step != loop->state.step;
}

static void report(struct bd_loop *loop, bool is_due, bool is_evaluated)
{
	double metrics[BD_MAX_METRICS] = { 0 };
	struct bd_loop_report line = make_report(loop, metrics, is_due);
	line.evaluation = is_evaluated ? &loop->evaluation : NULL;
	if (is_due)
		begin_window(loop);
	if (loop->hooks.report)
		loop->hooks.report(loop->hooks.context, loop, &line);
}

/*
 * Said before it is saved: a run that is killed in between says a line twice, never not at all. One that is stopped during its evaluation
 * is saved with an open window, and does all of this when it goes on.
 */
static int after_step(struct bd_loop *loop, struct bd_error *error)
{
	bool report_is_due = is_due(loop, loop->options.report_every), owes = owes_evaluation(loop, false), is_best = false;
	int r = owes ? evaluate(loop, &is_best, error) : 0;
	if (r < 0)
		return r;
	if (report_is_due || owes)
		report(loop, report_is_due, owes);
	if (is_best || (is_due(loop, loop->options.checkpoint_every) && loop->saved_step != loop->state.step))
		save(loop, is_best);
	return 0;
}

static bool is_finished(const struct bd_loop *loop)
{
	return loop->stopped_early || (loop->options.steps > 0 && loop->state.step >= loop->options.steps);
}

/* A run that ends in its last step has no next one whose loss would tell. */
static int check_end(const struct bd_loop *loop, struct bd_error *error)
{
	if (loop->left_out > 0 && loop->learned == 0)
		return bd_error_set(error, -EDOM, "all %" PRIu64 " batches were left out, and nothing was learned%s%s",
		                    loop->left_out, loop->fault[0] ? ": " : "", loop->fault);
	if (loop->proof != BD_PROOF_BAD)
		return 0;
	if (loop->good_step == UINT64_MAX)
		return bd_error_set(error, -EDOM,
		                    "step %" PRIu64 ": the weights give a loss that is no finite number, and are not saved",
		                    loop->state.step);
	return bd_error_set(error, -EDOM,
	                    "step %" PRIu64
	                    ": the weights give a loss that is no finite number, and are not saved; the last good checkpoint "
	                    "is that of step %" PRIu64,
	                    loop->state.step, loop->good_step);
}

static int finish(struct bd_loop *loop, struct bd_error *error)
{
	bool is_best = false;
	int proof = check_end(loop, error);
	if (proof < 0)
		return proof;
	int r = owes_evaluation(loop, true) ? evaluate(loop, &is_best, error) : 0;
	if (r < 0)
		return r;
	if (is_best || loop->saved_step != loop->state.step || loop->save_failed)
		save(loop, is_best);
	if (loop->state.window.rows > 0)
		loop->state.last_loss = window_loss(loop);
	if (loop->save_failed)
		return bd_error_set(error, -EIO, "step %" PRIu64 ": the last checkpoint could not be saved", loop->state.step);
	return 0;
}

static int run(struct bd_loop *loop, struct bd_error *error)
{
	loop->learning_rate = bd_optimizer_rate(loop->optimizer);
	int r = owes_evaluation(loop, false) ? after_step(loop, error) : 0;
	loop->stopped_early = is_out_of_patience(loop);
	while (r == 0 && !is_finished(loop)) {
		r = run_step(loop, error);
		if (r == 0)
			r = after_step(loop, error);
	}
	return r == 0 || r == -ENODATA ? finish(loop, error) : r;
}

int bd_loop_run(struct bd_loop *loop, struct bd_error *error)
{
	int r = run(loop, error);
	bool weights_are_good = r == -EINTR || (r < 0 && r != -EDOM);
	if (weights_are_good && loop->saved_step != loop->state.step && loop->state.step > 0 && !loop->save_failed)
		save(loop, false);
	return r;
}
