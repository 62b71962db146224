#include "trainer/learning/optimizer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/simd.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "trainer/learning/update.h"

#define STEPS 20
#define WEIGHTS 6

/* The problem of golden/optimizers: w (6), b (1), gradients given. */
struct problem {
	float w[WEIGHTS], b[1], gw[WEIGHTS], gb[1];
	struct bd_parameter weight, bias, frozen;
	struct bd_parameter *all[3];
};

static void start(struct problem *problem, const float *w, float b)
{
	*problem = (struct problem){ 0 };
	memcpy(problem->w, w, sizeof problem->w);
	problem->b[0] = b;
	problem->weight = (struct bd_parameter){ .name = (char *)(uintptr_t) "fc/kernel",
		                                 .rank = 2,
		                                 .shape = { WEIGHTS, 1 },
		                                 .count = WEIGHTS,
		                                 .value = problem->w,
		                                 .gradient = problem->gw,
		                                 .trainable = true };
	problem->bias = (struct bd_parameter){ .name = (char *)(uintptr_t) "fc/bias",
		                               .rank = 1,
		                               .shape = { 1 },
		                               .count = 1,
		                               .value = problem->b,
		                               .gradient = problem->gb,
		                               .trainable = true };
	problem->frozen = (struct bd_parameter){
		.name = (char *)(uintptr_t) "bn/moving_mean", .rank = 1, .shape = { 1 }, .count = 1, .is_statistic = true
	};
	problem->all[0] = &problem->frozen;
	problem->all[1] = &problem->weight;
	problem->all[2] = &problem->bias;
}

static const struct bd_schedule schedules[] = {
	{ .kind = BD_SCHEDULE_STEP, .boundary_count = 2, .boundaries = { 5, 12 }, .values = { 0.05, 0.02, 0.005 } },
	{ .kind = BD_SCHEDULE_EXPONENTIAL, .learning_rate = 0.05, .decay_steps = 6, .decay_rate = 0.5, .staircase = true },
	{ .kind = BD_SCHEDULE_EXPONENTIAL, .learning_rate = 0.05, .decay_steps = 6, .decay_rate = 0.5 },
	{ .kind = BD_SCHEDULE_INVERSE_TIME, .learning_rate = 0.05, .decay_steps = 1, .decay_rate = 0.1 },
	{ .kind = BD_SCHEDULE_COSINE, .learning_rate = 0.05, .decay_steps = 16, .alpha = 0.1 },
	{ .kind = BD_SCHEDULE_COSINE, .learning_rate = 0.05, .decay_steps = 12, .warmup_steps = 5, .warmup_from = 0.01 },
	{ .kind = BD_SCHEDULE_COSINE_TORCH, .learning_rate = 0.05, .decay_steps = 16, .alpha = 0.1 },
};
static const char *const schedule_names[] = { "step", "staircase", "exponential", "inverse_time", "cosine", "warmup_cosine" };

static double number(const struct bd_golden_cases *cases, const char *key, double otherwise)
{
	char text[64];
	return bd_golden_value(cases, key, text, sizeof text) ? atof(text) : otherwise;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static enum bd_optimizer_kind kind_of(const char *name)
{
	return begins(name, "adamw") ? BD_ADAMW : begins(name, "adam") ? BD_ADAM : begins(name, "rmsprop") ? BD_RMSPROP : BD_SGD;
}

static struct bd_optimizer_config keras_config(const struct bd_golden_cases *cases, const char *name)
{
	enum bd_compatibility compatibility = strstr(name, "tf1") ? BD_TF1 : strstr(name, "keras2") ? BD_KERAS2 : BD_KERAS3;
	struct bd_optimizer_config config = bd_optimizer_defaults(kind_of(name), compatibility);
	char schedule[32];
	config.momentum = number(cases, "params.momentum", config.momentum);
	config.nesterov = number(cases, "params.nesterov", 0) > 0;
	config.rho = number(cases, "params.rho", config.rho);
	config.centered = number(cases, "params.centered", 0) > 0;
	config.amsgrad = number(cases, "params.amsgrad", 0) > 0;
	config.weight_decay = number(cases, "params.weight_decay", 0);
	config.clipvalue = number(cases, "params.clipvalue", 0);
	config.global_clipnorm = number(cases, "params.global_clipnorm", 0);
	/* the others must agree with our defaults */
	if (strstr(name, "eps"))
		config.epsilon = number(cases, "params.epsilon", 0);
	if (strstr(name, "bias_excluded"))
		strcpy(config.excluded[config.excluded_count++], "bias");
	for (size_t i = 0; bd_golden_value(cases, "params.schedule", schedule, sizeof schedule) && i < BD_COUNT_OF(schedule_names);
	     i++) {
		if (!strcmp(schedule, schedule_names[i]))
			config.schedule = schedules[i];
	}
	return config;
}

static struct bd_optimizer_config torch_config(const char *name)
{
	struct bd_optimizer_config config = bd_optimizer_defaults(kind_of(name), BD_TORCH);
	if (strstr(name, "momentum") || strstr(name, "nesterov"))
		config.momentum = 0.9;
	config.nesterov = strstr(name, "nesterov");
	if (!strcmp(name, "rmsprop_alpha.9_eps1e-7"))
		config.rho = 0.9;
	if (strstr(name, "eps1e-7"))
		config.epsilon = 1e-7;
	if (!strcmp(name, "adamw")) {
		config.weight_decay = 0.04;
		config.epsilon = 1e-7;
	}
	if (!strcmp(name, "sgd_weight_decay")) {
		/* the fixture's bias stands in a parameter group without decay, whatever its note says: compare its b.npy with sgd's */
		config.weight_decay = 0.06;
		strcpy(config.excluded[config.excluded_count++], "bias");
	}
	if (!strcmp(name, "sgd_clip_global_norm"))
		config.global_clipnorm = 0.7;
	if (!strcmp(name, "sgd_step_lr"))
		config.schedule = schedules[1];
	if (!strcmp(name, "sgd_cosine"))
		config.schedule = schedules[6];
	return config;
}

static void load(const char *folder, const char *name, const char *file, struct bd_npy *ret_npy)
{
	char relative[256], path[512];
	snprintf(relative, sizeof relative, "golden/%s/%s/%s.npy", folder, name, file);
	if (!bd_shared_path(relative, path, sizeof path) || !bd_npy_load(path, ret_npy))
		fail_msg("%s: cannot be read", path);
}

static void compare(const char *name, size_t step, const float *got, const float *wanted, size_t count, double atol)
{
	for (size_t i = 0; i < count; i++) {
		if (!(fabs((double)got[i] - (double)wanted[i]) <= atol))
			fail_msg("%s, step %zu [%zu]: %.9g instead of %.9g (atol %g)", name, step, i, (double)got[i],
			         (double)wanted[i], atol);
	}
}

/* Gradients of mean((x w + b - target)^2), as the reference computed them. */
static void gradients(struct problem *problem, const struct bd_npy *x, const struct bd_npy *target)
{
	size_t rows = (size_t)x->shape[0];
	double gw[WEIGHTS] = { 0 }, gb = 0;
	const float *inputs = x->data, *wanted = target->data;
	for (size_t row = 0; row < rows; row++) {
		double r = (double)problem->b[0] - (double)wanted[row];
		for (size_t i = 0; i < WEIGHTS; i++)
			r += (double)inputs[row * WEIGHTS + i] * (double)problem->w[i];
		for (size_t i = 0; i < WEIGHTS; i++)
			gw[i] += 2 * r * (double)inputs[row * WEIGHTS + i] / (double)rows;
		gb += 2 * r / (double)rows;
	}
	for (size_t i = 0; i < WEIGHTS; i++)
		problem->gw[i] = (float)gw[i];
	problem->gb[0] = (float)gb;
}

struct reference {
	struct bd_npy w, b, lr, gw, gb, x, target;
	double w_atol, b_atol;
};

static void follow(const char *name, struct bd_optimizer_config *config, const struct reference *reference, bool given)
{
	struct problem problem;
	const float *w = reference->w.data, *b = reference->b.data;
	const double *lr = reference->lr.data;
	struct bd_optimizer *optimizer;
	if (config->schedule.kind == BD_SCHEDULE_CONSTANT)
		config->schedule.learning_rate = lr[0];
	start(&problem, w, b[0]);
	assert_int_equal(bd_optimizer_create(config, problem.all, 3, &optimizer, NULL), 0);
	for (size_t step = 0; step < STEPS; step++) {
		gradients(&problem, &reference->x, &reference->target);
		if (given) {
			memcpy(problem.gw, (const float *)reference->gw.data + step * WEIGHTS, sizeof problem.gw);
			problem.gb[0] = ((const float *)reference->gb.data)[step];
		}
		double rate = bd_optimizer_step(optimizer);
		if (fabs(rate - lr[step]) > 5e-9)
			fail_msg("%s, step %zu: rate %.12g instead of %.12g", name, step, rate, lr[step]);
		compare(name, step, problem.w, w + (step + 1) * WEIGHTS, WEIGHTS, reference->w_atol);
		compare(name, step, problem.b, b + step + 1, 1, reference->b_atol);
	}
	assert_int_equal(bd_optimizer_iterations(optimizer), STEPS);
	bd_optimizer_destroy(optimizer);
}

static void open_reference(const char *folder, const char *name, bool given, struct reference *reference)
{
	load(folder, name, "w", &reference->w);
	load(folder, name, "b", &reference->b);
	load(folder, name, "lr", &reference->lr);
	load("optimizers", ".", "x", &reference->x);
	load("optimizers", ".", "target", &reference->target);
	if (given) {
		load(folder, name, "gw", &reference->gw);
		load(folder, name, "gb", &reference->gb);
	}
	assert_string_equal(reference->lr.dtype, "<f8");
	assert_string_equal(reference->w.dtype, "<f4");
}

static void close_reference(struct reference *reference)
{
	bd_npy_free(&reference->w);
	bd_npy_free(&reference->b);
	bd_npy_free(&reference->lr);
	bd_npy_free(&reference->x);
	bd_npy_free(&reference->target);
	bd_npy_free(&reference->gw);
	bd_npy_free(&reference->gb);
}

static bool open_cases(const char *relative, struct bd_golden_cases *cases)
{
	char path[512];
	if (bd_shared_path(relative, path, sizeof path) && bd_golden_cases_open(path, cases))
		return true;
	print_message("missing: %s\n", path);
	return false;
}

static void golden_gradients_give_keras_weights(void **state)
{
	(void)state;
	struct bd_golden_cases cases;
	if (!open_cases("golden/optimizers/index.txt", &cases))
		skip();
	int compared = 0;
	for (; bd_golden_cases_next(&cases); compared++) {
		char name[64];
		struct reference reference = { 0 };
		assert_true(bd_golden_value(&cases, "name", name, sizeof name));
		reference.w_atol = number(&cases, "w.atol", 0);
		reference.b_atol = number(&cases, "b.atol", 0);
		open_reference("optimizers", name, true, &reference);
		struct bd_optimizer_config config = keras_config(&cases, name);
		follow(name, &config, &reference, true);
		close_reference(&reference);
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, 30);
}

static void golden_problem_gives_torch_weights(void **state)
{
	(void)state;
	struct bd_golden_cases cases;
	if (!open_cases("golden/optimizers_torch/index.txt", &cases))
		skip();
	int compared = 0;
	for (; bd_golden_cases_next(&cases); compared++) {
		char name[64];
		struct reference reference = { .w_atol = number(&cases, "atol", 0), .b_atol = number(&cases, "atol", 0) };
		assert_true(bd_golden_value(&cases, "name", name, sizeof name));
		open_reference("optimizers_torch", name, false, &reference);
		struct bd_optimizer_config config = torch_config(name);
		follow(name, &config, &reference, false);
		close_reference(&reference);
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, 12);
}

static const float some_weights[WEIGHTS] = { 1, -2, 0.5f, 3, -0.25f, 2 };

static void run(struct problem *problem, struct bd_optimizer *optimizer, int from, int to)
{
	for (int step = from; step < to; step++) {
		for (size_t i = 0; i < WEIGHTS; i++)
			problem->gw[i] = problem->w[i] * 0.3f + 0.1f * (float)(step % 3);
		problem->gb[0] = problem->b[0] - 1;
		bd_optimizer_step(optimizer);
	}
}

static void resumed_state_gives_the_same_bits(void **state)
{
	(void)state;
	for (int kind = BD_SGD; kind <= BD_ADAMW; kind++) {
		struct bd_optimizer_config config = bd_optimizer_defaults((enum bd_optimizer_kind)kind, BD_KERAS3);
		config.momentum = 0.9;
		config.centered = config.amsgrad = true;
		config.schedule = schedules[5];
		struct problem whole, first, second;
		struct bd_optimizer *a, *b, *c;
		start(&whole, some_weights, 0.5f);
		start(&first, some_weights, 0.5f);
		assert_int_equal(bd_optimizer_create(&config, whole.all, 3, &a, NULL), 0);
		assert_int_equal(bd_optimizer_create(&config, first.all, 3, &b, NULL), 0);
		run(&whole, a, 0, 12);
		run(&first, b, 0, 7);
		start(&second, first.w, first.b[0]);
		assert_int_equal(bd_optimizer_create(&config, second.all, 3, &c, NULL), 0);
		assert_int_equal(bd_optimizer_state_count(b), bd_optimizer_state_count(c));
		for (size_t i = 0; i < bd_optimizer_state_count(b); i++) {
			struct bd_tensor from = bd_optimizer_state(b, i), to = bd_optimizer_state(c, i);
			assert_string_equal(from.name, to.name);
			memcpy(to.data, from.data, from.count * sizeof(float));
		}
		bd_optimizer_set_iterations(c, bd_optimizer_iterations(b));
		run(&second, c, 7, 12);
		assert_memory_equal(second.w, whole.w, sizeof whole.w);
		assert_memory_equal(second.b, whole.b, sizeof whole.b);
		bd_optimizer_destroy(a);
		bd_optimizer_destroy(b);
		bd_optimizer_destroy(c);
	}
}

static void state_has_keras_names_and_shapes(void **state)
{
	(void)state;
	struct problem problem;
	struct bd_optimizer *optimizer;
	start(&problem, some_weights, 0);
	struct bd_optimizer_config config = bd_optimizer_defaults(BD_ADAM, BD_KERAS3);
	assert_int_equal(bd_optimizer_create(&config, problem.all, 3, &optimizer, NULL), 0);
	assert_int_equal(bd_optimizer_state_count(optimizer), 4);
	struct bd_tensor tensor = bd_optimizer_state(optimizer, 1);
	assert_string_equal(tensor.name, "optimizer/fc/kernel/velocity");
	assert_int_equal(tensor.rank, 2);
	assert_int_equal(tensor.shape[0], WEIGHTS);
	assert_int_equal(tensor.count, WEIGHTS);
	bd_optimizer_destroy(optimizer);
}

/* Three pieces and a tail, in reverse order, against one run. */
static void pieces_in_any_order_give_the_same_bits(void **state)
{
	(void)state;
	enum { COUNT = 70001 };
	float *values[2], *gradient = calloc(COUNT, sizeof *gradient);
	for (int k = 0; k < 2; k++) {
		values[k] = calloc(COUNT, sizeof *values[k]);
		struct bd_parameter parameter = { .name = (char *)(uintptr_t) "fc/kernel",
			                          .rank = 1,
			                          .shape = { COUNT },
			                          .count = COUNT,
			                          .value = values[k],
			                          .gradient = gradient,
			                          .trainable = true },
				    *all[1] = { &parameter };
		for (size_t i = 0; i < COUNT; i++) {
			values[k][i] = (float)(i % 97) * 0.01f;
			gradient[i] = (float)(i % 89) * 0.1f - 4;
		}
		struct bd_optimizer_config config = bd_optimizer_defaults(BD_ADAM, BD_KERAS3);
		config.global_clipnorm = 1;
		struct bd_optimizer *optimizer;
		assert_int_equal(bd_optimizer_create(&config, all, 1, &optimizer, NULL), 0);
		for (int step = 0; step < 2; step++) {
			if (k == 0) {
				bd_optimizer_step(optimizer);
				continue;
			}
			bd_optimizer_begin(optimizer);
			bd_optimizer_measure(optimizer);
			assert_int_equal(bd_optimizer_piece_count(optimizer), 3);
			for (size_t piece = 3; piece-- > 0;)
				bd_optimizer_apply(optimizer, piece);
		}
		bd_optimizer_destroy(optimizer);
	}
	assert_memory_equal(values[0], values[1], COUNT * sizeof(float));
	free(values[0]);
	free(values[1]);
	free(gradient);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
	(void)state;
#if defined(__x86_64__)
	enum { COUNT = 61 };
	const struct bd_update_table *tables[3] = { &bd_update_baseline, &bd_update_avx2, &bd_update_avx512 };
	float w[3][COUNT], m[3][COUNT], v[3][COUNT], g[COUNT];
	double squares[3];
	int levels = (int)bd_simd_level() + 1;
	for (int level = 0; level < levels; level++) {
		for (size_t i = 0; i < COUNT; i++) {
			w[level][i] = (float)i * 0.37f - 5;
			g[i] = (float)(i * i % 23) * 0.013f - 0.1f;
			m[level][i] = v[level][i] = (float)i * 0.01f;
		}
		struct bd_update_common common = { .scale = 0.7f, .limit = 0.05f, .coupled = 0.01f, .keep = 0.99f };
		struct bd_update_adam adam = {
			.common = common, .rate = 0.01f, .one_minus_beta_1 = 0.1f, .one_minus_beta_2 = 0.001f, .epsilon = 1e-7f
		};
		struct bd_update_rmsprop rms = { .common = common,
			                         .rate = 0.01f,
			                         .late_rate = 1,
			                         .rho = 0.9f,
			                         .one_minus_rho = 0.1f,
			                         .momentum = 0.5f,
			                         .inside = 1e-7f };
		struct bd_update_sgd sgd = {
			.common = common, .rate = 0.01f, .momentum = 0.9f, .nesterov = true, .scaled_momentum = true
		};
		tables[level]->adam(&adam, w[level], g, m[level], v[level], NULL, COUNT);
		tables[level]->rmsprop(&rms, w[level], g, v[level], NULL, m[level], COUNT);
		tables[level]->rmsprop(&rms, w[level], g, v[level], NULL, NULL, COUNT);
		tables[level]->sgd(&sgd, w[level], g, m[level], COUNT);
		squares[level] = tables[level]->sum_of_squares(g, COUNT);
		assert_memory_equal(w[level], w[0], sizeof w[0]);
		assert_memory_equal(m[level], m[0], sizeof m[0]);
		assert_memory_equal(v[level], v[0], sizeof v[0]);
		assert_true(squares[level] == squares[0]);
	}
#else
	skip();
#endif
}

static void nan_gradient_reaches_the_weight(void **state)
{
	(void)state;
	for (int kind = BD_SGD; kind <= BD_ADAMW; kind++) {
		for (int clip = 0; clip < 3; clip++) {
			struct bd_optimizer_config config = bd_optimizer_defaults((enum bd_optimizer_kind)kind, BD_KERAS3);
			config.clipvalue = clip == 1;
			config.global_clipnorm = clip == 2;
			struct problem problem;
			struct bd_optimizer *optimizer;
			start(&problem, some_weights, 0);
			assert_int_equal(bd_optimizer_create(&config, problem.all, 3, &optimizer, NULL), 0);
			problem.gw[3] = NAN;
			bd_optimizer_step(optimizer);
			assert_true(isnan(problem.w[3]));
			bd_optimizer_destroy(optimizer);
		}
	}
}

static void clipnorm_works_on_each_parameter(void **state)
{
	(void)state;
	struct bd_optimizer_config config = bd_optimizer_defaults(BD_SGD, BD_KERAS3);
	config.clipnorm = 1;
	config.schedule.learning_rate = 1;
	struct problem problem;
	struct bd_optimizer *optimizer;
	start(&problem, some_weights, 0);
	assert_int_equal(bd_optimizer_create(&config, problem.all, 3, &optimizer, NULL), 0);
	problem.gw[0] = 3;
	problem.gw[1] = 4;
	problem.gb[0] = 0.5f;
	bd_optimizer_step(optimizer);
	assert_float_equal(problem.w[0], some_weights[0] - 0.6f, 1e-6);
	assert_float_equal(problem.w[1], some_weights[1] - 0.8f, 1e-6);
	assert_float_equal(problem.b[0], -0.5f, 0);
	bd_optimizer_destroy(optimizer);
}

static void numbers_out_of_range_are_einval(void **state)
{
	(void)state;
	struct bd_optimizer *optimizer = NULL;
	struct bd_error error;
	struct bd_optimizer_config good = bd_optimizer_defaults(BD_ADAM, BD_KERAS3), config = good;
	config.beta_1 = 1;
	assert_int_equal(bd_optimizer_create(&config, NULL, 0, &optimizer, &error), -EINVAL);
	config = good;
	config.epsilon = NAN;
	assert_int_equal(bd_optimizer_create(&config, NULL, 0, &optimizer, &error), -EINVAL);
	assert_non_null(strstr(error.text, "epsilon"));
	config = good;
	config.schedule.learning_rate = -1;
	assert_int_equal(bd_optimizer_create(&config, NULL, 0, &optimizer, &error), -EINVAL);
	config = good;
	config.clipnorm = 1;
	struct bd_parameter streamed = { .name = (char *)(uintptr_t) "fc/kernel", .trainable = true, .streamed = true },
			    *all[1] = { &streamed };
	assert_int_equal(bd_optimizer_create(&config, all, 1, &optimizer, &error), -EINVAL);
	assert_non_null(strstr(error.text, "fc/kernel"));
	config.clipvalue = 1;
	assert_int_equal(bd_optimizer_create(&config, NULL, 0, &optimizer, &error), -EINVAL);
	config = good;
	config.schedule = schedules[0];
	config.schedule.boundaries[1] = 5;
	assert_int_equal(bd_optimizer_create(&config, NULL, 0, &optimizer, &error), -EINVAL);
	assert_null(optimizer);
	assert_int_equal(bd_optimizer_create(&good, NULL, 0, &optimizer, &error), 0);
	bd_optimizer_step(optimizer);
	bd_optimizer_destroy(optimizer);
	bd_optimizer_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_gradients_give_keras_weights),
		cmocka_unit_test(golden_problem_gives_torch_weights),
		cmocka_unit_test(resumed_state_gives_the_same_bits),
		cmocka_unit_test(state_has_keras_names_and_shapes),
		cmocka_unit_test(pieces_in_any_order_give_the_same_bits),
		cmocka_unit_test(every_instruction_set_gives_the_same_bits),
		cmocka_unit_test(nan_gradient_reaches_the_weight),
		cmocka_unit_test(clipnorm_works_on_each_parameter),
		cmocka_unit_test(numbers_out_of_range_are_einval),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
