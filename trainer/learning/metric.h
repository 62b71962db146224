/*
 * metric.h - accuracy, precision, recall, AUC over any number of batches; the confusion matrix.
 *
 * A metric is reset, updated with batches of any length and read at any time; counts are integers and sums double, so that the
 * result does not depend on how the records were cut into batches. Definitions are Keras': binary accuracy counts scores > 0.5,
 * precision and recall likewise for each element, AUC uses 200 evenly spaced thresholds and trapezoids (keras.metrics.AUC).
 * Threads: a metric belongs to one thread.
 */
#ifndef BD_LEARNING_METRIC_H
#define BD_LEARNING_METRIC_H

#include "trainer/learning/loss.h"

struct bd_metric;

/*
 * Names: accuracy (binary, categorical or sparse by width and targets, as Keras resolves it), acc, binary_accuracy, categorical_accuracy,
 * sparse_categorical_accuracy, top_k_categorical_accuracy, sparse_top_k_categorical_accuracy (k = 5), precision, recall, auc, auc_pr,
 * mean_squared_error, mean_absolute_error. `loss` says whether outputs are logits (of a sigmoid for binary cross-entropy or width 1,
 * else of a softmax). -EINVAL names the nearest. Destroy with bd_metric_destroy, which takes NULL.
 */
BD_MUST_CHECK int bd_metric_create(const char *name, const struct bd_loss *loss, size_t width, struct bd_metric **ret_metric,
                                   struct bd_error *error);
void bd_metric_destroy(struct bd_metric *metric);

/* All names, NULL at the end. */
extern const char *const bd_metric_names[];

/* The name it was created with. */
const char *bd_metric_name(const struct bd_metric *metric);

void bd_metric_reset(struct bd_metric *metric);

/* Outputs (rows, width), targets as of bd_loss_compute, which has checked them. */
void bd_metric_update(struct bd_metric *metric, const float *outputs, const struct bd_targets *targets, size_t rows);

/* 0 where nothing was counted. */
double bd_metric_result(const struct bd_metric *metric);

/*
 * What was counted, as numbers that a checkpoint can hold: a run that is resumed between two reports reports as if it had not been
 * stopped. Counts are exact below 2^53. bd_metric_restore: false where `count` is not what bd_metric_state of this kind of metric returns.
 */
#define BD_METRIC_STATE_MAX 512
size_t bd_metric_state(const struct bd_metric *metric, double ret_values[BD_METRIC_STATE_MAX]);
bool bd_metric_restore(struct bd_metric *metric, const double *values, size_t count);

/* counts[truth * classes + predicted]; binary models (width 1) have two classes. */
struct bd_confusion {
	size_t classes;
	uint64_t *counts; /* (classes, classes) */
	size_t width;
	bool from_logits;
};

/* -EINVAL: more than BD_CONFUSION_MAX_CLASSES. Finish takes a zeroed struct. */
#define BD_CONFUSION_MAX_CLASSES 4096 /* 128 MiB of counts */
BD_MUST_CHECK int bd_confusion_init(struct bd_confusion *ret_confusion, const struct bd_loss *loss, size_t width,
                                    struct bd_error *error);
void bd_confusion_finish(struct bd_confusion *confusion);
void bd_confusion_update(struct bd_confusion *confusion, const float *outputs, const struct bd_targets *targets, size_t rows);

/* The class an output row stands for: the first largest, or score > 0.5 for width 1. */
size_t bd_predicted_class(const float *row, size_t width, bool from_logits);

#endif
