#include "trainer/model/weight_list.h"

#include <stdlib.h>
#include <string.h>

/* A name or path; Keras' are far shorter. */
#define MAX_TEXT_BYTES 65536
#define NO_TEXT UINT32_MAX

struct bd_weight_layer *bd_weight_list_add_layer(struct bd_weight_list *list, const char *name)
{
	if (list->layer_count == BD_WEIGHT_LIST_MAX_LAYERS)
		return NULL;
	struct bd_weight_layer *layers = realloc(list->layers, (list->layer_count + 1) * sizeof *layers);
	if (!layers)
		return NULL;
	list->layers = layers;
	struct bd_weight_layer *layer = &layers[list->layer_count++];
	*layer = (struct bd_weight_layer){ .name = name ? strdup(name) : NULL };
	return !name || layer->name ? layer : NULL;
}

struct bd_weight_variable *bd_weight_list_add_variable(struct bd_weight_layer *layer, const char *path, const char *name)
{
	if (layer->variable_count == BD_WEIGHT_LIST_MAX_VARIABLES)
		return NULL;
	struct bd_weight_variable *variables = realloc(layer->variables, (layer->variable_count + 1) * sizeof *variables);
	if (!variables)
		return NULL;
	layer->variables = variables;
	struct bd_weight_variable *variable = &variables[layer->variable_count++];
	*variable = (struct bd_weight_variable){ .path = strdup(path), .name = name ? strdup(name) : NULL };
	return variable->path && (!name || variable->name) ? variable : NULL;
}

void bd_weight_list_finish(struct bd_weight_list *list)
{
	for (size_t i = 0; i < list->layer_count; i++) {
		struct bd_weight_layer *layer = &list->layers[i];
		for (size_t k = 0; k < layer->variable_count; k++) {
			free(layer->variables[k].path);
			free(layer->variables[k].name);
		}
		free(layer->variables);
		free(layer->name);
		free(layer->type);
	}
	free(list->layers);
	*list = (struct bd_weight_list){ 0 };
}

static bool put(FILE *stream, const void *bytes, size_t length)
{
	return fwrite(bytes, 1, length, stream) == length;
}

static bool get(FILE *stream, void *bytes, size_t length)
{
	return fread(bytes, 1, length, stream) == length;
}

static bool put_text(FILE *stream, const char *text)
{
	uint32_t length = text ? (uint32_t)strlen(text) : NO_TEXT;
	return put(stream, &length, sizeof length) && (!text || put(stream, text, length));
}

static bool get_text(FILE *stream, char **ret_text)
{
	uint32_t length;
	*ret_text = NULL;
	if (!get(stream, &length, sizeof length))
		return false;
	if (length == NO_TEXT)
		return true;
	char *text = length <= MAX_TEXT_BYTES ? calloc((size_t)length + 1, 1) : NULL;
	if (!text || !get(stream, text, length)) {
		free(text);
		return false;
	}
	*ret_text = text;
	return true;
}

bool bd_weight_list_write(const struct bd_weight_list *list, FILE *stream)
{
	bool good = put(stream, &list->layer_count, sizeof list->layer_count);
	for (size_t i = 0; good && i < list->layer_count; i++) {
		const struct bd_weight_layer *layer = &list->layers[i];
		good = put_text(stream, layer->name) && put_text(stream, layer->type) &&
		       put(stream, &layer->variable_count, sizeof layer->variable_count);
		for (size_t k = 0; good && k < layer->variable_count; k++) {
			const struct bd_weight_variable *variable = &layer->variables[k];
			good = put_text(stream, variable->path) && put_text(stream, variable->name) &&
			       put(stream, &variable->rank, sizeof variable->rank) &&
			       put(stream, variable->shape, sizeof variable->shape) &&
			       put(stream, &variable->count, sizeof variable->count);
		}
	}
	return good && fflush(stream) == 0;
}

static bool read_variable(struct bd_weight_layer *layer, FILE *stream)
{
	char *path, *name = NULL;
	bool good = get_text(stream, &path) && path && get_text(stream, &name);
	struct bd_weight_variable *variable = good ? bd_weight_list_add_variable(layer, path, name) : NULL;
	free(path);
	free(name);
	return variable && get(stream, &variable->rank, sizeof variable->rank) &&
	       get(stream, variable->shape, sizeof variable->shape) && get(stream, &variable->count, sizeof variable->count) &&
	       variable->rank >= 0 && variable->rank <= BD_WEIGHT_LIST_MAX_RANK;
}

bool bd_weight_list_read(struct bd_weight_list *list, FILE *stream)
{
	size_t layer_count, variable_count;
	bool good = get(stream, &layer_count, sizeof layer_count) && layer_count <= BD_WEIGHT_LIST_MAX_LAYERS;
	for (size_t i = 0; good && i < layer_count; i++) {
		char *name;
		good = get_text(stream, &name);
		struct bd_weight_layer *layer = good ? bd_weight_list_add_layer(list, name) : NULL;
		free(name);
		good = layer && get_text(stream, &layer->type) && get(stream, &variable_count, sizeof variable_count) &&
		       variable_count <= BD_WEIGHT_LIST_MAX_VARIABLES;
		for (size_t k = 0; good && k < variable_count; k++)
			good = read_variable(layer, stream);
	}
	return good;
}
