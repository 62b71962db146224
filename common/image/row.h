/*
 * row.h - the pixels of one row of a slot, written line by line: mean, scale, channel order, layout, dtype.
 *
 * Each element is written once and never read. Means are in the order of the output's channels here.
 */
#ifndef BD_IMAGE_ROW_H
#define BD_IMAGE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image/image_options.h"
#include "common/image/kernels.h"

struct bd_row {
	const struct bd_pixel_kernels *kernels;
	void *data;
	uint32_t height, width, channels;
	enum bd_dtype dtype;
	bool nchw;
	bool plain; /* no mean, scale 1: bytes stay bytes */
	float mean[BD_MEAN_PERIOD];
	float scale;
	float *staging; /* two lines, where the row itself cannot be written in one go */
};

/* Floats that a line of the row takes, with slack: half of what `staging` must hold. */
size_t bd_row_line_floats(uint32_t width, uint32_t channels);

void bd_row_init(struct bd_row *ret_row, const struct bd_pixel_kernels *kernels, const struct bd_image_options *options,
                 uint32_t height, uint32_t width, float *staging, void *data);

/* Line y from `taps` float lines and their weights, channels in the output's order. */
void bd_row_blend(struct bd_row *row, uint32_t y, const float *const *lines, const float *weights, uint32_t taps);

/* Line y from bytes, channels in the output's order. */
void bd_row_put(struct bd_row *row, uint32_t y, const uint8_t *line);

/* All lines at once, from bytes that lie as the row does (not with nchw); `swap`: they are RGB and the row is BGR. */
void bd_row_put_all(struct bd_row *row, const uint8_t *pixels, bool swap);

#endif
