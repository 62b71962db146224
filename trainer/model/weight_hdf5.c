#include "trainer/model/weight_hdf5.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "trainer/model/hdf5_file.h"

/* Models inside models: a base in a Sequential is one level. Also bounds loops that a hostile file makes of hard links. */
#define MAX_DEPTH 8

struct source {
	const char *path;
	struct bd_hdf5 *hdf5;
	struct bd_weight_list *list;
};

static int no_memory(const struct source *file, struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the names in %s, or too many of them", file->path);
}

static int describe(struct source *file, struct bd_weight_variable *variable, struct bd_error *error)
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

static int read_legacy_layer(struct source *file, const char *root, const char *name, struct bd_error *error)
{
	struct bd_strings weights = { 0 };
	char *group = bd_path_join(root, name);
	int result = group ? bd_hdf5_read_strings(file->hdf5, group, "weight_names", &weights, error) : no_memory(file, error);
	struct bd_weight_layer *layer = result == 0 && weights.count ? bd_weight_list_add_layer(file->list, name) : NULL;
	for (size_t i = 0; result == 0 && i < weights.count; i++) {
		char *path = bd_path_join(group, weights.items[i]), *last = variable_name(weights.items[i]);
		struct bd_weight_variable *variable = path && last && layer ? bd_weight_list_add_variable(layer, path, last) : NULL;
		result = variable ? describe(file, variable, error) : no_memory(file, error);
		free(path);
		free(last);
	}
	bd_strings_finish(&weights);
	free(group);
	return result == -ENOENT ? -EBADMSG : result;
}

static int read_legacy(struct source *file, const char *root, struct bd_error *error)
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

static int read_vars(struct source *file, const char *vars, const char *group_name, struct bd_error *error)
{
	struct bd_strings name = { 0 };
	struct bd_error ignored;
	char path[512];
	bool named = bd_hdf5_read_strings(file->hdf5, vars, "name", &name, &ignored) == 0 && name.count == 1 && *name.items[0];
	struct bd_weight_layer *layer = bd_weight_list_add_layer(file->list, named ? name.items[0] : NULL);
	unsigned long number;
	bd_strings_finish(&name);
	if (!layer || !(layer->type = strndup(group_name, split_number(group_name, &number))))
		return no_memory(file, error);
	int result = 0;
	for (int i = 0; result == 0 && i < BD_WEIGHT_LIST_MAX_VARIABLES; i++) {
		if (snprintf(path, sizeof path, "%s/%d", vars, i) >= (int)sizeof path || !bd_hdf5_has(file->hdf5, path))
			break;
		struct bd_weight_variable *variable = bd_weight_list_add_variable(layer, path, NULL);
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
static int walk(struct source *file, const char *group, const char *name, int depth, struct bd_error *error)
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

int bd_weight_hdf5_list(const char *path, struct bd_weight_list *list, struct bd_error *error)
{
	struct source file = { .path = path, .list = list };
	int result = bd_hdf5_open(path, &file.hdf5, error);
	if (result < 0)
		return result;
	result = read_legacy(&file, bd_hdf5_is_group(file.hdf5, "/model_weights") ? "/model_weights" : "/", error);
	if (result == -ENOENT)
		result = walk(&file, "", "", 0, error);
	if (result == 0 && list->layer_count == 0)
		result = bd_error_set(error, -EBADMSG, "%s: no weights of Keras in this HDF5 file", path);
	bd_hdf5_close(file.hdf5);
	return result;
}

static int copy_one(struct bd_hdf5 *file, const struct bd_weight_variable *variable, FILE *stream, struct bd_error *error)
{
	float *values = malloc((size_t)variable->count * sizeof *values + 1);
	if (!values)
		return bd_error_set(error, -ENOMEM, "no memory for %s", variable->path);
	int result = bd_hdf5_read(file, variable->path, values, variable->count, error);
	if (result == 0 && fwrite(values, sizeof *values, (size_t)variable->count, stream) != variable->count)
		result = bd_error_set(error, -errno, "%s: no room for its numbers: %s", variable->path, strerror(errno));
	free(values);
	return result;
}

int bd_weight_hdf5_copy(const char *path, const struct bd_weight_variable *const *variables, size_t count, FILE *stream,
                        struct bd_error *error)
{
	struct bd_hdf5 *file;
	int result = bd_hdf5_open(path, &file, error);
	if (result < 0)
		return result;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = copy_one(file, variables[i], stream, error);
	if (result == 0 && fflush(stream) != 0)
		result = bd_error_set(error, -errno, "%s: no room for its numbers: %s", path, strerror(errno));
	bd_hdf5_close(file);
	return result;
}
