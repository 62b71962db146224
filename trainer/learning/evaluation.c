#include "trainer/learning/evaluation.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

int bd_metric_set_init(const struct bd_training_config *training, const struct bd_network *network, struct bd_metric_set *ret_set,
                       struct bd_error *error)
{
	struct bd_metric_set set = { 0 };
	for (size_t i = 0; i < training->metric_count; i++) {
		int r = bd_metric_create(training->metrics[i], &network->loss, network->classes, &set.metrics[i], error);
		if (r < 0) {
			bd_metric_set_finish(&set);
			return r;
		}
		set.count = i + 1;
	}
	*ret_set = set;
	return 0;
}

void bd_metric_set_finish(struct bd_metric_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		bd_metric_destroy(set->metrics[i]);
	*set = (struct bd_metric_set){ 0 };
}

void bd_metric_set_reset(struct bd_metric_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		bd_metric_reset(set->metrics[i]);
}

void bd_metric_set_update(struct bd_metric_set *set, const float *outputs, const struct bd_targets *targets, size_t rows)
{
	for (size_t i = 0; i < set->count; i++)
		bd_metric_update(set->metrics[i], outputs, targets, rows);
}

const float *bd_network_forward(const struct bd_network *network, const struct bd_feed_batch *batch, bool training, uint64_t step)
{
	if (batch->features)
		return bd_graph_forward_features(network->graph, batch->features, batch->rows, training, step);
	return bd_graph_forward(network->graph, &batch->input, batch->rows, training, step);
}

/* Why the loss of this batch is no finite number. */
static void explain(const struct bd_network *network, struct bd_feed *feed, const struct bd_feed_batch *batch, char *fault)
{
	if (!bd_proof_find_fault(network, feed, batch, fault, BD_FAULT_TEXT_BYTES))
		snprintf(fault, BD_FAULT_TEXT_BYTES, "batch with record %" PRIu64 ": the data is good, the model's weights are not",
		         batch->records[0]);
}

static int evaluate_batch(const struct bd_network *network, const struct bd_feed_batch *batch, struct bd_metric_set *set,
                          bd_evaluation_watch *watch, void *context, double *loss_sum, struct bd_error *error)
{
	const float *outputs = bd_network_forward(network, batch, false, 0);
	size_t places = batch->rows * network->places;
	int r = bd_loss_add(&network->loss, outputs, &batch->targets, places, network->classes, loss_sum, error);
	if (r < 0) {
		bd_error_prefix(error, "batch with record %" PRIu64, batch->records[0]);
		return r;
	}
	bd_metric_set_update(set, outputs, &batch->targets, places);
	if (watch)
		watch(context, batch, outputs);
	return 0;
}

int bd_evaluate(const struct bd_network *network, struct bd_feed *feed, struct bd_metric_set *set, const volatile int *stop,
                bd_evaluation_watch *watch, void *context, struct bd_evaluation *ret_evaluation, struct bd_error *error)
{
	struct bd_evaluation evaluation = { 0 };
	struct bd_feed_batch batch;
	double loss_sum = 0;
	int r;
	bd_metric_set_reset(set);
	while ((r = bd_feed_next(feed, stop, &batch, error)) == 0) {
		bool was_finite = isfinite(loss_sum);
		if (batch.rows > 0)
			r = evaluate_batch(network, &batch, set, watch, context, &loss_sum, error);
		if (was_finite && !isfinite(loss_sum))
			explain(network, feed, &batch, evaluation.fault);
		evaluation.records += batch.rows;
		bd_feed_release(feed);
		if (r < 0)
			return r;
	}
	if (r != -ENODATA)
		return r;
	if (evaluation.records == 0)
		return bd_error_set(error, -ENODATA, "the evaluation data has no records");
	evaluation.loss = loss_sum / ((double)evaluation.records * (double)network->places) + bd_graph_penalty(network->graph);
	for (size_t i = 0; i < set->count; i++)
		evaluation.metrics[i] = bd_metric_result(set->metrics[i]);
	*ret_evaluation = evaluation;
	return 0;
}
