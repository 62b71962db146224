#include "trainer/model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/sha256.h"

#define PREFIX_BYTES 8
#define BLOCK_BYTES ((size_t)1 << 20)
#define METADATA "__metadata__"
#define DATA_SUM "sha256"
#define HEADER_SUM "header_sha256"

struct bd_safetensors {
	char *name;
	int fd; /* -1: in memory */
	const uint8_t *memory;
	uint64_t length; /* of the whole file */
	uint64_t data_begin;
	struct bd_safetensors_entry *entries; /* by begin */
	size_t count;
	struct bd_safetensors_entry **by_name;
	json_t *header;
};

static const struct {
	const char *name;
	unsigned bits;
} dtypes[] = {
	{ "F32", 32 },        { "F64", 64 }, { "F16", 16 },    { "BF16", 16 },   { "I64", 64 },    { "I32", 32 },
	{ "I16", 16 },        { "I8", 8 },   { "U64", 64 },    { "U32", 32 },    { "U16", 16 },    { "U8", 8 },
	{ "BOOL", 8 },        { "C64", 64 }, { "F8_E5M2", 8 }, { "F8_E4M3", 8 }, { "F8_E8M0", 8 }, { "F8_E4M3FNUZ", 8 },
	{ "F8_E5M2FNUZ", 8 }, { "F4", 4 },   { "F6_E2M3", 6 }, { "F6_E3M2", 6 },
};

static int read_at(struct bd_safetensors *file, void *buffer, size_t bytes, uint64_t offset, struct bd_error *error)
{
	if (file->fd < 0) {
		memcpy(buffer, file->memory + offset, bytes);
		return 0;
	}
	size_t got;
	int result = bd_file_read_full(file->fd, buffer, bytes, offset, &got, error);
	if (result < 0)
		return bd_error_prefix(error, "%s", file->name), result;
	if (got < bytes)
		return bd_error_set(error, -ENODATA, "%s: became shorter while it was read", file->name);
	return 0;
}

static int bad(const struct bd_safetensors *file, struct bd_error *error, const char *tensor, const char *reason)
{
	return bd_error_set(error, -EBADMSG, "%s: tensor '%s': %s", file->name, tensor, reason);
}

static bool get_u64(const json_t *value, uint64_t *ret_value)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret_value = (uint64_t)json_integer_value(value);
	return true;
}

static int parse_shape(const struct bd_safetensors *file, const json_t *shape, struct bd_safetensors_entry *entry,
                       struct bd_error *error)
{
	if (!json_is_array(shape))
		return bad(file, error, entry->name, "no shape");
	if (json_array_size(shape) > BD_SAFETENSORS_MAX_RANK)
		return bad(file, error, entry->name, "more than 8 dimensions");
	entry->rank = (int)json_array_size(shape);
	entry->count = 1;
	for (int i = 0; i < entry->rank; i++) {
		if (!get_u64(json_array_get(shape, (size_t)i), &entry->shape[i]))
			return bad(file, error, entry->name, "a dimension is no number from 0 up");
		if (!bd_multiply_u64(entry->count, entry->shape[i], &entry->count))
			return bad(file, error, entry->name, "its shape overflows 64 bits");
	}
	return 0;
}

static int parse_extent(const struct bd_safetensors *file, const json_t *offsets, const json_t *dtype,
                        struct bd_safetensors_entry *entry, struct bd_error *error)
{
	uint64_t begin, end, bits;
	unsigned width = 0;
	for (size_t i = 0; json_is_string(dtype) && i < BD_COUNT_OF(dtypes); i++) {
		if (!strcmp(json_string_value(dtype), dtypes[i].name))
			width = dtypes[i].bits;
	}
	if (width == 0)
		return bad(file, error, entry->name, "unknown dtype");
	strcpy(entry->dtype, json_string_value(dtype));
	if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !get_u64(json_array_get(offsets, 0), &begin) ||
	    !get_u64(json_array_get(offsets, 1), &end))
		return bad(file, error, entry->name, "no data_offsets of two numbers");
	if (end < begin || end > file->length - file->data_begin)
		return bad(file, error, entry->name, "its data lies outside the file; the file may be truncated");
	if (!bd_multiply_u64(entry->count, width, &bits))
		return bad(file, error, entry->name, "its shape overflows 64 bits");
	if (bits % 8 != 0 || bits / 8 != end - begin)
		return bad(file, error, entry->name, "shape and data_offsets disagree");
	entry->begin = begin;
	entry->bytes = end - begin;
	return 0;
}

static int parse_entry(const struct bd_safetensors *file, const char *name, const json_t *value, struct bd_safetensors_entry *entry,
                       struct bd_error *error)
{
	entry->name = strdup(name);
	if (!entry->name)
		return bd_error_set(error, -ENOMEM, "no memory for the header of %s", file->name);
	if (!json_is_object(value) || json_object_size(value) != 3)
		return bad(file, error, name, "not exactly dtype, shape and data_offsets");
	int result = parse_shape(file, json_object_get(value, "shape"), entry, error);
	if (result < 0)
		return result;
	return parse_extent(file, json_object_get(value, "data_offsets"), json_object_get(value, "dtype"), entry, error);
}

static int check_metadata(const struct bd_safetensors *file, json_t *metadata, struct bd_error *error)
{
	const char *key;
	json_t *value;
	if (!json_is_object(metadata))
		return bd_error_set(error, -EBADMSG, "%s: its metadata is no mapping", file->name);
	json_object_foreach(metadata, key, value)
	{
		if (!json_is_string(value))
			return bd_error_set(error, -EBADMSG, "%s: metadata '%s' is no text", file->name, key);
	}
	return 0;
}

static int compare_begin(const void *a, const void *b)
{
	const struct bd_safetensors_entry *x = a, *y = b;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int compare_name(const void *a, const void *b)
{
	return strcmp((*(struct bd_safetensors_entry *const *)a)->name, (*(struct bd_safetensors_entry *const *)b)->name);
}

/* Sorts, and checks that the tensors cover the data exactly. */
static int check_cover(struct bd_safetensors *file, struct bd_error *error)
{
	uint64_t end = 0;
	qsort(file->entries, file->count, sizeof *file->entries, compare_begin);
	for (size_t i = 0; i < file->count; i++) {
		if (file->entries[i].begin != end)
			return bad(file, error, file->entries[i].name, "overlaps another or leaves a hole before it");
		end += file->entries[i].bytes;
		file->by_name[i] = &file->entries[i];
	}
	if (end != file->length - file->data_begin)
		return bd_error_set(error, -EBADMSG, "%s: %" PRIu64 " bytes behind the last tensor", file->name,
		                    file->length - file->data_begin - end);
	qsort(file->by_name, file->count, sizeof *file->by_name, compare_name);
	return 0;
}

static int parse_entries(struct bd_safetensors *file, struct bd_error *error)
{
	const char *key;
	json_t *value;
	size_t size = json_object_size(file->header);
	file->entries = calloc(size + 1, sizeof *file->entries);
	file->by_name = calloc(size + 1, sizeof *file->by_name);
	if (!file->entries || !file->by_name)
		return bd_error_set(error, -ENOMEM, "no memory for the header of %s", file->name);
	json_object_foreach(file->header, key, value)
	{
		int result;
		if (!strcmp(key, METADATA))
			result = check_metadata(file, value, error);
		else
			result = parse_entry(file, key, value, &file->entries[file->count++], error);
		if (result < 0)
			return result;
	}
	return check_cover(file, error);
}

static int parse_header(struct bd_safetensors *file, struct bd_error *error)
{
	uint8_t prefix[PREFIX_BYTES];
	uint64_t length = 0;
	if (file->length < PREFIX_BYTES)
		return bd_error_set(error, -EBADMSG, "%s: %" PRIu64 " bytes are no safetensors file", file->name, file->length);
	int result = read_at(file, prefix, PREFIX_BYTES, 0, error);
	if (result < 0)
		return result;
	for (int i = PREFIX_BYTES - 1; i >= 0; i--)
		length = length << 8 | prefix[i];
	if (length > BD_SAFETENSORS_MAX_HEADER_BYTES)
		return bd_error_set(error, -EBADMSG, "%s: a header of %" PRIu64 " bytes; the limit is %u", file->name, length,
		                    BD_SAFETENSORS_MAX_HEADER_BYTES);
	if (length > file->length - PREFIX_BYTES)
		return bd_error_set(error, -EBADMSG, "%s: truncated inside its header", file->name);
	file->data_begin = PREFIX_BYTES + length;
	char *text = malloc((size_t)length + 1);
	if (!text)
		return bd_error_set(error, -ENOMEM, "no memory for the header of %s", file->name);
	result = read_at(file, text, (size_t)length, PREFIX_BYTES, error);
	if (result == 0 && (length == 0 || text[0] != '{'))
		result = bd_error_set(error, -EBADMSG, "%s: its header does not begin with '{'", file->name);
	if (result == 0)
		result = bd_json_parse(file->name, text, (size_t)length, &file->header, error);
	if (result == -EINVAL)
		result = bd_error_set(error, -EBADMSG, "%s: its header is no JSON", file->name);
	free(text);
	return result < 0 ? result : parse_entries(file, error);
}

static int open_any(const char *name, int fd, const void *bytes, uint64_t length, struct bd_safetensors **ret_file,
                    struct bd_error *error)
{
	struct bd_safetensors *file = calloc(1, sizeof *file);
	if (!file) {
		if (fd >= 0)
			close(fd);
		return bd_error_set(error, -ENOMEM, "no memory for %s", name);
	}
	*file = (struct bd_safetensors){ .name = strdup(name), .fd = fd, .memory = bytes, .length = length };
	int result = file->name ? parse_header(file, error) : bd_error_set(error, -ENOMEM, "no memory for %s", name);
	if (result < 0) {
		bd_safetensors_close(file);
		return result;
	}
	*ret_file = file;
	return 0;
}

int bd_safetensors_open(const char *path, struct bd_safetensors **ret_file, struct bd_error *error)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return bd_error_set(error, -EINVAL, "%s: no regular file", path);
	}
	return open_any(path, fd, NULL, (uint64_t)status.st_size, ret_file, error);
}

int bd_safetensors_open_memory(const char *name, const void *bytes, size_t length, struct bd_safetensors **ret_file,
                               struct bd_error *error)
{
	return open_any(name, -1, bytes, length, ret_file, error);
}

void bd_safetensors_close(struct bd_safetensors *file)
{
	if (!file)
		return;
	for (size_t i = 0; i < file->count; i++)
		free(file->entries[i].name);
	free(file->entries);
	free(file->by_name);
	json_decref(file->header);
	if (file->fd >= 0)
		close(file->fd);
	free(file->name);
	free(file);
}

const char *bd_safetensors_name(const struct bd_safetensors *file)
{
	return file->name;
}

size_t bd_safetensors_count(const struct bd_safetensors *file)
{
	return file->count;
}

const struct bd_safetensors_entry *bd_safetensors_at(const struct bd_safetensors *file, size_t index)
{
	return &file->entries[index];
}

static int compare_key(const void *key, const void *item)
{
	return strcmp(key, (*(struct bd_safetensors_entry *const *)item)->name);
}

const struct bd_safetensors_entry *bd_safetensors_find(const struct bd_safetensors *file, const char *name)
{
	struct bd_safetensors_entry **found = bsearch(name, file->by_name, file->count, sizeof *file->by_name, compare_key);
	return found ? *found : NULL;
}

const char *bd_safetensors_metadata(const struct bd_safetensors *file, const char *key)
{
	return json_string_value(json_object_get(json_object_get(file->header, METADATA), key));
}

/* SHA-256 of the header as compact JSON with sorted keys, without the checksum itself. False: no memory. */
static bool hash_header(const json_t *header, char ret_hex[BD_SHA256_HEX_BYTES])
{
	json_t *copy = json_copy((json_t *)(uintptr_t)header), *metadata = json_copy(json_object_get(header, METADATA));
	if (metadata)
		json_object_del(metadata, HEADER_SUM);
	if (!copy || json_object_set_new(copy, METADATA, metadata) < 0)
		bd_json_lost();
	char *text = bd_json_dump(copy, JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return false;
	bd_sha256_hex(text, strlen(text), ret_hex);
	free(text);
	return true;
}

static int verify_header(const struct bd_safetensors *file, struct bd_error *error)
{
	const char *stored = bd_safetensors_metadata(file, HEADER_SUM);
	char computed[BD_SHA256_HEX_BYTES];
	if (!stored)
		return 0;
	if (!hash_header(file->header, computed))
		return bd_error_set(error, -ENOMEM, "no memory to check %s", file->name);
	if (strcmp(stored, computed) != 0)
		return bd_error_set(error, -EBADMSG, "%s: damaged: SHA-256 of its header is %.16s..., stored is %.16s...",
		                    file->name, computed, stored);
	return 0;
}

static int verify_data(struct bd_safetensors *file, struct bd_error *error)
{
	const char *stored = bd_safetensors_metadata(file, DATA_SUM);
	char computed[BD_SHA256_HEX_BYTES];
	struct bd_sha256 sha;
	if (!stored)
		return 0;
	uint8_t *block = malloc(BLOCK_BYTES);
	if (!block)
		return bd_error_set(error, -ENOMEM, "no memory to check %s", file->name);
	int result = 0;
	bd_sha256_init(&sha);
	for (uint64_t at = file->data_begin; result == 0 && at < file->length; at += BLOCK_BYTES) {
		size_t bytes = (size_t)bd_min_u64(BLOCK_BYTES, file->length - at);
		result = read_at(file, block, bytes, at, error);
		if (result == 0)
			bd_sha256_update(&sha, block, bytes);
	}
	free(block);
	if (result < 0)
		return result;
	bd_sha256_finish(&sha, computed);
	if (strcmp(stored, computed) != 0)
		return bd_error_set(error, -EBADMSG, "%s: damaged: SHA-256 of its data is %.16s..., stored is %.16s...", file->name,
		                    computed, stored);
	return 0;
}

int bd_safetensors_verify(struct bd_safetensors *file, struct bd_error *error)
{
	int result = verify_header(file, error);
	return result < 0 ? result : verify_data(file, error);
}

static float from_half(uint16_t half)
{
	float value = ldexpf((float)(half & 0x3ff), -24);
	unsigned exponent = half >> 10 & 0x1f;
	if (exponent == 31)
		value = half & 0x3ff ? NAN : INFINITY;
	else if (exponent > 0)
		value = ldexpf((float)((half & 0x3ff) | 0x400), (int)exponent - 25);
	return half & 0x8000 ? -value : value;
}

static void convert(const char *dtype, const uint8_t *from, size_t count, float *to)
{
	for (size_t i = 0; i < count; i++) {
		double wide;
		uint16_t narrow;
		if (!strcmp(dtype, "F64")) {
			memcpy(&wide, from + i * sizeof wide, sizeof wide);
			to[i] = (float)wide;
			continue;
		}
		memcpy(&narrow, from + i * sizeof narrow, sizeof narrow);
		uint32_t bits = (uint32_t)narrow << 16;
		if (!strcmp(dtype, "BF16"))
			memcpy(&to[i], &bits, sizeof bits);
		else
			to[i] = from_half(narrow);
	}
}

int bd_safetensors_read(struct bd_safetensors *file, const struct bd_safetensors_entry *entry, float *ret_values,
                        struct bd_error *error)
{
	if (!strcmp(entry->dtype, "F32"))
		return read_at(file, ret_values, (size_t)entry->bytes, file->data_begin + entry->begin, error);
	size_t width = !strcmp(entry->dtype, "F64") ? 8 : 2;
	if (width == 2 && strcmp(entry->dtype, "F16") != 0 && strcmp(entry->dtype, "BF16") != 0)
		return bd_error_set(error, -EINVAL, "%s: tensor '%s' is of %s, not of floating point numbers", file->name,
		                    entry->name, entry->dtype);
	uint8_t *block = malloc(BLOCK_BYTES);
	if (!block)
		return bd_error_set(error, -ENOMEM, "no memory to read %s", file->name);
	int result = 0;
	for (uint64_t at = 0; result == 0 && at < entry->bytes; at += BLOCK_BYTES) {
		size_t bytes = (size_t)bd_min_u64(BLOCK_BYTES, entry->bytes - at);
		result = read_at(file, block, bytes, file->data_begin + entry->begin + at, error);
		if (result == 0)
			convert(entry->dtype, block, bytes / width, ret_values + at / width);
	}
	free(block);
	return result;
}

/* ---- writing ---- */

static json_t *describe(const struct bd_tensor *tensor, uint64_t begin)
{
	json_t *shape = json_array();
	for (int i = 0; i < tensor->rank; i++)
		json_array_append_new(shape, json_integer(tensor->shape[i]));
	uint64_t end = begin + tensor->count * sizeof(float);
	return json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape, "data_offsets", (json_int_t)begin,
	                 (json_int_t)end);
}

/* A name or text that is no UTF-8, or that stands twice, cannot be a member; a value that is missing had no memory. */
static int set_member(json_t *object, const char *name, json_t *value_take, struct bd_error *error)
{
	if (!value_take)
		return bd_error_set(error, -ENOMEM, "no memory for a header");
	if (json_object_get(object, name)) {
		json_decref(value_take);
		return bd_error_set(error, -EINVAL, "two tensors or texts are named '%s'", name);
	}
	json_t *key = json_string(name);
	bool is_text = key != NULL;
	json_decref(key);
	if (json_object_set_new(object, name, value_take) == 0)
		return 0;
	return is_text ? bd_error_set(error, -ENOMEM, "no memory for a header")
	               : bd_error_set(error, -EINVAL, "the name of a tensor or text is no UTF-8");
}

static int build_metadata(const struct bd_tensor *tensors, size_t count, const struct bd_safetensors_text *texts, size_t text_count,
                          json_t *metadata, struct bd_error *error)
{
	struct bd_sha256 sha;
	char hex[BD_SHA256_HEX_BYTES];
	bd_sha256_init(&sha);
	for (size_t i = 0; i < count; i++)
		bd_sha256_update(&sha, tensors[i].data, tensors[i].count * sizeof(float));
	bd_sha256_finish(&sha, hex);
	int result = set_member(metadata, DATA_SUM, json_string(hex), error);
	for (size_t i = 0; result == 0 && i < text_count; i++)
		result = set_member(metadata, texts[i].key, json_string(texts[i].value), error);
	return result;
}

/* The header's text, padded with spaces so that the data is aligned to 8 bytes. -EINVAL: a bad name; -ENOMEM. */
static int build_header(const struct bd_tensor *tensors, size_t count, const struct bd_safetensors_text *texts, size_t text_count,
                        char **ret_text, size_t *ret_length, struct bd_error *error)
{
	json_t *header = json_object(), *metadata = json_object();
	char hex[BD_SHA256_HEX_BYTES];
	uint64_t begin = 0;
	int result = set_member(header, METADATA, json_incref(metadata), error);
	if (result == 0)
		result = build_metadata(tensors, count, texts, text_count, metadata, error);
	for (size_t i = 0; result == 0 && i < count; i++) {
		result = set_member(header, tensors[i].name, describe(&tensors[i], begin), error);
		begin += tensors[i].count * sizeof(float);
	}
	if (result == 0 && !hash_header(header, hex))
		result = bd_error_set(error, -ENOMEM, "no memory for a header");
	if (result == 0)
		result = set_member(metadata, HEADER_SUM, json_string(hex), error);
	json_decref(metadata);
	char *text = bd_json_dump(header, JSON_COMPACT);
	size_t length = text ? strlen(text) : 0, padded = (length + 7) & ~(size_t)7;
	char *whole = result == 0 && text ? realloc(text, padded + 1) : NULL;
	if (!whole) {
		free(text);
		return result < 0 ? result : bd_error_set(error, -ENOMEM, "no memory for a header");
	}
	memset(whole + length, ' ', padded - length);
	*ret_text = whole;
	*ret_length = padded;
	return 0;
}

static int write_all(struct bd_output *output, const char *header, size_t header_bytes, const struct bd_tensor *tensors,
                     size_t count, struct bd_error *error)
{
	uint8_t prefix[PREFIX_BYTES];
	for (int i = 0; i < PREFIX_BYTES; i++)
		prefix[i] = (uint8_t)((uint64_t)header_bytes >> 8 * i);
	bool good = fwrite(prefix, 1, sizeof prefix, output->stream) == sizeof prefix &&
	            fwrite(header, 1, header_bytes, output->stream) == header_bytes;
	for (size_t i = 0; good && i < count; i++)
		good = fwrite(tensors[i].data, sizeof(float), tensors[i].count, output->stream) == tensors[i].count;
	if (!good)
		return bd_error_set(error, -errno, "%s: cannot write: %s", output->path, strerror(errno));
	return 0;
}

int bd_safetensors_write(const char *path, bool force, const struct bd_tensor *tensors, size_t count,
                         const struct bd_safetensors_text *metadata, size_t metadata_count, struct bd_error *error)
{
	size_t header_bytes = 0;
	char *header = NULL;
	int result = build_header(tensors, count, metadata, metadata_count, &header, &header_bytes, error);
	if (result < 0) {
		bd_error_prefix(error, "%s", path);
		return result;
	}
	struct bd_output output;
	result = bd_output_open(&output, path, force, error);
	if (result == 0) {
		result = write_all(&output, header, header_bytes, tensors, count, error);
		if (result < 0)
			bd_output_abandon(&output);
		else
			result = bd_output_commit(&output, error);
	}
	free(header);
	return result;
}
