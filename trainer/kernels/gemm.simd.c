#include "trainer/kernels/micro.h"

#include <string.h>

void BD_SIMD(bd_gemm_run)(const struct bd_gemm *gemm);
void BD_SIMD(bd_gemm_pack_run)(const struct bd_gemm_pack *pack, size_t first_panel, size_t panels);

/* A panel of 512 rows (64 KiB) and the rows of A beside it stay in the second-level cache. */
#define K_BLOCK 512

/* Rows that lie apart collide in the cache's sets, so fewer stay. */
#define K_BLOCK_UNPACKED 128

BD_INLINE void panel_rows(const struct bd_gemm *gemm, const struct bd_micro *m, const float *a, const float *b, float *c,
                          const int nv)
{
	for (size_t i = 0; i < gemm->m; i += BD_MR) {
		size_t rows = gemm->m - i < BD_MR ? gemm->m - i : BD_MR;
		if (gemm->a_transposed)
			bd_micro_rows(m, a + i, b, c + i * gemm->c_pitch, rows, nv, true);
		else
			bd_micro_rows(m, a + i * gemm->a_pitch, b, c + i * gemm->c_pitch, rows, nv, false);
	}
}

static void one_vector(const struct bd_gemm *gemm, const struct bd_micro *m, const float *a, const float *b, float *c)
{
	panel_rows(gemm, m, a, b, c, 1);
}

static void two_vectors(const struct bd_gemm *gemm, const struct bd_micro *m, const float *a, const float *b, float *c)
{
	panel_rows(gemm, m, a, b, c, 2);
}

static void k_block(const struct bd_gemm *gemm, size_t first, size_t k)
{
	bool last = first + k == gemm->k;
	float bias[BD_NR] = { 0 };
	struct bd_micro m = {
		.k = k,
		.segments = gemm->segments ? gemm->segments : 1,
		.a_segment = gemm->a_segment,
		.a_row = gemm->a_pitch,
		.a_k = gemm->a_pitch,
		.b_pitch = gemm->b_pitch ? gemm->b_pitch : BD_NR,
		.c_pitch = gemm->c_pitch,
		.accumulate = gemm->accumulate || first,
		.bias = last && gemm->bias ? bias : NULL,
		.clamp = last ? gemm->clamp : BD_CLAMP_NONE,
	};
	const float *a = gemm->a + first * (gemm->a_transposed ? gemm->a_pitch : 1);
	for (size_t j = 0; j < gemm->n; j += BD_NR) {
		m.columns = gemm->n - j < BD_NR ? gemm->n - j : BD_NR;
		if (m.bias)
			memcpy(bias, gemm->bias + j, m.columns * sizeof *bias);
		const float *b = gemm->b_pitch ? gemm->b + first * gemm->b_pitch + j
		                               : gemm->b + j * gemm->k * m.segments + first * BD_NR;
		(m.columns > BD_VL ? two_vectors : one_vector)(gemm, &m, a, b, gemm->c + j);
	}
}

void BD_SIMD(bd_gemm_run)(const struct bd_gemm *gemm)
{
	size_t block = gemm->segments > 1 ? gemm->k : gemm->b_pitch > BD_NR ? K_BLOCK_UNPACKED : K_BLOCK;
	for (size_t first = 0; first < gemm->k; first += block)
		k_block(gemm, first, gemm->k - first < block ? gemm->k - first : block);
}

static void pack_panel(const struct bd_gemm_pack *pack, size_t j, size_t columns, float *to)
{
	for (size_t k = 0; k < pack->k; k++, to += BD_NR) {
		memcpy(to, pack->b + k * pack->b_pitch + j, columns * sizeof *to);
		memset(to + columns, 0, (BD_NR - columns) * sizeof *to);
	}
}

static void pack_panel_transposed(const struct bd_gemm_pack *pack, size_t j, size_t columns, float *to)
{
	enum { STRIP = 16 };
	for (size_t k = 0; k < pack->k; k += STRIP) {
		size_t strip = pack->k - k < STRIP ? pack->k - k : STRIP;
		for (size_t c = 0; c < BD_NR; c++)
			for (size_t i = 0; i < strip; i++)
				to[(k + i) * BD_NR + c] = c < columns ? pack->b[(j + c) * pack->b_pitch + k + i] : 0;
	}
}

void BD_SIMD(bd_gemm_pack_run)(const struct bd_gemm_pack *pack, size_t first_panel, size_t panels)
{
	for (size_t p = first_panel; p < first_panel + panels; p++) {
		size_t j = p * BD_NR, columns = pack->n - j < BD_NR ? pack->n - j : BD_NR;
		(pack->transposed ? pack_panel_transposed : pack_panel)(pack, j, columns,
		                                                        pack->packed + j * pack->k_total + pack->k_first * BD_NR);
	}
}
