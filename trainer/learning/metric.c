#include "trainer/learning/metric.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* keras.metrics.AUC: thresholds -1e-7, 1/199 .. 198/199, 1 + 1e-7 */
#define THRESHOLDS 200
/* keras.metrics.TopKCategoricalAccuracy */
#define TOP_K 5

enum kind {
	ACCURACY,
	BINARY_ACCURACY,
	CATEGORICAL_ACCURACY,
	TOP_K_ACCURACY,
	PRECISION,
	RECALL,
	AUC,
	AUC_PR,
	SQUARED_ERROR,
	ABSOLUTE_ERROR,
};

const char *const bd_metric_names[] = { "accuracy",
	                                "acc",
	                                "binary_accuracy",
	                                "categorical_accuracy",
	                                "sparse_categorical_accuracy",
	                                "top_k_categorical_accuracy",
	                                "sparse_top_k_categorical_accuracy",
	                                "precision",
	                                "recall",
	                                "auc",
	                                "auc_pr",
	                                "mean_squared_error",
	                                "mean_absolute_error",
	                                NULL };
static const enum kind kinds[] = {
	ACCURACY, ACCURACY, BINARY_ACCURACY, CATEGORICAL_ACCURACY, CATEGORICAL_ACCURACY, TOP_K_ACCURACY, TOP_K_ACCURACY, PRECISION,
	RECALL,   AUC,      AUC_PR,          SQUARED_ERROR,        ABSOLUTE_ERROR
};

struct bd_metric {
	const char *name;
	enum kind kind;
	size_t width;
	bool sigmoid, softmax; /* what the outputs lack */
	uint64_t right, counted; /* accuracies */
	uint64_t true_positive, positive, said_positive;
	uint64_t bucket_positive[THRESHOLDS], bucket_negative[THRESHOLDS]; /* [i]: scores in (threshold i, threshold i+1] */
	double sum; /* errors */
	float *scores; /* (width): one row after the softmax */
};

int bd_metric_create(const char *name, const struct bd_loss *loss, size_t width, struct bd_metric **ret_metric,
                     struct bd_error *error)
{
	size_t index = 0;
	while (bd_metric_names[index] && strcmp(bd_metric_names[index], name) != 0)
		index++;
	if (!bd_metric_names[index])
		return bd_error_set(error, -EINVAL, "unknown metric '%s'; known are accuracy, precision, recall, auc, %s, %s, ...",
		                    name, bd_metric_names[5], bd_metric_names[11]);
	enum kind kind = kinds[index];
	if (kind == ACCURACY)
		kind = width == 1 ? BINARY_ACCURACY : CATEGORICAL_ACCURACY;
	if ((kind == CATEGORICAL_ACCURACY || kind == TOP_K_ACCURACY) && width == 1)
		return bd_error_set(error, -EINVAL, "%s needs an output of two or more classes; for one number use binary_accuracy",
		                    name);
	struct bd_metric *metric = calloc(1, sizeof *metric);
	float *scores = calloc(width ? width : 1, sizeof *scores);
	if (!metric || !scores) {
		free(metric);
		free(scores);
		return bd_error_set(error, -ENOMEM, "no memory for metric %s", name);
	}
	bool probabilities = loss->kind != BD_MEAN_SQUARED_ERROR && loss->from_logits;
	bool sigmoid = probabilities && (width == 1 || loss->kind == BD_BINARY_CROSSENTROPY);
	*metric = (struct bd_metric){ .name = bd_metric_names[index],
		                      .kind = kind,
		                      .width = width,
		                      .sigmoid = sigmoid,
		                      .softmax = probabilities && !sigmoid,
		                      .scores = scores };
	*ret_metric = metric;
	return 0;
}

void bd_metric_destroy(struct bd_metric *metric)
{
	if (!metric)
		return;
	free(metric->scores);
	free(metric);
}

const char *bd_metric_name(const struct bd_metric *metric)
{
	return metric->name;
}

void bd_metric_reset(struct bd_metric *metric)
{
	*metric = (struct bd_metric){ .name = metric->name,
		                      .kind = metric->kind,
		                      .width = metric->width,
		                      .sigmoid = metric->sigmoid,
		                      .softmax = metric->softmax,
		                      .scores = metric->scores };
}

/* The counters in one order, for both ways. */
static size_t list_counters(struct bd_metric *metric, uint64_t *counters[BD_METRIC_STATE_MAX])
{
	size_t count = 0;
	counters[count++] = &metric->right;
	counters[count++] = &metric->counted;
	counters[count++] = &metric->true_positive;
	counters[count++] = &metric->positive;
	counters[count++] = &metric->said_positive;
	for (size_t i = 0; (metric->kind == AUC || metric->kind == AUC_PR) && i < THRESHOLDS; i++) {
		counters[count++] = &metric->bucket_positive[i];
		counters[count++] = &metric->bucket_negative[i];
	}
	return count;
}

size_t bd_metric_state(const struct bd_metric *metric, double ret_values[BD_METRIC_STATE_MAX])
{
	struct bd_metric copy = *metric;
	uint64_t *counters[BD_METRIC_STATE_MAX];
	size_t count = list_counters(&copy, counters);
	for (size_t i = 0; i < count; i++)
		ret_values[i] = (double)*counters[i];
	ret_values[count++] = metric->sum;
	return count;
}

bool bd_metric_restore(struct bd_metric *metric, const double *values, size_t count)
{
	uint64_t *counters[BD_METRIC_STATE_MAX];
	size_t own = list_counters(metric, counters);
	if (count != own + 1)
		return false;
	for (size_t i = 0; i < own; i++) {
		if (!(values[i] >= 0 && values[i] < 9007199254740992.0))
			return false;
	}
	for (size_t i = 0; i < own; i++)
		*counters[i] = (uint64_t)values[i];
	metric->sum = values[own];
	return true;
}

static float sigmoid_of(float z)
{
	return 1.0f / (1.0f + expf(-z));
}

/* The row as the model with its last activation would have given it. */
static const float *scores_of(struct bd_metric *metric, const float *row)
{
	if (!metric->sigmoid && !metric->softmax)
		return row;
	double largest = -INFINITY, sum = 0;
	for (size_t i = 0; i < metric->width; i++)
		largest = (double)row[i] > largest ? (double)row[i] : largest;
	for (size_t i = 0; i < metric->width; i++) {
		double e = metric->softmax ? exp((double)row[i] - largest) : 0;
		metric->scores[i] = metric->softmax ? (float)e : sigmoid_of(row[i]);
		sum += e;
	}
	for (size_t i = 0; metric->softmax && i < metric->width; i++)
		metric->scores[i] = (float)((double)metric->scores[i] / sum);
	return metric->scores;
}

static float target_at(const struct bd_targets *targets, size_t row, size_t column, size_t width)
{
	if (targets->values)
		return targets->values[row * width + column];
	if (width == 1)
		return (float)targets->classes[row];
	return targets->classes[row] == (int64_t)column ? 1 : 0;
}

static size_t largest_of(const float *row, size_t width)
{
	size_t best = 0;
	for (size_t i = 1; i < width; i++)
		best = row[i] > row[best] ? i : best;
	return best;
}

static size_t true_class(const struct bd_targets *targets, size_t row, size_t width)
{
	if (targets->classes)
		return (size_t)targets->classes[row];
	return width == 1 ? targets->values[row] > 0.5f : largest_of(targets->values + row * width, width);
}

/* TensorFlow's in_top_k: fewer than k scores are larger than the class's; a NaN is never among them. */
static bool in_top_k(const float *row, size_t width, size_t class)
{
	size_t larger = 0;
	for (size_t i = 0; i < width; i++)
		larger += row[i] > row[class];
	return isfinite(row[class]) && larger < TOP_K;
}

/* Keras: ceil(score 199) - 1, in float32. */
static size_t bucket_of(float score)
{
	float position = ceilf(fminf(fmaxf(score, 0), 1) * (THRESHOLDS - 1)) - 1;
	return position > 0 ? (size_t)position : 0;
}

static void count_element(struct bd_metric *metric, float score, float target)
{
	bool said = score > 0.5f, is = target > 0.5f;
	switch (metric->kind) {
	case BINARY_ACCURACY:
		metric->right += (said ? 1.0f : 0.0f) == target;
		metric->counted++;
		break;
	case PRECISION:
	case RECALL:
		metric->true_positive += said && is;
		metric->positive += is;
		metric->said_positive += said;
		break;
	case AUC:
	case AUC_PR:
		(is ? metric->bucket_positive : metric->bucket_negative)[bucket_of(score)]++;
		break;
	case SQUARED_ERROR:
		metric->sum += ((double)score - (double)target) * ((double)score - (double)target);
		metric->counted++;
		break;
	case ABSOLUTE_ERROR:
		metric->sum += fabs((double)score - (double)target);
		metric->counted++;
		break;
	case ACCURACY:
	case CATEGORICAL_ACCURACY:
	case TOP_K_ACCURACY:
		break;
	}
}

void bd_metric_update(struct bd_metric *metric, const float *outputs, const struct bd_targets *targets, size_t rows)
{
	for (size_t row = 0; row < rows; row++) {
		const float *output = outputs + row * metric->width;
		if (metric->kind == CATEGORICAL_ACCURACY || metric->kind == TOP_K_ACCURACY) {
			size_t class = true_class(targets, row, metric->width);
			metric->right += metric->kind == TOP_K_ACCURACY ? in_top_k(output, metric->width, class)
			                                                : largest_of(output, metric->width) == class;
			metric->counted++;
			continue;
		}
		const float *scores = scores_of(metric, output);
		for (size_t i = 0; i < metric->width; i++)
			count_element(metric, scores[i], target_at(targets, row, i, metric->width));
	}
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* keras.metrics.AUC.interpolate_pr_auc, after Davis and Goadrich */
static double interpolated_pr(const double *tp, const double *fp, double positives)
{
	double sum = 0;
	for (int i = 0; i < THRESHOLDS - 1; i++) {
		double p = tp[i] + fp[i], next = tp[i + 1] + fp[i + 1], difference = tp[i] - tp[i + 1];
		double slope = share(difference, p - next), intercept = tp[i + 1] - slope * next;
		double ratio = p > 0 && next > 0 ? p / next : 1;
		sum += share(slope * (difference + intercept * log(ratio)), positives);
	}
	return sum;
}

static double area(const struct bd_metric *metric)
{
	double tp[THRESHOLDS], fp[THRESHOLDS], positives = 0, negatives = 0, sum = 0;
	for (int i = THRESHOLDS - 1; i >= 0; i--) {
		tp[i] = positives += (double)metric->bucket_positive[i];
		fp[i] = negatives += (double)metric->bucket_negative[i];
	}
	if (metric->kind == AUC_PR)
		return interpolated_pr(tp, fp, positives);
	for (int i = 0; i < THRESHOLDS - 1; i++)
		sum += (share(fp[i], negatives) - share(fp[i + 1], negatives)) *
		       (share(tp[i], positives) + share(tp[i + 1], positives)) / 2;
	return sum < 1 ? sum : 1; /* rounding */
}

double bd_metric_result(const struct bd_metric *metric)
{
	switch (metric->kind) {
	case PRECISION:
		return share((double)metric->true_positive, (double)metric->said_positive);
	case RECALL:
		return share((double)metric->true_positive, (double)metric->positive);
	case AUC:
	case AUC_PR:
		return area(metric);
	case SQUARED_ERROR:
	case ABSOLUTE_ERROR:
		return metric->counted ? metric->sum / (double)metric->counted : 0;
	case ACCURACY:
	case BINARY_ACCURACY:
	case CATEGORICAL_ACCURACY:
	case TOP_K_ACCURACY:
		break;
	}
	return share((double)metric->right, (double)metric->counted);
}

size_t bd_predicted_class(const float *row, size_t width, bool from_logits)
{
	if (width == 1)
		return (from_logits ? sigmoid_of(row[0]) : row[0]) > 0.5f;
	return largest_of(row, width);
}

int bd_confusion_init(struct bd_confusion *ret_confusion, const struct bd_loss *loss, size_t width, struct bd_error *error)
{
	size_t classes = width < 2 ? 2 : width;
	if (loss->kind == BD_MEAN_SQUARED_ERROR)
		return bd_error_set(error, -EINVAL, "a confusion matrix counts classes, and a model with the loss %s gives numbers",
		                    bd_loss_names[loss->kind]);
	if (width > 1 && loss->kind == BD_BINARY_CROSSENTROPY)
		return bd_error_set(
			error, -EINVAL,
			"a confusion matrix counts one class a picture, and with %s each of the model's %zu outputs is a class of "
			"its own, of which a picture may have several",
			bd_loss_names[loss->kind], width);
	if (classes > BD_CONFUSION_MAX_CLASSES)
		return bd_error_set(error, -EINVAL, "a confusion matrix of %zu classes: %d at most", classes,
		                    BD_CONFUSION_MAX_CLASSES);
	uint64_t *counts = calloc(classes * classes, sizeof *counts);
	if (!counts)
		return bd_error_set(error, -ENOMEM, "no memory for a confusion matrix of %zu classes", classes);
	*ret_confusion = (struct bd_confusion){
		.classes = classes, .counts = counts, .width = width, .from_logits = loss->from_logits
	};
	return 0;
}

void bd_confusion_finish(struct bd_confusion *confusion)
{
	free(confusion->counts);
	*confusion = (struct bd_confusion){ 0 };
}

void bd_confusion_update(struct bd_confusion *confusion, const float *outputs, const struct bd_targets *targets, size_t rows)
{
	for (size_t row = 0; row < rows; row++) {
		size_t said = bd_predicted_class(outputs + row * confusion->width, confusion->width, confusion->from_logits);
		size_t is = true_class(targets, row, confusion->width);
		confusion->counts[is * confusion->classes + said]++;
	}
}
