#include "trainer/model/model_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/yaml.h"
#include "trainer/model/bases.h"
#include "trainer/model/keras_options.h"
#include "trainer/model/layer_options.h"

/* Sides of a picture: as much as a JPEG can have. */
#define LARGEST_SIDE 65535
/* uint8 inputs carry one mean a channel (graph.h); features that are no pictures may be as deep as layers are wide. */
#define LARGEST_CHANNELS (1u << 20)

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the model");
}

static int get_side(const struct bd_yaml_node *input, const char *key, uint32_t maximum, uint32_t *ret_value,
                    struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_find(input, key);
	if (!node)
		return bd_yaml_error(input, error, "input needs %s: {height: 150, width: 150, channels: 3}", key);
	uint64_t value;
	int r = bd_yaml_get_u64(node, key, 1, maximum, &value, error);
	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

static int parse_input(const struct bd_yaml_node *root, struct bd_model *model, struct bd_error *error)
{
	static const char *const keys[] = { "height", "width", "channels", NULL };
	const struct bd_yaml_node *input = bd_yaml_find(root, "input");
	if (!input)
		return bd_yaml_error(root, error, "the model has no input; add 'input: {height: 150, width: 150, channels: 3}'");
	int r = bd_yaml_check_keys(input, "input", keys, error);
	if (r == 0)
		r = get_side(input, "height", LARGEST_SIDE, &model->height, error);
	if (r == 0)
		r = get_side(input, "width", LARGEST_SIDE, &model->width, error);
	if (r == 0)
		r = get_side(input, "channels", LARGEST_CHANNELS, &model->channels, error);
	return r;
}

/* A path relative to `folder`; `random` and absence leave NULL. */
static int get_path(const struct bd_yaml_node *node, const char *key, const char *folder, char **ret_path, struct bd_error *error)
{
	const char *text;
	if (!node)
		return 0;
	int r = bd_yaml_get_text(node, key, &text, error);
	if (r < 0)
		return r;
	if (!*text)
		return bd_yaml_error(node, error, "%s is empty", key);
	if (strcmp(text, "random") == 0)
		return 0;
	if (strcmp(text, "imagenet") == 0)
		return bd_yaml_error(node, error,
		                     "%s is a FILE or random; the files of 'imagenet' are those that keras.applications downloads "
		                     "(without top: …_notop.h5)",
		                     key);
	*ret_path = bd_path_join(folder, text);
	return *ret_path ? 0 : no_memory(error);
}

/* true | false | {from: LAYER} */
static int parse_trainable(const struct bd_yaml_node *node, struct bd_base_config *base, struct bd_error *error)
{
	static const char *const keys[] = { "from", NULL };
	base->trainable = true;
	if (!node)
		return 0;
	if (bd_yaml_kind(node) != BD_YAML_MAPPING)
		return bd_yaml_get_bool(node, "trainable", &base->trainable, error);
	int r = bd_yaml_check_keys(node, "trainable", keys, error);
	if (r < 0)
		return r;
	const struct bd_yaml_node *from = bd_yaml_find(node, "from");
	const char *layer;
	if (!from)
		return bd_yaml_error(node, error, "trainable is true, false or {from: LAYER}");
	r = bd_yaml_get_text(from, "from", &layer, error);
	if (r < 0)
		return r;
	base->trainable_from = strdup(layer);
	return base->trainable_from ? 0 : no_memory(error);
}

static int parse_base_options(const struct bd_yaml_node *node, struct bd_base_config *base, struct bd_error *error)
{
	const struct bd_yaml_node *value;
	int r = 0;
	if ((value = bd_yaml_find(node, "alpha"))) {
		double alpha;
		if (strcmp(base->name, "mobilenet") != 0)
			return bd_yaml_error(value, error, "alpha is mobilenet's; %s has one width", base->name);
		r = bd_yaml_get_double(value, "alpha", 0.01, 16, &alpha, error);
		if (r == 0)
			base->alpha = (float)alpha;
	}
	if (r == 0 && (value = bd_yaml_find(node, "compatibility"))) {
		int index;
		r = bd_yaml_get_choice(value, "compatibility", bd_compatibility_names, &index, error);
		if (r == 0)
			base->compatibility = (enum bd_compatibility)index;
	}
	return r;
}

static int parse_base(const struct bd_yaml_node *root, const char *folder, struct bd_model *model, struct bd_error *error)
{
	static const char *const keys[] = { "name", "weights", "trainable", "alpha", "compatibility", NULL };
	const struct bd_yaml_node *node = bd_yaml_find(root, "base");
	if (!node)
		return 0;
	const struct bd_yaml_node *name = node;
	if (bd_yaml_kind(node) == BD_YAML_MAPPING) {
		int r = bd_keras_check_keys(node, "base", "base", keys, error);
		if (r < 0)
			return r;
		name = bd_yaml_find(node, "name");
	}
	if (!name)
		return bd_yaml_error(node, error, "base needs a name: vgg16, squeezenet1_1 or mobilenet");
	int index;
	int r = bd_yaml_get_choice(name, "base", bd_base_names, &index, error);
	if (r < 0)
		return r;
	if (!(model->base.name = strdup(bd_base_names[index])))
		return no_memory(error);
	if (bd_yaml_kind(node) == BD_YAML_MAPPING) {
		r = parse_base_options(node, &model->base, error);
		if (r == 0)
			r = get_path(bd_yaml_find(node, "weights"), "weights", folder, &model->base.weights, error);
		if (r == 0)
			r = parse_trainable(bd_yaml_find(node, "trainable"), &model->base, error);
	} else {
		model->base.trainable = true;
	}
	if (r < 0)
		return r;
	struct bd_error reason = { 0 };
	r = bd_base_append(model, &reason);
	return r == -EINVAL ? bd_yaml_error(node, error, "%s", reason.text) : r < 0 ? bd_error_set(error, r, "%s", reason.text) : 0;
}

/*
 * As in Keras, layers that the output does not depend on are none of the model's: a base that is left in its middle ends there. Of the
 * model's own layers the last such one is remembered, for training to say. A layer without `inputs` follows one that stays.
 */
static int drop_unused(const struct bd_yaml_node *layers, struct bd_model *model, struct bd_error *error)
{
	bool used[BD_MODEL_MAX_LAYERS];
	size_t kept = 0, base = 0;
	bd_model_mark_used(model, used);
	for (size_t i = 0; i < model->base_layer_count; i++)
		base += used[i];
	if (base == 0 && model->base_layer_count > 0)
		return bd_yaml_error(layers, error, "the output does not depend on the base; leave 'base' out, or an 'inputs'");
	for (size_t i = 0; i < model->layer_count; i++) {
		struct bd_layer_config *layer = &model->layers[i];
		if (used[i]) {
			model->layers[kept++] = *layer;
			continue;
		}
		if (i >= model->base_layer_count) {
			free(model->unused);
			model->unused = layer->name;
			layer->name = NULL;
		}
		bd_layer_config_finish(layer);
	}
	model->layer_count = kept;
	model->base_layer_count = base;
	return 0;
}

static int parse_layers(const struct bd_yaml_node *root, struct bd_model *model, struct bd_error *error)
{
	const struct bd_yaml_node *layers = bd_yaml_find(root, "layers");
	if (!layers && model->base_layer_count == 0)
		return bd_yaml_error(root, error, "the model has neither a base nor layers");
	if (!layers)
		return 0;
	if (bd_yaml_kind(layers) != BD_YAML_SEQUENCE || (bd_yaml_count(layers) == 0 && model->base_layer_count == 0))
		return bd_yaml_error(layers, error, "layers is a list of layers: [{type: flatten}, {type: dense, units: 10}]");
	int r = 0;
	for (size_t i = 0; r == 0 && i < bd_yaml_count(layers); i++)
		r = bd_layer_options_parse(bd_yaml_item(layers, i), model, error);
	return r < 0 ? r : drop_unused(layers, model, error);
}

/* Two ways to say the same: Keras warns and takes one of them. */
static int check_logits(const struct bd_yaml_node *root, const struct bd_model_file *file, struct bd_error *error)
{
	const struct bd_layer_config *last = &file->model.layers[file->model.layer_count - 1];
	bool softmax = strcmp(last->type, "softmax") == 0 || last->activation == BD_ACTIVATION_SOFTMAX;
	if (!file->training.has_loss || !file->training.loss.from_logits || (!softmax && last->activation != BD_ACTIVATION_SIGMOID))
		return 0;
	return bd_yaml_error(bd_yaml_find(root, "loss"), error,
	                     "from_logits: true is for a model that does not end in %s; leave out one of the two",
	                     softmax ? "softmax" : "sigmoid");
}

static int parse_root(const struct bd_yaml_node *root, const char *name, const char *folder, struct bd_model_file *file,
                      struct bd_error *error)
{
	static const char *const keys[] = { "input", "base", "weights", "layers", "loss", "optimizer", "metrics", NULL };
	int r = bd_yaml_check_keys(root, "the model file", keys, error);
	if (r == 0 && !(file->model.path = strdup(name)))
		r = no_memory(error);
	if (r == 0)
		r = parse_input(root, &file->model, error);
	if (r == 0)
		r = parse_base(root, folder, &file->model, error);
	if (r == 0)
		r = get_path(bd_yaml_find(root, "weights"), "weights", folder, &file->model.weights, error);
	if (r == 0)
		r = parse_layers(root, &file->model, error);
	if (r == 0)
		r = bd_training_config_parse(root, &file->training, error);
	return r < 0 ? r : check_logits(root, file, error);
}

static int parse_document(const struct bd_yaml *yaml, const char *name, const char *folder, struct bd_model_file *ret_file,
                          struct bd_error *error)
{
	struct bd_model_file file = { 0 };
	bd_model_init(&file.model);
	int r = parse_root(bd_yaml_root(yaml), name, folder, &file, error);
	if (r < 0)
		bd_model_file_finish(&file);
	else
		*ret_file = file;
	return r;
}

int bd_model_file_load(const char *path, struct bd_model_file *ret_file, struct bd_error *error)
{
	struct bd_yaml *yaml = NULL;
	int r = bd_yaml_load_file(path, &yaml, error);
	if (r < 0)
		return r;
	char *folder = bd_path_folder(path);
	r = folder ? parse_document(yaml, path, folder, ret_file, error) : no_memory(error);
	free(folder);
	bd_yaml_destroy(yaml);
	return r;
}

int bd_model_file_parse(const char *name, const char *folder, const char *text, size_t length, struct bd_model_file *ret_file,
                        struct bd_error *error)
{
	struct bd_yaml *yaml = NULL;
	int r = bd_yaml_load_text(name, text, length, &yaml, error);
	if (r < 0)
		return r;
	r = parse_document(yaml, name, folder, ret_file, error);
	bd_yaml_destroy(yaml);
	return r;
}

void bd_model_file_finish(struct bd_model_file *file)
{
	if (!file)
		return;
	bd_model_finish(&file->model);
	*file = (struct bd_model_file){ 0 };
}
