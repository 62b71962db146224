#include "trainer/model/weights.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/model/checkpoint.h"
#include "trainer/model/weight_file.h"

/* A layer of the model: its parameters stand together. */
struct target {
	size_t first, count;
	size_t name_length;
	const struct bd_weight_layer *source; /* NULL: not in the file */
};

struct match {
	struct bd_parameter *const *parameters;
	struct target *targets;
	size_t target_count;
};

static size_t layer_length(const char *name)
{
	const char *slash = strrchr(name, '/');
	return slash ? (size_t)(slash - name) : strlen(name);
}

static const char *variable_of(const struct bd_parameter *parameter)
{
	const char *slash = strrchr(parameter->name, '/');
	return slash ? slash + 1 : parameter->name;
}

static bool group_parameters(struct bd_parameter *const *parameters, size_t count, struct match *match)
{
	match->parameters = parameters;
	match->targets = calloc(count + 1, sizeof *match->targets);
	for (size_t i = 0; match->targets && i < count; i++) {
		size_t length = layer_length(parameters[i]->name);
		struct target *last = match->target_count ? &match->targets[match->target_count - 1] : NULL;
		if (last && last->name_length == length && !strncmp(parameters[last->first]->name, parameters[i]->name, length))
			last->count++;
		else
			match->targets[match->target_count++] = (struct target){ .first = i, .count = 1, .name_length = length };
	}
	return match->targets;
}

static void match_names(struct match *match, const struct bd_weight_file *file)
{
	for (size_t i = 0; i < match->target_count; i++) {
		struct target *target = &match->targets[i];
		const char *name = match->parameters[target->first]->name;
		for (size_t k = 0; k < file->list.layer_count && !target->source; k++) {
			const char *other = file->list.layers[k].name;
			if (other && strlen(other) == target->name_length && !strncmp(other, name, target->name_length))
				target->source = &file->list.layers[k];
		}
	}
}

/* Keras' class, told by the variables. */
static const char *type_of(const struct match *match, const struct target *target)
{
	const struct bd_parameter *first = match->parameters[target->first];
	const char *variable = variable_of(first);
	if (!strcmp(variable, "depthwise_kernel"))
		return "depthwise_conv2d";
	if (!strcmp(variable, "kernel"))
		return first->rank == 2 ? "dense" : "conv2d";
	return "batch_normalization";
}

/* Number n of a type in the model is number n of it in the file. */
static void match_types(struct match *match, const struct bd_weight_file *file)
{
	bool *used = calloc(file->list.layer_count + 1, sizeof *used);
	for (size_t i = 0; used && i < match->target_count; i++) {
		const char *type = type_of(match, &match->targets[i]);
		for (size_t k = 0; k < file->list.layer_count; k++) {
			if (used[k] || file->list.layers[k].name || !file->list.layers[k].type ||
			    strcmp(file->list.layers[k].type, type) != 0)
				continue;
			used[k] = true;
			match->targets[i].source = &file->list.layers[k];
			break;
		}
	}
	free(used);
}

static void match_order(struct match *match, const struct bd_weight_file *file)
{
	for (size_t i = 0; i < match->target_count && i < file->list.layer_count; i++)
		match->targets[i].source = &file->list.layers[i];
}

static size_t matched(const struct match *match)
{
	size_t count = 0;
	for (size_t i = 0; i < match->target_count; i++)
		count += match->targets[i].source != NULL;
	return count;
}

static bool has_no_names(const struct bd_weight_file *file)
{
	for (size_t i = 0; i < file->list.layer_count; i++) {
		if (file->list.layers[i].name)
			return false;
	}
	return true;
}

/* Keras 3 calls a depthwise kernel "kernel". */
static bool same_variable(const char *file, const char *model)
{
	return !strcmp(file, model) || (!strcmp(model, "depthwise_kernel") && !strcmp(file, "kernel"));
}

/* The file's variable for parameter `index` of the target: by name where all of the layer's have one that is known, else by place. */
static const struct bd_weight_variable *variable_for(const struct match *match, const struct target *target, size_t index)
{
	const struct bd_weight_layer *layer = target->source;
	const struct bd_weight_variable *found = NULL;
	size_t known = 0;
	for (size_t i = 0; i < target->count; i++) {
		for (size_t k = 0; k < layer->variable_count; k++) {
			const char *name = layer->variables[k].name;
			if (!name || !same_variable(name, variable_of(match->parameters[target->first + i])))
				continue;
			known++;
			if (i == index)
				found = &layer->variables[k];
			break;
		}
	}
	return known == target->count ? found : &layer->variables[index];
}

static void format_shape(const int64_t *shape, const uint64_t *unsigned_shape, int rank, char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size, rank ? "" : "one number");
	for (int i = 0; i < rank && at < size; i++) {
		uint64_t dimension = shape ? (uint64_t)shape[i] : unsigned_shape[i];
		at += (size_t)snprintf(text + at, size - at, "%s%" PRIu64, i ? "x" : "", dimension);
	}
}

static int check_variable(const struct bd_weight_file *file, const struct bd_parameter *parameter,
                          const struct bd_weight_variable *variable, struct bd_error *error)
{
	bool same = variable->rank == parameter->rank && variable->count == parameter->count;
	for (int i = 0; same && i < parameter->rank; i++)
		same = variable->shape[i] == (uint64_t)parameter->shape[i];
	if (same)
		return 0;
	char expected[128], found[192];
	format_shape(parameter->shape, NULL, parameter->rank, expected, sizeof expected);
	format_shape(NULL, variable->shape, variable->rank, found, sizeof found);
	return bd_error_set(error, -EINVAL, "%s: layer '%.*s' expects %s of shape %s, the file has %s", file->path,
	                    (int)layer_length(parameter->name), parameter->name, variable_of(parameter), expected, found);
}

static int check_target(const struct match *match, const struct target *target, const struct bd_weight_file *file,
                        struct bd_error *error)
{
	const char *name = match->parameters[target->first]->name;
	if (target->source->variable_count != target->count)
		return bd_error_set(error, -EINVAL, "%s: layer '%.*s' expects %zu weights, the file has %zu", file->path,
		                    (int)target->name_length, name, target->count, target->source->variable_count);
	for (size_t i = 0; i < target->count; i++) {
		int result = check_variable(file, match->parameters[target->first + i], variable_for(match, target, i), error);
		if (result < 0)
			return result;
	}
	return 0;
}

static int check_all(const struct match *match, const struct bd_weight_file *file, bool all, struct bd_error *error)
{
	for (size_t i = 0; i < match->target_count; i++) {
		const struct target *target = &match->targets[i];
		const char *name = match->parameters[target->first]->name;
		char shape[128];
		if (!target->source && !all)
			continue;
		format_shape(match->parameters[target->first]->shape, NULL, match->parameters[target->first]->rank, shape,
		             sizeof shape);
		if (!target->source)
			return bd_error_set(error, -EINVAL, "%s: no layer '%.*s'; the model expects its %s of shape %s", file->path,
			                    (int)target->name_length, name, variable_of(match->parameters[target->first]), shape);
		int result = check_target(match, target, file, error);
		if (result < 0)
			return result;
	}
	return 0;
}

static int find_sources(struct match *match, const struct bd_weight_file *file, bool all, struct bd_error *error)
{
	match_names(match, file);
	if (matched(match) == 0 && has_no_names(file))
		match_types(match, file);
	else if (matched(match) == 0 && all && file->list.layer_count >= match->target_count)
		match_order(match, file);
	/* Names that several nets share (conv1, fc) make no net: most of them are missing. */
	if (all && matched(match) > 0 && 2 * matched(match) < match->target_count)
		return bd_error_set(error, -EINVAL, "%s: weights of another net: %zu of the %zu layers of the model are in it",
		                    file->path, matched(match), match->target_count);
	if (matched(match) == 0 && match->target_count)
		return bd_error_set(error, -EINVAL,
		                    "%s: weights of another net: none of its layers (%s, ...) has the name of a layer of the model "
		                    "(%.*s, ...)",
		                    file->path, file->list.layers[0].name ? file->list.layers[0].name : "without names",
		                    (int)match->targets[0].name_length, match->parameters[match->targets[0].first]->name);
	return check_all(match, file, all, error);
}

static int read_all(const struct match *match, size_t parameter_count, struct bd_weight_file *file, struct bd_error *error)
{
	struct bd_weight_request *requests = calloc(parameter_count + 1, sizeof *requests);
	size_t count = 0;
	if (!requests)
		return bd_error_set(error, -ENOMEM, "no memory to read %s", file->path);
	for (size_t i = 0; i < match->target_count; i++) {
		const struct target *target = &match->targets[i];
		for (size_t k = 0; target->source && k < target->count; k++)
			requests[count++] = (struct bd_weight_request){ .variable = variable_for(match, target, k),
				                                        .values = match->parameters[target->first + k]->value };
	}
	int result = bd_weight_file_read(file, requests, count, error);
	free(requests);
	return result;
}

int bd_weights_load(const char *path, struct bd_parameter *const *parameters, size_t count, bool all,
                    struct bd_weights_loaded *ret_loaded, struct bd_error *error)
{
	struct bd_weight_file file;
	struct match match = { 0 };
	int result = bd_weight_file_open(path, &file, error);
	if (result < 0)
		return result;
	if (!group_parameters(parameters, count, &match))
		result = bd_error_set(error, -ENOMEM, "no memory to read %s", path);
	if (result == 0)
		result = find_sources(&match, &file, all, error);
	if (result == 0)
		result = read_all(&match, count, &file, error);
	if (result == 0)
		*ret_loaded = (struct bd_weights_loaded){ .layers = matched(&match),
			                                  .left_out = file.list.layer_count - matched(&match) };
	free(match.targets);
	bd_weight_file_close(&file);
	return result;
}

int bd_weights_save(const char *path, bool force, struct bd_parameter *const *parameters, size_t count, struct bd_error *error)
{
	struct bd_tensor *tensors = calloc(count + 1, sizeof *tensors);
	if (!tensors)
		return bd_error_set(error, -ENOMEM, "no memory to write %s", path);
	for (size_t i = 0; i < count; i++)
		tensors[i] = bd_checkpoint_tensor(parameters[i]);
	const struct bd_safetensors_text format = { "layout", "keras" };
	int result = bd_safetensors_write(path, force, tensors, count, &format, 1, error);
	free(tensors);
	return result;
}
