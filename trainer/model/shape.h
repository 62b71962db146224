/*
 * shape.h - the shape of one sample, without the batch: (h, w, c) of a picture, (n) of a vector.
 *
 * Data lies row-major with the channel innermost (NHWC).
 */
#ifndef BD_MODEL_SHAPE_H
#define BD_MODEL_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BD_SHAPE_MAX_RANK 4

/* No tensor of one sample is larger: 2^31 floats are 8 GiB, and products of two counts stay within 64 bits. */
#define BD_SHAPE_MAX_COUNT ((int64_t)1 << 31)

struct bd_shape {
	int rank;
	int64_t dims[BD_SHAPE_MAX_RANK];
};

struct bd_shape bd_shape_vector(int64_t n);
struct bd_shape bd_shape_picture(int64_t height, int64_t width, int64_t channels);

/* The number of values, or -1 where a dimension is below 1 or the product passes BD_SHAPE_MAX_COUNT. */
int64_t bd_shape_count(const struct bd_shape *shape);

bool bd_shape_equal(const struct bd_shape *a, const struct bd_shape *b);

/* The last dimension: channels of a picture, length of a vector. */
int64_t bd_shape_channels(const struct bd_shape *shape);

/* "150x150x3" */
void bd_shape_format(const struct bd_shape *shape, char *ret_text, size_t size);

#endif
