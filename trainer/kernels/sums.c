/* Sums over many pixels in fixed chunks, so that the order of additions depends on shapes only. */
#include "trainer/kernels/convolution.h"

#include <string.h>

#define CHUNKS 64
#define SLICE_FLOATS 16384

static size_t divide_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

struct parts_task {
	const struct bd_kernels *kernels;
	const float *parts;
	size_t count, floats;
	float *to;
};

static void sum_slice(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct parts_task *task = argument;
	size_t first = index * SLICE_FLOATS, count = task->floats - first < SLICE_FLOATS ? task->floats - first : SLICE_FLOATS;
	float *to = task->to + first;
	if (task->count == 1)
		memcpy(to, task->parts + first, count * sizeof *to);
	for (size_t p = 1; p < task->count; p++)
		task->kernels->add(count, p == 1 ? task->parts + first : to, task->parts + p * task->floats + first, to);
}

void bd_sum_parts(const struct bd_kernels *kernels, const struct bd_run *run, const float *parts, size_t count, size_t floats,
                  float *to)
{
	struct parts_task task = { kernels, parts, count, floats, to };
	bd_run_tasks(run, divide_up(floats, SLICE_FLOATS), sum_slice, &task);
}

struct sums_task {
	const struct bd_kernels *kernels;
	const float *x;
	size_t pixels, channels, chunk;
	float *parts;
};

static void sum_chunk(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct sums_task *task = argument;
	size_t first = index * task->chunk, count = task->pixels - first < task->chunk ? task->pixels - first : task->chunk;
	task->kernels->column_sums(count, task->channels, task->x + first * task->channels, task->channels,
	                           task->parts + index * task->channels);
}

size_t bd_sums_floats(size_t channels)
{
	return CHUNKS * channels;
}

void bd_sums(const struct bd_kernels *kernels, const struct bd_run *run, size_t pixels, size_t channels, const float *x,
             float *workspace, float *sums)
{
	struct sums_task task = { kernels, x, pixels, channels, divide_up(pixels, CHUNKS), workspace };
	size_t chunks = divide_up(pixels, task.chunk);
	bd_run_tasks(run, chunks, sum_chunk, &task);
	bd_sum_parts(kernels, run, workspace, chunks, channels, sums);
}
