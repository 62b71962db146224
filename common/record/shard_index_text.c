/* Indexes beside a shard: the `offset size` lines of other loaders, and the stored form that travels with its shard. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

static const char *const endings[] = { "idx", "index" };

/* A decimal number and the blanks behind it. */
static bool read_number(const char **at, const char *end, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *p = *at;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		if (!bd_multiply_u64(value, 10, &value) || !bd_add_u64(value, (uint64_t)(*p - '0'), &value))
			return false;
	if (p == *at)
		return false;
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	*at = p;
	*ret_value = value;
	return true;
}

static size_t count_lines(const char *text, size_t length)
{
	size_t lines = length && text[length - 1] != '\n';
	for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + length - at))); at++)
		lines++;
	return lines;
}

/* Each record begins where the one before ends, and the last ends with the file. */
static int read_lines(const char *text, size_t length, uint64_t size, struct bd_shard_index *index)
{
	const char *at = text, *end = text + length;
	uint64_t position = 0;
	while (at < end) {
		uint64_t offset, whole, next;
		if (!read_number(&at, end, &offset) || !read_number(&at, end, &whole) || (at < end && *at++ != '\n'))
			return -EBADMSG;
		if (offset != position || whole < BD_TFRECORD_FRAMING_BYTES || !bd_add_u64(offset, whole, &next) || next > size)
			return -EBADMSG;
		index->offsets[index->count++] = offset;
		index->longest = bd_max_u64(index->longest, whole - BD_TFRECORD_FRAMING_BYTES);
		position = next;
	}
	index->offsets[index->count] = position;
	return position == size ? 0 : -EBADMSG;
}

int bd_shard_index_parse_text(const char *text, size_t length, uint64_t size, struct bd_shard_index **ret_index,
                              struct bd_error *error)
{
	struct bd_shard_index *index = bd_shard_index_create();
	int result = -ENOMEM;
	if (index)
		index->offsets = malloc((count_lines(text, length) + 1) * sizeof *index->offsets);
	if (index && index->offsets) {
		index->compression = BD_COMPRESSION_NONE;
		index->key.size = size;
		result = read_lines(text, length, size, index);
	}
	if (result == 0) {
		*ret_index = index;
		return 0;
	}
	bd_shard_index_destroy(index);
	return bd_error_set(error, result, result == -ENOMEM ? "no memory for an index" : "no text index of this shard");
}

/* ---- beside a shard ---- */

/* Older than its shard: of another state of it. */
static bool is_younger(const char *path, const struct bd_shard_key *key)
{
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) && bd_shard_key_of(&status).mtime_ns >= key->mtime_ns;
}

static struct bd_shard_index *load(int fd, const char *path, const struct bd_shard_key *key, const struct bd_index_options *options)
{
	uint8_t *bytes;
	size_t length;
	struct bd_shard_index *index = NULL;
	/* A file that is larger than an index may be: what it says is found out by building. */
	if (!is_younger(path, key) || bd_file_read_all(path, bd_shard_index_limit(options), &bytes, &length, NULL) < 0)
		return NULL;
	if (bd_shard_index_decode(bytes, length, NULL, &index, NULL) < 0 &&
	    bd_shard_index_parse_text((const char *)bytes, length, key->size, &index, NULL) < 0)
		index = NULL;
	free(bytes);
	if (!index)
		return NULL;
	index->beside = true;
	bool good = index->key.size == key->size && bd_shard_index_same_compression(fd, index, options);
	int fits = good ? bd_shard_index_fits(fd, index, NULL) : 0;
	if (fits <= 0) {
		if (fits == 0)
			bd_notes_add(options->notes, "%s: is no index of the shard beside it, and is not used", path);
		bd_shard_index_destroy(index);
		return NULL;
	}
	index->key = *key;
	return index;
}

struct bd_shard_index *bd_shard_index_load_beside(int fd, const char *path, const struct bd_shard_key *key,
                                                  const struct bd_index_options *options)
{
	struct bd_shard_index *index = NULL;
	for (size_t i = 0; !index && i < BD_COUNT_OF(endings); i++) {
		char *name;
		if (asprintf(&name, "%s.%s", path, endings[i]) < 0)
			return NULL;
		index = load(fd, name, key, options);
		free(name);
	}
	return index;
}

/* Of an index of any state of the shard. */
static uint64_t count_of(const char *path)
{
	uint8_t *bytes;
	size_t length;
	uint64_t count = 0;
	struct bd_shard_index *index;
	if (bd_file_read_all(path, BD_SHARD_INDEX_MEMORY_BYTES, &bytes, &length, NULL) < 0)
		return 0;
	if (bd_shard_index_decode(bytes, length, NULL, &index, NULL) == 0) {
		count = bd_shard_index_count(index);
		bd_shard_index_destroy(index);
	} else {
		const char *at = (const char *)bytes, *end = at + length;
		uint64_t offset, whole;
		while (at < end && read_number(&at, end, &offset) && read_number(&at, end, &whole) && (at == end || *at++ == '\n'))
			count++;
		if (at < end)
			count = 0;
	}
	free(bytes);
	return count;
}

uint64_t bd_shard_index_count_beside(const char *path)
{
	uint64_t count = 0;
	for (size_t i = 0; !count && i < BD_COUNT_OF(endings); i++) {
		char *name;
		if (asprintf(&name, "%s.%s", path, endings[i]) < 0)
			return 0;
		count = count_of(name);
		free(name);
	}
	return count;
}

/* ---- writing ---- */

int bd_shard_index_write_text(const struct bd_shard_index *index, const char *path, bool force, struct bd_error *error)
{
	struct bd_output output;
	if (index->damage_count)
		return bd_shard_index_damage_error(index, index->damage[0].record, error);
	int result = bd_output_open(&output, path, force, error);
	if (result < 0)
		return result;
	for (uint64_t i = 0; i < index->count; i++)
		if (fprintf(output.stream, "%" PRIu64 " %" PRIu64 "\n", index->offsets[i],
		            index->offsets[i + 1] - index->offsets[i]) < 0)
			break; /* the stream remembers the error, and commit tells it */
	return bd_output_commit(&output, error);
}

int bd_shard_index_write(const struct bd_shard_index *index, const char *path, bool force, struct bd_error *error)
{
	struct bd_output output;
	uint8_t *bytes;
	size_t length;
	int result = bd_shard_index_encode(index, &bytes, &length, error);
	if (result < 0)
		return result;
	result = bd_output_open(&output, path, force, error);
	if (result == 0) {
		fwrite(bytes, 1, length, output.stream);
		result = bd_output_commit(&output, error);
	}
	free(bytes);
	return result;
}
