#include "common/image/kernels.h"

#include "common/base/simd.h"

extern const struct bd_pixel_kernels bd_pixel_kernels_baseline;
#if defined(__x86_64__)
extern const struct bd_pixel_kernels bd_pixel_kernels_avx2;
extern const struct bd_pixel_kernels bd_pixel_kernels_avx512;
#endif

const struct bd_pixel_kernels *bd_pixel_kernels_of(int level)
{
#if defined(__x86_64__)
	if (level == BD_SIMD_AVX512)
		return &bd_pixel_kernels_avx512;
	if (level == BD_SIMD_AVX2)
		return &bd_pixel_kernels_avx2;
#endif
	(void)level;
	return &bd_pixel_kernels_baseline;
}

const struct bd_pixel_kernels *bd_pixel_kernels(void)
{
	return bd_pixel_kernels_of(bd_simd_level());
}
