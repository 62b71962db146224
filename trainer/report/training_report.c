#include "trainer/report/training_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/progress.h"

struct bd_training_report {
	struct bd_training_report_options options;
	struct bd_progress *progress;
	char note[256]; /* of the last report */
	bool lost_lines; /* JSON that could not be written, and was told */
};

int bd_training_report_create(const struct bd_training_report_options *options, struct bd_training_report **ret_report,
                              struct bd_error *error)
{
	struct bd_training_report *report = calloc(1, sizeof *report);
	if (!report)
		return bd_error_set(error, -ENOMEM, "no memory for the report");
	report->options = *options;
	report->progress = bd_progress_create("train", options->total_steps, "steps", options->quiet);
	bd_progress_go_on(report->progress, options->first_step);
	*ret_report = report;
	return 0;
}

void bd_training_report_destroy(struct bd_training_report *report)
{
	if (!report)
		return;
	bd_progress_finish(report->progress);
	free(report);
}

/* ---- for people ---- */

void bd_training_report_going_on(struct bd_training_report *report)
{
	const struct bd_training_report_options *options = &report->options;
	if (options->quiet || options->first_step == 0)
		return;
	if (options->total_steps > 0)
		bd_training_report_say(report, "going on from step %" PRIu64 " of %" PRIu64, options->first_step,
		                       options->total_steps);
	else
		bd_training_report_say(report, "going on from step %" PRIu64, options->first_step);
}

static size_t append(char *text, size_t size, size_t length, const char *format, ...) BD_PRINTF(4, 5);
static size_t append(char *text, size_t size, size_t length, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int written = vsnprintf(text + length, size - length, format, arguments);
	va_end(arguments);
	return written < 0 ? length : length + (size_t)written < size ? length + (size_t)written : size - 1;
}

static size_t append_metrics(char *text, size_t size, size_t length, const struct bd_metric_set *set, const double *values)
{
	for (size_t i = 0; i < set->count; i++)
		length = append(text, size, length, ", %s %.4f", bd_metric_name(set->metrics[i]), values[i]);
	return length;
}

void bd_training_report_step(struct bd_training_report *report, const struct bd_loop *loop)
{
	bd_progress_update(report->progress, loop->state.step, report->note[0] ? report->note : NULL);
}

void bd_training_report_say(struct bd_training_report *report, const char *format, ...)
{
	char text[BD_ERROR_TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	bd_progress_clear(report->progress);
	fprintf(stderr, "batchtrain: %s\n", text);
}

void bd_training_report_evaluation(struct bd_training_report *report, const struct bd_loop *loop, bool is_best)
{
	char text[256];
	if (report->options.quiet)
		return;
	size_t length = append(text, sizeof text, 0, "step %" PRIu64 ": evaluation of %" PRIu64 " records: loss %.4f",
	                       loop->state.step, loop->evaluation.records, loop->evaluation.loss);
	append_metrics(text, sizeof text, length, loop->evaluation_metrics, loop->evaluation.metrics);
	bd_training_report_say(report, "%s%s", text, is_best ? " (the best so far)" : "");
}

static void note_report(struct bd_training_report *report, const struct bd_loop *loop, const struct bd_loop_report *line)
{
	size_t size = sizeof report->note;
	size_t length = append(report->note, size, 0, "loss %.4f", line->loss);
	length = append_metrics(report->note, size, length, loop->window_metrics, line->metrics);
	/* A narrow terminal cuts the end off: images/s can be told from steps/s. */
	append(report->note, size, length, ", waited %.0f %%, %.0f images/s", 100 * line->waited_share, line->images_per_s);
}

/* ---- for programs ---- */

static void set_metrics(json_t *object, const struct bd_metric_set *set, const double *values)
{
	for (size_t i = 0; i < set->count; i++)
		json_object_set_new(object, bd_metric_name(set->metrics[i]), bd_json_real(values[i]));
}

json_t *bd_evaluation_json(const struct bd_evaluation *evaluation, const struct bd_metric_set *set)
{
	json_t *object = json_object();
	json_object_set_new(object, "records", json_integer((json_int_t)evaluation->records));
	json_object_set_new(object, "loss", bd_json_real(evaluation->loss));
	set_metrics(object, set, evaluation->metrics);
	return object;
}

void bd_training_report_line(struct bd_training_report *report, const struct bd_loop *loop, const struct bd_loop_report *line)
{
	if (line->is_due)
		note_report(report, loop, line);
	if (!report->options.json)
		return;
	json_t *object = json_object();
	json_object_set_new(object, "step", json_integer((json_int_t)line->step));
	json_object_set_new(object, "epoch", json_integer((json_int_t)line->epoch));
	json_object_set_new(object, "loss", bd_json_real(line->loss));
	set_metrics(object, loop->window_metrics, line->metrics);
	json_object_set_new(object, "learning_rate", bd_json_real(line->learning_rate));
	json_object_set_new(object, "images_per_s", bd_json_real(line->images_per_s));
	json_object_set_new(object, "waited_share", bd_json_real(line->waited_share));
	if (line->evaluation)
		json_object_set_new(object, "eval", bd_evaluation_json(line->evaluation, loop->evaluation_metrics));
	bd_progress_clear(report->progress);
	/* Whoever read the lines may have gone (a closed pipe), or the disk is full: that ends no training; bd_program_end fails at its end. */
	struct bd_error error = { 0 };
	if (bd_json_print_line(stdout, object, &error) < 0 && !report->lost_lines) {
		report->lost_lines = true;
		bd_training_report_say(report, "%s; training goes on without complete lines", error.text);
	}
}

static double share(uint64_t part_ns, uint64_t whole_ns)
{
	return whole_ns ? (double)part_ns / (double)whole_ns : 0;
}

static double images_per_s(const struct bd_loop *loop)
{
	return loop->busy_ns ? (double)loop->images * 1e9 / (double)loop->busy_ns : 0;
}

static json_t *result_json(const struct bd_loop *loop, const struct bd_training_result *result)
{
	json_t *object = json_object();
	json_t *eval = loop->has_evaluation ? bd_evaluation_json(&loop->evaluation, loop->evaluation_metrics) : json_null();
	json_object_set_new(object, "steps", json_integer((json_int_t)loop->state.step));
	json_object_set_new(object, "loss", bd_json_real(loop->state.last_loss));
	json_object_set_new(object, "eval", eval);
	json_object_set_new(object, "images_per_s", bd_json_real(images_per_s(loop)));
	json_object_set_new(object, "waited_share", bd_json_real(share(loop->waited_ns, loop->busy_ns)));
	json_object_set_new(object, "wall_s", bd_json_real(result->wall_s));
	json_object_set_new(object, "peak_rss_bytes", json_integer((json_int_t)result->peak_rss_bytes));
	if (result->daemon_peak_rss_bytes)
		json_object_set_new(object, "daemon_peak_rss_bytes", json_integer((json_int_t)result->daemon_peak_rss_bytes));
	json_object_set_new(object, "skipped", json_integer((json_int_t)result->skipped));
	json_object_set_new(object, "stopped_early", json_boolean(loop->stopped_early));
	json_object_set_new(object, "features_cached", json_boolean(result->features_cached));
	if (loop->state.has_best) {
		json_t *best = json_object();
		json_object_set_new(best, "step", json_integer((json_int_t)loop->state.best_step));
		json_object_set_new(best, "value", bd_json_real(loop->state.best_value));
		json_object_set_new(object, "best", best);
	}
	return object;
}

static void say_end(const struct bd_loop *loop, const struct bd_training_result *result)
{
	const char *how = loop->stopped_early ? "stopped early" : "done";
	if (loop->images == 0)
		fprintf(stderr, "batchtrain: %s after %" PRIu64 " steps of an earlier run: loss %.4f; %s\n", how, loop->state.step,
		        loop->state.last_loss,
		        loop->stopped_early ? "--fresh begins anew" : "more --steps or --epochs go on, --fresh begins anew");
	else
		fprintf(stderr, "batchtrain: %s after %" PRIu64 " steps: loss %.4f, %.0f images/s, waited %.0f %%, %.1f s in all\n",
		        how, loop->state.step, loop->state.last_loss, images_per_s(loop),
		        100 * share(loop->waited_ns, loop->busy_ns), result->wall_s);
}

int bd_training_report_result(struct bd_training_report *report, const struct bd_loop *loop,
                              const struct bd_training_result *result, struct bd_error *error)
{
	bd_progress_finish(report->progress);
	report->progress = NULL;
	if (!report->options.quiet)
		say_end(loop, result);
	int r = report->options.json ? bd_json_print_line(stdout, result_json(loop, result), error) : 0;
	/* Said when it happened; the training itself is whole. */
	if (r == 0 && report->lost_lines)
		r = bd_error_set(error, -EIO, "the training is done, but not all of its lines of JSON could be written");
	return r;
}
