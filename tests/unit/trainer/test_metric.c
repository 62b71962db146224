#include "trainer/learning/metric.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/golden.h"
#include "tests/unit/test.h"

struct golden {
	struct bd_npy scores, labels, logits, classes;
	struct bd_golden_cases cases;
};

static void load(const char *name, struct bd_npy *ret_npy)
{
	char relative[256], path[512];
	snprintf(relative, sizeof relative, "golden/layers/metrics/%s.npy", name);
	if (!bd_shared_path(relative, path, sizeof path) || !bd_npy_load(path, ret_npy))
		fail_msg("%s: cannot be read", path);
}

static bool open_golden(struct golden *golden)
{
	char path[512], name[64];
	*golden = (struct golden){ 0 };
	if (!bd_shared_path("golden/layers/index.txt", path, sizeof path) || !bd_golden_cases_open(path, &golden->cases)) {
		print_message("missing: %s\n", path);
		return false;
	}
	do
		assert_true(bd_golden_cases_next(&golden->cases));
	while (!bd_golden_value(&golden->cases, "name", name, sizeof name) || strcmp(name, "metrics") != 0);
	load("scores", &golden->scores);
	load("labels", &golden->labels);
	load("logits6", &golden->logits);
	load("classes6", &golden->classes);
	return true;
}

static void close_golden(struct golden *golden)
{
	bd_golden_cases_close(&golden->cases);
	bd_npy_free(&golden->scores);
	bd_npy_free(&golden->labels);
	bd_npy_free(&golden->logits);
	bd_npy_free(&golden->classes);
}

static void expect(struct golden *golden, const char *key, double got)
{
	char text[64];
	assert_true(bd_golden_value(&golden->cases, key, text, sizeof text));
	if (!(fabs(got - atof(text)) <= 1e-6))
		fail_msg("%s: %.9g instead of %s", key, got, text);
}

/* The metric over batches of `batch` rows, the last one short. */
static double over_batches(const char *name, const struct bd_loss *loss, size_t width, const float *outputs,
                           const struct bd_targets *targets, size_t rows, size_t batch)
{
	struct bd_metric *metric;
	assert_int_equal(bd_metric_create(name, loss, width, &metric, NULL), 0);
	for (size_t row = 0; row < rows; row += batch) {
		struct bd_targets part = { targets->values ? targets->values + row * width : NULL,
			                   targets->classes ? targets->classes + row : NULL };
		bd_metric_update(metric, outputs + row * width, &part, rows - row < batch ? rows - row : batch);
	}
	double result = bd_metric_result(metric);
	bd_metric_reset(metric);
	assert_true(bd_metric_result(metric) == 0);
	bd_metric_destroy(metric);
	return result;
}

static void golden_scores_give_keras_metrics(void **state)
{
	(void)state;
	struct golden golden;
	if (!open_golden(&golden))
		skip();
	struct bd_loss binary = { .kind = BD_BINARY_CROSSENTROPY },
		       sparse = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	struct bd_targets labels = { 0 }, classes = { .classes = golden.classes.data };
	size_t rows = (size_t)golden.scores.shape[0];
	if (!strcmp(golden.labels.dtype, "<f4"))
		labels.values = golden.labels.data;
	else
		labels.classes = golden.labels.data;
	assert_string_equal(golden.classes.dtype, "<i8");
	for (size_t batch = 7; batch < 100; batch += 13) {
		expect(&golden, "binary_accuracy", over_batches("accuracy", &binary, 1, golden.scores.data, &labels, rows, batch));
		expect(&golden, "auc_keras_200_thresholds",
		       over_batches("auc", &binary, 1, golden.scores.data, &labels, rows, batch));
		expect(&golden, "auc_keras_pr", over_batches("auc_pr", &binary, 1, golden.scores.data, &labels, rows, batch));
		expect(&golden, "precision", over_batches("precision", &binary, 1, golden.scores.data, &labels, rows, batch));
		expect(&golden, "recall", over_batches("recall", &binary, 1, golden.scores.data, &labels, rows, batch));
	}
	size_t count = (size_t)golden.logits.shape[0];
	expect(&golden, "sparse_categorical_accuracy",
	       over_batches("accuracy", &sparse, 6, golden.logits.data, &classes, count, 4));
	expect(&golden, "categorical_accuracy",
	       over_batches("categorical_accuracy", &sparse, 6, golden.logits.data, &classes, count, 4));
	close_golden(&golden);
}

static void confusion_agrees_with_accuracy(void **state)
{
	(void)state;
	const float outputs[8] = { 0.9f, 0.5f, 0.1f, 0.8f, 0.6f, 0.2f, 0.3f, 0.7f };
	const int64_t classes[8] = { 1, 1, 0, 0, 1, 1, 0, 1 };
	struct bd_loss loss = { .kind = BD_BINARY_CROSSENTROPY };
	struct bd_targets targets = { .classes = classes };
	struct bd_confusion confusion;
	assert_int_equal(bd_confusion_init(&confusion, &loss, 1, NULL), 0);
	bd_confusion_update(&confusion, outputs, &targets, 5);
	bd_confusion_update(&confusion, outputs + 5, &(struct bd_targets){ .classes = classes + 5 }, 3);
	const uint64_t wanted[4] = { 2, 1, 2, 3 };
	assert_int_equal(confusion.classes, 2);
	assert_memory_equal(confusion.counts, wanted, sizeof wanted);
	assert_true(over_batches("accuracy", &loss, 1, outputs, &targets, 8, 3) == 5.0 / 8);
	assert_true(over_batches("precision", &loss, 1, outputs, &targets, 8, 3) == 3.0 / 4);
	assert_true(over_batches("recall", &loss, 1, outputs, &targets, 8, 3) == 3.0 / 5);
	bd_confusion_finish(&confusion);
	assert_int_equal(bd_confusion_init(&confusion, &loss, 5000, NULL), -EINVAL);
	/* Labels of a regression are any numbers: they once counted outside of the matrix. */
	const struct bd_loss squares = { .kind = BD_MEAN_SQUARED_ERROR };
	assert_int_equal(bd_confusion_init(&confusion, &squares, 1, NULL), -EINVAL);
}

static void logits_and_probabilities_give_the_same(void **state)
{
	(void)state;
	const float logits[6] = { -3, -0.1f, 0, 0.2f, 1.5f, 4 };
	float scores[6];
	const int64_t classes[6] = { 0, 1, 0, 1, 0, 1 };
	for (size_t i = 0; i < 6; i++)
		scores[i] = 1.0f / (1.0f + expf(-logits[i]));
	struct bd_loss from_logits = { .kind = BD_BINARY_CROSSENTROPY, .from_logits = true },
		       from_scores = { .kind = BD_BINARY_CROSSENTROPY };
	struct bd_targets targets = { .classes = classes };
	const char *const names[] = { "accuracy",           "auc", "auc_pr", "precision", "recall", "mean_squared_error",
		                      "mean_absolute_error" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_true(over_batches(names[i], &from_logits, 1, logits, &targets, 6, 6) ==
		            over_batches(names[i], &from_scores, 1, scores, &targets, 6, 4));
}

static void softmax_metrics_see_probabilities(void **state)
{
	(void)state;
	const float logits[6] = { 2, 0, -1, 0, 0, 0 };
	const int64_t classes[2] = { 0, 2 };
	struct bd_loss loss = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	/* row 0: 0.84 for the right class; row 1: a third each, none above one half */
	assert_true(over_batches("recall", &loss, 3, logits, &(struct bd_targets){ .classes = classes }, 2, 1) == 0.5);
	assert_true(over_batches("precision", &loss, 3, logits, &(struct bd_targets){ .classes = classes }, 2, 1) == 1);
	assert_true(over_batches("top_k_categorical_accuracy", &loss, 3, logits, &(struct bd_targets){ .classes = classes }, 2,
	                         1) == 1);
}

static void perfect_and_reversed_scores_give_auc_1_and_0(void **state)
{
	(void)state;
	const float scores[4] = { 0, 0.2f, 0.8f, 1 };
	const int64_t right[4] = { 0, 0, 1, 1 }, wrong[4] = { 1, 1, 0, 0 };
	struct bd_loss loss = { .kind = BD_BINARY_CROSSENTROPY };
	assert_float_equal((float)over_batches("auc", &loss, 1, scores, &(struct bd_targets){ .classes = right }, 4, 4), 1, 1e-6);
	assert_float_equal((float)over_batches("auc", &loss, 1, scores, &(struct bd_targets){ .classes = wrong }, 4, 4), 0, 1e-6);
	/* one of seven positive: the sum of the trapezoids' rounded shares would pass 1 */
	float many[67];
	int64_t classes[67];
	for (int i = 0; i < 67; i++) {
		classes[i] = i % 7 == 0;
		many[i] = classes[i] ? 1 - (float)i / 200 : (float)i / 200;
	}
	assert_true(over_batches("auc", &loss, 1, many, &(struct bd_targets){ .classes = classes }, 67, 7) <= 1);
	/* a score that is no number counts somewhere and breaks nothing */
	const float odd[2] = { NAN, INFINITY };
	assert_true(isfinite(over_batches("auc", &loss, 1, odd, &(struct bd_targets){ .classes = right + 1 }, 2, 2)));
}

static void unknown_or_unfit_metric_is_einval(void **state)
{
	(void)state;
	struct bd_loss loss = { .kind = BD_BINARY_CROSSENTROPY };
	struct bd_metric *metric = NULL;
	struct bd_error error;
	assert_int_equal(bd_metric_create("f1", &loss, 1, &metric, &error), -EINVAL);
	assert_non_null(strstr(error.text, "'f1'"));
	assert_int_equal(bd_metric_create("sparse_categorical_accuracy", &loss, 1, &metric, &error), -EINVAL);
	assert_null(metric);
	bd_metric_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_scores_give_keras_metrics),
		cmocka_unit_test(confusion_agrees_with_accuracy),
		cmocka_unit_test(logits_and_probabilities_give_the_same),
		cmocka_unit_test(softmax_metrics_see_probabilities),
		cmocka_unit_test(perfect_and_reversed_scores_give_auc_1_and_0),
		cmocka_unit_test(unknown_or_unfit_metric_is_einval),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
