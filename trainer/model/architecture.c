#include "trainer/model/architecture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"

struct report {
	const char *layer;
	char *text;
	size_t size;
};

static bool differ(const struct report *report, const char *what, const char *is, const char *was)
{
	snprintf(report->text, report->size, "layer '%s': %s is %s, and was %s", report->layer, what, is, was);
	return true;
}

static bool differ_number(const struct report *report, const char *what, double was, double is)
{
	char now[32], then[32];
	if (was == is)
		return false;
	snprintf(now, sizeof now, "%.9g", is);
	snprintf(then, sizeof then, "%.9g", was);
	return differ(report, what, now, then);
}

static bool differ_word(const struct report *report, const char *what, const char *was, const char *is)
{
	return strcmp(was, is) != 0 && differ(report, what, is, was);
}

static bool differ_sides(const struct report *report, const char *what, const uint32_t *was, const uint32_t *is, size_t count)
{
	char now[64] = "", then[64] = "";
	size_t a = 0, b = 0;
	if (memcmp(was, is, count * sizeof *was) == 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		a += (size_t)snprintf(now + a, sizeof now - a, "%s%" PRIu32, i ? ", " : "[", is[i]);
		b += (size_t)snprintf(then + b, sizeof then - b, "%s%" PRIu32, i ? ", " : "[", was[i]);
	}
	snprintf(now + a, sizeof now - a, "]");
	snprintf(then + b, sizeof then - b, "]");
	return differ(report, what, now, then);
}

/* As a list, cut off with "..." where it does not fit. */
static void format_inputs(const struct bd_layer_config *layer, char *text, size_t size)
{
	size_t length = (size_t)snprintf(text, size, layer->input_count ? "[" : "[the layer before it");
	for (size_t i = 0; i < layer->input_count && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", layer->inputs[i]);
	if (length < size)
		length += (size_t)snprintf(text + length, size - length, "]");
	if (length >= size)
		snprintf(text + size - sizeof "...]", sizeof "...]", "...]");
}

static bool differ_inputs(const struct report *report, const struct bd_layer_config *was, const struct bd_layer_config *is)
{
	bool same = was->input_count == is->input_count;
	for (size_t i = 0; same && i < is->input_count; i++)
		same = strcmp(was->inputs[i], is->inputs[i]) == 0;
	if (same)
		return false;
	char now[96], then[96];
	format_inputs(is, now, sizeof now);
	format_inputs(was, then, sizeof then);
	return differ(report, "inputs", now, then);
}

static bool differ_layer(const struct report *report, const struct bd_layer_config *was, const struct bd_layer_config *is)
{
	return differ_word(report, "type", was->type, is->type) || differ_inputs(report, was, is) ||
	       differ_word(report, "activation", bd_activation_names[was->activation], bd_activation_names[is->activation]) ||
	       differ_number(report, "units", was->units, is->units) ||
	       differ_number(report, "filters", was->filters, is->filters) ||
	       differ_sides(report, "kernel_size", was->kernel_size, is->kernel_size, 2) ||
	       differ_sides(report, "strides", was->strides, is->strides, 2) ||
	       differ_sides(report, "pool_size", was->pool_size, is->pool_size, 2) ||
	       differ_sides(report, "padding", was->pad, is->pad, 4) ||
	       differ_word(report, "padding", bd_padding_names[was->padding], bd_padding_names[is->padding]) ||
	       differ_number(report, "use_bias", was->use_bias, is->use_bias) ||
	       differ_number(report, "depth_multiplier", was->depth_multiplier, is->depth_multiplier) ||
	       differ_number(report, "center", was->center, is->center) ||
	       differ_number(report, "scale", was->scale_gamma, is->scale_gamma) ||
	       differ_number(report, "epsilon", (double)was->epsilon, (double)is->epsilon) ||
	       differ_number(report, "max_value", (double)was->max_value, (double)is->max_value) ||
	       differ_number(report, "scale", was->scale, is->scale) || differ_number(report, "offset", was->offset, is->offset) ||
	       differ_word(report, "compatibility", bd_compatibility_names[was->compatibility],
	                   bd_compatibility_names[is->compatibility]);
}

static const struct bd_layer_config *find_layer(const struct bd_model *model, const char *name)
{
	for (size_t i = 0; i < model->layer_count; i++)
		if (strcmp(model->layers[i].name, name) == 0)
			return &model->layers[i];
	return NULL;
}

bool bd_architecture_differs(const struct bd_model *was, const struct bd_model *is, char *text, size_t size)
{
	if (was->height != is->height || was->width != is->width || was->channels != is->channels) {
		snprintf(text, size, "the input is %ux%ux%u, and was %ux%ux%u", is->height, is->width, is->channels, was->height,
		         was->width, was->channels);
		return true;
	}
	for (size_t i = 0; i < bd_max_u64(was->layer_count, is->layer_count); i++) {
		const struct bd_layer_config *old = i < was->layer_count ? &was->layers[i] : NULL;
		const struct bd_layer_config *new = i < is->layer_count ? &is->layers[i] : NULL;
		struct report report = { .layer = new ? new->name : "", .text = text, .size = size };
		if (new && (!old || !find_layer(was, new->name))) {
			snprintf(text, size, "layer '%s' (%s) is new", new->name, new->type);
			return true;
		}
		if (old && (!new || strcmp(old->name, new->name) != 0)) {
			snprintf(text, size, "layer '%s' (%s) is gone, or stands elsewhere", old->name, old->type);
			return true;
		}
		if (old && new &&differ_layer(&report, old, new))
			return true;
	}
	return false;
}
