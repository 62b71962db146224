#include "trainer/model/weight_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "trainer/model/isolated.h"
#include "trainer/model/safetensors.h"
#include "trainer/model/weight_hdf5.h"

#define SIGNATURE_BYTES 8

static int no_memory(const struct bd_weight_file *file, struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the names in %s, or too many of them", file->path);
}

/* ---- HDF5, in a process of its own ---- */

static int list_hdf5(void *context, FILE *output, struct bd_error *error)
{
	const struct bd_weight_file *file = context;
	struct bd_weight_list list = { 0 };
	int result = bd_weight_hdf5_list(file->path, &list, error);
	if (result == 0 && !bd_weight_list_write(&list, output))
		result = bd_error_set(error, -ENOMEM, "no memory for the names in %s", file->path);
	bd_weight_list_finish(&list);
	return result;
}

static int open_hdf5(struct bd_weight_file *file, struct bd_error *error)
{
	FILE *listed;
	int result = bd_isolated(file->path, list_hdf5, file, &listed, error);
	if (result < 0)
		return result;
	if (!bd_weight_list_read(&file->list, listed))
		result = bd_error_set(error, -EBADMSG, "%s: its list of weights is cut short", file->path);
	fclose(listed);
	return result;
}

struct copy {
	const char *path;
	const struct bd_weight_variable **variables;
	size_t count;
};

static int copy_hdf5(void *context, FILE *output, struct bd_error *error)
{
	const struct copy *copy = context;
	return bd_weight_hdf5_copy(copy->path, copy->variables, copy->count, output, error);
}

static int read_hdf5(struct bd_weight_file *file, const struct bd_weight_request *requests, size_t count, struct bd_error *error)
{
	struct copy copy = { .path = file->path, .variables = calloc(count + 1, sizeof(void *)), .count = count };
	FILE *copied;
	if (!copy.variables)
		return bd_error_set(error, -ENOMEM, "no memory to read %s", file->path);
	for (size_t i = 0; i < count; i++)
		copy.variables[i] = requests[i].variable;
	int result = bd_isolated(file->path, copy_hdf5, &copy, &copied, error);
	free(copy.variables);
	if (result < 0)
		return result;
	for (size_t i = 0; result == 0 && i < count; i++) {
		size_t floats = (size_t)requests[i].variable->count;
		if (fread(requests[i].values, sizeof(float), floats, copied) != floats)
			result = bd_error_set(error, -EBADMSG, "%s: %s is cut short", file->path, requests[i].variable->path);
	}
	fclose(copied);
	return result;
}

/* ---- safetensors ---- */

static struct bd_weight_layer *find_layer(struct bd_weight_list *list, const char *name, size_t length)
{
	for (size_t i = list->layer_count; i-- > 0;) {
		if (strlen(list->layers[i].name) == length && !strncmp(list->layers[i].name, name, length))
			return &list->layers[i];
	}
	return NULL;
}

static int add_entry(struct bd_weight_file *file, const struct bd_safetensors_entry *entry, struct bd_error *error)
{
	const char *slash = strrchr(entry->name, '/');
	if (!slash || !strncmp(entry->name, "optimizer/", strlen("optimizer/")))
		return 0;
	struct bd_weight_layer *layer = find_layer(&file->list, entry->name, (size_t)(slash - entry->name));
	if (!layer) {
		char *name = strndup(entry->name, (size_t)(slash - entry->name));
		layer = name ? bd_weight_list_add_layer(&file->list, name) : NULL;
		free(name);
	}
	struct bd_weight_variable *variable = layer ? bd_weight_list_add_variable(layer, entry->name, slash + 1) : NULL;
	if (!variable)
		return no_memory(file, error);
	variable->rank = entry->rank;
	variable->count = entry->count;
	memcpy(variable->shape, entry->shape, sizeof variable->shape);
	return 0;
}

static int open_safetensors(struct bd_weight_file *file, struct bd_error *error)
{
	struct bd_safetensors *opened = NULL;
	int result = bd_safetensors_open(file->path, &opened, error);
	file->safetensors = opened;
	if (result == 0)
		result = bd_safetensors_verify(file->safetensors, error);
	for (size_t i = 0; result == 0 && i < bd_safetensors_count(file->safetensors); i++)
		result = add_entry(file, bd_safetensors_at(file->safetensors, i), error);
	if (result == 0 && file->list.layer_count == 0)
		result = bd_error_set(error, -EBADMSG, "%s: no tensor named LAYER/VARIABLE in this file", file->path);
	return result;
}

static int read_signature(const char *path, unsigned char *ret_bytes, struct bd_error *error)
{
	FILE *stream = fopen(path, "rbe");
	if (!stream)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	memset(ret_bytes, 0, SIGNATURE_BYTES);
	errno = 0;
	size_t got = fread(ret_bytes, 1, SIGNATURE_BYTES, stream);
	int code = ferror(stream) ? errno : 0;
	fclose(stream);
	if (code)
		return bd_error_set(error, -code, "%s: cannot read: %s", path, strerror(code));
	if (got == 0)
		return bd_error_set(error, -EBADMSG, "%s: the file is empty", path);
	return 0;
}

/* Keras' own, NumPy's and PyTorch's archives are ZIP files; their members' names, which stand in them as they are, tell. */
static int refuse_archive(const char *path, struct bd_error *error)
{
	static const struct {
		const char *member, *what;
	} kinds[] = {
		{ "model.weights.h5", "a .keras archive; unpack it and use the model.weights.h5 in it" },
		{ "data.pkl", "a PyTorch file; save its state_dict as .safetensors, with names LAYER/VARIABLE" },
		{ ".npy", "a NumPy archive (.npz); weights are read from HDF5 (.h5) and .safetensors" },
	};
	char bytes[4096];
	FILE *stream = fopen(path, "rbe");
	size_t got = stream ? fread(bytes, 1, sizeof bytes, stream) : 0;
	size_t end = stream && fseek(stream, -(long)sizeof bytes, SEEK_END) == 0 ? 1 : 0;
	for (int part = 0; part < 2 && got > 0; part++) {
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
			if (memmem(bytes, got, kinds[i].member, strlen(kinds[i].member))) {
				fclose(stream);
				return bd_error_set(error, -EBADMSG, "%s: %s", path, kinds[i].what);
			}
		got = part == 0 && end ? fread(bytes, 1, sizeof bytes, stream) : 0;
	}
	if (stream)
		fclose(stream);
	return bd_error_set(error, -EBADMSG, "%s: a ZIP archive; weights are read from HDF5 (.h5) and .safetensors", path);
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
		result = refuse_archive(path, error);
	else if (memcmp(signature + 4, "\0\0\0\0", 4) != 0) /* a safetensors header of 4 GiB and more */
		result = bd_error_set(error, -EBADMSG, "%s: neither HDF5 (.h5) nor safetensors", path);
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
	bd_weight_list_finish(&file->list);
	bd_safetensors_close(file->safetensors);
	free(file->path);
	*file = (struct bd_weight_file){ 0 };
}

int bd_weight_file_read(struct bd_weight_file *file, const struct bd_weight_request *requests, size_t count, struct bd_error *error)
{
	if (!file->safetensors)
		return read_hdf5(file, requests, count, error);
	int result = 0;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = bd_safetensors_read(file->safetensors, bd_safetensors_find(file->safetensors, requests[i].variable->path),
		                             requests[i].values, error);
	return result;
}
