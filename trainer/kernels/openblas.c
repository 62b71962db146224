#include "trainer/kernels/openblas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* OpenBLAS copies B anew for each product: tasks of more rows do that less often. */
#define TASK_BLOCK_ROWS 16

#define LIBRARY "libopenblas.so.0"

/* OpenBLAS reads it when it is loaded. Set while there is one thread: nobody else may look at the environment meanwhile. */
__attribute__((constructor)) static void one_thread(void)
{
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
}

static struct {
	int result;
	struct bd_error error;
	__typeof__(&cblas_sgemm) sgemm;
	__typeof__(&openblas_get_corename) core_name;
} library;

/* Loaded and not linked: a linked one would start a thread for each processor, with a buffer of 32 MiB, before main could prevent it. */
static void load(void)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (handle) {
		*(void **)&library.sgemm = dlsym(handle, "cblas_sgemm");
		*(void **)&library.core_name = dlsym(handle, "openblas_get_corename");
	}
	if (!library.sgemm || !library.core_name)
		library.result = bd_error_set(&library.error, -ELIBACC,
		                              "cannot load OpenBLAS: %s; install it (libopenblas0), or set BATCHD_BLAS=own",
		                              dlerror());
}

const char *bd_openblas_core(void)
{
	return library.core_name();
}

/* Some kernels leave the upper halves of the AVX registers in use: SSE code behind them would take three times as long. */
static void clear_upper_halves(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroupper");
#endif
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Rows first .. + m of C, and the part of k that starts at a and b. */
static void multiply(const struct bd_gemm *gemm, size_t first, size_t m, size_t k, const float *a, const float *b, bool accumulate)
{
	size_t b_pitch = gemm->b_pitch ? gemm->b_pitch : gemm->n;
	library.sgemm(CblasRowMajor, gemm->a_transposed ? CblasTrans : CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)gemm->n,
	              (blasint)k, 1, a, (blasint)gemm->a_pitch, b, (blasint)b_pitch, accumulate, gemm->c + first * gemm->c_pitch,
	              (blasint)gemm->c_pitch);
	clear_upper_halves();
}

/* Rows of windows overlap in memory, which BLAS knows nothing of: such a product is done in pieces no wider than the pitch. */
static void segment(const struct bd_gemm *gemm, const float *a, const float *b, bool accumulate)
{
	size_t pitch = gemm->a_pitch, b_pitch = gemm->b_pitch ? gemm->b_pitch : gemm->n;
	if (gemm->a_transposed)
		for (size_t i = 0; i < gemm->m; i += pitch)
			multiply(gemm, i, smaller(gemm->m - i, pitch), gemm->k, a + i, b, accumulate);
	else
		for (size_t k = 0; k < gemm->k; k += pitch)
			multiply(gemm, 0, gemm->m, smaller(gemm->k - k, pitch), a + k, b + k * b_pitch, accumulate || k);
}

static void product(const struct bd_gemm *gemm)
{
	size_t segments = gemm->segments ? gemm->segments : 1, b_pitch = gemm->b_pitch ? gemm->b_pitch : gemm->n;
	for (size_t s = 0; s < segments; s++)
		segment(gemm, gemm->a + s * gemm->a_segment, gemm->b + s * gemm->k * b_pitch, gemm->accumulate || s);
}

static void product_and_clamp(const struct bd_gemm *gemm, enum bd_simd_level level)
{
	product(gemm);
	if (gemm->bias || gemm->clamp != BD_CLAMP_NONE)
		bd_kernels_of(level)->scale_shift(gemm->m, gemm->n, gemm->c, gemm->c_pitch, NULL, gemm->bias, gemm->clamp, gemm->c,
		                                  gemm->c_pitch);
}

/* Packed is B as rows of n floats: OpenBLAS makes its own panels. */
static void pack_columns(const struct bd_gemm_pack *pack, size_t first, size_t end)
{
	end = smaller(end, pack->n);
	for (size_t k = 0; k < pack->k; k++) {
		float *to = pack->packed + (pack->k_first + k) * pack->n;
		if (!pack->transposed)
			memcpy(to + first, pack->b + k * pack->b_pitch + first, (end - first) * sizeof *to);
		else
			for (size_t j = first; j < end; j++)
				to[j] = pack->b[j * pack->b_pitch + k];
	}
}

#define LEVEL(suffix, level)                                                                                                       \
	static void gemm_##suffix(const struct bd_gemm *gemm)                                                                      \
	{                                                                                                                          \
		product_and_clamp(gemm, level);                                                                                    \
	}                                                                                                                          \
	static void pack_##suffix(const struct bd_gemm_pack *pack, size_t first_panel, size_t panels)                              \
	{                                                                                                                          \
		size_t nr = bd_kernels_of(level)->nr;                                                                              \
		pack_columns(pack, first_panel *nr, (first_panel + panels) * nr);                                                  \
	}

static struct bd_kernels tables[3];

static void fill(enum bd_simd_level level, void (*gemm)(const struct bd_gemm *),
                 void (*pack)(const struct bd_gemm_pack *, size_t, size_t))
{
	struct bd_kernels *table = &tables[level];
	*table = *bd_kernels_of(level);
	table->openblas = true;
	table->mr = TASK_BLOCK_ROWS;
	table->gemm = gemm;
	table->gemm_pack = pack;
	table->product = product;
}

LEVEL(baseline, BD_SIMD_BASELINE)
#if defined(__x86_64__)
LEVEL(avx2, BD_SIMD_AVX2)
LEVEL(avx512, BD_SIMD_AVX512)
#endif

static void begin(void)
{
	load();
	fill(BD_SIMD_BASELINE, gemm_baseline, pack_baseline);
#if defined(__x86_64__)
	fill(BD_SIMD_AVX2, gemm_avx2, pack_avx2);
	fill(BD_SIMD_AVX512, gemm_avx512, pack_avx512);
#endif
}

int bd_openblas_kernels(enum bd_simd_level level, const struct bd_kernels **ret_kernels, struct bd_error *error)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, begin);
	if (library.result)
		return bd_error_set(error, library.result, "%s", library.error.text);
	*ret_kernels = &tables[level];
	return 0;
}
