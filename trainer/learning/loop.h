/*
 * loop.h - the training loop: step, report, evaluate, save, in that order, until the steps are done.
 *
 * Why it knows no files and no terminal: what is said and where it is saved is the caller's (hooks); the loop decides when. All that
 * the next step depends on is in the weights, the optimizer, and struct bd_loop_state: saved together after any step and loaded again,
 * a run goes on as if it had not been stopped.
 *
 * After step S, each where S is a multiple of its interval: report, then evaluation (which may end the run early), then checkpoint.
 * At the end an evaluation and a checkpoint are made where the last step had none.
 * A loss that is NaN or infinite ends the run before it reaches the weights (or, with BD_ON_NAN_SKIP, its batch is left out). Weights are
 * saved only where they gave a finite loss (proof.h): the batch of the step runs once more before its checkpoint. A run that is
 * interrupted saves weights that nothing is known of yet; the newest checkpoint that is known to be good (good_step) then stays beside it.
 * A checkpoint that cannot be saved (full disk) does not end the run: the hook says so and the next one is tried.
 *
 * Threads: one; *stop may be set by a signal handler.
 */
#ifndef BD_LEARNING_LOOP_H
#define BD_LEARNING_LOOP_H

#include "trainer/learning/evaluation.h"
#include "trainer/learning/optimizer.h"
#include "trainer/learning/proof.h"

/* In a row, under BD_ON_NAN_SKIP: nothing is learned any more. */
#define BD_NAN_SKIPS_MAX 100

/* As an interval: at the step in which an epoch's last record is trained, wherever in the batch that lies. */
#define BD_LOOP_EACH_EPOCH UINT64_MAX

enum bd_on_nan { BD_ON_NAN_STOP, BD_ON_NAN_SKIP };

struct bd_loop_options {
	uint64_t steps; /* in all, since the first; 0 = as long as the feed gives */
	uint64_t report_every, eval_every, checkpoint_every; /* steps; 0 = only at the end; BD_LOOP_EACH_EPOCH: as below */
	uint64_t patience; /* evaluations without a better one, after which the run ends; 0 = never */
	int best_metric; /* index of the metric that says which is better; -1: the loss */
	enum bd_on_nan on_nan;
};

/* What a checkpoint holds beside weights and the optimizer's state. */
struct bd_loop_state {
	uint64_t step; /* done */
	uint64_t epoch, batch; /* the next batch */
	struct {
		double loss_sum; /* since the last report, weighted by rows */
		uint64_t rows;
	} window; /* its metrics are in bd_loop.window_metrics */
	uint64_t evaluated_step; /* of the last evaluation; 0 = none */
	bool has_best;
	double best_value;
	uint64_t best_step, evaluations_since_best;
	double last_loss; /* of the last report with a batch; NaN: there was none */
};

struct bd_loop_report {
	uint64_t step, epoch;
	double loss; /* NaN, as the metrics, where every batch since the last report was left out */
	const double *metrics; /* in the order of the set */
	double learning_rate;
	double images_per_s, waited_share;
	const struct bd_evaluation *evaluation; /* of the same step, or NULL */
	bool is_due; /* false: only because of the evaluation; the sums go on */
};

struct bd_loop;

/* Each may be NULL but `open_evaluation`, which may only be NULL where nothing is evaluated. */
struct bd_loop_hooks {
	void *context;
	/* Once, behind the first batch of this process that was not left out, before anything is saved: what the run replaces may go now. Its error ends the run. */
	int (*begun)(void *context, const struct bd_loop *loop, struct bd_error *error);
	/* After every step, for a progress line. */
	void (*step)(void *context, const struct bd_loop *loop);
	/* After the evaluation of the same step, where there is one. */
	void (*report)(void *context, const struct bd_loop *loop, const struct bd_loop_report *report);
	BD_MUST_CHECK int (*open_evaluation)(void *context, struct bd_feed **ret_feed, struct bd_error *error);
	bd_evaluation_watch *watch;
	void (*evaluation)(void *context, const struct bd_loop *loop, bool is_best); /* loop->evaluation */
	/* Saves weights, optimizer and state; says itself what went wrong. `is_best`: this step's evaluation is the best so far. */
	int (*save)(void *context, const struct bd_loop *loop, bool is_best);
	/* A batch was left out: its loss was no finite number. loop->fault says what is wrong with its data; "": nothing. */
	void (*skipped)(void *context, const struct bd_loop *loop);
};

struct bd_loop {
	/* set by the caller, borrowed */
	struct bd_loop_options options;
	struct bd_loop_hooks hooks;
	struct bd_network *network;
	struct bd_optimizer *optimizer;
	struct bd_feed *feed; /* stands at (state.epoch, state.batch) */
	struct bd_metric_set *window_metrics, *evaluation_metrics;
	float *gradient; /* (batch, width) */
	const volatile int *stop;

	struct bd_loop_state state;

	/* of this process */
	uint64_t saved_step; /* of the newest checkpoint; UINT64_MAX = none */
	uint64_t good_step; /* of the newest checkpoint whose weights gave a finite loss; UINT64_MAX = none is known */
	enum bd_proof proof; /* of the weights as they are */
	uint64_t learned, left_out; /* batches of this process */
	char fault[BD_FAULT_TEXT_BYTES]; /* of the data of the last batch that was left out */
	bool has_begun; /* the hook was called */
	bool save_failed; /* the last attempt */
	bool stopped_early;
	struct bd_evaluation evaluation; /* the last one */
	bool has_evaluation;
	uint64_t images, busy_ns, waited_ns; /* of all steps in this process; busy holds waited */
	struct {
		uint64_t images, busy_ns, waited_ns, left_out;
	} since_report;
	unsigned skips; /* in a row */
	double learning_rate; /* of the last step */
};

/*
 * 0: all steps are done, the feed has ended, or patience has (stopped_early); -EINTR: *stop became non-zero, the state is saved;
 * -EDOM: the loss is no finite number, with the step and the last good checkpoint in the error, or every batch was left out; -EIO where the very last checkpoint could not be saved; else what
 * feed, loss or evaluation said (the state before it is saved).
 */
BD_MUST_CHECK int bd_loop_run(struct bd_loop *loop, struct bd_error *error);

#endif
