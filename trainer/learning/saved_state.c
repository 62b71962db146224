#include "trainer/learning/saved_state.h"

#include <errno.h>
#include <string.h>

#define PREFIX "optimizer/"

/* Bytes of "optimizer/LAYER/VARIABLE/", behind which the slot's name stands; 0: another kind of name. */
static size_t variable_bytes(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && slash ? (size_t)(slash - name) + 1 : 0;
}

static bool has_state_of(const struct bd_safetensors *file, const char *name)
{
	size_t bytes = variable_bytes(name);
	for (size_t i = 0; i < bd_safetensors_count(file); i++) {
		const char *other = bd_safetensors_at(file, i)->name;
		if (variable_bytes(other) == bytes && strncmp(other, name, bytes) == 0)
			return true;
	}
	return false;
}

/* The layer of "optimizer/LAYER/VARIABLE/SLOT", empty in a name of fewer parts; names of layers may hold slashes. */
static const char *layer_of(const char *name, size_t *ret_bytes)
{
	const char *layer = name + strlen(PREFIX), *end = name + strlen(name);
	for (int i = 0; i < 2 && end > layer; i++) /* the slot, then the variable */
		do
			end--;
		while (end > layer && *end != '/');
	*ret_bytes = (size_t)(end - layer);
	return layer;
}

/* Layers are told once: their variables stand behind each other. */
struct last {
	const char *layer;
	size_t bytes;
};

static bool is_new(struct last *last, const char *name)
{
	size_t bytes;
	const char *layer = layer_of(name, &bytes);
	bool same = last->layer && last->bytes == bytes && memcmp(last->layer, layer, bytes) == 0;
	*last = (struct last){ layer, bytes };
	return !same;
}

static bool is_wanted(const struct bd_tensor *tensors, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(tensors[i].name, name) == 0)
			return true;
	return false;
}

int bd_saved_state_choose(const struct bd_safetensors *file, const struct bd_tensor *tensors, size_t parameter_count, size_t count,
                          struct bd_tensor *ret_wanted, size_t *ret_count, struct bd_notes *notes, struct bd_error *error)
{
	struct last last = { 0 };
	size_t wanted = 0;
	for (size_t i = 0; i < count; i++) {
		if (i < parameter_count || bd_safetensors_find(file, tensors[i].name)) {
			ret_wanted[wanted++] = tensors[i];
			continue;
		}
		if (has_state_of(file, tensors[i].name))
			return bd_error_set(
				error, -ESTALE,
				"%s: has no '%s', which this optimizer keeps: its options were others; give the same, or "
				"--fresh to begin anew",
				bd_safetensors_name(file), tensors[i].name);
		if (is_new(&last, tensors[i].name))
			bd_notes_add(notes, "layer '%.*s' is trained now and was frozen before: its optimizer state begins anew",
			             (int)last.bytes, last.layer);
	}
	last = (struct last){ 0 };
	for (size_t i = 0; i < bd_safetensors_count(file); i++) {
		const char *name = bd_safetensors_at(file, i)->name;
		if (variable_bytes(name) == 0 || is_wanted(tensors + parameter_count, count - parameter_count, name))
			continue;
		if (is_new(&last, name))
			bd_notes_add(notes,
			             "layer '%.*s' is frozen now and was trained before: its optimizer state is left out of new "
			             "checkpoints",
			             (int)last.bytes, last.layer);
	}
	*ret_count = wanted;
	return 0;
}
