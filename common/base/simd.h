/*
 * simd.h - one source, three instruction sets, chosen at start by the processor.
 *
 * A file named x.simd.c is compiled three times: baseline x86-64, AVX2 + FMA, AVX-512 (the Makefile's rule; on other
 * processors once, as the baseline). Inside it BD_SIMD(name) gives each function its own symbol, BD_SIMD_LEVEL is the level
 * it is compiled for and BD_SIMD_FLOATS the number of floats of one vector. The file x.c beside it picks one table of
 * functions by bd_simd_level(). Such a file includes no inline functions of other modules: the linker might keep the
 * copy compiled for a processor that this one is not.
 */
#ifndef BD_BASE_SIMD_H
#define BD_BASE_SIMD_H

enum bd_simd_level {
	BD_SIMD_BASELINE = 0,
	BD_SIMD_AVX2 = 1, /* AVX2 and FMA */
	BD_SIMD_AVX512 = 2, /* AVX-512 F, BW, DQ and VL */
};

/* The best level of this processor; $BATCHD_SIMD (baseline | avx2 | avx512) lowers it, for tests. Any thread. */
enum bd_simd_level bd_simd_level(void);

/* "baseline", "avx2", "avx512" */
const char *bd_simd_name(enum bd_simd_level level);

#ifndef BD_SIMD_LEVEL
#define BD_SIMD_LEVEL 0
#endif

#if BD_SIMD_LEVEL == 2
#define BD_SIMD(name) name##_avx512
#define BD_SIMD_FLOATS 16
#elif BD_SIMD_LEVEL == 1
#define BD_SIMD(name) name##_avx2
#define BD_SIMD_FLOATS 8
#else
#define BD_SIMD(name) name##_baseline
#define BD_SIMD_FLOATS 4
#endif

#endif
