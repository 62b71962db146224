#include "common/image/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"

int bd_png_write(const char *path, bool force, const struct bd_pixels *pixels, struct bd_error *error)
{
	uint8_t *bytes = NULL;
	size_t length = 0;
	struct bd_output output = { 0 };
	int status = bd_png_encode(pixels, &bytes, &length, error);
	if (!status)
		status = bd_output_open(&output, path, force, error);
	if (!status && fwrite(bytes, 1, length, output.stream) != length)
		status = bd_error_set(error, -errno, "%s: cannot write: %s", path, strerror(errno));
	if (!status)
		status = bd_output_commit(&output, error);
	bd_output_abandon(&output);
	free(bytes);
	return status;
}
