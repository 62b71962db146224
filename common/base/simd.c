#include "common/base/simd.h"

#include <stdlib.h>
#include <string.h>

static enum bd_simd_level processor_level(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		return BD_SIMD_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return BD_SIMD_AVX2;
#endif
	return BD_SIMD_BASELINE;
}

enum bd_simd_level bd_simd_level(void)
{
	enum bd_simd_level best = processor_level();
	const char *wanted = getenv("BATCHD_SIMD");
	for (int level = BD_SIMD_BASELINE; wanted && level < (int)best; level++)
		if (!strcmp(wanted, bd_simd_name((enum bd_simd_level)level)))
			return (enum bd_simd_level)level;
	return best;
}

const char *bd_simd_name(enum bd_simd_level level)
{
	return level == BD_SIMD_AVX512 ? "avx512" : level == BD_SIMD_AVX2 ? "avx2" : "baseline";
}
