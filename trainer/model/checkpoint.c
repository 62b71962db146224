#include "trainer/model/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/folder.h"
#include "common/base/units.h"

#define FORMAT "batchd-checkpoint-1"
#define NAME_PREFIX "checkpoint-"
#define NAME_SUFFIX ".safetensors"

void bd_checkpoint_fingerprint(struct bd_parameter *const *parameters, size_t count, const char *architecture,
                               char ret_hex[BD_SHA256_HEX_BYTES])
{
	struct bd_sha256 sha;
	char line[64];
	bd_sha256_init(&sha);
	for (size_t i = 0; i < count; i++) {
		bd_sha256_update(&sha, parameters[i]->name, strlen(parameters[i]->name) + 1);
		for (int k = 0; k < parameters[i]->rank; k++) {
			int length = snprintf(line, sizeof line, "%" PRId64 "%s", parameters[i]->shape[k],
			                      k + 1 < parameters[i]->rank ? "x" : "\n");
			bd_sha256_update(&sha, line, (size_t)length);
		}
	}
	if (architecture)
		bd_sha256_update(&sha, architecture, strlen(architecture));
	bd_sha256_finish(&sha, ret_hex);
}

struct bd_tensor bd_checkpoint_tensor(const struct bd_parameter *parameter)
{
	struct bd_tensor tensor = {
		.name = parameter->name, .rank = parameter->rank, .count = parameter->count, .data = parameter->value
	};
	memcpy(tensor.shape, parameter->shape, sizeof tensor.shape);
	return tensor;
}

int bd_checkpoint_save(const char *folder, const struct bd_checkpoint_info *info, const struct bd_tensor *tensors, size_t count,
                       struct bd_error *error)
{
	char numbers[4][24], name[64];
	const uint64_t values[4] = { info->step, info->epoch, info->batch, info->seed };
	for (int i = 0; i < 4; i++)
		snprintf(numbers[i], sizeof numbers[i], "%" PRIu64, values[i]);
	const struct bd_safetensors_text metadata[] = {
		{ "format", FORMAT },     { "step", numbers[0] }, { "epoch", numbers[1] },
		{ "batch", numbers[2] },  { "seed", numbers[3] }, { "fingerprint", info->fingerprint },
		{ "notes", info->notes },
	};
	snprintf(name, sizeof name, NAME_PREFIX "%" PRIu64 NAME_SUFFIX, info->step);
	char *path = bd_path_join(folder, name);
	if (!path)
		return bd_error_set(error, -ENOMEM, "no memory for the path of %s", name);
	int result = bd_safetensors_write(path, true, tensors, count, metadata, BD_COUNT_OF(metadata), error);
	free(path);
	return result;
}

static int read_number(struct bd_safetensors *file, const char *key, uint64_t *ret_value, struct bd_error *error)
{
	const char *text = bd_safetensors_metadata(file, key);
	struct bd_error ignored;
	if (!text || bd_parse_u64(text, 0, UINT64_MAX, ret_value, &ignored) < 0)
		return bd_error_set(error, -EBADMSG, "%s: no %s in this checkpoint", bd_safetensors_name(file), key);
	return 0;
}

static int read_info(struct bd_safetensors *file, struct bd_checkpoint_info *info, struct bd_error *error)
{
	const char *format = bd_safetensors_metadata(file, "format"), *fingerprint = bd_safetensors_metadata(file, "fingerprint");
	const char *notes = bd_safetensors_metadata(file, "notes"), *name = bd_safetensors_name(file);
	if (!format || strcmp(format, FORMAT) != 0 || !bd_safetensors_metadata(file, "sha256") ||
	    !bd_safetensors_metadata(file, "header_sha256"))
		return bd_error_set(error, -EBADMSG,
		                    "%s: no checkpoint of batchtrain; weights alone go into the model file as 'weights:'", name);
	if (!fingerprint || strlen(fingerprint) != BD_SHA256_HEX_BYTES - 1)
		return bd_error_set(error, -EBADMSG, "%s: no fingerprint in this checkpoint", name);
	if (notes && strlen(notes) >= BD_CHECKPOINT_NOTES_BYTES)
		return bd_error_set(error, -EBADMSG, "%s: its notes are longer than %d bytes", name, BD_CHECKPOINT_NOTES_BYTES);
	strcpy(info->fingerprint, fingerprint);
	strcpy(info->notes, notes ? notes : "");
	struct {
		const char *key;
		uint64_t *value;
	} numbers[] = { { "step", &info->step }, { "epoch", &info->epoch }, { "batch", &info->batch }, { "seed", &info->seed } };
	for (size_t i = 0; i < BD_COUNT_OF(numbers); i++) {
		int result = read_number(file, numbers[i].key, numbers[i].value, error);
		if (result < 0)
			return result;
	}
	return 0;
}

static bool same_shape(const struct bd_safetensors_entry *entry, const struct bd_tensor *tensor)
{
	if (strcmp(entry->dtype, "F32") != 0 || entry->rank != tensor->rank || entry->count != tensor->count)
		return false;
	for (int i = 0; i < entry->rank; i++) {
		if (entry->shape[i] != (uint64_t)tensor->shape[i])
			return false;
	}
	return true;
}

static void format_shape(const uint64_t *dims, int rank, char *text, size_t size)
{
	size_t length = 0;
	text[0] = 0;
	for (int i = 0; i < rank && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%" PRIu64, i ? "x" : "", dims[i]);
}

static int check_tensors(struct bd_safetensors *file, const struct bd_tensor *tensors, size_t count, struct bd_error *error)
{
	for (size_t i = 0; i < count; i++) {
		const struct bd_safetensors_entry *entry = bd_safetensors_find(file, tensors[i].name);
		if (!entry)
			return bd_error_set(error, -ESTALE, "%s: no tensor '%s': of another model or optimizer",
			                    bd_safetensors_name(file), tensors[i].name);
		if (!same_shape(entry, &tensors[i])) {
			char theirs[64], ours[64];
			uint64_t dims[BD_TENSOR_MAX_RANK];
			for (int k = 0; k < tensors[i].rank; k++)
				dims[k] = (uint64_t)tensors[i].shape[k];
			format_shape(entry->shape, entry->rank, theirs, sizeof theirs);
			format_shape(dims, tensors[i].rank, ours, sizeof ours);
			return bd_error_set(error, -ESTALE,
			                    "%s: tensor '%s' has shape %s there, and %s in this model: of another model",
			                    bd_safetensors_name(file), tensors[i].name, theirs, ours);
		}
	}
	return 0;
}

int bd_checkpoint_load_from(struct bd_safetensors *file, const char *fingerprint, struct bd_tensor *tensors, size_t count,
                            struct bd_checkpoint_info *ret_info, struct bd_error *error)
{
	struct bd_checkpoint_info *info = calloc(1, sizeof *info);
	if (!info)
		return bd_error_set(error, -ENOMEM, "no memory for a checkpoint");
	int result = read_info(file, info, error);
	if (result == 0)
		result = bd_safetensors_verify(file, error);
	/* The tensors first: they tell which layer it is. */
	if (result == 0)
		result = check_tensors(file, tensors, count, error);
	if (result == 0 && fingerprint && strcmp(fingerprint, info->fingerprint) != 0)
		result = bd_error_set(
			error, -ESTALE,
			"%s: of another model: its weights have other names or shapes (fingerprint %.8s, this one is %.8s)",
			bd_safetensors_name(file), info->fingerprint, fingerprint);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = bd_safetensors_read(file, bd_safetensors_find(file, tensors[i].name), tensors[i].data, error);
	if (result == 0)
		*ret_info = *info;
	free(info);
	return result;
}

int bd_checkpoint_load(const char *path, const char *fingerprint, struct bd_tensor *tensors, size_t count,
                       struct bd_checkpoint_info *ret_info, struct bd_error *error)
{
	struct bd_safetensors *file;
	int result = bd_safetensors_open(path, &file, error);
	if (result < 0)
		return result;
	result = bd_checkpoint_load_from(file, fingerprint, tensors, count, ret_info, error);
	bd_safetensors_close(file);
	return result;
}

int bd_checkpoint_compare(const char *path, const struct bd_tensor *tensors, size_t count, struct bd_error *error)
{
	struct bd_safetensors *file;
	int result = bd_safetensors_open(path, &file, error);
	if (result < 0)
		return result;
	result = check_tensors(file, tensors, count, error);
	bd_safetensors_close(file);
	return result;
}

int bd_checkpoint_verify(const char *path, const char *fingerprint, struct bd_checkpoint_info *ret_info, struct bd_error *error)
{
	return bd_checkpoint_load(path, fingerprint, NULL, 0, ret_info, error);
}

/* ---- the checkpoints of a folder ---- */

static bool parse_name(const char *name, uint64_t *ret_step)
{
	size_t length = strlen(name), prefix = strlen(NAME_PREFIX), suffix = strlen(NAME_SUFFIX);
	char digits[24];
	struct bd_error ignored;
	if (length <= prefix + suffix || length - prefix - suffix >= sizeof digits || strncmp(name, NAME_PREFIX, prefix) != 0 ||
	    strcmp(name + length - suffix, NAME_SUFFIX) != 0)
		return false;
	memcpy(digits, name + prefix, length - prefix - suffix);
	digits[length - prefix - suffix] = 0;
	/* only as this program writes it: the step, without leading zeros */
	if (strspn(digits, "0123456789") != strlen(digits) || (digits[0] == '0' && digits[1]))
		return false;
	return bd_parse_u64(digits, 0, UINT64_MAX, ret_step, &ignored) == 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct bd_checkpoint_entry *x = a, *y = b;
	return x->step == y->step ? 0 : x->step > y->step ? -1 : 1;
}

static int append(struct bd_checkpoint_list *list, const char *folder, const char *name, uint64_t step)
{
	struct bd_checkpoint_entry *entries = realloc(list->entries, (list->count + 1) * sizeof *entries);
	if (!entries)
		return -ENOMEM;
	list->entries = entries;
	entries[list->count] = (struct bd_checkpoint_entry){ .step = step, .path = bd_path_join(folder, name) };
	return entries[list->count].path ? (list->count++, 0) : -ENOMEM;
}

int bd_checkpoint_list(const char *folder, struct bd_checkpoint_list *ret_list, struct bd_error *error)
{
	struct bd_checkpoint_list list = { 0 };
	char **names = NULL;
	size_t count = 0;
	int result = bd_folder_list(folder, &names, &count, error);
	if (result == -ENOENT) {
		*ret_list = list;
		return 0;
	}
	for (size_t i = 0; result == 0 && i < count; i++) {
		uint64_t step;
		if (parse_name(names[i], &step) && append(&list, folder, names[i], step) < 0)
			result = bd_error_set(error, -ENOMEM, "no memory for the checkpoints of %s", folder);
	}
	bd_folder_names_free(names, count);
	if (result < 0) {
		bd_checkpoint_list_finish(&list);
		return result;
	}
	if (list.count)
		qsort(list.entries, list.count, sizeof *list.entries, newest_first);
	*ret_list = list;
	return 0;
}

void bd_checkpoint_list_finish(struct bd_checkpoint_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->entries[i].path);
	free(list->entries);
	*list = (struct bd_checkpoint_list){ 0 };
}

/* The file itself is at fault; a disk that fails, a permission, missing memory or descriptors are not. */
static bool is_damage(int code)
{
	return code == -EBADMSG || code == -EINVAL || code == -ESTALE || code == -EISDIR;
}

/* The first good one behind the newest, for the error's last words: only where it is known that the newest is no good. */
static void offer_older(const struct bd_checkpoint_list *list, const char *fingerprint, int code, struct bd_error *error)
{
	if (!error || !is_damage(code))
		return;
	struct bd_checkpoint_info *info = calloc(1, sizeof *info);
	struct bd_error ignored, reason = *error;
	const char *good = NULL;
	bool all_known = info != NULL;
	for (size_t i = 1; info && !good && i < list->count; i++) {
		int result = bd_checkpoint_verify(list->entries[i].path, fingerprint, info, &ignored);
		if (result == 0)
			good = list->entries[i].path;
		all_known = all_known && (result == 0 || is_damage(result));
	}
	free(info);
	if (good)
		bd_error_set(error, reason.code, "%.600s; %s before it is good: remove %s to go on from there", reason.text,
		             bd_path_base(good), bd_path_base(list->entries[0].path));
	else if (list->count > 1 && all_known)
		bd_error_set(error, reason.code, "%.800s; none before it is good either: 'batchtrain train --fresh' begins anew",
		             reason.text);
}

int bd_checkpoint_newest(const char *folder, const char *fingerprint, char **ret_path, struct bd_checkpoint_info *ret_info,
                         struct bd_error *error)
{
	struct bd_checkpoint_list list;
	int result = bd_checkpoint_list(folder, &list, error);
	if (result < 0)
		return result;
	if (list.count == 0) {
		bd_checkpoint_list_finish(&list);
		return bd_error_set(error, -ENOENT, "%s: no checkpoint", folder);
	}
	result = bd_checkpoint_verify(list.entries[0].path, fingerprint, ret_info, error);
	if (result < 0) {
		offer_older(&list, fingerprint, result, error);
	} else {
		*ret_path = list.entries[0].path;
		list.entries[0].path = NULL;
	}
	bd_checkpoint_list_finish(&list);
	return result;
}

int bd_checkpoint_prune(const char *folder, size_t keep, const uint64_t *spared, size_t spared_count, struct bd_error *error)
{
	struct bd_checkpoint_list list;
	int result = bd_checkpoint_list(folder, &list, error);
	if (result < 0)
		return result;
	for (size_t i = keep > 1 ? keep : 1; i < list.count; i++) {
		bool spare = false;
		for (size_t k = 0; k < spared_count; k++)
			spare = spare || spared[k] == list.entries[i].step;
		if (!spare && unlink(list.entries[i].path) != 0 && errno != ENOENT && result == 0)
			result = bd_error_set(error, -errno, "%s: cannot remove: %s", list.entries[i].path, strerror(errno));
	}
	bd_checkpoint_list_finish(&list);
	return result;
}
