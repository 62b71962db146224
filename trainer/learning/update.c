#include "trainer/learning/update.h"

#include "common/base/simd.h"

const struct bd_update_table *bd_update_table(void)
{
#if defined(__x86_64__)
	switch (bd_simd_level()) {
	case BD_SIMD_AVX512:
		return &bd_update_avx512;
	case BD_SIMD_AVX2:
		return &bd_update_avx2;
	case BD_SIMD_BASELINE:
		break;
	}
#endif
	return &bd_update_baseline;
}
