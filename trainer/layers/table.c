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
#define NAME(name) #name,

LAYERS(DECLARE)

const struct bd_layer_type *const bd_layer_types[] = { LAYERS(TYPE) NULL };
const char *const bd_layer_type_names[] = { LAYERS(NAME) NULL };

const struct bd_layer_type *bd_layer_type_find(const char *type)
{
	for (size_t i = 0; bd_layer_types[i]; i++)
		if (!strcmp(bd_layer_types[i]->type, type))
			return bd_layer_types[i];
	return NULL;
}
