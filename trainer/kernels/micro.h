/*
 * micro.h - vectors and the innermost block of a matrix product. For .simd.c files only: everything is inlined.
 *
 * The block keeps BD_MR x BD_NR sums in registers: 14 x 32 with AVX-512, 6 x 16 with AVX2, 4 x 8 without. A row's sum runs
 * over k in order, whatever block the row stands in: a picture gives the same numbers wherever it stands in a batch.
 */
#ifndef BD_KERNELS_MICRO_H
#define BD_KERNELS_MICRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/simd.h"
#include "trainer/kernels/kernels.h"

#define BD_VL BD_SIMD_FLOATS
#if BD_SIMD_LEVEL == 2
#define BD_MR 14
#elif BD_SIMD_LEVEL == 1
#define BD_MR 6
#else
#define BD_MR 4
#endif
#define BD_NV 2
#define BD_NR (BD_NV * BD_VL)

typedef float bd_vector __attribute__((vector_size(4 * BD_VL), may_alias));
typedef float bd_vector_unaligned __attribute__((vector_size(4 * BD_VL), aligned(4), may_alias));
typedef int32_t bd_vector_mask __attribute__((vector_size(4 * BD_VL)));

#define BD_INLINE static inline __attribute__((always_inline))
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BD_UNROLL /* instrumented accesses times 64 take minutes to compile */
#elif defined(__clang__)
#define BD_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BD_UNROLL _Pragma("GCC unroll 64")
#endif

BD_INLINE bd_vector bd_load(const float *from)
{
	return *(const bd_vector_unaligned *)from;
}

BD_INLINE void bd_store(float *to, bd_vector value)
{
	*(bd_vector_unaligned *)to = value;
}

BD_INLINE bd_vector bd_splat(float value)
{
	return value - (bd_vector){ 0 };
}

/* mask ? a : b, lane by lane */
BD_INLINE bd_vector bd_select(bd_vector_mask mask, bd_vector a, bd_vector b)
{
	return (bd_vector)(((bd_vector_mask)a & mask) | ((bd_vector_mask)b & ~mask));
}

/* NaN stays NaN: a diverged training shows. */
BD_INLINE bd_vector bd_clamp(bd_vector v, enum bd_clamp clamp)
{
	if (clamp == BD_CLAMP_NONE)
		return v;
	v = bd_select(v < 0.0f, (bd_vector){ 0 }, v);
	return clamp == BD_CLAMP_RELU6 ? bd_select(v > 6.0f, bd_splat(6.0f), v) : v;
}

/* The first `count` of BD_VL floats. */
BD_INLINE bd_vector bd_load_part(const float *from, size_t count)
{
	bd_vector v = { 0 };
	for (size_t i = 0; i < count; i++)
		v[i] = from[i];
	return v;
}

BD_INLINE void bd_store_part(float *to, bd_vector value, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = value[i];
}

/* What becomes of the sums of one block. */
struct bd_micro {
	size_t k; /* of one segment */
	size_t segments; /* runs of k: the rows of a window */
	size_t a_segment; /* floats of A from segment to segment; B goes on */
	size_t a_row, a_k; /* floats from row to row, and from k to k */
	size_t b_pitch; /* floats from k to k */
	size_t c_pitch;
	size_t columns; /* of this panel that are stored */
	bool accumulate; /* begin with what C holds */
	const float *bias; /* BD_NR values, or NULL */
	enum bd_clamp clamp;
};

/* Sums of a block whose last columns are not C's: they come and go through memory, one function for all shapes of block. */
static __attribute__((noinline, unused)) void bd_micro_load_edge(const struct bd_micro *m, const float *c, int rows, int pitch,
                                                                 float *ret_sums)
{
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < pitch; j++)
			ret_sums[i * pitch + j] = (size_t)j < m->columns ? c[(size_t)i * m->c_pitch + (size_t)j] : 0;
}

static __attribute__((noinline, unused)) void bd_micro_store_edge(const struct bd_micro *m, const float *sums, int rows, int pitch,
                                                                  float *c)
{
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < pitch && (size_t)j < m->columns; j++)
			c[(size_t)i * m->c_pitch + (size_t)j] = sums[i * pitch + j];
}

BD_INLINE bd_vector bd_micro_finish(const struct bd_micro *m, bd_vector value, int j)
{
	if (m->bias)
		value += bd_load(m->bias + j * BD_VL);
	return m->clamp == BD_CLAMP_NONE ? value : bd_clamp(value, m->clamp);
}

/* rows and nv are constants at every call. a_k is 1 or (transposed) a_row is 1. */
BD_INLINE void bd_micro_block(const struct bd_micro *m, const float *a, const float *b, float *c, const int rows, const int nv,
                              const bool transposed)
{
	bd_vector sum[BD_MR][BD_NV];
	const size_t a_row = transposed ? 1 : m->a_row, a_k = transposed ? m->a_k : 1, b_pitch = m->b_pitch;
	const bool edge = m->columns < (size_t)nv * BD_VL;
	float sums[BD_MR * BD_NR] __attribute__((aligned(64)));
	if (m->accumulate && edge)
		bd_micro_load_edge(m, c, rows, nv * BD_VL, sums);
	const float *begin = edge ? sums : c;
	const size_t begin_pitch = edge ? (size_t)(nv * BD_VL) : m->c_pitch;
	BD_UNROLL for (int i = 0; i < rows; i++) BD_UNROLL for (int j = 0; j < nv; j++)
		sum[i][j] = m->accumulate ? bd_load(begin + (size_t)i * begin_pitch + j * BD_VL) : (bd_vector){ 0 };
	for (size_t segment = 0; segment < m->segments; segment++) {
		const float *from = a + segment * m->a_segment;
		for (size_t k = m->k; k; k--) {
			bd_vector row[BD_NV];
			BD_UNROLL for (int j = 0; j < nv; j++) row[j] = bd_load(b + j * BD_VL);
			BD_UNROLL for (int i = 0; i < rows; i++) BD_UNROLL for (int j = 0; j < nv; j++)
				sum[i][j] += from[(size_t)i * a_row] * row[j];
			from += a_k;
			b += b_pitch;
		}
	}
	float *to = edge ? sums : c;
	const size_t to_pitch = edge ? (size_t)(nv * BD_VL) : m->c_pitch;
	BD_UNROLL for (int i = 0; i < rows; i++) BD_UNROLL for (int j = 0; j < nv; j++)
		bd_store(to + (size_t)i * to_pitch + j * BD_VL, bd_micro_finish(m, sum[i][j], j));
	if (edge)
		bd_micro_store_edge(m, sums, rows, nv * BD_VL, c);
}

#define BD_MICRO_CASE(n)                                                                                                           \
	case n:                                                                                                                    \
		bd_micro_block(m, a, b, c, n < BD_MR ? n : BD_MR, nv, transposed);                                                 \
		break;

/* 1 to BD_MR rows */
BD_INLINE void bd_micro_rows(const struct bd_micro *m, const float *a, const float *b, float *c, size_t rows, const int nv,
                             const bool transposed)
{
	switch (rows) {
		BD_MICRO_CASE(1)
		BD_MICRO_CASE(2)
		BD_MICRO_CASE(3)
		BD_MICRO_CASE(4)
#if BD_MR > 4
		BD_MICRO_CASE(5)
		BD_MICRO_CASE(6)
#endif
#if BD_MR > 6
		BD_MICRO_CASE(7)
		BD_MICRO_CASE(8)
		BD_MICRO_CASE(9)
		BD_MICRO_CASE(10)
		BD_MICRO_CASE(11)
		BD_MICRO_CASE(12)
		BD_MICRO_CASE(13)
		BD_MICRO_CASE(14)
#endif
	default:
		break;
	}
}

#endif
