/*
 * training_report.h - what a training run says: JSON lines for programs, one progress line for people.
 *
 * JSON on standard output, one object a line: each report, and at the end the result. For people, on standard error: the progress
 * line with the step of all steps, also of earlier runs, the time left, loss, metrics, the share of time spent waiting for data, and
 * images/s; and each evaluation.
 * Threads: one.
 */
#ifndef BD_REPORT_TRAINING_REPORT_H
#define BD_REPORT_TRAINING_REPORT_H

#include "common/base/json.h"
#include "trainer/learning/loop.h"

struct bd_training_report;

struct bd_training_report_options {
	bool json, quiet;
	uint64_t total_steps; /* 0: not known */
	uint64_t first_step; /* done before this process */
};

/* Destroy takes NULL and ends the progress line. */
BD_MUST_CHECK int bd_training_report_create(const struct bd_training_report_options *options,
                                            struct bd_training_report **ret_report, struct bd_error *error);
void bd_training_report_destroy(struct bd_training_report *report);

/* Where a run that was stopped goes on; nothing for a first run. */
void bd_training_report_going_on(struct bd_training_report *report);

/* Hooks of the loop. */
void bd_training_report_step(struct bd_training_report *report, const struct bd_loop *loop);
void bd_training_report_line(struct bd_training_report *report, const struct bd_loop *loop, const struct bd_loop_report *line);
void bd_training_report_evaluation(struct bd_training_report *report, const struct bd_loop *loop, bool is_best);

/* A line for people, in between; always on standard error, also when quiet. */
void bd_training_report_say(struct bd_training_report *report, const char *format, ...) BD_PRINTF(2, 3);

struct bd_training_result {
	double wall_s;
	uint64_t peak_rss_bytes;
	uint64_t daemon_peak_rss_bytes; /* 0 = not known */
	uint64_t skipped; /* damaged records left out */
	bool features_cached;
};

/* Ends the progress line and gives the result. -errno where it, or a line of JSON before it, could not be written. */
BD_MUST_CHECK int bd_training_report_result(struct bd_training_report *report, const struct bd_loop *loop,
                                            const struct bd_training_result *result, struct bd_error *error);

/* {"records":…,"loss":…,"accuracy":…}: also the last line of `evaluate`. A new reference, NULL without memory. */
json_t *bd_evaluation_json(const struct bd_evaluation *evaluation, const struct bd_metric_set *set);

#endif
