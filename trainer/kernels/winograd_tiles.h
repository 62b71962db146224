/*
 * winograd_tiles.h - points, transforms and tiles that the Winograd kernels share. For .simd.c files only: everything is inlined.
 *
 * Formulas: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015); Cook-Toom with the points 0, +-3/4, +-3/2 and
 * infinity for F4, 0, +-1, 1/2 and infinity for F3. These points take the error of F4 from 1e-5 (points 1 and 2) to 2e-6 of the
 * largest output. Y = A^T [(G g G^T) * (B^T d B)] A; the divisions stand in G.
 */
#ifndef BD_KERNELS_WINOGRAD_TILES_H
#define BD_KERNELS_WINOGRAD_TILES_H

#include <string.h>

#include "trainer/kernels/micro.h"

#define BD_P 0.75f
#define BD_Q 1.5f
#define BD_H 0.5f

/* Space between the transformed tiles beyond the channels: keeps strides off powers of two, where cache sets collide. */
#define BD_V_GAP 16

BD_INLINE void bd_input_transform_4(bd_vector *x, const size_t s)
{
	const float p2 = BD_P * BD_P, q2 = BD_Q * BD_Q;
	bd_vector x0 = x[0], x1 = x[s], x2 = x[2 * s], x3 = x[3 * s], x4 = x[4 * s], x5 = x[5 * s];
	bd_vector even_p = x4 - q2 * x2, odd_p = BD_P * (x3 - q2 * x1);
	bd_vector even_q = x4 - p2 * x2, odd_q = BD_Q * (x3 - p2 * x1);
	x[0] = x4 - (p2 + q2) * x2 + p2 * q2 * x0;
	x[s] = even_p + odd_p;
	x[2 * s] = even_p - odd_p;
	x[3 * s] = even_q + odd_q;
	x[4 * s] = even_q - odd_q;
	x[5 * s] = x5 - (p2 + q2) * x3 + p2 * q2 * x1;
}

BD_INLINE void bd_output_transform_4(bd_vector *m, const size_t s)
{
	bd_vector sum_p = m[s] + m[2 * s], difference_p = m[s] - m[2 * s];
	bd_vector sum_q = m[3 * s] + m[4 * s], difference_q = m[3 * s] - m[4 * s], last = m[5 * s];
	m[0] = m[0] + sum_p + sum_q;
	m[s] = BD_P * difference_p + BD_Q * difference_q;
	m[2 * s] = BD_P * BD_P * sum_p + BD_Q * BD_Q * sum_q;
	m[3 * s] = BD_P * BD_P * BD_P * difference_p + BD_Q * BD_Q * BD_Q * difference_q + last;
}

BD_INLINE void bd_input_transform_3(bd_vector *x, const size_t s)
{
	bd_vector x0 = x[0], x1 = x[s], x2 = x[2 * s], x3 = x[3 * s], x4 = x[4 * s];
	x[0] = x3 - BD_H * x2 - x1 + BD_H * x0;
	x[s] = x3 + (1 - BD_H) * x2 - BD_H * x1;
	x[2 * s] = x3 - (1 + BD_H) * x2 + BD_H * x1;
	x[3 * s] = x3 - x1;
	x[4 * s] = x4 - BD_H * x3 - x2 + BD_H * x1;
}

BD_INLINE void bd_output_transform_3(bd_vector *m, const size_t s)
{
	bd_vector sum = m[s] + m[2 * s], difference = m[s] - m[2 * s], half = m[3 * s], last = m[4 * s];
	m[0] = m[0] + sum + half;
	m[s] = difference + BD_H * half;
	m[2 * s] = sum + BD_H * BD_H * half + last;
}

/* Rows of G: 1, t, t^2 over the product of the distances from t to the other points; the last is (0, 0, 1). */
static const float bd_g4[6][3] = {
	{ 1 / (BD_P * BD_P * BD_Q * BD_Q), 0, 0 },
	{ 1 / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)), BD_P / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)),
	  BD_P *BD_P / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)) },
	{ 1 / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)), -BD_P / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)),
	  BD_P *BD_P / (2 * BD_P * BD_P * (BD_P * BD_P - BD_Q * BD_Q)) },
	{ 1 / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)), BD_Q / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)),
	  BD_Q *BD_Q / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)) },
	{ 1 / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)), -BD_Q / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)),
	  BD_Q *BD_Q / (2 * BD_Q * BD_Q * (BD_Q * BD_Q - BD_P * BD_P)) },
	{ 0, 0, 1 },
};
static const float bd_g3[5][3] = {
	{ 1 / BD_H, 0, 0 },
	{ 1 / (2 * (1 - BD_H)), 1 / (2 * (1 - BD_H)), 1 / (2 * (1 - BD_H)) },
	{ -1 / (2 * (1 + BD_H)), 1 / (2 * (1 + BD_H)), -1 / (2 * (1 + BD_H)) },
	{ 1 / (BD_H * (BD_H * BD_H - 1)), BD_H / (BD_H * (BD_H * BD_H - 1)), BD_H *BD_H / (BD_H * (BD_H * BD_H - 1)) },
	{ 0, 0, 1 },
};

struct bd_tile {
	size_t picture, y, x; /* of the first output pixel */
};

BD_INLINE struct bd_tile bd_tile_at(const struct bd_winograd *w, size_t index, const size_t m)
{
	size_t across = (w->out_width + m - 1) / m, down = (w->out_height + m - 1) / m;
	size_t rest = index % (across * down);
	return (struct bd_tile){ index / (across * down), rest / across * m, rest % across * m };
}

/* Where the n x n pixels of a tile lie; those outside of the picture are zeros. */
BD_INLINE void bd_tile_pixels(const struct bd_winograd *w, const struct bd_tile *tile, const float *zeros, const float **from,
                              const size_t n)
{
	const float *picture = w->in + tile->picture * w->height * w->width * w->in_pitch;
	for (size_t i = 0; i < n; i++) {
		size_t y = tile->y + i - w->pad_top; /* wraps above the picture: then it is no row of it */
		for (size_t j = 0; j < n; j++) {
			size_t x = tile->x + j - w->pad_left;
			from[i * n + j] = y < w->height && x < w->width ? picture + (y * w->width + x) * w->in_pitch : zeros;
		}
	}
}

BD_INLINE bool bd_is_blank(const float *pixel, size_t channels)
{
	for (size_t c = 0; c < channels; c += BD_VL) {
		uint32_t bits[BD_VL], any = 0;
		memcpy(bits, pixel + c, sizeof bits);
		for (size_t i = 0; i < BD_VL; i++)
			any |= bits[i] << 1; /* -0 is 0 too */
		if (any)
			return false;
	}
	return true;
}

/*
 * Bit i * m + j: all nine pixels that the tile's output pixel (i, j) is made of are zero. The transforms would leave the rounding of
 * its neighbours there, half of it positive, and a relu would let a gradient through where there is none.
 * The four pixels in the middle of a tile of F4, and the one of F3, are in every window between them: most tiles need no more.
 */
BD_INLINE uint32_t bd_blank_windows(const float *const *from, size_t channels, const size_t m)
{
	const size_t n = m + 2;
	bool blank = bd_is_blank(from[2 * n + 2], channels);
	if (m == 4)
		blank = blank || bd_is_blank(from[2 * n + 3], channels) || bd_is_blank(from[3 * n + 2], channels) ||
		        bd_is_blank(from[3 * n + 3], channels);
	if (!blank)
		return 0;
	bool pixels[36];
	uint32_t windows = 0;
	for (size_t i = 0; i < n * n; i++)
		pixels[i] = bd_is_blank(from[i], channels);
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < m; j++) {
			bool all = true;
			for (size_t k = 0; k < 9; k++)
				all = all && pixels[(i + k / 3) * n + j + k % 3];
			windows |= (uint32_t)all << (i * m + j);
		}
	return windows;
}

/* V[xi][tile][channel]. ret_blank: bd_blank_windows of each tile; NULL where they are not asked for. */
BD_INLINE void bd_transform_input(const struct bd_winograd *w, size_t first, size_t count, const float *zeros, float *v,
                                  uint32_t *ret_blank, const size_t m)
{
	const size_t n = m + 2, v_pitch = w->channels + BD_V_GAP, plane = BD_WINOGRAD_TILES * v_pitch;
	for (size_t t = 0; t < count; t++) {
		struct bd_tile tile = bd_tile_at(w, first + t, m);
		const float *from[36];
		bd_tile_pixels(w, &tile, zeros, from, n);
		if (ret_blank)
			ret_blank[t] = bd_blank_windows(from, w->channels, m);
		for (size_t c = 0; c < w->channels; c += BD_VL) {
			bd_vector d[36];
			BD_UNROLL for (size_t i = 0; i < n * n; i++) d[i] = bd_load(from[i] + c);
			BD_UNROLL for (size_t j = 0; j < n; j++) m == 4 ? bd_input_transform_4(d + j, n)
									: bd_input_transform_3(d + j, n);
			BD_UNROLL for (size_t i = 0; i < n; i++) m == 4 ? bd_input_transform_4(d + i * n, 1)
									: bd_input_transform_3(d + i * n, 1);
			BD_UNROLL for (size_t i = 0; i < n * n; i++) bd_store(v + i * plane + t * v_pitch + c, d[i]);
		}
	}
}

#endif
