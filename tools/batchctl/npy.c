#include "tools/batchctl/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"

/* Magic, version and length are 10 bytes; header and padding end at a multiple of 64, in front of the data. */
#define PREFIX_BYTES 10
#define HEADER_BYTES 192

size_t bd_array_bytes(const struct bd_array *array)
{
	size_t bytes = bd_dtype_bytes(array->dtype);
	for (uint32_t i = 0; i < array->rank; i++)
		bytes *= (size_t)array->shape[i];
	return bytes;
}

static const char *descriptor_of(enum bd_dtype dtype)
{
	return dtype == BD_UINT8 ? "|u1" : dtype == BD_FLOAT32 ? "<f4" : "<i8";
}

static void make_header(const struct bd_array *array, char ret_header[HEADER_BYTES])
{
	static const unsigned char prefix[PREFIX_BYTES] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - PREFIX_BYTES, 0 };
	char shape[BD_MAX_RANK * 24] = "";
	size_t length = 0;
	for (uint32_t i = 0; i < array->rank; i++)
		length += (size_t)snprintf(shape + length, sizeof shape - length, "%" PRId64 ",%s", array->shape[i],
		                           i + 1 < array->rank ? " " : "");
	memset(ret_header, ' ', HEADER_BYTES);
	memcpy(ret_header, prefix, sizeof prefix);
	int wrote = snprintf(ret_header + PREFIX_BYTES, HEADER_BYTES - PREFIX_BYTES,
	                     "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descriptor_of(array->dtype), shape);
	ret_header[PREFIX_BYTES + wrote] = ' ';
	ret_header[HEADER_BYTES - 1] = '\n';
}

int bd_npy_write(const char *path, bool force, const struct bd_array *array, struct bd_error *error)
{
	char header[HEADER_BYTES];
	struct bd_output output;
	make_header(array, header);
	int result = bd_output_open(&output, path, force, error);
	if (result < 0)
		return result;
	size_t bytes = bd_array_bytes(array);
	if (fwrite(header, 1, sizeof header, output.stream) != sizeof header ||
	    fwrite(array->data, 1, bytes, output.stream) != bytes) {
		result = bd_error_set(error, -EIO, "%s: %s", path, strerror(errno));
		bd_output_abandon(&output);
		return result;
	}
	return bd_output_commit(&output, error);
}
