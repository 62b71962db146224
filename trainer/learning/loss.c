#include "trainer/learning/loss.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* keras.config.epsilon() */
#define EPSILON 1e-7

const char *const bd_loss_names[] = { "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
	                              "mean_squared_error", NULL };

int bd_loss_kind_parse(const char *name, enum bd_loss_kind *ret_kind, struct bd_error *error)
{
	for (int i = 0; bd_loss_names[i]; i++) {
		if (!strcmp(name, bd_loss_names[i])) {
			*ret_kind = (enum bd_loss_kind)i;
			return 0;
		}
	}
	if (!strcmp(name, "mse")) {
		*ret_kind = BD_MEAN_SQUARED_ERROR;
		return 0;
	}
	return bd_error_set(error, -EINVAL, "unknown loss '%s'; known are %s, %s, %s and %s", name, bd_loss_names[0],
	                    bd_loss_names[1], bd_loss_names[2], bd_loss_names[3]);
}

int bd_loss_check(const struct bd_loss *loss, size_t width, bool class_targets, struct bd_error *error)
{
	const char *name = bd_loss_names[loss->kind];
	if (width == 0)
		return bd_error_set(error, -EINVAL, "%s needs an output of at least one number", name);
	if (!(loss->label_smoothing >= 0 && loss->label_smoothing <= 1))
		return bd_error_set(error, -EINVAL, "label_smoothing is %g; it lies between 0 and 1",
		                    (double)loss->label_smoothing);
	if (loss->kind == BD_SPARSE_CATEGORICAL_CROSSENTROPY && !class_targets)
		return bd_error_set(error, -EINVAL, "%s needs class numbers as labels, one int64 a record", name);
	if (loss->kind == BD_SPARSE_CATEGORICAL_CROSSENTROPY && loss->label_smoothing > 0)
		return bd_error_set(error, -EINVAL, "%s has no label_smoothing; %s has, for class numbers too", name,
		                    bd_loss_names[1]);
	bool categorical = loss->kind == BD_CATEGORICAL_CROSSENTROPY || loss->kind == BD_SPARSE_CATEGORICAL_CROSSENTROPY;
	if (categorical && width == 1)
		return bd_error_set(error, -EINVAL, "%s needs an output of two or more classes; for one number use %s", name,
		                    bd_loss_names[0]);
	if (class_targets && !categorical && width != 1)
		return bd_error_set(error, -EINVAL, "%s of %zu numbers needs as many in each label; for class numbers use %s", name,
		                    width, bd_loss_names[2]);
	return 0;
}

static int check_classes(const struct bd_loss *loss, const int64_t *classes, size_t rows, size_t width, struct bd_error *error)
{
	if (!classes || loss->kind == BD_MEAN_SQUARED_ERROR)
		return 0;
	int64_t limit = width == 1 ? 2 : (int64_t)width;
	for (size_t row = 0; row < rows; row++) {
		if (classes[row] < 0 || classes[row] >= limit)
			return bd_error_set(error, -ERANGE,
			                    "label %" PRId64 " in row %zu of the batch lies outside 0..%" PRId64
			                    ", the classes of the model's output",
			                    classes[row], row, limit - 1);
	}
	return 0;
}

static double target_at(const struct bd_targets *targets, size_t row, size_t column, size_t width)
{
	if (targets->values)
		return (double)targets->values[row * width + column];
	if (width == 1)
		return (double)targets->classes[row];
	return targets->classes[row] == (int64_t)column ? 1.0 : 0.0;
}

static double smoothed(const struct bd_loss *loss, double target, size_t width)
{
	double a = (double)loss->label_smoothing, share = loss->kind == BD_BINARY_CROSSENTROPY ? 0.5 : 1.0 / (double)width;
	return a > 0 ? target * (1 - a) + a * share : target;
}

/* Keras clips in float32, where 1 - 1e-7 is 0.99999988. */
static double clipped(double p, bool *ret_inside)
{
	double low = (double)(float)EPSILON, high = (double)(1.0f - (float)EPSILON);
	*ret_inside = p >= low && p <= high;
	return p < low ? low : p > high ? high : p;
}

static double binary_logit(double z, double t, double *ret_gradient)
{
	double e = exp(-fabs(z));
	*ret_gradient = (z >= 0 ? 1 / (1 + e) : e / (1 + e)) - t;
	return (z > 0 ? z : 0) - z * t + log1p(e);
}

static double binary_probability(double p, double t, double extra, double *ret_gradient)
{
	bool inside;
	double q = clipped(p, &inside);
	*ret_gradient = inside ? (1 - t) / (1 - q + extra) - t / (q + extra) : 0;
	if (isnan(p))
		*ret_gradient = p;
	return -(t * log(q + extra) + (1 - t) * log(1 - q + extra));
}

static double binary_row(const struct bd_loss *loss, const float *output, const struct bd_targets *targets, size_t row,
                         size_t width, double scale, float *gradient)
{
	double sum = 0, extra = loss->compatibility == BD_KERAS2 ? EPSILON : 0;
	for (size_t i = 0; i < width; i++) {
		double t = smoothed(loss, target_at(targets, row, i, width), width), slope;
		sum += loss->from_logits ? binary_logit((double)output[i], t, &slope)
		                         : binary_probability((double)output[i], t, extra, &slope);
		if (gradient)
			gradient[i] = (float)(slope * scale / (double)width);
	}
	return sum / (double)width;
}

static double square_row(const float *output, const struct bd_targets *targets, size_t row, size_t width, double scale,
                         float *gradient)
{
	double sum = 0;
	for (size_t i = 0; i < width; i++) {
		double difference = (double)output[i] - target_at(targets, row, i, width);
		sum += difference * difference;
		if (gradient)
			gradient[i] = (float)(2 * difference * scale / (double)width);
	}
	return sum / (double)width;
}

/* Softmax cross-entropy: log sum exp minus the target's logit, for one-hot and for soft targets. */
static double categorical_logits_row(const struct bd_loss *loss, const float *output, const struct bd_targets *targets, size_t row,
                                     size_t width, double scale, float *gradient)
{
	double largest = -INFINITY, sum = 0, total = 0, product = 0;
	for (size_t i = 0; i < width; i++)
		largest = (double)output[i] > largest || isnan(output[i]) ? (double)output[i] : largest;
	for (size_t i = 0; i < width; i++) {
		double t = smoothed(loss, target_at(targets, row, i, width), width);
		sum += exp((double)output[i] - largest);
		total += t;
		product += t != 0 ? t * ((double)output[i] - largest) : 0;
	}
	double logarithm = log(sum);
	if (gradient) {
		for (size_t i = 0; i < width; i++) {
			double t = smoothed(loss, target_at(targets, row, i, width), width);
			gradient[i] = (float)((exp((double)output[i] - largest) / sum * total - t) * scale);
		}
	}
	return total * logarithm - product;
}

/* Keras: p is divided by its sum, then clipped, then -sum t log p. */
static double categorical_row(const struct bd_loss *loss, const float *output, const struct bd_targets *targets, size_t row,
                              size_t width, double scale, float *gradient)
{
	double total = 0, value = 0, weighted = 0;
	bool inside;
	for (size_t i = 0; i < width; i++)
		total += (double)output[i];
	for (size_t i = 0; i < width; i++) {
		double t = smoothed(loss, target_at(targets, row, i, width), width),
		       q = clipped((double)output[i] / total, &inside);
		value -= t * log(q);
		weighted += inside ? t : 0;
	}
	if (gradient) {
		for (size_t i = 0; i < width; i++) {
			double t = smoothed(loss, target_at(targets, row, i, width), width),
			       q = clipped((double)output[i] / total, &inside);
			gradient[i] = (float)((weighted - (inside ? t / q : 0)) / total * scale);
		}
	}
	return value;
}

/* Keras: p is clipped, its logarithm taken as logits of a softmax cross-entropy. */
static double sparse_row(const float *output, int64_t class, size_t width, double scale, float *gradient)
{
	double total = 0;
	bool inside;
	for (size_t i = 0; i < width; i++)
		total += clipped((double)output[i], &inside);
	double chosen = clipped((double)output[class], &inside);
	if (gradient) {
		for (size_t i = 0; i < width; i++) {
			double q = clipped((double)output[i], &inside);
			gradient[i] = (float)(inside ? (q / total - ((int64_t)i == class)) / q * scale : 0);
		}
	}
	return log(total) - log(chosen);
}

static double row_loss(const struct bd_loss *loss, const float *output, const struct bd_targets *targets, size_t row, size_t width,
                       double scale, float *gradient)
{
	switch (loss->kind) {
	case BD_BINARY_CROSSENTROPY:
		return binary_row(loss, output, targets, row, width, scale, gradient);
	case BD_MEAN_SQUARED_ERROR:
		return square_row(output, targets, row, width, scale, gradient);
	case BD_SPARSE_CATEGORICAL_CROSSENTROPY:
		if (!loss->from_logits)
			return sparse_row(output, targets->classes[row], width, scale, gradient);
		break;
	case BD_CATEGORICAL_CROSSENTROPY:
		if (!loss->from_logits)
			return categorical_row(loss, output, targets, row, width, scale, gradient);
		break;
	}
	return categorical_logits_row(loss, output, targets, row, width, scale, gradient);
}

int bd_loss_compute(const struct bd_loss *loss, const float *outputs, const struct bd_targets *targets, size_t rows, size_t width,
                    double *ret_mean, float *gradient, struct bd_error *error)
{
	int result = check_classes(loss, targets->classes, rows, width, error);
	if (result < 0)
		return result;
	double sum = 0, scale = rows ? 1.0 / (double)rows : 0;
	for (size_t row = 0; row < rows; row++)
		sum += row_loss(loss, outputs + row * width, targets, row, width, scale, gradient ? gradient + row * width : NULL);
	*ret_mean = sum * scale;
	return 0;
}

int bd_loss_add(const struct bd_loss *loss, const float *outputs, const struct bd_targets *targets, size_t rows, size_t width,
                double *sum, struct bd_error *error)
{
	int result = check_classes(loss, targets->classes, rows, width, error);
	if (result < 0)
		return result;
	for (size_t row = 0; row < rows; row++)
		*sum += row_loss(loss, outputs + row * width, targets, row, width, 0, NULL);
	return 0;
}
