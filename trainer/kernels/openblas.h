/*
 * openblas.h - the trainer's products done by OpenBLAS; everything else stays with the level's own kernels.
 *
 * For processors that the own products have no vector code for: OpenBLAS has kernels for AVX without FMA, for ARM and for others. It
 * is called by the trainer's own workers, each call in the caller's thread, so that numbers do not depend on how many there are. They
 * do depend on how many rows a product has: a picture may round differently at another place of a batch.
 */
#ifndef BD_KERNELS_OPENBLAS_H
#define BD_KERNELS_OPENBLAS_H

#include "trainer/kernels/kernels.h"

/* The kernels of a level that this processor has, with products by OpenBLAS, which is loaded at the first call. Any thread. */
BD_MUST_CHECK int bd_openblas_kernels(enum bd_simd_level level, const struct bd_kernels **ret_kernels, struct bd_error *error);

/* After bd_openblas_kernels: the processor that OpenBLAS has chosen its kernels for, as it names it: "SandyBridge". */
const char *bd_openblas_core(void);

#endif
