#include "trainer/model/bases.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/units.h"

const char *const bd_base_names[] = { "vgg16", "squeezenet1_1", "mobilenet", NULL };

#define NAME_BYTES 64

/* A convolution; NULL when memory is out. */
static struct bd_layer_config *append_conv(struct bd_model *model, const char *name, uint32_t filters, uint32_t kernel,
                                           uint32_t stride, enum bd_padding padding)
{
	struct bd_layer_config *config = bd_model_append(model, "conv2d", name);
	if (!config)
		return NULL;
	config->filters = filters;
	config->kernel_size[0] = config->kernel_size[1] = kernel;
	config->strides[0] = config->strides[1] = stride;
	config->padding = padding;
	config->activation = BD_ACTIVATION_RELU;
	return config;
}

static bool append_pool(struct bd_model *model, const char *name, uint32_t size)
{
	struct bd_layer_config *config = bd_model_append(model, "max_pooling2d", name);
	if (!config)
		return false;
	config->pool_size[0] = config->pool_size[1] = size;
	config->strides[0] = config->strides[1] = 2;
	return true;
}

/* ---- VGG16 ---- */

static bool append_vgg16(struct bd_model *model)
{
	static const struct {
		unsigned convolutions;
		uint32_t filters;
	} blocks[] = { { 2, 64 }, { 2, 128 }, { 3, 256 }, { 3, 512 }, { 3, 512 } };
	char name[NAME_BYTES];
	for (unsigned b = 0; b < BD_COUNT_OF(blocks); b++) {
		for (unsigned c = 0; c < blocks[b].convolutions; c++) {
			snprintf(name, sizeof name, "block%u_conv%u", b + 1, c + 1);
			if (!append_conv(model, name, blocks[b].filters, 3, 1, BD_PADDING_SAME))
				return false;
		}
		snprintf(name, sizeof name, "block%u_pool", b + 1);
		if (!append_pool(model, name, 2))
			return false;
	}
	return true;
}

/* ---- SqueezeNet 1.1 ---- */

static bool append_expand(struct bd_model *model, unsigned fire, uint32_t kernel, uint32_t filters, const char *squeezed)
{
	char name[NAME_BYTES];
	snprintf(name, sizeof name, "fire%u/expand%ux%u", fire, (unsigned)kernel, (unsigned)kernel);
	struct bd_layer_config *config = append_conv(model, name, filters, kernel, 1,
	                                             kernel == 1 ? BD_PADDING_VALID : BD_PADDING_SAME);
	return config && bd_layer_config_add_input(config, squeezed);
}

/* 1x1 squeeze, then 1x1 and 3x3 side by side. */
static bool append_fire(struct bd_model *model, unsigned fire, uint32_t squeeze, uint32_t expand)
{
	char squeezed[NAME_BYTES], name[NAME_BYTES];
	snprintf(squeezed, sizeof squeezed, "fire%u/squeeze1x1", fire);
	if (!append_conv(model, squeezed, squeeze, 1, 1, BD_PADDING_VALID))
		return false;
	if (!append_expand(model, fire, 1, expand, squeezed) || !append_expand(model, fire, 3, expand, squeezed))
		return false;
	snprintf(name, sizeof name, "fire%u/concat", fire);
	struct bd_layer_config *config = bd_model_append(model, "concatenate", name);
	if (!config)
		return false;
	for (uint32_t kernel = 1; kernel <= 3; kernel += 2) {
		snprintf(name, sizeof name, "fire%u/expand%ux%u", fire, (unsigned)kernel, (unsigned)kernel);
		if (!bd_layer_config_add_input(config, name))
			return false;
	}
	return true;
}

static bool append_squeezenet(struct bd_model *model)
{
	static const struct {
		uint32_t squeeze, expand;
		const char *pool; /* in front of it */
	} fires[] = { { 16, 64, "pool1" },  { 16, 64, NULL },  { 32, 128, "pool3" }, { 32, 128, NULL },
		      { 48, 192, "pool5" }, { 48, 192, NULL }, { 64, 256, NULL },    { 64, 256, NULL } };
	if (!append_conv(model, "conv1", 64, 3, 2, BD_PADDING_VALID))
		return false;
	for (unsigned i = 0; i < BD_COUNT_OF(fires); i++) {
		if (fires[i].pool && !append_pool(model, fires[i].pool, 3))
			return false;
		if (!append_fire(model, i + 2, fires[i].squeeze, fires[i].expand))
			return false;
	}
	return true;
}

/* ---- MobileNet V1 ---- */

static bool append_normalized(struct bd_model *model, const char *name)
{
	char suffixed[NAME_BYTES + 8];
	snprintf(suffixed, sizeof suffixed, "%s_bn", name);
	struct bd_layer_config *config = bd_model_append(model, "batch_normalization", suffixed);
	if (!config)
		return false;
	config->compatibility = model->base.compatibility;
	snprintf(suffixed, sizeof suffixed, "%s_relu", name);
	config = bd_model_append(model, "relu", suffixed);
	if (!config)
		return false;
	config->max_value = 6;
	return true;
}

static bool append_plain_conv(struct bd_model *model, const char *name, uint32_t filters, uint32_t kernel, uint32_t stride)
{
	struct bd_layer_config *config = append_conv(model, name, filters, kernel, stride, BD_PADDING_SAME);
	if (!config)
		return false;
	config->use_bias = false;
	config->activation = BD_ACTIVATION_LINEAR;
	return append_normalized(model, name);
}

static bool append_depthwise(struct bd_model *model, unsigned block, uint32_t stride)
{
	char name[NAME_BYTES];
	bool padded = stride == 2 && model->base.compatibility == BD_KERAS3;
	if (padded) {
		snprintf(name, sizeof name, "conv_pad_%u", block);
		struct bd_layer_config *pad = bd_model_append(model, "zero_padding2d", name);
		if (!pad)
			return false;
		pad->pad[0] = pad->pad[2] = 0;
		pad->pad[1] = pad->pad[3] = 1;
	}
	snprintf(name, sizeof name, "conv_dw_%u", block);
	struct bd_layer_config *config = bd_model_append(model, "depthwise_conv2d", name);
	if (!config)
		return false;
	config->kernel_size[0] = config->kernel_size[1] = 3;
	config->strides[0] = config->strides[1] = stride;
	config->padding = padded ? BD_PADDING_VALID : BD_PADDING_SAME;
	config->use_bias = false;
	return append_normalized(model, name);
}

static uint32_t scaled(const struct bd_model *model, uint32_t filters)
{
	return (uint32_t)((double)filters * (double)model->base.alpha);
}

static bool append_mobilenet(struct bd_model *model)
{
	static const struct {
		uint32_t filters, stride;
	} blocks[] = { { 64, 1 },  { 128, 2 }, { 128, 1 }, { 256, 2 }, { 256, 1 },  { 512, 2 }, { 512, 1 },
		       { 512, 1 }, { 512, 1 }, { 512, 1 }, { 512, 1 }, { 1024, 2 }, { 1024, 1 } };
	char name[NAME_BYTES];
	if (!append_plain_conv(model, "conv1", scaled(model, 32), 3, 2))
		return false;
	for (unsigned i = 0; i < BD_COUNT_OF(blocks); i++) {
		snprintf(name, sizeof name, "conv_pw_%u", i + 1);
		if (!append_depthwise(model, i + 1, blocks[i].stride) ||
		    !append_plain_conv(model, name, scaled(model, blocks[i].filters), 1, 1))
			return false;
	}
	return true;
}

/* ---- what is trained ---- */

static int mark_trained(struct bd_model *model, struct bd_error *error)
{
	const char *names[BD_MODEL_MAX_LAYERS + 1];
	bool trained = model->base.trainable && !model->base.trainable_from;
	bool found = !model->base.trainable_from;
	for (size_t i = 0; i < model->layer_count; i++) {
		names[i] = model->layers[i].name;
		if (!found && strcmp(names[i], model->base.trainable_from) == 0)
			trained = found = true;
		model->layers[i].trainable = trained;
	}
	names[model->layer_count] = NULL;
	if (found)
		return 0;
	const char *near = bd_nearest_word(model->base.trainable_from, names);
	if (near)
		return bd_error_set(error, -EINVAL, "%s has no layer '%s'; did you mean '%s'?", model->base.name,
		                    model->base.trainable_from, near);
	return bd_error_set(error, -EINVAL, "%s has no layer '%s'; its layers are %s to %s", model->base.name,
	                    model->base.trainable_from, names[0], names[model->layer_count - 1]);
}

int bd_base_append(struct bd_model *model, struct bd_error *error)
{
	static bool (*const append[])(struct bd_model *) = { append_vgg16, append_squeezenet, append_mobilenet };
	size_t index = 0;
	while (bd_base_names[index] && strcmp(bd_base_names[index], model->base.name) != 0)
		index++;
	if (!bd_base_names[index])
		return bd_error_set(error, -EINVAL, "no base is called '%s'", model->base.name);
	if (append[index] == append_mobilenet && scaled(model, 32) == 0)
		return bd_error_set(error, -EINVAL, "alpha %g leaves mobilenet without channels", (double)model->base.alpha);
	if (append[index] == append_mobilenet && model->base.compatibility == BD_TORCH)
		return bd_error_set(error, -EINVAL, "mobilenet has no torch variant; compatibility is keras3, keras2 or tf1");
	if (!append[index](model))
		return bd_error_set(error, -ENOMEM, "no memory for the layers of %s", model->base.name);
	model->base_layer_count = model->layer_count;
	return mark_trained(model, error);
}
