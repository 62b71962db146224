#include "trainer/model/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct bd_shape bd_shape_vector(int64_t n)
{
	return (struct bd_shape){ .rank = 1, .dims = { n } };
}

struct bd_shape bd_shape_picture(int64_t height, int64_t width, int64_t channels)
{
	return (struct bd_shape){ .rank = 3, .dims = { height, width, channels } };
}

int64_t bd_shape_count(const struct bd_shape *shape)
{
	int64_t count = 1;
	for (int i = 0; i < shape->rank; i++) {
		if (shape->dims[i] < 1 || shape->dims[i] > BD_SHAPE_MAX_COUNT / count)
			return -1;
		count *= shape->dims[i];
	}
	return count;
}

bool bd_shape_equal(const struct bd_shape *a, const struct bd_shape *b)
{
	if (a->rank != b->rank)
		return false;
	for (int i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i])
			return false;
	return true;
}

int64_t bd_shape_channels(const struct bd_shape *shape)
{
	return shape->rank ? shape->dims[shape->rank - 1] : 1;
}

void bd_shape_format(const struct bd_shape *shape, char *ret_text, size_t size)
{
	size_t length = 0;
	ret_text[0] = 0;
	for (int i = 0; i < shape->rank && length < size; i++) {
		int n = snprintf(ret_text + length, size - length, "%s%" PRId64, i ? "x" : "", shape->dims[i]);
		length += n > 0 ? (size_t)n : 0;
	}
}
