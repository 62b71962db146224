/* Every product of every level against OpenBLAS' own, and which of them a graph takes. */
#include <cblas.h>
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "tests/support/random_model.h"
#include "tests/unit/test.h"
#include "trainer/kernels/openblas.h"

static const struct bd_kernels *openblas_kernels(enum bd_simd_level level)
{
	const struct bd_kernels *kernels = NULL;
	assert_int_equal(bd_openblas_kernels(level, &kernels, NULL), 0);
	return kernels;
}

struct example {
	size_t m, n, k, segments, a_gap, c_gap; /* gaps: floats between the rows */
	bool transposed, overlapping, b_transposed, b_rows, accumulate, bias;
	enum bd_clamp clamp;
};

static const struct example examples[] = {
	{ .m = 1, .n = 1, .k = 1 },
	{ .m = 13, .n = 17, .k = 19, .bias = true },
	{ .m = 29, .n = 33, .k = 521, .a_gap = 3, .c_gap = 5, .clamp = BD_CLAMP_RELU },
	{ .m = 15, .n = 70, .k = 1030, .accumulate = true, .bias = true, .clamp = BD_CLAMP_RELU6 },
	{ .m = 31, .n = 49, .k = 37, .transposed = true, .a_gap = 2, .b_transposed = true },
	{ .m = 64, .n = 96, .k = 130, .transposed = true, .b_rows = true, .accumulate = true, .c_gap = 7 },
	{ .m = 20, .n = 64, .k = 300, .b_rows = true, .bias = true, .a_gap = 1 },
	{ .m = 23, .n = 24, .k = 9, .segments = 3, .overlapping = true, .bias = true, .clamp = BD_CLAMP_RELU },
	{ .m = 9, .n = 31, .k = 23, .segments = 4, .transposed = true, .overlapping = true, .accumulate = true, .c_gap = 1 },
	{ .m = 100, .n = 7, .k = 5, .segments = 2, .a_gap = 4, .b_transposed = true },
};

static __typeof__(&cblas_sgemm) sgemm;

struct data {
	size_t segments, a_pitch, a_segment, c_pitch, c_count, b_count;
	float *a, *b, *c, *bias;
};

static struct data data_of(const struct example *e)
{
	size_t row = e->transposed ? e->m : e->k, rows = e->transposed ? e->k : e->m;
	struct data d = { .segments = e->segments ? e->segments : 1, .c_pitch = e->n + e->c_gap };
	d.a_pitch = e->overlapping ? row / 3 : row + e->a_gap;
	d.a_segment = rows * d.a_pitch + row;
	d.c_count = e->m * d.c_pitch;
	d.b_count = d.segments * e->k * e->n;
	d.a = bd_random_floats(d.segments * d.a_segment, 1);
	d.b = bd_random_floats(d.b_count, 2);
	d.c = bd_random_floats(d.c_count, 3);
	d.bias = bd_random_floats(e->n, 4);
	return d;
}

static void data_free(struct data *d)
{
	free(d->a);
	free(d->b);
	free(d->c);
	free(d->bias);
}

/* A as rows of k floats without gaps and segments, so that one plain call of the library multiplies it. malloc'd. */
static float *plain_a(const struct example *e, const struct data *d)
{
	float *plain = malloc(e->m * d->segments * e->k * sizeof *plain), *to = plain;
	assert_non_null(plain);
	for (size_t i = 0; i < e->m; i++)
		for (size_t s = 0; s < d->segments; s++)
			for (size_t k = 0; k < e->k; k++)
				*to++ = d->a[s * d->a_segment + (e->transposed ? k * d->a_pitch + i : i * d->a_pitch + k)];
	return plain;
}

/* NaN stays NaN in all clamps. */
static float clamped(float x, enum bd_clamp clamp)
{
	x = clamp != BD_CLAMP_NONE && x < 0 ? 0 : x;
	return clamp == BD_CLAMP_RELU6 && x > 6 ? 6 : x;
}

/* What C becomes; the floats between its rows stay. malloc'd. */
static float *wanted(const struct example *e, const struct data *d)
{
	size_t k = d->segments * e->k;
	float *c = malloc(d->c_count * sizeof *c), *a = plain_a(e, d);
	assert_non_null(c);
	memcpy(c, d->c, d->c_count * sizeof *c);
	sgemm(CblasRowMajor, CblasNoTrans, e->b_transposed ? CblasTrans : CblasNoTrans, (blasint)e->m, (blasint)e->n, (blasint)k, 1,
	      a, (blasint)k, d->b, (blasint)(e->b_transposed ? k : e->n), e->accumulate, c, (blasint)d->c_pitch);
	for (size_t i = 0; i < e->m * e->n; i++) {
		float *value = &c[i / e->n * d->c_pitch + i % e->n];
		*value = clamped(*value + (e->bias ? d->bias[i % e->n] : 0), e->clamp);
	}
	free(a);
	return c;
}

/* malloc'd, and not a float longer than what the product may write. */
static float *product(const struct bd_kernels *kernels, const struct example *e, const struct data *d)
{
	size_t k = d->segments * e->k;
	float *c = malloc(d->c_count * sizeof *c), *packed = malloc(bd_gemm_packed_floats(kernels, k, e->n) * sizeof *packed);
	assert_true(c && packed);
	memcpy(c, d->c, d->c_count * sizeof *c);
	for (size_t i = 0; !e->accumulate && i < e->m * e->n; i++)
		c[i / e->n * d->c_pitch + i % e->n] = NAN; /* what is there before is not multiplied by anything */
	struct bd_gemm_pack pack = { .k = k,
		                     .k_total = k,
		                     .n = e->n,
		                     .b = d->b,
		                     .b_pitch = e->b_transposed ? k : e->n,
		                     .transposed = e->b_transposed,
		                     .packed = packed };
	for (size_t panel = 0; panel * kernels->nr < e->n; panel++)
		kernels->gemm_pack(&pack, panel, 1);
	struct bd_gemm gemm = { .m = e->m,
		                .n = e->n,
		                .k = e->k,
		                .segments = e->segments,
		                .a_segment = d->a_segment,
		                .a = d->a,
		                .a_pitch = d->a_pitch,
		                .a_transposed = e->transposed,
		                .b = e->b_rows ? d->b : packed,
		                .b_pitch = e->b_rows ? e->n : 0,
		                .c = c,
		                .c_pitch = d->c_pitch,
		                .accumulate = e->accumulate,
		                .bias = e->bias ? d->bias : NULL,
		                .clamp = e->clamp };
	kernels->gemm(&gemm);
	free(packed);
	return c;
}

static void check(const struct bd_kernels *kernels, size_t index, const struct data *d)
{
	const struct example *e = &examples[index];
	float *got = product(kernels, e, d), *want = wanted(e, d);
	float within = 1e-6f * (float)(8 + d->segments * e->k);
	for (size_t i = 0; i < d->c_count; i++)
		if (isnan(want[i]) ? !isnan(got[i]) : !(fabsf(got[i] - want[i]) <= within))
			fail_msg("%s%s, example %zu, float %zu: %g instead of %g", bd_simd_name(kernels->level),
			         kernels->openblas ? ", openblas" : "", index, i, (double)got[i], (double)want[i]);
	free(got);
	free(want);
}

static void check_levels(size_t index, const struct data *d)
{
	for (int level = BD_SIMD_BASELINE; level <= (int)bd_simd_level(); level++) {
		check(bd_kernels_of((enum bd_simd_level)level), index, d);
		check(openblas_kernels((enum bd_simd_level)level), index, d);
	}
}

static void products_agree_with_the_library(void **state)
{
	(void)state;
	for (size_t i = 0; i < BD_COUNT_OF(examples); i++) {
		struct data d = data_of(&examples[i]);
		check_levels(i, &d);
		data_free(&d);
	}
}

static void nan_and_infinity_stay_in_their_rows_and_columns(void **state)
{
	(void)state;
	for (size_t i = 0; i < BD_COUNT_OF(examples); i++) {
		struct data d = data_of(&examples[i]);
		d.a[0] = NAN;
		check_levels(i, &d);
		d.a[0] = 0.5f;
		d.b[d.b_count - 1] = -NAN;
		check_levels(i, &d);
		d.b[d.b_count - 1] = 0;
		d.a[d.segments * d.a_segment - 1] = 0;
		d.bias[examples[i].n - 1] = NAN;
		check_levels(i, &d);
		data_free(&d);
	}
}

static const struct bd_kernels *chosen(const char *simd, const char *blas)
{
	const struct bd_kernels *kernels = NULL;
	setenv("BATCHD_SIMD", simd, 1);
	setenv("BATCHD_BLAS", blas, 1);
	assert_int_equal(bd_kernels_choose(&kernels, NULL), 0);
	unsetenv("BATCHD_SIMD");
	unsetenv("BATCHD_BLAS");
	return kernels;
}

static void level_and_environment_choose(void **state)
{
	(void)state;
	assert_ptr_equal(chosen("baseline", ""), openblas_kernels(BD_SIMD_BASELINE));
	assert_ptr_equal(chosen("baseline", "own"), bd_kernels_of(BD_SIMD_BASELINE));
	enum bd_simd_level best = bd_simd_level();
	assert_ptr_equal(chosen("", "openblas"), openblas_kernels(best));
	if (best != BD_SIMD_BASELINE)
		assert_ptr_equal(chosen("", ""), bd_kernels_of(best));
	struct bd_error error = { 0 };
	const struct bd_kernels *kernels;
	setenv("BATCHD_BLAS", "mkl", 1);
	assert_true(bd_kernels_choose(&kernels, &error) < 0);
	assert_string_equal(error.text, "BATCHD_BLAS is 'openblas' or 'own', not 'mkl'");
	struct bd_model model;
	bd_random_model(0, &model);
	struct bd_graph *graph;
	assert_true(bd_graph_create(&model, 1, &(struct bd_graph_options){ .threads = 1 }, &graph, &error) < 0);
	bd_model_finish(&model);
	unsetenv("BATCHD_BLAS");
}

static void library_has_no_threads_of_its_own(void **state)
{
	(void)state;
	assert_non_null(openblas_kernels(BD_SIMD_BASELINE));
#if !defined(__SANITIZE_THREAD__) /* which has a thread itself */
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	int threads = 0;
	for (struct dirent *entry; (entry = readdir(tasks));)
		threads += entry->d_name[0] != '.';
	closedir(tasks);
	assert_int_equal(threads, 1);
#endif
}

int main(void)
{
	openblas_kernels(BD_SIMD_BASELINE);
	void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(library);
	*(void **)&sgemm = dlsym(library, "cblas_sgemm");
	assert_non_null(sgemm);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(products_agree_with_the_library),
		cmocka_unit_test(nan_and_infinity_stay_in_their_rows_and_columns),
		cmocka_unit_test(level_and_environment_choose),
		cmocka_unit_test(library_has_no_threads_of_its_own),
	};
	return cmocka_run_group_tests_name("openblas", tests, NULL, NULL);
}
