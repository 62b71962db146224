#include "trainer/learning/proof.h"

#include <math.h>
#include <stdio.h>

#include "trainer/learning/evaluation.h"

/* The first row with a number that is not finite; `rows` where all are. */
static size_t find_row(const float *values, size_t rows, size_t pitch, size_t width, float *ret_value)
{
	for (size_t row = 0; row < rows; row++) {
		const float *from = values + row * pitch;
		float sum = 0; /* NaN as soon as one number is not finite */
		for (size_t i = 0; i < width; i++)
			sum += from[i] * 0.0f;
		if (isfinite(sum))
			continue;
		for (size_t i = 0; i < width; i++)
			if (!isfinite(from[i]))
				*ret_value = from[i];
		return row;
	}
	return rows;
}

static bool say(struct bd_feed *feed, const struct bd_feed_batch *batch, size_t row, const char *what, float value, char *text,
                size_t size)
{
	char name[BD_RECORD_NAME_BYTES];
	bd_feed_name_record(feed, batch->records[row], name, sizeof name);
	snprintf(text, size, "%s: its %s holds %s", name, what, isnan(value) ? "NaN" : "a number that is infinite");
	return true;
}

bool bd_proof_find_fault(const struct bd_network *network, struct bd_feed *feed, const struct bd_feed_batch *batch, char *text,
                         size_t size)
{
	size_t count = bd_graph_input_count(network->graph), pitch = batch->input.row_bytes / sizeof(float);
	float value = 0;
	if (!batch->features && batch->input.dtype == BD_GRAPH_FLOAT32) {
		size_t row = find_row(batch->input.data, batch->rows, pitch ? pitch : count, count, &value);
		if (row < batch->rows)
			return say(feed, batch, row, "picture", value, text, size);
	}
	/* Features of a frozen base, whose weights are finite, are as good as the picture. */
	struct bd_shape shape;
	if (batch->features && bd_graph_features(network->graph, &shape)) {
		size_t width = (size_t)bd_shape_count(&shape), row = find_row(batch->features, batch->rows, width, width, &value);
		if (row < batch->rows)
			return say(feed, batch, row, "picture", value, text, size);
	}
	if (batch->targets.values) {
		size_t row = find_row(batch->targets.values, batch->rows, network->width, network->width, &value);
		if (row < batch->rows)
			return say(feed, batch, row, "label", value, text, size);
	}
	return false;
}

enum bd_proof bd_proof_of(const struct bd_network *network, const struct bd_feed_batch *batch, uint64_t step)
{
	struct bd_error ignored;
	double loss = 0;
	const float *outputs = bd_network_forward(network, batch, true, step);
	if (bd_loss_add(&network->loss, outputs, &batch->targets, batch->rows * network->places, network->classes, &loss,
	                &ignored) < 0)
		return BD_PROOF_BAD;
	return isfinite(loss + bd_graph_penalty(network->graph)) ? BD_PROOF_GOOD : BD_PROOF_BAD;
}
