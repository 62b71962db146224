#include <math.h>

#include "common/base/simd.h"
#include "trainer/learning/update.h"

/* Comparisons, not fminf: a NaN stays one, and the training loop sees it. */
#define PREPARED(common, g, w) (CLAMPED((g) * (common).scale, (common).limit) + (common).coupled * (w))
#define CLAMPED(g, limit) ((g) > (limit) ? (limit) : (g) < -(limit) ? -(limit) : (g))

static void plain(const struct bd_update_sgd *update, float *restrict w, const float *restrict g, size_t count)
{
	const struct bd_update_sgd u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]);
		w[i] = w[i] * u.common.keep - u.rate * gradient;
	}
}

/* Keras: m = mu m - lr g; w += m, or for Nesterov w += mu m - lr g. */
static void keras_momentum(const struct bd_update_sgd *update, float *restrict w, const float *restrict g, float *restrict momentum,
                           size_t count)
{
	const struct bd_update_sgd u = *update;
	for (size_t i = 0; i < count; i++) {
		float step = u.rate * PREPARED(u.common, g[i], w[i]), m = u.momentum * momentum[i] - step;
		momentum[i] = m;
		w[i] = w[i] * u.common.keep + (u.nesterov ? u.momentum * m - step : m);
	}
}

/* TensorFlow 1 and PyTorch: m = mu m + g; w -= lr m, or lr (g + mu m). */
static void plain_momentum(const struct bd_update_sgd *update, float *restrict w, const float *restrict g, float *restrict momentum,
                           size_t count)
{
	const struct bd_update_sgd u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]), m = u.momentum * momentum[i] + gradient;
		momentum[i] = m;
		w[i] = w[i] * u.common.keep - u.rate * (u.nesterov ? gradient + u.momentum * m : m);
	}
}

static void sgd(const struct bd_update_sgd *update, float *w, const float *g, float *momentum, size_t count)
{
	if (!momentum)
		plain(update, w, g, count);
	else if (update->scaled_momentum)
		keras_momentum(update, w, g, momentum, count);
	else
		plain_momentum(update, w, g, momentum, count);
}

static void rmsprop_plain(const struct bd_update_rmsprop *update, float *restrict w, const float *restrict g,
                          float *restrict velocity, size_t count)
{
	const struct bd_update_rmsprop u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]);
		float v = u.rho * velocity[i] + u.one_minus_rho * gradient * gradient;
		velocity[i] = v;
		w[i] = w[i] * u.common.keep - u.late_rate * (u.rate * gradient / (sqrtf(v + u.inside) + u.outside));
	}
}

static void rmsprop_whole(const struct bd_update_rmsprop *update, float *restrict w, const float *restrict g,
                          float *restrict velocity, float *restrict average, float *restrict momentum, size_t count)
{
	const struct bd_update_rmsprop u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]);
		float v = u.rho * velocity[i] + u.one_minus_rho * gradient * gradient, variance = v;
		velocity[i] = v;
		if (average) {
			average[i] = u.rho * average[i] + u.one_minus_rho * gradient;
			variance = v - average[i] * average[i];
		}
		float step = u.rate * gradient / (sqrtf(variance + u.inside) + u.outside);
		if (momentum)
			step = momentum[i] = u.momentum * momentum[i] + step;
		w[i] = w[i] * u.common.keep - u.late_rate * step;
	}
}

static void rmsprop(const struct bd_update_rmsprop *update, float *w, const float *g, float *velocity, float *average,
                    float *momentum, size_t count)
{
	if (average || momentum)
		rmsprop_whole(update, w, g, velocity, average, momentum, count);
	else
		rmsprop_plain(update, w, g, velocity, count);
}

static void adam_plain(const struct bd_update_adam *update, float *restrict w, const float *restrict g, float *restrict momentum,
                       float *restrict velocity, size_t count)
{
	const struct bd_update_adam u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]);
		float m = momentum[i] + (gradient - momentum[i]) * u.one_minus_beta_1;
		float v = velocity[i] + (gradient * gradient - velocity[i]) * u.one_minus_beta_2;
		momentum[i] = m;
		velocity[i] = v;
		w[i] = w[i] * u.common.keep - u.rate * m / (sqrtf(v) + u.epsilon);
	}
}

static void adam_largest(const struct bd_update_adam *update, float *restrict w, const float *restrict g, float *restrict momentum,
                         float *restrict velocity, float *restrict largest, size_t count)
{
	const struct bd_update_adam u = *update;
	for (size_t i = 0; i < count; i++) {
		float gradient = PREPARED(u.common, g[i], w[i]);
		float m = momentum[i] + (gradient - momentum[i]) * u.one_minus_beta_1;
		float v = velocity[i] + (gradient * gradient - velocity[i]) * u.one_minus_beta_2;
		momentum[i] = m;
		velocity[i] = v;
		v = largest[i] > v ? largest[i] : v;
		largest[i] = v;
		w[i] = w[i] * u.common.keep - u.rate * m / (sqrtf(v) + u.epsilon);
	}
}

static void adam(const struct bd_update_adam *update, float *w, const float *g, float *momentum, float *velocity, float *largest,
                 size_t count)
{
	if (largest)
		adam_largest(update, w, g, momentum, velocity, largest, count);
	else
		adam_plain(update, w, g, momentum, velocity, count);
}

static double sum_of_squares(const float *values, size_t count)
{
	double lanes[16] = { 0 }, sum = 0;
	size_t i = 0;
	for (; i + 16 <= count; i += 16)
		for (size_t j = 0; j < 16; j++)
			lanes[j] += (double)values[i + j] * (double)values[i + j];
	for (size_t j = 0; i + j < count; j++)
		lanes[j] += (double)values[i + j] * (double)values[i + j];
	for (size_t j = 0; j < 16; j++)
		sum += lanes[j];
	return sum;
}

const struct bd_update_table
	BD_SIMD(bd_update) = { .sgd = sgd, .rmsprop = rmsprop, .adam = adam, .sum_of_squares = sum_of_squares };
