#include "trainer/layers/layer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of this size and more: panels of packed weights and rows of pictures lie far apart, and each access would miss the TLB. */
#define HUGE_PAGE ((size_t)2 << 20)

float *bd_floats(size_t count)
{
	if (count > (SIZE_MAX - HUGE_PAGE) / sizeof(float))
		return NULL;
	size_t alignment = count >= HUGE_PAGE ? HUGE_PAGE : 64;
	size_t bytes = (count * sizeof(float) + alignment - 1) / alignment * alignment;
	/* a cache line is the least: aligned_alloc(64, 0) may give NULL */
	float *floats = aligned_alloc(alignment, bytes ? bytes : alignment);
	if (!floats)
		return NULL;
	/* only advice: where the kernel knows no huge pages nothing is lost */
	if (alignment == HUGE_PAGE)
		madvise(floats, bytes, MADV_HUGEPAGE);
	memset(floats, 0, bytes ? bytes : alignment);
	return floats;
}

int bd_layer_error(const struct bd_layer *layer, struct bd_error *error, const char *format, ...)
{
	char text[256];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return bd_error_set(error, -EINVAL, "layer '%s' (%s): %s", layer->name, layer->type->type, text);
}

void bd_parameter_destroy(struct bd_parameter *parameter)
{
	if (!parameter)
		return;
	free(parameter->name);
	free(parameter->value);
	free(parameter->gradient);
	free(parameter);
}

static char *parameter_name(const struct bd_layer *layer, const char *variable)
{
	size_t size = strlen(layer->name) + strlen(variable) + 2;
	char *name = malloc(size);
	if (name)
		snprintf(name, size, "%s/%s", layer->name, variable);
	return name;
}

int bd_layer_add_parameter(struct bd_layer *layer, const struct bd_variable *variable, struct bd_error *error)
{
	struct bd_shape shape = { .rank = variable->rank };
	memcpy(shape.dims, variable->shape, sizeof variable->shape);
	int64_t count = bd_shape_count(&shape);
	if (count < 0)
		return bd_layer_error(layer, error, "%s is empty or too large", variable->name);
	struct bd_parameter *parameter = calloc(1, sizeof *parameter);
	if (!parameter)
		return bd_error_set(error, -ENOMEM, "no memory for %s/%s", layer->name, variable->name);
	*parameter = (struct bd_parameter){
		.name = parameter_name(layer, variable->name),
		.rank = variable->rank,
		.count = (size_t)count,
		.value = bd_floats((size_t)count),
		.trainable = layer->config.trainable && !variable->is_statistic,
		.is_statistic = variable->is_statistic,
		.l2 = variable->l2,
		.initializer = variable->initializer,
		.fan_in = variable->fan_in,
		.fan_out = variable->fan_out,
	};
	memcpy(parameter->shape, variable->shape, sizeof parameter->shape);
	if (!parameter->name || !parameter->value) {
		bd_parameter_destroy(parameter);
		return bd_error_set(error, -ENOMEM, "no memory for the %zu values of %s/%s", (size_t)count, layer->name,
		                    variable->name);
	}
	layer->parameters[layer->parameter_count++] = parameter;
	return 0;
}

int bd_layer_same_shape(struct bd_layer *layer, struct bd_error *error)
{
	(void)error;
	layer->shape = layer->inputs[0]->shape;
	return 0;
}

size_t bd_layer_count(const struct bd_layer *layer)
{
	return (size_t)bd_shape_count(&layer->shape);
}
