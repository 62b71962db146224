#include "common/image/encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/file.h"

/* As `tfrecord convert` has it: no difference that one sees. */
#define JPEG_QUALITY 95

static bool ends_in(const char *path, const char *const *endings)
{
	size_t length = strlen(path);
	for (size_t i = 0; endings[i]; i++)
		if (length > strlen(endings[i]) && strcasecmp(path + length - strlen(endings[i]), endings[i]) == 0)
			return true;
	return false;
}

bool bd_picture_name_is_good(const char *path)
{
	static const char *const others[] = { ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pdf", ".svg", NULL };
	return !ends_in(path, others);
}

int bd_picture_write(const char *path, bool force, const struct bd_pixels *pixels, struct bd_error *error)
{
	static const char *const jpeg[] = { ".jpg", ".jpeg", NULL };
	if (!bd_picture_name_is_good(path))
		return bd_error_set(error, -EINVAL,
		                    "%s: pictures are written as PNG or JPEG; give a name that ends in .png or .jpg", path);
	uint8_t *bytes = NULL;
	size_t length = 0;
	struct bd_output output = { 0 };
	int status = ends_in(path, jpeg) ? bd_jpeg_encode(pixels, JPEG_QUALITY, &bytes, &length, error)
	                                 : bd_png_encode(pixels, &bytes, &length, error);
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
