#include "tools/tfrecord/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/inflate.h"

#define TYPE_UNSIGNED_BYTE 8
#define FIRST_ROOM_BYTES (1u << 20)

/* The uncompressed content; grows as data comes, whatever the file declares. */
static int unfold(const char *path, struct bd_inflater *inflater, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	uint8_t *bytes = NULL;
	size_t length = 0, room = 0, got = 0;
	int status = 0;
	do {
		if (length == room) {
			room = room ? room * 2 : FIRST_ROOM_BYTES;
			bool allowed = room <= BD_IDX_LIMIT_BYTES;
			uint8_t *larger = allowed ? realloc(bytes, room) : NULL;
			if (!larger) {
				free(bytes);
				return allowed ? bd_error_set(error, -ENOMEM, "%s: no memory for %zu bytes", path, room)
				               : bd_error_set(error, -EFBIG, "%s: too large when uncompressed", path);
			}
			bytes = larger;
		}
		status = bd_inflater_read(inflater, bytes + length, room - length, &got, error);
		length += got;
	} while (!status && length == room);
	if (status) {
		free(bytes);
		bd_error_prefix(error, "%s", path);
		return status;
	}
	*ret_bytes = bytes;
	*ret_length = length;
	return 0;
}

static int read_gzip(const char *path, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	struct bd_inflater *inflater = NULL;
	int status = bd_inflater_create(fd, BD_COMPRESSION_GZIP, &inflater, error);
	if (!status)
		status = unfold(path, inflater, ret_bytes, ret_length, error);
	bd_inflater_destroy(inflater);
	close(fd);
	return status;
}

static bool is_gzip(const uint8_t *bytes, size_t length)
{
	return length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static uint32_t big32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int parse(const char *path, uint8_t *bytes, size_t length, struct bd_idx *ret_idx, struct bd_error *error)
{
	if (length < 8 || bytes[0] || bytes[1] || bytes[2] != TYPE_UNSIGNED_BYTE || !bytes[3] || bytes[3] > BD_IDX_MAX_RANK)
		return bd_error_set(error, -EBADMSG,
		                    "%s: no IDX file of bytes (it begins with 00 00 08 and the number of dimensions)", path);
	struct bd_idx idx = { .rank = bytes[3], .file = bytes };
	uint64_t header = 4 + 4ull * idx.rank, count = 1;
	if (length < header)
		return bd_error_set(error, -EBADMSG, "%s: the header is cut short", path);
	for (uint32_t i = 0; i < idx.rank; i++) {
		idx.shape[i] = big32(bytes + 4 + 4 * (size_t)i);
		if (!bd_multiply_u64(count, idx.shape[i], &count))
			return bd_error_set(error, -EBADMSG, "%s: its dimensions are too large", path);
	}
	if (count != length - header)
		return bd_error_set(error, -EBADMSG, "%s: the header promises %" PRIu64 " values, the file holds %" PRIu64, path,
		                    count, (uint64_t)length - header);
	idx.values = bytes + header;
	*ret_idx = idx;
	return 0;
}

int bd_idx_load(const char *path, struct bd_idx *ret_idx, struct bd_error *error)
{
	uint8_t *bytes = NULL;
	size_t length = 0;
	int status = bd_file_read_all(path, BD_IDX_LIMIT_BYTES, &bytes, &length, error);
	if (!status && is_gzip(bytes, length)) {
		free(bytes);
		bytes = NULL;
		status = read_gzip(path, &bytes, &length, error);
	}
	if (!status)
		status = parse(path, bytes, length, ret_idx, error);
	if (status)
		free(bytes);
	return status;
}

void bd_idx_finish(struct bd_idx *idx)
{
	free(idx->file);
	*idx = (struct bd_idx){ 0 };
}
