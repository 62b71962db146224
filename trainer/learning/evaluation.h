/*
 * evaluation.h - loss and metrics of a network over a dataset.
 */
#ifndef BD_LEARNING_EVALUATION_H
#define BD_LEARNING_EVALUATION_H

#include "trainer/learning/feed.h"
#include "trainer/learning/metric.h"
#include "trainer/learning/network.h"
#include "trainer/learning/proof.h"

/* The metrics of a model, made once and reset for each use. */
struct bd_metric_set {
	struct bd_metric *metrics[BD_MAX_METRICS];
	size_t count;
};

/* `training` names them; finish takes zeroed. */
BD_MUST_CHECK int bd_metric_set_init(const struct bd_training_config *training, const struct bd_network *network,
                                     struct bd_metric_set *ret_set, struct bd_error *error);
void bd_metric_set_finish(struct bd_metric_set *set);
void bd_metric_set_reset(struct bd_metric_set *set);
void bd_metric_set_update(struct bd_metric_set *set, const float *outputs, const struct bd_targets *targets, size_t rows);

struct bd_evaluation {
	uint64_t records;
	double loss; /* the mean over the records, with the model's penalty */
	double metrics[BD_MAX_METRICS]; /* in the order of the set */
	char fault[BD_FAULT_TEXT_BYTES]; /* where the loss is no finite number: why; else "" */
};

/* Sees each evaluated batch and its outputs (rows, width), before they are forgotten; may be NULL. */
typedef void bd_evaluation_watch(void *context, const struct bd_feed_batch *batch, const float *outputs);

/*
 * Runs the feed to its end. -EINTR: *stop became non-zero; -ENODATA: there was no record; else the stream's or the loss's error, with the
 * record's number.
 */
BD_MUST_CHECK int bd_evaluate(const struct bd_network *network, struct bd_feed *feed, struct bd_metric_set *set,
                              const volatile int *stop, bd_evaluation_watch *watch, void *context,
                              struct bd_evaluation *ret_evaluation, struct bd_error *error);

/* The outputs of a batch, whether it brings pixels or features. */
const float *bd_network_forward(const struct bd_network *network, const struct bd_feed_batch *batch, bool training, uint64_t step);

#endif
