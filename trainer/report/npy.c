#include "trainer/report/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Magic, version and length are 10 bytes; the data begins at a multiple of 64. */
#define HEADER_BYTES 192

static int write_header(struct bd_npy_writer *writer, struct bd_error *error)
{
	char header[HEADER_BYTES];
	memset(header, ' ', sizeof header);
	memcpy(header, "\x93NUMPY\x01\x00", 8);
	header[8] = (char)(HEADER_BYTES - 10);
	header[9] = 0;
	char text[HEADER_BYTES - 10];
	int length = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRIu64 ",", writer->rows);
	for (int i = 0; i < writer->shape.rank; i++)
		length += snprintf(text + length, sizeof text - (size_t)length, " %" PRId64 ",", writer->shape.dims[i]);
	length += snprintf(text + length, sizeof text - (size_t)length, "), }");
	memcpy(header + 10, text, (size_t)length);
	header[HEADER_BYTES - 1] = '\n';
	if (fwrite(header, 1, sizeof header, writer->output.stream) != sizeof header)
		return bd_error_set(error, -EIO, "%s: cannot write: %s", writer->output.path, strerror(errno));
	return 0;
}

int bd_npy_writer_open(struct bd_npy_writer *ret_writer, const char *path, bool force, const struct bd_shape *shape,
                       struct bd_error *error)
{
	struct bd_npy_writer writer = { .shape = *shape, .row_count = (size_t)bd_shape_count(shape) };
	int r = bd_output_open(&writer.output, path, force, error);
	if (r == 0)
		r = write_header(&writer, error);
	if (r < 0)
		bd_npy_writer_abandon(&writer);
	else
		*ret_writer = writer;
	return r;
}

int bd_npy_writer_add(struct bd_npy_writer *writer, const float *rows, uint32_t count, struct bd_error *error)
{
	size_t floats = writer->row_count * count;
	if (fwrite(rows, sizeof(float), floats, writer->output.stream) != floats)
		return bd_error_set(error, errno ? -errno : -EIO, "%s: cannot write: %s", writer->output.path, strerror(errno));
	writer->rows += count;
	return 0;
}

int bd_npy_writer_commit(struct bd_npy_writer *writer, struct bd_error *error)
{
	int r = fseek(writer->output.stream, 0, SEEK_SET) < 0
	                ? bd_error_set(error, -errno, "%s: cannot write: %s", writer->output.path, strerror(errno))
	                : write_header(writer, error);
	if (r < 0) {
		bd_npy_writer_abandon(writer);
		return r;
	}
	return bd_output_commit(&writer->output, error);
}

void bd_npy_writer_abandon(struct bd_npy_writer *writer)
{
	bd_output_abandon(&writer->output);
}
