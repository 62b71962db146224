/* The kernel's gradient: dU = sum over tiles of V * (A dY A^T), one product for each point; then dg = G^T dU G. */
#include "trainer/kernels/winograd_tiles.h"

#include <string.h>

void BD_SIMD(bd_winograd_gradient)(const struct bd_winograd *winograd, const float *out_gradient, size_t first, size_t count,
                                   size_t first_filter, bool accumulate, float *scratch, float *part);
void BD_SIMD(bd_winograd_gradient_finish)(const struct bd_winograd *winograd, const float *part, size_t first_filter, size_t first,
                                          size_t count, float *kernel_gradient);

/* A y: 4 values at distance s become 6, from the last to the first, in place. */
BD_INLINE void expand_4(bd_vector *y, const size_t s)
{
	const float p2 = BD_P * BD_P, q2 = BD_Q * BD_Q;
	bd_vector y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
	bd_vector even_p = y0 + p2 * y2, odd_p = BD_P * (y1 + p2 * y3);
	bd_vector even_q = y0 + q2 * y2, odd_q = BD_Q * (y1 + q2 * y3);
	y[s] = even_p + odd_p;
	y[2 * s] = even_p - odd_p;
	y[3 * s] = even_q + odd_q;
	y[4 * s] = even_q - odd_q;
	y[5 * s] = y3;
}

BD_INLINE void expand_3(bd_vector *y, const size_t s)
{
	bd_vector y0 = y[0], y1 = y[s], y2 = y[2 * s];
	y[s] = y0 + y1 + y2;
	y[2 * s] = y0 - y1 + y2;
	y[3 * s] = y0 + BD_H * y1 + BD_H * BD_H * y2;
	y[4 * s] = y2;
}

/* M[xi][tile][filter] */
BD_INLINE void expand_gradient(const struct bd_winograd *w, const float *gradient, size_t first, size_t count, size_t filters,
                               const float *zeros, float *products, const size_t m)
{
	const size_t n = m + 2, plane = BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS;
	for (size_t t = 0; t < count; t++) {
		struct bd_tile tile = bd_tile_at(w, first + t, m);
		const float *from[16];
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < m; j++) {
				size_t y = tile.y + i, x = tile.x + j;
				from[i * m + j] = y < w->out_height && x < w->out_width
				                          ? gradient + ((tile.picture * w->out_height + y) * w->out_width + x) *
				                                               w->filters
				                          : zeros;
			}
		for (size_t f = 0; f < filters; f += BD_VL) {
			bd_vector d[36];
			BD_UNROLL for (size_t i = 0; i < m; i++) BD_UNROLL for (size_t j = 0; j < m; j++)
				d[i * n + j] = bd_load(from[i * m + j] + f);
			BD_UNROLL for (size_t i = 0; i < m; i++) m == 4 ? expand_4(d + i * n, 1) : expand_3(d + i * n, 1);
			BD_UNROLL for (size_t j = 0; j < n; j++) m == 4 ? expand_4(d + j, n) : expand_3(d + j, n);
			BD_UNROLL for (size_t i = 0; i < n * n; i++)
				bd_store(products + i * plane + t * BD_WINOGRAD_FILTERS + f, d[i]);
		}
	}
}

BD_INLINE void multiply(const struct bd_winograd *w, size_t count, size_t filters, bool accumulate, const float *v,
                        const float *products, float *part, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2), v_pitch = w->channels + BD_V_GAP;
	struct bd_micro micro = { .k = count,
		                  .segments = 1,
		                  .a_k = v_pitch,
		                  .b_pitch = BD_WINOGRAD_FILTERS,
		                  .c_pitch = BD_WINOGRAD_FILTERS,
		                  .accumulate = accumulate };
	for (size_t xi = 0; xi < xis; xi++)
		for (size_t j = 0; j < filters; j += BD_NR) {
			const float *b = products + xi * BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS + j;
			micro.columns = filters - j < BD_NR ? filters - j : BD_NR;
			for (size_t i = 0; i < w->channels; i += BD_MR) {
				size_t rows = w->channels - i < BD_MR ? w->channels - i : BD_MR;
				const float *a = v + xi * BD_WINOGRAD_TILES * v_pitch + i;
				float *c = part + (xi * w->channels + i) * BD_WINOGRAD_FILTERS + j;
				if (micro.columns > BD_VL)
					bd_micro_rows(&micro, a, b, c, rows, 2, true);
				else
					bd_micro_rows(&micro, a, b, c, rows, 1, true);
			}
		}
}

/* The same by a product of another's. */
static void multiply_rows(const struct bd_winograd *w, size_t count, size_t filters, bool accumulate, const float *v,
                          const float *products, float *part, size_t xis)
{
	const size_t v_pitch = w->channels + BD_V_GAP;
	for (size_t xi = 0; xi < xis; xi++) {
		struct bd_gemm gemm = { .m = w->channels,
			                .n = filters,
			                .k = count,
			                .a = v + xi * BD_WINOGRAD_TILES * v_pitch,
			                .a_pitch = v_pitch,
			                .a_transposed = true,
			                .b = products + xi * BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS,
			                .b_pitch = BD_WINOGRAD_FILTERS,
			                .c = part + xi * w->channels * BD_WINOGRAD_FILTERS,
			                .c_pitch = BD_WINOGRAD_FILTERS,
			                .accumulate = accumulate };
		w->product(&gemm);
	}
}

static size_t filters_from(const struct bd_winograd *w, size_t first)
{
	return w->filters - first < BD_WINOGRAD_FILTERS ? w->filters - first : BD_WINOGRAD_FILTERS;
}

BD_INLINE void gradient_tiles(const struct bd_winograd *w, const float *gradient, size_t first, size_t count, size_t first_filter,
                              bool accumulate, float *scratch, float *part, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2), filters = filters_from(w, first_filter);
	size_t zero_floats = w->channels > BD_WINOGRAD_FILTERS ? w->channels : BD_WINOGRAD_FILTERS;
	float *zeros = scratch, *v = zeros + zero_floats,
	      *products = v + (xis * BD_WINOGRAD_TILES + BD_MR) * (w->channels + BD_V_GAP);
	memset(zeros, 0, zero_floats * sizeof *zeros);
	bd_transform_input(w, first, count, zeros, v, NULL, m);
	expand_gradient(w, gradient + first_filter, first, count, filters, zeros, products, m);
	if (w->product)
		multiply_rows(w, count, filters, accumulate, v, products, part, xis);
	else
		multiply(w, count, filters, accumulate, v, products, part, m);
}

void BD_SIMD(bd_winograd_gradient)(const struct bd_winograd *winograd, const float *out_gradient, size_t first, size_t count,
                                   size_t first_filter, bool accumulate, float *scratch, float *part)
{
	if (winograd->m == 4)
		gradient_tiles(winograd, out_gradient, first, count, first_filter, accumulate, scratch, part, 4);
	else
		gradient_tiles(winograd, out_gradient, first, count, first_filter, accumulate, scratch, part, 3);
}

/* out[3] = G^T in[n], at distances s */
BD_INLINE void contract(const bd_vector *in, const size_t s, const size_t n, const float g[][3], bd_vector *out)
{
	BD_UNROLL for (size_t tap = 0; tap < 3; tap++)
	{
		out[tap] = g[0][tap] * in[0];
		BD_UNROLL for (size_t i = 1; i < n; i++) out[tap] += g[i][tap] * in[i * s];
	}
}

BD_INLINE void finish_vector(const float *part, size_t xi_floats, const size_t n, const float g[][3], bd_vector *taps)
{
	bd_vector d[36], half[18];
	BD_UNROLL for (size_t i = 0; i < n * n; i++) d[i] = bd_load(part + i * xi_floats);
	BD_UNROLL for (size_t j = 0; j < n; j++)
	{
		bd_vector column[3];
		contract(d + j, n, n, g, column);
		BD_UNROLL for (size_t tap = 0; tap < 3; tap++) half[tap * 6 + j] = column[tap];
	}
	BD_UNROLL for (size_t tap = 0; tap < 3; tap++) contract(half + tap * 6, 1, n, g, taps + tap * 3);
}

void BD_SIMD(bd_winograd_gradient_finish)(const struct bd_winograd *winograd, const float *part, size_t first_filter, size_t first,
                                          size_t count, float *kernel_gradient)
{
	const struct bd_winograd *w = winograd;
	size_t filters = filters_from(w, first_filter), xi_floats = w->channels * BD_WINOGRAD_FILTERS;
	for (size_t c = first; c < first + count; c++)
		for (size_t f = 0; f < filters; f += BD_VL) {
			bd_vector taps[9];
			const float *from = part + c * BD_WINOGRAD_FILTERS + f;
			if (w->m == 4)
				finish_vector(from, xi_floats, 6, bd_g4, taps);
			else
				finish_vector(from, xi_floats, 5, bd_g3, taps);
			for (size_t tap = 0; tap < 9; tap++)
				bd_store(kernel_gradient + (tap * w->channels + c) * w->filters + first_filter + f, taps[tap]);
		}
}
