#include "trainer/kernels/kernels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/kernels/openblas.h"

#define DECLARE(suffix)                                                                                                            \
	void bd_gemm_run_##suffix(const struct bd_gemm *gemm);                                                                     \
	void bd_gemm_pack_run_##suffix(const struct bd_gemm_pack *pack, size_t first_panel, size_t panels);                        \
	void bd_winograd_run_##suffix(const struct bd_winograd *winograd, size_t first, size_t count, float *scratch);             \
	void bd_winograd_weights_run_##suffix(const struct bd_winograd_weights *weights, size_t panel, float *scratch);            \
	void bd_winograd_gradient_##suffix(const struct bd_winograd *winograd, const float *out_gradient, size_t first,            \
	                                   size_t count, size_t first_filter, bool accumulate, float *scratch, float *part);       \
	void bd_winograd_gradient_finish_##suffix(const struct bd_winograd *winograd, const float *part, size_t first_filter,      \
	                                          size_t first, size_t count, float *kernel_gradient);                             \
	void bd_depthwise_row_##suffix(const struct bd_window *window, const float *in, const float *kernel, const float *bias,    \
	                               enum bd_clamp clamp, size_t row, float *out);                                               \
	void bd_depthwise_row_gradient_##suffix(const struct bd_window *window, const float *out_gradient, const float *kernel,    \
	                                        size_t row, float *in_gradient);                                                   \
	void bd_depthwise_kernel_gradient_##suffix(const struct bd_window *window, const float *in, const float *out_gradient,     \
	                                           float *kernel_gradient);                                                        \
	void bd_max_pool_row_##suffix(const struct bd_window *window, const float *in, size_t row, float *out);                    \
	void bd_average_pool_row_##suffix(const struct bd_window *window, const float *in, size_t row, float *out);                \
	void bd_max_pool_gradient_##suffix(const struct bd_window *window, const float *in, const float *out,                      \
	                                   const float *out_gradient, float *in_gradient);                                         \
	void bd_average_pool_gradient_##suffix(const struct bd_window *window, const float *in, const float *out,                  \
	                                       const float *out_gradient, float *in_gradient);                                     \
	void bd_scale_shift_##suffix(size_t pixels, size_t channels, const float *in, size_t in_pitch, const float *scale,         \
	                             const float *shift, enum bd_clamp clamp, float *out, size_t out_pitch);                       \
	void bd_column_sums_##suffix(size_t pixels, size_t channels, const float *x, size_t pitch, float *sums);                   \
	void bd_column_products_##suffix(size_t pixels, size_t channels, const float *x, const float *mean, const float *y,        \
	                                 const float *y_mean, float *sums);                                                        \
	void bd_add_##suffix(size_t count, const float *a, const float *b, float *out);                                            \
	void bd_clamp_gradient_##suffix(size_t count, const float *y, enum bd_clamp clamp, float *dy);                             \
	void bd_from_bytes_##suffix(size_t pixels, size_t channels, const uint8_t *x, const float *mean, float scale, float *out);

#define TABLE(suffix, its_level, rows, columns)                                                                                    \
	{                                                                                                                          \
		.level = (its_level), .mr = (rows), .nr = (columns), .gemm = bd_gemm_run_##suffix,                                 \
		.gemm_pack = bd_gemm_pack_run_##suffix, .winograd = bd_winograd_run_##suffix,                                      \
		.winograd_weights = bd_winograd_weights_run_##suffix, .winograd_gradient = bd_winograd_gradient_##suffix,          \
		.winograd_gradient_finish = bd_winograd_gradient_finish_##suffix, .depthwise_row = bd_depthwise_row_##suffix,      \
		.depthwise_row_gradient = bd_depthwise_row_gradient_##suffix,                                                      \
		.depthwise_kernel_gradient = bd_depthwise_kernel_gradient_##suffix, .max_pool_row = bd_max_pool_row_##suffix,      \
		.average_pool_row = bd_average_pool_row_##suffix, .max_pool_gradient = bd_max_pool_gradient_##suffix,              \
		.average_pool_gradient = bd_average_pool_gradient_##suffix, .scale_shift = bd_scale_shift_##suffix,                \
		.column_sums = bd_column_sums_##suffix, .column_products = bd_column_products_##suffix, .add = bd_add_##suffix,    \
		.clamp_gradient = bd_clamp_gradient_##suffix, .from_bytes = bd_from_bytes_##suffix,                                \
	}

DECLARE(baseline)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
#endif

static const struct bd_kernels tables[] = {
	TABLE(baseline, BD_SIMD_BASELINE, 4, 8),
#if defined(__x86_64__)
	TABLE(avx2, BD_SIMD_AVX2, 6, 16),
	TABLE(avx512, BD_SIMD_AVX512, 14, 32),
#endif
};

const struct bd_kernels *bd_kernels_of(enum bd_simd_level level)
{
	return &tables[level];
}

int bd_kernels_choose(const struct bd_kernels **ret_kernels, struct bd_error *error)
{
	enum bd_simd_level level = bd_simd_level();
	const char *wanted = getenv("BATCHD_BLAS");
	bool openblas = level == BD_SIMD_BASELINE;
	if (wanted && *wanted) {
		openblas = !strcmp(wanted, "openblas");
		if (!openblas && strcmp(wanted, "own") != 0)
			return bd_error_set(error, -EINVAL, "BATCHD_BLAS is 'openblas' or 'own', not '%s'", wanted);
	}
	if (openblas)
		return bd_openblas_kernels(level, ret_kernels, error);
	*ret_kernels = bd_kernels_of(level);
	return 0;
}

size_t bd_gemm_packed_floats(const struct bd_kernels *kernels, size_t k, size_t n)
{
	return (n + kernels->nr - 1) / kernels->nr * kernels->nr * k;
}

size_t bd_winograd_tiles(const struct bd_winograd *winograd, size_t pictures)
{
	size_t m = winograd->m;
	return (winograd->out_width + m - 1) / m * ((winograd->out_height + m - 1) / m) * pictures;
}

size_t bd_winograd_weights_floats(const struct bd_kernels *kernels, size_t m, size_t channels, size_t filters)
{
	return (m + 2) * (m + 2) * bd_gemm_packed_floats(kernels, channels, filters);
}

size_t bd_winograd_scratch(size_t m, size_t channels)
{
	size_t xis = (m + 2) * (m + 2), rows = xis * BD_WINOGRAD_TILES + BD_KERNELS_MAX_MR;
	size_t zeros = channels > BD_WINOGRAD_FILTERS ? channels : BD_WINOGRAD_FILTERS;
	/* zeros, transformed tiles, products; and 16 for each gap between tiles */
	return zeros + rows * (channels + 16) + rows * BD_WINOGRAD_FILTERS;
}
