#include "trainer/model/weight_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "trainer/model/hdf5_file.h"
#include "trainer/model/safetensors.h"

/* Models inside models: a base in a Sequential is one level. Also bounds loops that a hostile file makes of hard links. */
#define MAX_DEPTH 8
#define MAX_LAYERS 10000
#define SIGNATURE_BYTES 8

static int no_memory(const struct bd_weight_file *file, struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the names in %s", file->path);
}

static struct bd_weight_layer *add_layer(struct bd_weight_file *file, const char *name)
{
	if (file->layer_count == MAX_LAYERS)
		return NULL;
	struct bd_weight_layer *layers = realloc(file->layers, (file->layer_count + 1) * sizeof *layers);
	if (!layers)
		return NULL;
	file->layers = layers;
	struct bd_weight_layer *layer = &layers[file->layer_count++];
	*layer = (struct bd_weight_layer){ .name = name ? strdup(name) : NULL };
	return !name || layer->name ? layer : NULL;
}

static struct bd_weight_variable *add_variable(struct bd_weight_layer *layer, const char *path, const char *name)
{
	if (layer->variable_count == BD_WEIGHT_FILE_MAX_VARIABLES)
		return NULL;
	struct bd_weight_variable *variables = realloc(layer->variables, (layer->variable_count + 1) * sizeof *variables);
	if (!variables)
		return NULL;
	layer->variables = variables;
	struct bd_weight_variable *variable = &variables[layer->variable_count++];
	*variable = (struct bd_weight_variable){ .path = strdup(path), .name = name ? strdup(name) : NULL };
	return variable->path && (!name || variable->name) ? variable : NULL;
}

/* ---- HDF5 ---- */

static int describe(struct bd_weight_file *file, struct bd_weight_variable *variable, struct bd_error *error)
{
	struct bd_hdf5_dataset dataset;
	int result = bd_hdf5_describe(file->hdf5, variable->path, &dataset, error);
	if (result < 0)
		return result == -ENOENT ? -EBADMSG : result;
	variable->rank = dataset.rank;
	variable->count = dataset.count;
	memcpy(variable->shape, dataset.shape, sizeof variable->shape);
	return 0;
}

/* "conv1/kernel:0" -> "kernel" */
static char *variable_name(const char *weight)
{
	const char *last = strrchr(weight, '/');
	last = last ? last + 1 : weight;
	return strndup(last, strcspn(last, ":"));
}

static int read_legacy_layer(struct bd_weight_file *file, const char *root, const char *name, struct bd_error *error)
{
	struct bd_strings weights = { 0 };
	char *group = bd_path_join(root, name);
	int result = group ? bd_hdf5_read_strings(file->hdf5, group, "weight_names", &weights, error) : no_memory(file, error);
	struct bd_weight_layer *layer = result == 0 && weights.count ? add_layer(file, name) : NULL;
	for (size_t i = 0; result == 0 && i < weights.count; i++) {
		char *path = bd_path_join(group, weights.items[i]), *last = variable_name(weights.items[i]);
		struct bd_weight_variable *variable = path && last && layer ? add_variable(layer, path, last) : NULL;
		result = variable ? describe(file, variable, error) : no_memory(file, error);
		free(path);
		free(last);
	}
	bd_strings_finish(&weights);
	free(group);
	return result == -ENOENT ? -EBADMSG : result;
}

static int read_legacy(struct bd_weight_file *file, const char *root, struct bd_error *error)
{
	struct bd_strings layers;
	int result = bd_hdf5_read_strings(file->hdf5, root, "layer_names", &layers, error);
	if (result < 0)
		return result;
	for (size_t i = 0; result == 0 && i < layers.count; i++)
		result = read_legacy_layer(file, root, layers.items[i], error);
	bd_strings_finish(&layers);
	return result == -ENOENT ? -EBADMSG : result;
}

/* "conv2d_12" -> "conv2d", 12; "conv2d" -> "conv2d", 0. A type's own name never ends in _NUMBER. */
static size_t split_number(const char *name, unsigned long *ret_number)
{
	size_t length = strlen(name), digits = length;
	while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9')
		digits--;
	*ret_number = 0;
	if (digits == length || digits < 2 || name[digits - 1] != '_')
		return length;
	*ret_number = strtoul(name + digits, NULL, 10);
	return digits - 1;
}

static int by_type_and_number(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	unsigned long i, k;
	size_t n = split_number(x, &i), m = split_number(y, &k);
	int order = strncmp(x, y, n < m ? n : m);
	if (order != 0 || n != m)
		return order != 0 ? order : n < m ? -1 : 1;
	return i == k ? 0 : i < k ? -1 : 1;
}

static int read_vars(struct bd_weight_file *file, const char *vars, const char *group_name, struct bd_error *error)
{
	struct bd_strings name = { 0 };
	struct bd_error ignored;
	char path[512];
	bool named = bd_hdf5_read_strings(file->hdf5, vars, "name", &name, &ignored) == 0 && name.count == 1 && *name.items[0];
	struct bd_weight_layer *layer = add_layer(file, named ? name.items[0] : NULL);
	unsigned long number;
	bd_strings_finish(&name);
	if (!layer || !(layer->type = strndup(group_name, split_number(group_name, &number))))
		return no_memory(file, error);
	int result = 0;
	for (int i = 0; result == 0 && i < BD_WEIGHT_FILE_MAX_VARIABLES; i++) {
		if (snprintf(path, sizeof path, "%s/%d", vars, i) >= (int)sizeof path || !bd_hdf5_has(file->hdf5, path))
			break;
		struct bd_weight_variable *variable = add_variable(layer, path, NULL);
		result = variable ? describe(file, variable, error) : no_memory(file, error);
	}
	return result;
}

static bool join(char *path, size_t size, const char *folder, const char *name)
{
	return snprintf(path, size, "%s/%s", folder, name) < (int)size;
}

/*
 * Every group with vars/0 is a layer. Models inside come first: a base stands before the layers of its model. A seed generator's
 * integers and the optimizer are no weights.
 */
static int walk(struct bd_weight_file *file, const char *group, const char *name, int depth, struct bd_error *error)
{
	struct bd_strings children;
	char path[512], first[512];
	int result = depth > MAX_DEPTH
	                     ? bd_error_set(error, -EBADMSG, "%s: groups in groups, more than %d deep", file->path, MAX_DEPTH)
	                     : bd_hdf5_list(file->hdf5, depth ? group : "/", &children, error);
	if (result < 0)
		return result;
	if (children.count)
		qsort(children.items, children.count, sizeof *children.items, by_type_and_number);
	for (int own = 0; own < 2 && result == 0; own++) {
		for (size_t i = 0; result == 0 && i < children.count; i++) {
			const char *child = children.items[i];
			bool vars = !strcmp(child, "vars");
			if (vars != own || !strcmp(child, "seed_generator") ||
			    (depth == 0 && !strncmp(child, "optimizer", strlen("optimizer"))) ||
			    !join(path, sizeof path, group, child))
				continue;
			if (vars && join(first, sizeof first, path, "0") && bd_hdf5_has(file->hdf5, first))
				result = read_vars(file, path, name, error);
			else if (!vars && bd_hdf5_is_group(file->hdf5, path))
				result = walk(file, path, child, depth + 1, error);
		}
	}
	bd_strings_finish(&children);
	return result;
}

static int open_hdf5(struct bd_weight_file *file, struct bd_error *error)
{
	int result = bd_hdf5_open(file->path, &file->hdf5, error);
	if (result < 0)
		return result;
	const char *root = bd_hdf5_is_group(file->hdf5, "/model_weights") ? "/model_weights" : "/";
	result = read_legacy(file, root, error);
	if (result == -ENOENT)
		result = walk(file, "", "", 0, error);
	if (result == 0 && file->layer_count == 0)
		result = bd_error_set(error, -EBADMSG, "%s: no weights of Keras in this HDF5 file", file->path);
	return result;
}

/* ---- safetensors ---- */

static struct bd_weight_layer *find_layer(struct bd_weight_file *file, const char *name, size_t length)
{
	for (size_t i = file->layer_count; i-- > 0;) {
		if (strlen(file->layers[i].name) == length && !strncmp(file->layers[i].name, name, length))
			return &file->layers[i];
	}
	return NULL;
}

static int add_entry(struct bd_weight_file *file, const struct bd_safetensors_entry *entry, struct bd_error *error)
{
	const char *slash = strrchr(entry->name, '/');
	if (!slash || !strncmp(entry->name, "optimizer/", strlen("optimizer/")))
		return 0;
	struct bd_weight_layer *layer = find_layer(file, entry->name, (size_t)(slash - entry->name));
	if (!layer) {
		char *name = strndup(entry->name, (size_t)(slash - entry->name));
		layer = name ? add_layer(file, name) : NULL;
		free(name);
	}
	struct bd_weight_variable *variable = layer ? add_variable(layer, entry->name, slash + 1) : NULL;
	if (!variable)
		return no_memory(file, error);
	variable->rank = entry->rank;
	variable->count = entry->count;
	memcpy(variable->shape, entry->shape, sizeof variable->shape);
	return 0;
}

static int open_safetensors(struct bd_weight_file *file, struct bd_error *error)
{
	int result = bd_safetensors_open(file->path, &file->safetensors, error);
	if (result == 0)
		result = bd_safetensors_verify(file->safetensors, error);
	for (size_t i = 0; result == 0 && i < bd_safetensors_count(file->safetensors); i++)
		result = add_entry(file, bd_safetensors_at(file->safetensors, i), error);
	if (result == 0 && file->layer_count == 0)
		result = bd_error_set(error, -EBADMSG, "%s: no tensor named LAYER/VARIABLE in this file", file->path);
	return result;
}

static int read_signature(const char *path, unsigned char *ret_bytes, struct bd_error *error)
{
	FILE *stream = fopen(path, "rbe");
	if (!stream)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	memset(ret_bytes, 0, SIGNATURE_BYTES);
	size_t got = fread(ret_bytes, 1, SIGNATURE_BYTES, stream);
	fclose(stream);
	if (got == 0)
		return bd_error_set(error, -EBADMSG, "%s: empty, or no regular file", path);
	return 0;
}

int bd_weight_file_open(const char *path, struct bd_weight_file *ret_file, struct bd_error *error)
{
	unsigned char signature[SIGNATURE_BYTES];
	int result = read_signature(path, signature, error);
	if (result < 0)
		return result;
	struct bd_weight_file file = { .path = strdup(path) };
	if (!file.path)
		result = bd_error_set(error, -ENOMEM, "no memory for %s", path);
	else if (!memcmp(signature, "\x89HDF\r\n\x1a\n", SIGNATURE_BYTES))
		result = open_hdf5(&file, error);
	else if (!memcmp(signature, "PK\x03\x04", 4))
		result = bd_error_set(error, -EBADMSG, "%s: a .keras archive; unpack it and use the model.weights.h5 in it", path);
	else
		result = open_safetensors(&file, error);
	if (result < 0)
		bd_weight_file_close(&file);
	else
		*ret_file = file;
	return result;
}

void bd_weight_file_close(struct bd_weight_file *file)
{
	for (size_t i = 0; i < file->layer_count; i++) {
		struct bd_weight_layer *layer = &file->layers[i];
		for (size_t k = 0; k < layer->variable_count; k++) {
			free(layer->variables[k].path);
			free(layer->variables[k].name);
		}
		free(layer->variables);
		free(layer->name);
		free(layer->type);
	}
	free(file->layers);
	bd_hdf5_close(file->hdf5);
	bd_safetensors_close(file->safetensors);
	free(file->path);
	*file = (struct bd_weight_file){ 0 };
}

int bd_weight_file_read(struct bd_weight_file *file, const struct bd_weight_variable *variable, float *ret_values,
                        struct bd_error *error)
{
	if (file->hdf5)
		return bd_hdf5_read(file->hdf5, variable->path, ret_values, variable->count, error);
	return bd_safetensors_read(file->safetensors, bd_safetensors_find(file->safetensors, variable->path), ret_values, error);
}
