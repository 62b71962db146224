/*
 * Winograd's minimal filtering for 3x3 kernels, F(4x4, 3x3) and F(3x3, 3x3).
 *
 * Formulas: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015); Cook-Toom with the points 0, +-3/4, +-3/2 and
 * infinity for F4, 0, +-1, 1/2 and infinity for F3. These points take the error of F4 from 1e-5 (points 1 and 2) to 2e-6 of the
 * largest output. Rows of B^T are scaled to whole-number leading terms; the divisions stand in G.
 */
#include "trainer/kernels/micro.h"

#include <string.h>

void BD_SIMD(bd_winograd_run)(const struct bd_winograd *winograd, size_t first, size_t count, float *scratch);
void BD_SIMD(bd_winograd_weights_run)(const struct bd_winograd_weights *weights, size_t panel, float *scratch);

#define P 0.75f
#define Q 1.5f
#define H 0.5f

/* Space between the transformed tiles beyond the channels: keeps strides off powers of two, where cache sets collide. */
#define V_GAP 16

BD_INLINE void input_transform_4(bd_vector *x, const size_t s)
{
	const float p2 = P * P, q2 = Q * Q;
	bd_vector x0 = x[0], x1 = x[s], x2 = x[2 * s], x3 = x[3 * s], x4 = x[4 * s], x5 = x[5 * s];
	bd_vector even_p = x4 - q2 * x2, odd_p = P * (x3 - q2 * x1);
	bd_vector even_q = x4 - p2 * x2, odd_q = Q * (x3 - p2 * x1);
	x[0] = x4 - (p2 + q2) * x2 + p2 * q2 * x0;
	x[s] = even_p + odd_p;
	x[2 * s] = even_p - odd_p;
	x[3 * s] = even_q + odd_q;
	x[4 * s] = even_q - odd_q;
	x[5 * s] = x5 - (p2 + q2) * x3 + p2 * q2 * x1;
}

BD_INLINE void output_transform_4(bd_vector *m, const size_t s)
{
	bd_vector sum_p = m[s] + m[2 * s], difference_p = m[s] - m[2 * s];
	bd_vector sum_q = m[3 * s] + m[4 * s], difference_q = m[3 * s] - m[4 * s], last = m[5 * s];
	m[0] = m[0] + sum_p + sum_q;
	m[s] = P * difference_p + Q * difference_q;
	m[2 * s] = P * P * sum_p + Q * Q * sum_q;
	m[3 * s] = P * P * P * difference_p + Q * Q * Q * difference_q + last;
}

BD_INLINE void input_transform_3(bd_vector *x, const size_t s)
{
	bd_vector x0 = x[0], x1 = x[s], x2 = x[2 * s], x3 = x[3 * s], x4 = x[4 * s];
	x[0] = x3 - H * x2 - x1 + H * x0;
	x[s] = x3 + (1 - H) * x2 - H * x1;
	x[2 * s] = x3 - (1 + H) * x2 + H * x1;
	x[3 * s] = x3 - x1;
	x[4 * s] = x4 - H * x3 - x2 + H * x1;
}

BD_INLINE void output_transform_3(bd_vector *m, const size_t s)
{
	bd_vector sum = m[s] + m[2 * s], difference = m[s] - m[2 * s], half = m[3 * s], last = m[4 * s];
	m[0] = m[0] + sum + half;
	m[s] = difference + H * half;
	m[2 * s] = sum + H * H * half + last;
}

/* Rows of G: 1, t, t^2 over the product of the distances from t to the other points; the last is (0, 0, 1). */
static const float g4[6][3] = {
	{ 1 / (P * P * Q * Q), 0, 0 },
	{ 1 / (2 * P * P * (P * P - Q * Q)), P / (2 * P * P * (P * P - Q * Q)), P *P / (2 * P * P * (P * P - Q * Q)) },
	{ 1 / (2 * P * P * (P * P - Q * Q)), -P / (2 * P * P * (P * P - Q * Q)), P *P / (2 * P * P * (P * P - Q * Q)) },
	{ 1 / (2 * Q * Q * (Q * Q - P * P)), Q / (2 * Q * Q * (Q * Q - P * P)), Q *Q / (2 * Q * Q * (Q * Q - P * P)) },
	{ 1 / (2 * Q * Q * (Q * Q - P * P)), -Q / (2 * Q * Q * (Q * Q - P * P)), Q *Q / (2 * Q * Q * (Q * Q - P * P)) },
	{ 0, 0, 1 },
};
static const float g3[5][3] = {
	{ 1 / H, 0, 0 },
	{ 1 / (2 * (1 - H)), 1 / (2 * (1 - H)), 1 / (2 * (1 - H)) },
	{ -1 / (2 * (1 + H)), 1 / (2 * (1 + H)), -1 / (2 * (1 + H)) },
	{ 1 / (H * (H * H - 1)), H / (H * (H * H - 1)), H *H / (H * (H * H - 1)) },
	{ 0, 0, 1 },
};

struct tile {
	size_t picture, y, x; /* of the first output pixel */
};

BD_INLINE struct tile tile_at(const struct bd_winograd *w, size_t index, const size_t m)
{
	size_t across = (w->out_width + m - 1) / m, down = (w->out_height + m - 1) / m;
	size_t rest = index % (across * down);
	return (struct tile){ index / (across * down), rest / across * m, rest % across * m };
}

/* V[xi][tile][channel] */
BD_INLINE void transform_input(const struct bd_winograd *w, size_t first, size_t count, const float *zeros, float *v,
                               const size_t m)
{
	const size_t n = m + 2, v_pitch = w->channels + V_GAP, plane = BD_WINOGRAD_TILES * v_pitch;
	for (size_t t = 0; t < count; t++) {
		struct tile tile = tile_at(w, first + t, m);
		const float *picture = w->in + tile.picture * w->height * w->width * w->in_pitch;
		const float *from[36];
		for (size_t i = 0; i < n; i++) {
			size_t y = tile.y + i - w->pad_top; /* wraps above the picture: then it is no row of it */
			for (size_t j = 0; j < n; j++) {
				size_t x = tile.x + j - w->pad_left;
				from[i * n + j] = y < w->height && x < w->width ? picture + (y * w->width + x) * w->in_pitch
				                                                : zeros;
			}
		}
		for (size_t c = 0; c < w->channels; c += BD_VL) {
			bd_vector d[36];
			BD_UNROLL for (size_t i = 0; i < n * n; i++) d[i] = bd_load(from[i] + c);
			BD_UNROLL for (size_t j = 0; j < n; j++) m == 4 ? input_transform_4(d + j, n) : input_transform_3(d + j, n);
			BD_UNROLL for (size_t i = 0; i < n; i++) m == 4 ? input_transform_4(d + i * n, 1)
									: input_transform_3(d + i * n, 1);
			BD_UNROLL for (size_t i = 0; i < n * n; i++) bd_store(v + i * plane + t * v_pitch + c, d[i]);
		}
	}
}

/* M[xi][tile][filter] for the filters from first_filter on */
BD_INLINE void multiply(const struct bd_winograd *w, size_t count, size_t first_filter, size_t filters, const float *v,
                        float *products, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2), v_pitch = w->channels + V_GAP;
	struct bd_micro micro = { .k = w->channels, .a_row = v_pitch, .b_pitch = BD_NR, .c_pitch = BD_WINOGRAD_FILTERS };
	for (size_t xi = 0; xi < xis; xi++)
		for (size_t j = 0; j < filters; j += BD_NR) {
			const float *b = w->weights + ((first_filter + j) / BD_NR * xis + xi) * w->channels * BD_NR;
			micro.columns = filters - j < BD_NR ? filters - j : BD_NR;
			for (size_t i = 0; i < count; i += BD_MR) {
				const float *a = v + (xi * BD_WINOGRAD_TILES + i) * v_pitch;
				float *c = products + (xi * BD_WINOGRAD_TILES + i) * BD_WINOGRAD_FILTERS + j;
				if (micro.columns > BD_VL)
					bd_micro_block(&micro, a, b, c, BD_MR, 2, false);
				else
					bd_micro_block(&micro, a, b, c, BD_MR, 1, false);
			}
		}
}

BD_INLINE void write_tile(const struct bd_winograd *w, const struct tile *tile, const bd_vector *d, size_t filter, const size_t m)
{
	const size_t n = m + 2;
	size_t rows = w->out_height - tile->y, columns = w->out_width - tile->x;
	bd_vector bias = w->bias ? bd_load(w->bias + filter) : (bd_vector){ 0 };
	float *out = w->out + ((tile->picture * w->out_height + tile->y) * w->out_width + tile->x) * w->out_pitch + filter;
	BD_UNROLL for (size_t i = 0; i < m; i++) BD_UNROLL for (size_t j = 0; j < m; j++) if (i < rows && j < columns)
		bd_store(out + (i * w->out_width + j) * w->out_pitch, bd_clamp(d[i * n + j] + bias, w->clamp));
}

BD_INLINE void transform_output(const struct bd_winograd *w, size_t first, size_t count, size_t first_filter, size_t filters,
                                const float *products, const size_t m)
{
	const size_t n = m + 2, plane = BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS;
	for (size_t t = 0; t < count; t++) {
		struct tile tile = tile_at(w, first + t, m);
		for (size_t f = 0; f < filters; f += BD_VL) {
			bd_vector d[36];
			BD_UNROLL for (size_t i = 0; i < n * n; i++)
				d[i] = bd_load(products + i * plane + t * BD_WINOGRAD_FILTERS + f);
			BD_UNROLL for (size_t j = 0; j < n; j++) m == 4 ? output_transform_4(d + j, n)
									: output_transform_3(d + j, n);
			BD_UNROLL for (size_t i = 0; i < m; i++) m == 4 ? output_transform_4(d + i * n, 1)
									: output_transform_3(d + i * n, 1);
			write_tile(w, &tile, d, first_filter + f, m);
		}
	}
}

BD_INLINE void run_tiles(const struct bd_winograd *w, size_t first, size_t count, float *scratch, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2);
	float *zeros = scratch, *v = zeros + w->channels, *products = v + (xis * BD_WINOGRAD_TILES + BD_MR) * (w->channels + V_GAP);
	memset(zeros, 0, w->channels * sizeof *zeros);
	transform_input(w, first, count, zeros, v, m);
	for (size_t f = 0; f < w->filters; f += BD_WINOGRAD_FILTERS) {
		size_t filters = w->filters - f < BD_WINOGRAD_FILTERS ? w->filters - f : BD_WINOGRAD_FILTERS;
		multiply(w, count, f, filters, v, products, m);
		transform_output(w, first, count, f, filters, products, m);
	}
}

void BD_SIMD(bd_winograd_run)(const struct bd_winograd *winograd, size_t first, size_t count, float *scratch)
{
	if (winograd->m == 4)
		run_tiles(winograd, first, count, scratch, 4);
	else
		run_tiles(winograd, first, count, scratch, 3);
}

/* The nine taps of a panel: taps[tap][channel][BD_NR] */
static void gather_taps(const struct bd_winograd_weights *w, size_t first, size_t filters, float *taps)
{
	for (size_t tap = 0; tap < 9; tap++)
		for (size_t c = 0; c < w->channels; c++) {
			float *to = taps + (tap * w->channels + c) * BD_NR;
			for (size_t f = 0; f < filters; f++)
				to[f] = w->rotated ? w->kernel[((8 - tap) * w->filters + first + f) * w->channels + c]
				                   : w->kernel[(tap * w->channels + c) * w->filters + first + f];
			for (size_t f = filters; f < BD_NR; f++)
				to[f] = 0;
		}
}

BD_INLINE void transform_weights(const struct bd_winograd_weights *w, const float *taps, float *to, const size_t n,
                                 const float g[][3])
{
	for (size_t c = 0; c < w->channels; c++)
		for (size_t j = 0; j < BD_NR; j += BD_VL) {
			bd_vector half[6][3];
			for (size_t b = 0; b < 3; b++) {
				bd_vector t0 = bd_load(taps + ((0 + b) * w->channels + c) * BD_NR + j);
				bd_vector t1 = bd_load(taps + ((3 + b) * w->channels + c) * BD_NR + j);
				bd_vector t2 = bd_load(taps + ((6 + b) * w->channels + c) * BD_NR + j);
				for (size_t i = 0; i < n; i++)
					half[i][b] = g[i][0] * t0 + g[i][1] * t1 + g[i][2] * t2;
			}
			for (size_t i = 0; i < n; i++)
				for (size_t k = 0; k < n; k++)
					bd_store(to + ((i * n + k) * w->channels + c) * BD_NR + j,
					         g[k][0] * half[i][0] + g[k][1] * half[i][1] + g[k][2] * half[i][2]);
		}
}

void BD_SIMD(bd_winograd_weights_run)(const struct bd_winograd_weights *weights, size_t panel, float *scratch)
{
	size_t first = panel * BD_NR, n = weights->m + 2;
	size_t filters = weights->filters - first < BD_NR ? weights->filters - first : BD_NR;
	gather_taps(weights, first, filters, scratch);
	float *to = weights->weights + panel * n * n * weights->channels * BD_NR;
	if (weights->m == 4)
		transform_weights(weights, scratch, to, 6, g4);
	else
		transform_weights(weights, scratch, to, 5, g3);
}
