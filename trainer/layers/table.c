#include <string.h>

#include "trainer/layers/layer.h"

/* name, and the struct bd_layer_type bd_layer_NAME of its file */
#define LAYERS(X)                                                                                                                  \
	X(activation)                                                                                                              \
	X(add)                                                                                                                     \
	X(average_pooling2d)                                                                                                       \
	X(batch_normalization)                                                                                                     \
	X(concatenate)                                                                                                             \
	X(conv2d)                                                                                                                  \
	X(dense)                                                                                                                   \
	X(depthwise_conv2d)                                                                                                        \
	X(dropout)                                                                                                                 \
	X(flatten)                                                                                                                 \
	X(global_average_pooling2d)                                                                                                \
	X(global_max_pooling2d)                                                                                                    \
	X(max_pooling2d)                                                                                                           \
	X(relu)                                                                                                                    \
	X(rescaling)                                                                                                               \
	X(softmax)                                                                                                                 \
	X(zero_padding2d)

#define DECLARE(name) extern const struct bd_layer_type bd_layer_##name;
#define TYPE(name) &bd_layer_##name,

LAYERS(DECLARE)

static const struct bd_layer_type *const types[] = { LAYERS(TYPE) NULL };

const struct bd_layer_type *bd_layer_type_find(const char *type)
{
	for (size_t i = 0; types[i]; i++)
		if (!strcmp(types[i]->type, type))
			return types[i];
	return NULL;
}
