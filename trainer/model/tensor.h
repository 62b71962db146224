/*
 * tensor.h - a named block of floats: what checkpoints, weight files and exports exchange.
 *
 * Names are LAYER/VARIABLE (conv1/kernel, bn/moving_mean); the optimizer's state has names of its own. C order, no strides.
 */
#ifndef BD_MODEL_TENSOR_H
#define BD_MODEL_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#define BD_TENSOR_MAX_RANK 4 /* convolution kernels: (height, width, in, out) */

struct bd_tensor {
	const char *name;
	int rank; /* 0 = one number */
	int64_t shape[BD_TENSOR_MAX_RANK];
	size_t count; /* elements: the product of shape */
	float *data; /* (shape...) */
};

#endif
