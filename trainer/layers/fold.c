#include "trainer/layers/fold.h"

#include <math.h>
#include <string.h>

static const struct bd_parameter *find(const struct bd_layer *layer, const char *variable)
{
	for (size_t i = 0; i < layer->parameter_count; i++)
		if (!strcmp(strrchr(layer->parameters[i]->name, '/') + 1, variable))
			return layer->parameters[i];
	return NULL;
}

void bd_fold_statistics(const struct bd_layer *norm, float *ret_scale, float *ret_shift)
{
	const struct bd_parameter *gamma = find(norm, "gamma"), *beta = find(norm, "beta");
	const float *mean = find(norm, "moving_mean")->value, *variance = find(norm, "moving_variance")->value;
	size_t channels = (size_t)bd_shape_channels(&norm->shape);
	for (size_t c = 0; c < channels; c++) {
		double scale = (gamma ? (double)gamma->value[c] : 1.0) / sqrt((double)variance[c] + (double)norm->config.epsilon);
		ret_scale[c] = (float)scale;
		ret_shift[c] = (float)((beta ? (double)beta->value[c] : 0.0) - (double)mean[c] * scale);
	}
}

void bd_fold_kernel(const struct bd_layer *layer, size_t channels, float *scale, float *folded, float *shift)
{
	if (!layer->norm)
		return;
	const struct bd_parameter *kernel = layer->parameters[0], *bias = find(layer, "bias");
	bd_fold_statistics(layer->norm, scale, shift);
	for (size_t i = 0; i < kernel->count; i++)
		folded[i] = kernel->value[i] * scale[i % channels];
	for (size_t c = 0; c < channels && bias; c++)
		shift[c] += bias->value[c] * scale[c];
}
