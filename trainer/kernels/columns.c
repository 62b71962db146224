#include "trainer/kernels/columns.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline void copy(float *to, const float *from, size_t count)
{
	if (count >= 32) {
		memcpy(to, from, count * sizeof *to);
		return;
	}
	for (size_t i = 0; i < count; i++)
		to[i] = from[i];
}

/* Columns first .. end of one row of the window at (y, x) of the padded picture; y is inside. */
static float *window_row(const struct bd_conv *conv, const float *line, size_t x, size_t first, size_t end, float *to)
{
	if (conv->in_pitch == conv->channels && x >= conv->pad_left && x - conv->pad_left + conv->kernel_width <= conv->width) {
		copy(to, line + (x - conv->pad_left) * conv->channels + first, end - first);
		return to + (end - first);
	}
	while (first < end) {
		size_t kx = first / conv->channels, c = first % conv->channels, ix = x + kx - conv->pad_left;
		size_t count = smaller(conv->channels - c, end - first);
		if (ix < conv->width)
			copy(to, line + ix * conv->in_pitch + c, count);
		else
			memset(to, 0, count * sizeof *to);
		to += count;
		first += count;
	}
	return to;
}

void bd_columns(const struct bd_conv *conv, const float *in, size_t first, size_t count, size_t first_column, size_t columns,
                float *to)
{
	size_t row_columns = conv->kernel_width * conv->channels, pixels = conv->out_height * conv->out_width;
	size_t picture = first / pixels, y = first % pixels / conv->out_width, x = first % conv->out_width;
	for (size_t r = 0; r < count; r++) {
		const float *from = in + picture * conv->height * conv->width * conv->in_pitch;
		for (size_t column = first_column; column < first_column + columns;) {
			size_t ky = column / row_columns, begin = column % row_columns;
			size_t end = smaller(row_columns, begin + first_column + columns - column);
			size_t iy = y * conv->stride_y + ky - conv->pad_top;
			if (iy < conv->height) {
				to = window_row(conv, from + iy * conv->width * conv->in_pitch, x * conv->stride_x, begin, end, to);
			} else {
				memset(to, 0, (end - begin) * sizeof *to);
				to += end - begin;
			}
			column += end - begin;
		}
		if (++x == conv->out_width) {
			x = 0;
			if (++y == conv->out_height) {
				y = 0;
				picture++;
			}
		}
	}
}

void bd_columns_add(const struct bd_conv *conv, const float *from, size_t first, size_t count, float *picture)
{
	for (size_t r = 0; r < count; r++) {
		size_t y = (first + r) / conv->out_width, x = (first + r) % conv->out_width;
		for (size_t ky = 0; ky < conv->kernel_height; ky++)
			for (size_t kx = 0; kx < conv->kernel_width; kx++, from += conv->channels) {
				size_t iy = y * conv->stride_y + ky - conv->pad_top, ix = x * conv->stride_x + kx - conv->pad_left;
				if (iy < conv->height && ix < conv->width) {
					float *to = picture + (iy * conv->width + ix) * conv->channels;
					conv->kernels->add(conv->channels, to, from, to);
				}
			}
	}
}
