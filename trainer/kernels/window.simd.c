/* Depthwise convolution and pooling: bound by memory, so vectors run over channels and nothing is copied. */
#include "trainer/kernels/micro.h"

#include <string.h>

void BD_SIMD(bd_depthwise_row)(const struct bd_window *window, const float *in, const float *kernel, const float *bias,
                               enum bd_clamp clamp, size_t row, float *out);
void BD_SIMD(bd_depthwise_row_gradient)(const struct bd_window *window, const float *out_gradient, const float *kernel, size_t row,
                                        float *in_gradient);
void BD_SIMD(bd_depthwise_kernel_gradient)(const struct bd_window *window, const float *in, const float *out_gradient,
                                           float *kernel_gradient);
void BD_SIMD(bd_max_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out);
void BD_SIMD(bd_average_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out);
void BD_SIMD(bd_max_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
                                   float *in_gradient);
void BD_SIMD(bd_average_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
                                       float *in_gradient);

/* Output pixels of one row that are summed side by side. */
#define PIXELS 4

/* The taps of a window that lie inside the picture: first <= tap < end, along one axis. */
struct taps {
	size_t first, end;
};

static struct taps taps_at(size_t out, size_t stride, size_t pad, size_t kernel, size_t size)
{
	size_t start = out * stride; /* in the padded picture */
	size_t first = start < pad ? pad - start : 0;
	size_t end = size + pad > start ? size + pad - start : 0;
	if (end > kernel)
		end = kernel;
	return (struct taps){ first < end ? first : end, end };
}

struct depthwise {
	const struct bd_window *w;
	const float *in; /* of the picture, at channel 0 */
	const float *kernel;
	const float *bias;
	enum bd_clamp clamp;
	size_t row;
	struct taps down;
	float *out;
};

/* Pixels x .. x + count of the row, whose windows lie inside the picture from left to right; count and kw are constants. */
BD_INLINE void inner_pixels(const struct depthwise *d, size_t x, size_t c, const size_t count, const size_t kw, const size_t stride)
{
	const struct bd_window *w = d->w;
	const size_t pitch = w->in_pitch, line = w->width * pitch;
	bd_vector sum[PIXELS];
	bd_vector bias = d->bias ? bd_load(d->bias + c) : (bd_vector){ 0 };
	BD_UNROLL for (size_t p = 0; p < count; p++) sum[p] = bias;
	for (size_t ky = d->down.first; ky < d->down.end; ky++) {
		const float *in = d->in + (d->row * w->stride_y + ky - w->pad_top) * line + (x * stride - w->pad_left) * pitch + c;
		const float *kernel = d->kernel + ky * kw * w->channels + c;
		BD_UNROLL for (size_t kx = 0; kx < kw; kx++)
		{
			bd_vector tap = bd_load(kernel + kx * w->channels);
			BD_UNROLL for (size_t p = 0; p < count; p++) sum[p] += bd_load(in + (p * stride + kx) * pitch) * tap;
		}
	}
	BD_UNROLL for (size_t p = 0; p < count; p++) bd_store(d->out + (x + p) * w->out_pitch + c, bd_clamp(sum[p], d->clamp));
}

BD_INLINE bd_vector load_some(const float *from, size_t count)
{
	return count == BD_VL ? bd_load(from) : bd_load_part(from, count);
}

/* One pixel, any window, `lanes` channels. */
BD_INLINE void any_pixel(const struct depthwise *d, size_t x, size_t c, size_t lanes)
{
	const struct bd_window *w = d->w;
	struct taps across = taps_at(x, w->stride_x, w->pad_left, w->kernel_width, w->width);
	bd_vector sum = d->bias ? load_some(d->bias + c, lanes) : (bd_vector){ 0 };
	for (size_t ky = d->down.first; ky < d->down.end; ky++)
		for (size_t kx = across.first; kx < across.end; kx++) {
			size_t y = d->row * w->stride_y + ky - w->pad_top, ix = x * w->stride_x + kx - w->pad_left;
			sum += load_some(d->in + (y * w->width + ix) * w->in_pitch + c, lanes) *
			       load_some(d->kernel + (ky * w->kernel_width + kx) * w->channels + c, lanes);
		}
	sum = bd_clamp(sum, d->clamp);
	if (lanes == BD_VL)
		bd_store(d->out + x * w->out_pitch + c, sum);
	else
		bd_store_part(d->out + x * w->out_pitch + c, sum, lanes);
}

/* The next vector of channels; the last one overlaps the one before: a value computed twice has the same sum. */
static size_t next_channels(size_t c, size_t channels)
{
	c += BD_VL;
	return c < channels && c + BD_VL > channels ? channels - BD_VL : c;
}

/* Channels inside, pixels outside: neighbours in memory are read one after the other. The last group overlaps like the channels. */
BD_INLINE void groups(const struct depthwise *d, size_t first, size_t end, const size_t stride)
{
	const size_t channels = d->w->channels;
	if (end - first < PIXELS) {
		for (size_t x = first; x < end; x++)
			for (size_t c = 0; c < channels; c = next_channels(c, channels))
				inner_pixels(d, x, c, 1, 3, stride);
		return;
	}
	for (size_t x = first; x < end; x += PIXELS)
		for (size_t c = 0; c < channels; c = next_channels(c, channels))
			inner_pixels(d, x + PIXELS <= end ? x : end - PIXELS, c, PIXELS, 3, stride);
}

static void any_pixels(const struct depthwise *d, size_t first, size_t end)
{
	const size_t channels = d->w->channels;
	for (size_t x = first; x < end; x++) {
		if (channels < BD_VL)
			any_pixel(d, x, 0, channels);
		for (size_t c = 0; c < channels && channels >= BD_VL; c = next_channels(c, channels))
			any_pixel(d, x, c, BD_VL);
	}
}

/* Output pixels first .. end have their whole window inside, along one axis. */
static struct taps inside(size_t out, size_t stride, size_t pad, size_t kernel, size_t size)
{
	size_t first = (pad + stride - 1) / stride;
	size_t end = size + pad >= kernel ? (size + pad - kernel) / stride + 1 : 0;
	if (end > out)
		end = out;
	return (struct taps){ first < end ? first : end, end };
}

void BD_SIMD(bd_depthwise_row)(const struct bd_window *window, const float *in, const float *kernel, const float *bias,
                               enum bd_clamp clamp, size_t row, float *out)
{
	const struct bd_window *w = window;
	struct depthwise d = { w,  in, kernel, bias, clamp, row, taps_at(row, w->stride_y, w->pad_top, w->kernel_height, w->height),
		               out };
	struct taps whole = { 0, 0 };
	if (w->kernel_width == 3 && w->stride_x <= 2 && w->channels >= BD_VL)
		whole = inside(w->out_width, w->stride_x, w->pad_left, 3, w->width);
	any_pixels(&d, 0, whole.first);
	if (w->stride_x == 1)
		groups(&d, whole.first, whole.end, 1);
	else
		groups(&d, whole.first, whole.end, 2);
	any_pixels(&d, whole.end, w->out_width);
}

static void add_product(float *restrict sum, const float *restrict a, const float *restrict b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum[i] += a[i] * b[i];
}

void BD_SIMD(bd_depthwise_row_gradient)(const struct bd_window *window, const float *out_gradient, const float *kernel, size_t row,
                                        float *in_gradient)
{
	const struct bd_window *w = window;
	memset(in_gradient, 0, w->width * w->channels * sizeof *in_gradient);
	for (size_t ky = 0; ky < w->kernel_height; ky++) {
		size_t start = row + w->pad_top;
		if (start < ky || (start - ky) % w->stride_y || (start - ky) / w->stride_y >= w->out_height)
			continue;
		const float *line = out_gradient + (start - ky) / w->stride_y * w->out_width * w->channels;
		for (size_t x = 0; x < w->out_width; x++) {
			struct taps across = taps_at(x, w->stride_x, w->pad_left, w->kernel_width, w->width);
			for (size_t kx = across.first; kx < across.end; kx++)
				add_product(in_gradient + (x * w->stride_x + kx - w->pad_left) * w->channels,
				            line + x * w->channels, kernel + (ky * w->kernel_width + kx) * w->channels,
				            w->channels);
		}
	}
}

void BD_SIMD(bd_depthwise_kernel_gradient)(const struct bd_window *window, const float *in, const float *out_gradient,
                                           float *kernel_gradient)
{
	const struct bd_window *w = window;
	for (size_t y = 0; y < w->out_height; y++) {
		struct taps down = taps_at(y, w->stride_y, w->pad_top, w->kernel_height, w->height);
		for (size_t ky = down.first; ky < down.end; ky++)
			for (size_t x = 0; x < w->out_width; x++) {
				struct taps across = taps_at(x, w->stride_x, w->pad_left, w->kernel_width, w->width);
				const float *line = in + (y * w->stride_y + ky - w->pad_top) * w->width * w->in_pitch;
				for (size_t kx = across.first; kx < across.end; kx++)
					add_product(kernel_gradient + (ky * w->kernel_width + kx) * w->channels,
					            line + (x * w->stride_x + kx - w->pad_left) * w->in_pitch,
					            out_gradient + (y * w->out_width + x) * w->channels, w->channels);
			}
	}
}

/* Reduces one window, `lanes` channels from `in` (the window's picture at channel c). */
BD_INLINE bd_vector reduce(const struct bd_window *w, const float *in, struct taps down, struct taps across, size_t y, size_t x,
                           size_t lanes, const bool maximum)
{
	const float *first = in + ((y * w->stride_y + down.first - w->pad_top) * w->width + x * w->stride_x + across.first -
	                           w->pad_left) *
	                                  w->in_pitch;
	bd_vector value = maximum ? load_some(first, lanes) : (bd_vector){ 0 };
	for (size_t ky = down.first; ky < down.end; ky++)
		for (size_t kx = across.first; kx < across.end; kx++) {
			bd_vector v = load_some(first + ((ky - down.first) * w->width + kx - across.first) * w->in_pitch, lanes);
			if (maximum)
				value = bd_select(v > value, v, value);
			else
				value += v;
		}
	if (!maximum)
		value *= 1.0f / (float)((down.end - down.first) * (across.end - across.first));
	return value;
}

/* The maximum of a whole window of kernel x kernel, a constant. */
BD_INLINE void maximum_of(const struct bd_window *w, const float *in, float *out, const size_t kernel)
{
	size_t line = w->width * w->in_pitch;
	for (size_t c = 0; c < w->channels; c += BD_VL) {
		bd_vector value = bd_load(in + c);
		BD_UNROLL for (size_t tap = 1; tap < kernel * kernel; tap++)
		{
			bd_vector v = bd_load(in + tap / kernel * line + tap % kernel * w->in_pitch + c);
			value = bd_select(v > value, v, value);
		}
		bd_store(out + c, value);
	}
}

/* Two and three are what nets have; the others go the general way. */
static bool maximum_row(const struct bd_window *w, const float *in, size_t y, float *out)
{
	size_t kernel = w->kernel_height, bottom = y * w->stride_y + kernel, right = (w->out_width - 1) * w->stride_x + kernel;
	if (w->kernel_width != kernel || kernel < 2 || kernel > 3 || w->channels % BD_VL || w->pad_top || w->pad_left ||
	    bottom > w->height || right > w->width)
		return false;
	for (size_t x = 0; x < w->out_width; x++) {
		const float *from = in + (y * w->stride_y * w->width + x * w->stride_x) * w->in_pitch;
		if (kernel == 2)
			maximum_of(w, from, out + x * w->out_pitch, 2);
		else
			maximum_of(w, from, out + x * w->out_pitch, 3);
	}
	return true;
}

BD_INLINE void pool_row(const struct bd_window *w, const float *in, size_t y, float *out, const bool maximum)
{
	struct taps down = taps_at(y, w->stride_y, w->pad_top, w->kernel_height, w->height);
	for (size_t x = 0; x < w->out_width; x++) {
		struct taps across = taps_at(x, w->stride_x, w->pad_left, w->kernel_width, w->width);
		float *to = out + x * w->out_pitch;
		size_t c = 0;
		for (; c + BD_VL <= w->channels; c += BD_VL)
			bd_store(to + c, reduce(w, in + c, down, across, y, x, BD_VL, maximum));
		if (c < w->channels)
			bd_store_part(to + c, reduce(w, in + c, down, across, y, x, w->channels - c, maximum), w->channels - c);
	}
}

void BD_SIMD(bd_max_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out)
{
	if (!maximum_row(window, in, row, out))
		pool_row(window, in, row, out, true);
}

void BD_SIMD(bd_average_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out)
{
	pool_row(window, in, row, out, false);
}

/* Lanes of `left` that still look for their maximum; the ones found here are taken out and get the gradient. */
BD_INLINE bd_vector_mask give_to_maximum(bd_vector x, bd_vector y, bd_vector dy, bd_vector_mask left, float *dx)
{
	bd_vector_mask found = (x == y) & left;
	bd_store(dx, bd_load(dx) + (bd_vector)((bd_vector_mask)dy & found));
	return left & ~found;
}

static void max_window(const struct bd_window *w, struct taps down, struct taps across, const float *x, const float *y,
                       const float *dy, float *dx)
{
	size_t c = 0;
	for (; c + BD_VL <= w->channels; c += BD_VL) {
		bd_vector top = bd_load(y + c), gradient = bd_load(dy + c);
		bd_vector_mask left = ~(bd_vector_mask){ 0 };
		for (size_t ky = 0; ky < down.end - down.first; ky++)
			for (size_t kx = 0; kx < across.end - across.first; kx++) {
				size_t at = (ky * w->width + kx) * w->channels + c;
				left = give_to_maximum(bd_load(x + at), top, gradient, left, dx + at);
			}
	}
	for (; c < w->channels; c++) {
		bool left = true;
		for (size_t ky = 0; ky < down.end - down.first; ky++)
			for (size_t kx = 0; kx < across.end - across.first && left; kx++) {
				size_t at = (ky * w->width + kx) * w->channels + c;
				if (x[at] == y[c]) {
					dx[at] += dy[c];
					left = false;
				}
			}
	}
}

/* Windows side by side: every pixel is written once, so nothing has to be zero before and nothing is read back. */
static void max_window_alone(const struct bd_window *w, const float *x, const float *y, const float *dy, float *dx)
{
	for (size_t c = 0; c < w->channels; c += BD_VL) {
		bd_vector top = bd_load(y + c), gradient = bd_load(dy + c);
		bd_vector_mask left = ~(bd_vector_mask){ 0 };
		for (size_t ky = 0; ky < w->kernel_height; ky++)
			for (size_t kx = 0; kx < w->kernel_width; kx++) {
				size_t at = (ky * w->width + kx) * w->channels + c;
				bd_vector_mask found = (bd_load(x + at) == top) & left;
				bd_store(dx + at, (bd_vector)((bd_vector_mask)gradient & found));
				left &= ~found;
			}
	}
}

static bool windows_stand_alone(const struct bd_window *w)
{
	return w->kernel_height == w->stride_y && w->kernel_width == w->stride_x && !w->pad_top && !w->pad_left &&
	       w->channels % BD_VL == 0 && w->out_height * w->stride_y <= w->height && w->out_width * w->stride_x <= w->width;
}

static void max_gradient_alone(const struct bd_window *w, const float *in, const float *out, const float *out_gradient,
                               float *in_gradient)
{
	size_t line = w->width * w->channels, covered = w->out_width * w->stride_x * w->channels;
	for (size_t y = 0; y < w->out_height; y++) {
		for (size_t x = 0; x < w->out_width; x++) {
			size_t from = (y * w->out_width + x) * w->channels,
			       to = y * w->stride_y * line + x * w->stride_x * w->channels;
			max_window_alone(w, in + to, out + from, out_gradient + from, in_gradient + to);
		}
		for (size_t ky = 0; ky < w->stride_y && covered < line; ky++)
			memset(in_gradient + (y * w->stride_y + ky) * line + covered, 0, (line - covered) * sizeof *in_gradient);
	}
	size_t rows = w->out_height * w->stride_y;
	memset(in_gradient + rows * line, 0, (w->height - rows) * line * sizeof *in_gradient);
}

static void average_window(const struct bd_window *w, struct taps down, struct taps across, const float *dy, float *dx)
{
	float share = 1.0f / (float)((down.end - down.first) * (across.end - across.first));
	for (size_t ky = 0; ky < down.end - down.first; ky++)
		for (size_t kx = 0; kx < across.end - across.first; kx++)
			for (size_t c = 0; c < w->channels; c++)
				dx[(ky * w->width + kx) * w->channels + c] += dy[c] * share;
}

BD_INLINE void pool_gradient(const struct bd_window *w, const float *in, const float *out, const float *out_gradient,
                             float *in_gradient, const bool maximum)
{
	memset(in_gradient, 0, w->height * w->width * w->channels * sizeof *in_gradient);
	for (size_t y = 0; y < w->out_height; y++) {
		struct taps down = taps_at(y, w->stride_y, w->pad_top, w->kernel_height, w->height);
		for (size_t x = 0; x < w->out_width; x++) {
			struct taps across = taps_at(x, w->stride_x, w->pad_left, w->kernel_width, w->width);
			size_t from = (y * w->out_width + x) * w->channels;
			size_t to = ((y * w->stride_y + down.first - w->pad_top) * w->width + x * w->stride_x + across.first -
			             w->pad_left) *
			            w->channels;
			if (maximum)
				max_window(w, down, across, in + to, out + from, out_gradient + from, in_gradient + to);
			else
				average_window(w, down, across, out_gradient + from, in_gradient + to);
		}
	}
}

void BD_SIMD(bd_max_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
                                   float *in_gradient)
{
	if (windows_stand_alone(window))
		max_gradient_alone(window, in, out, out_gradient, in_gradient);
	else
		pool_gradient(window, in, out, out_gradient, in_gradient, true);
}

void BD_SIMD(bd_average_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
                                       float *in_gradient)
{
	pool_gradient(window, in, out, out_gradient, in_gradient, false);
}
