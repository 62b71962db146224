#include "trainer/learning/loss.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "common/base/arithmetic.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

static bool load(const char *folder, const char *name, struct bd_npy *ret_npy)
{
	char relative[256], path[512];
	snprintf(relative, sizeof relative, "golden/layers/%s/%s.npy", folder, name);
	return bd_shared_path(relative, path, sizeof path) && bd_npy_load(path, ret_npy);
}

static double number_of(const struct bd_golden_cases *cases, const char *key)
{
	char text[64];
	return bd_golden_value(cases, key, text, sizeof text) ? atof(text) : 0;
}

static void assert_close(const float *got, const struct bd_npy *wanted, double atol, const char *what)
{
	const float *expected = wanted->data;
	for (size_t i = 0; i < wanted->count; i++) {
		if (!(fabs((double)got[i] - (double)expected[i]) <= atol))
			fail_msg("%s[%zu]: %.9g instead of %.9g (atol %g)", what, i, (double)got[i], (double)expected[i], atol);
	}
}

struct golden_loss {
	const char *op;
	enum bd_loss_kind kind;
	bool from_logits;
	enum bd_compatibility compatibility;
};

static const struct golden_loss losses[] = {
	{ "bce_probabilities", BD_BINARY_CROSSENTROPY, false, BD_KERAS3 },
	{ "bce_probabilities_keras2", BD_BINARY_CROSSENTROPY, false, BD_KERAS2 },
	{ "bce_logits", BD_BINARY_CROSSENTROPY, true, BD_KERAS3 },
	{ "cce_probabilities", BD_CATEGORICAL_CROSSENTROPY, false, BD_KERAS3 },
	{ "cce_logits", BD_CATEGORICAL_CROSSENTROPY, true, BD_KERAS3 },
	{ "sparse_cce_logits", BD_SPARSE_CATEGORICAL_CROSSENTROPY, true, BD_KERAS3 },
	{ "sparse_cce_probabilities", BD_SPARSE_CATEGORICAL_CROSSENTROPY, false, BD_KERAS3 },
	{ "mse", BD_MEAN_SQUARED_ERROR, false, BD_KERAS3 },
};

static void compare_case(const struct bd_golden_cases *cases, const struct golden_loss *golden)
{
	char name[64];
	assert_true(bd_golden_value(cases, "name", name, sizeof name));
	const char *input = golden->from_logits ? "z" : "p", *slope = golden->from_logits ? "dz" : "dp";
	struct bd_npy outputs, target, value, gradient;
	assert_true(load(name, input, &outputs) && load(name, "target", &target) && load(name, "y", &value) &&
	            load(name, slope, &gradient));
	struct bd_loss loss = { .kind = golden->kind,
		                .from_logits = golden->from_logits,
		                .compatibility = golden->compatibility,
		                .label_smoothing = (float)number_of(cases, "label_smoothing") };
	struct bd_targets targets = { 0 };
	if (!strcmp(target.dtype, "<i8"))
		targets.classes = target.data;
	else
		targets.values = target.data;
	size_t rows = (size_t)outputs.shape[0], width = outputs.count / rows;
	assert_int_equal(bd_loss_check(&loss, width, targets.classes, NULL), 0);
	float *got = calloc(outputs.count, sizeof *got);
	double mean;
	assert_int_equal(bd_loss_compute(&loss, outputs.data, &targets, rows, width, &mean, got, NULL), 0);
	float mean_float = (float)mean;
	char atol[64];
	snprintf(atol, sizeof atol, "outputs.%s.atol", slope);
	assert_close(&mean_float, &value, number_of(cases, "outputs.y.atol"), name);
	assert_close(got, &gradient, number_of(cases, atol), name);
	free(got);
	bd_npy_free(&outputs);
	bd_npy_free(&target);
	bd_npy_free(&value);
	bd_npy_free(&gradient);
}

static void golden_cases_give_keras_values_and_gradients(void **state)
{
	(void)state;
	char path[512], op[64];
	struct bd_golden_cases cases;
	if (!bd_shared_path("golden/layers/index.txt", path, sizeof path) || !bd_golden_cases_open(path, &cases)) {
		print_message("missing: %s\n", path);
		skip();
	}
	int compared = 0;
	while (bd_golden_cases_next(&cases)) {
		for (size_t i = 0; i < BD_COUNT_OF(losses); i++) {
			if (bd_golden_value(&cases, "op", op, sizeof op) && !strcmp(op, losses[i].op)) {
				compare_case(&cases, &losses[i]);
				compared++;
			}
		}
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, 10);
}

static double loss_at(const struct bd_loss *loss, const float *outputs, const struct bd_targets *targets, size_t rows, size_t width)
{
	double mean;
	assert_int_equal(bd_loss_compute(loss, outputs, targets, rows, width, &mean, NULL, NULL), 0);
	return mean;
}

static void gradients_equal_finite_differences(void **state)
{
	(void)state;
	const float outputs[6] = { 0.2f, 0.3f, 0.5f, 0.6f, 0.15f, 0.25f }, values[6] = { 0, 1, 0, 0.25f, 0.25f, 0.5f };
	const int64_t classes[2] = { 2, 0 };
	for (int kind = 0; kind < 4; kind++) {
		for (int logits = 0; logits < 2; logits++) {
			struct bd_loss loss = { .kind = (enum bd_loss_kind)kind, .from_logits = logits };
			struct bd_targets targets = { .values = values };
			if (kind == BD_SPARSE_CATEGORICAL_CROSSENTROPY)
				targets = (struct bd_targets){ .classes = classes };
			else if (kind != BD_MEAN_SQUARED_ERROR)
				loss.label_smoothing = 0.2f;
			float gradient[6];
			double mean;
			assert_int_equal(bd_loss_compute(&loss, outputs, &targets, 2, 3, &mean, gradient, NULL), 0);
			for (int i = 0; i < 6; i++) {
				float moved[6];
				memcpy(moved, outputs, sizeof moved);
				moved[i] = outputs[i] + 0.001f;
				double up = loss_at(&loss, moved, &targets, 2, 3);
				moved[i] = outputs[i] - 0.001f;
				double slope = (up - loss_at(&loss, moved, &targets, 2, 3)) / 0.002;
				if (fabs(slope - (double)gradient[i]) > 2e-4 * (1 + fabs(slope)))
					fail_msg("%s logits %d [%d]: %g, by differences %g", bd_loss_names[kind], logits, i,
					         (double)gradient[i], slope);
			}
		}
	}
}

static void classes_and_one_hot_give_the_same(void **state)
{
	(void)state;
	const float outputs[6] = { 1, -2, 0.5f, 3, 0, 1 }, one_hot[6] = { 0, 0, 1, 1, 0, 0 };
	const int64_t classes[2] = { 2, 0 };
	struct bd_loss sparse = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	struct bd_loss categorical = { .kind = BD_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	double a = loss_at(&sparse, outputs, &(struct bd_targets){ .classes = classes }, 2, 3);
	assert_true(a == loss_at(&categorical, outputs, &(struct bd_targets){ .values = one_hot }, 2, 3));
	assert_true(a == loss_at(&categorical, outputs, &(struct bd_targets){ .classes = classes }, 2, 3));
}

static void large_logits_stay_finite(void **state)
{
	(void)state;
	const float outputs[4] = { 1e30f, -1e30f, -500, 500 };
	const int64_t classes[2] = { 0, 1 };
	struct bd_loss sparse = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	struct bd_loss binary = { .kind = BD_BINARY_CROSSENTROPY, .from_logits = true };
	assert_true(loss_at(&sparse, outputs, &(struct bd_targets){ .classes = classes }, 2, 2) == 0);
	assert_true(isfinite(loss_at(&binary, outputs, &(struct bd_targets){ .classes = classes }, 2, 1)));
}

static void nan_output_gives_nan_loss_and_gradient(void **state)
{
	(void)state;
	const int64_t classes[1] = { 1 };
	for (int kind = 0; kind < 4; kind++) {
		for (int logits = 0; logits < 2; logits++) {
			struct bd_loss loss = { .kind = (enum bd_loss_kind)kind, .from_logits = logits };
			size_t width = kind == BD_BINARY_CROSSENTROPY || kind == BD_MEAN_SQUARED_ERROR ? 1 : 2;
			const float outputs[2] = { NAN, 0.5f };
			float gradient[2];
			double mean;
			assert_int_equal(bd_loss_compute(&loss, outputs, &(struct bd_targets){ .classes = classes }, 1, width,
			                                 &mean, gradient, NULL),
			                 0);
			assert_true(isnan(mean));
		}
	}
}

static void label_outside_is_erange(void **state)
{
	(void)state;
	const float outputs[6] = { 0 };
	float gradient[6] = { 7 };
	struct bd_error error;
	double mean = 5;
	struct bd_loss loss = { .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY, .from_logits = true };
	const int64_t bad[][2] = { { 0, 3 }, { -1, 0 }, { INT64_MAX, 0 }, { INT64_MIN, 0 } };
	for (size_t i = 0; i < BD_COUNT_OF(bad); i++)
		assert_int_equal(
			bd_loss_compute(&loss, outputs, &(struct bd_targets){ .classes = bad[i] }, 2, 3, &mean, gradient, &error),
			-ERANGE);
	assert_non_null(strstr(error.text, "outside 0..2"));
	assert_true(mean == 5 && gradient[0] == 7);
	struct bd_loss binary = { .kind = BD_BINARY_CROSSENTROPY, .from_logits = true };
	const int64_t two = 2;
	assert_int_equal(bd_loss_compute(&binary, outputs, &(struct bd_targets){ .classes = &two }, 1, 1, &mean, NULL, &error),
	                 -ERANGE);
}

static void loss_that_does_not_fit_is_einval(void **state)
{
	(void)state;
	struct bd_error error;
	enum bd_loss_kind kind;
	assert_int_equal(bd_loss_kind_parse("hinge", &kind, &error), -EINVAL);
	assert_non_null(strstr(error.text, "hinge"));
	assert_int_equal(bd_loss_kind_parse("mse", &kind, &error), 0);
	assert_int_equal(kind, BD_MEAN_SQUARED_ERROR);
	assert_int_equal(bd_loss_check(&(struct bd_loss){ .kind = BD_SPARSE_CATEGORICAL_CROSSENTROPY }, 3, false, &error), -EINVAL);
	assert_int_equal(bd_loss_check(&(struct bd_loss){ .kind = BD_CATEGORICAL_CROSSENTROPY }, 1, true, &error), -EINVAL);
	assert_int_equal(bd_loss_check(&(struct bd_loss){ .kind = BD_BINARY_CROSSENTROPY }, 3, true, &error), -EINVAL);
	assert_int_equal(
		bd_loss_check(&(struct bd_loss){ .kind = BD_BINARY_CROSSENTROPY, .label_smoothing = NAN }, 1, true, &error),
		-EINVAL);
	assert_int_equal(bd_loss_check(&(struct bd_loss){ .kind = BD_BINARY_CROSSENTROPY }, 1, true, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_cases_give_keras_values_and_gradients),
		cmocka_unit_test(gradients_equal_finite_differences),
		cmocka_unit_test(classes_and_one_hot_give_the_same),
		cmocka_unit_test(large_logits_stay_finite),
		cmocka_unit_test(nan_output_gives_nan_loss_and_gradient),
		cmocka_unit_test(label_outside_is_erange),
		cmocka_unit_test(loss_that_does_not_fit_is_einval),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
