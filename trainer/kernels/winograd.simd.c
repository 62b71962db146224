/* Forward, and weights into the transformed domain. */
#include "trainer/kernels/winograd_tiles.h"

#include <string.h>

void BD_SIMD(bd_winograd_run)(const struct bd_winograd *winograd, size_t first, size_t count, float *scratch);
void BD_SIMD(bd_winograd_weights_run)(const struct bd_winograd_weights *weights, size_t panel, float *scratch);

/* M[xi][tile][filter] for the filters from first_filter on */
BD_INLINE void multiply(const struct bd_winograd *w, size_t count, size_t first_filter, size_t filters, const float *v,
                        float *products, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2), v_pitch = w->channels + BD_V_GAP;
	struct bd_micro micro = {
		.k = w->channels, .segments = 1, .a_row = v_pitch, .b_pitch = BD_NR, .c_pitch = BD_WINOGRAD_FILTERS
	};
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

/* The same by a product of another's. */
static void multiply_rows(const struct bd_winograd *w, size_t count, size_t first_filter, size_t filters, const float *v,
                          float *products, size_t xis)
{
	const size_t v_pitch = w->channels + BD_V_GAP, b_pitch = (w->filters + BD_NR - 1) / BD_NR * BD_NR;
	for (size_t xi = 0; xi < xis; xi++) {
		struct bd_gemm gemm = { .m = count,
			                .n = filters,
			                .k = w->channels,
			                .a = v + xi * BD_WINOGRAD_TILES * v_pitch,
			                .a_pitch = v_pitch,
			                .b = w->weights + xi * w->channels * b_pitch + first_filter,
			                .b_pitch = b_pitch,
			                .c = products + xi * BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS,
			                .c_pitch = BD_WINOGRAD_FILTERS };
		w->product(&gemm);
	}
}

BD_INLINE void write_tile(const struct bd_winograd *w, const struct bd_tile *tile, const bd_vector *d, size_t filter,
                          const size_t m)
{
	const size_t n = m + 2;
	size_t rows = w->out_height - tile->y, columns = w->out_width - tile->x;
	bd_vector bias = w->bias ? bd_load(w->bias + filter) : (bd_vector){ 0 };
	float *out = w->out + ((tile->picture * w->out_height + tile->y) * w->out_width + tile->x) * w->out_pitch + filter;
	if (rows >= m && columns >= m) {
		BD_UNROLL for (size_t i = 0; i < m; i++) BD_UNROLL for (size_t j = 0; j < m; j++)
			bd_store(out + (i * w->out_width + j) * w->out_pitch, bd_clamp(d[i * n + j] + bias, w->clamp));
		return;
	}
	BD_UNROLL for (size_t i = 0; i < m; i++) BD_UNROLL for (size_t j = 0; j < m; j++) if (i < rows && j < columns)
		bd_store(out + (i * w->out_width + j) * w->out_pitch, bd_clamp(d[i * n + j] + bias, w->clamp));
}

/* A number minus itself is zero; a NaN or an infinity of the weights stays seen. */
BD_INLINE void clear_windows(bd_vector *d, uint32_t blank, const size_t m)
{
	const size_t n = m + 2;
	BD_UNROLL for (size_t i = 0; i < m; i++) BD_UNROLL for (size_t j = 0; j < m; j++) if (blank >> (i * m + j) & 1)
	{
		const bd_vector value = d[i * n + j];
		d[i * n + j] -= value;
	}
}

BD_INLINE void transform_output(const struct bd_winograd *w, size_t first, size_t count, size_t first_filter, size_t filters,
                                const float *products, const uint32_t *blank, const size_t m)
{
	const size_t n = m + 2, plane = BD_WINOGRAD_TILES * BD_WINOGRAD_FILTERS;
	for (size_t t = 0; t < count; t++) {
		struct bd_tile tile = bd_tile_at(w, first + t, m);
		for (size_t f = 0; f < filters; f += BD_VL) {
			bd_vector d[36];
			BD_UNROLL for (size_t i = 0; i < n * n; i++)
				d[i] = bd_load(products + i * plane + t * BD_WINOGRAD_FILTERS + f);
			BD_UNROLL for (size_t j = 0; j < n; j++) m == 4 ? bd_output_transform_4(d + j, n)
									: bd_output_transform_3(d + j, n);
			BD_UNROLL for (size_t i = 0; i < m; i++) m == 4 ? bd_output_transform_4(d + i * n, 1)
									: bd_output_transform_3(d + i * n, 1);
			if (blank[t])
				clear_windows(d, blank[t], m);
			write_tile(w, &tile, d, first_filter + f, m);
		}
	}
}

BD_INLINE void run_tiles(const struct bd_winograd *w, size_t first, size_t count, float *scratch, const size_t m)
{
	const size_t xis = (m + 2) * (m + 2);
	float *zeros = scratch, *v = zeros + w->channels,
	      *products = v + (xis * BD_WINOGRAD_TILES + BD_MR) * (w->channels + BD_V_GAP);
	memset(zeros, 0, w->channels * sizeof *zeros);
	uint32_t blank[BD_WINOGRAD_TILES];
	bd_transform_input(w, first, count, zeros, v, blank, m);
	for (size_t f = 0; f < w->filters; f += BD_WINOGRAD_FILTERS) {
		size_t filters = w->filters - f < BD_WINOGRAD_FILTERS ? w->filters - f : BD_WINOGRAD_FILTERS;
		if (w->product)
			multiply_rows(w, count, f, filters, v, products, xis);
		else
			multiply(w, count, f, filters, v, products, m);
		transform_output(w, first, count, f, filters, products, blank, m);
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

/* pitch: floats from channel to channel of `to` */
BD_INLINE void transform_weights(const struct bd_winograd_weights *w, const float *taps, float *to, size_t pitch, const size_t n,
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
					bd_store(to + ((i * n + k) * w->channels + c) * pitch + j,
					         g[k][0] * half[i][0] + g[k][1] * half[i][1] + g[k][2] * half[i][2]);
		}
}

void BD_SIMD(bd_winograd_weights_run)(const struct bd_winograd_weights *weights, size_t panel, float *scratch)
{
	size_t first = panel * BD_NR, n = weights->m + 2;
	size_t filters = weights->filters - first < BD_NR ? weights->filters - first : BD_NR;
	gather_taps(weights, first, filters, scratch);
	size_t pitch = weights->rows ? (weights->filters + BD_NR - 1) / BD_NR * BD_NR : BD_NR;
	float *to = weights->weights + (weights->rows ? first : panel * n * n * weights->channels * BD_NR);
	if (weights->m == 4)
		transform_weights(weights, scratch, to, pitch, 6, bd_g4);
	else
		transform_weights(weights, scratch, to, pitch, 5, bd_g3);
}
