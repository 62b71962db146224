#include "trainer/kernels/winograd_gradient.h"

/* Tasks: blocks of filters times chunks of tiles. */
#define TASKS 16

/* Partial sums of one kernel: 32 MiB, or what one sum takes. */
#define PARTS_FLOATS ((size_t)8 << 20)

/* Channels of one task of the way back. */
#define FINISH_CHANNELS 16

static size_t divide_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

struct cut {
	size_t filter_blocks, block_floats; /* floats: of one block's sum */
	size_t tiles, chunk, chunks; /* chunk: tiles */
	size_t most; /* chunks that so many tiles or fewer may be cut into: fewer tiles, in shorter chunks, may be more of them */
};

static struct cut cut_of(const struct bd_conv *conv, size_t pictures)
{
	struct bd_winograd winograd = bd_conv_winograd(conv, NULL, NULL, BD_CLAMP_NONE, NULL);
	struct cut cut = { .filter_blocks = divide_up(conv->filters, BD_WINOGRAD_FILTERS),
		           .block_floats = (conv->tile + 2) * (conv->tile + 2) * conv->channels * BD_WINOGRAD_FILTERS,
		           .tiles = bd_winograd_tiles(&winograd, pictures) };
	size_t chunks = divide_up(TASKS, cut.filter_blocks), most = PARTS_FLOATS / (cut.filter_blocks * cut.block_floats);
	if (chunks > most)
		chunks = most ? most : 1;
	cut.chunk = divide_up(divide_up(cut.tiles, chunks), BD_WINOGRAD_TILES) * BD_WINOGRAD_TILES;
	cut.chunks = divide_up(cut.tiles, cut.chunk);
	cut.most = divide_up(cut.tiles, BD_WINOGRAD_TILES);
	cut.most = cut.most < chunks ? cut.most : chunks;
	return cut;
}

size_t bd_winograd_gradient_floats(const struct bd_conv *conv, size_t pictures)
{
	struct cut cut = cut_of(conv, pictures);
	return cut.most * cut.filter_blocks * cut.block_floats;
}

struct gradient_task {
	struct bd_winograd winograd;
	const struct bd_kernels *kernels;
	struct cut cut;
	const float *out_gradient;
	float *parts, *kernel_gradient;
};

static void sum_tiles(const void *argument, size_t index, float *scratch)
{
	const struct gradient_task *task = argument;
	const struct cut *cut = &task->cut;
	size_t begin = index / cut->filter_blocks * cut->chunk, first_filter = index % cut->filter_blocks * BD_WINOGRAD_FILTERS;
	size_t end = cut->tiles - begin < cut->chunk ? cut->tiles : begin + cut->chunk;
	for (size_t first = begin; first < end; first += BD_WINOGRAD_TILES) {
		size_t count = end - first < BD_WINOGRAD_TILES ? end - first : BD_WINOGRAD_TILES;
		task->kernels->winograd_gradient(&task->winograd, task->out_gradient, first, count, first_filter, first > begin,
		                                 scratch, task->parts + index * cut->block_floats);
	}
}

static void finish(const void *argument, size_t index, float *scratch)
{
	(void)scratch;
	const struct gradient_task *task = argument;
	size_t block = index % task->cut.filter_blocks, first = index / task->cut.filter_blocks * FINISH_CHANNELS;
	task->kernels->winograd_gradient_finish(&task->winograd, task->parts + block * task->cut.block_floats,
	                                        block * BD_WINOGRAD_FILTERS, first, FINISH_CHANNELS, task->kernel_gradient);
}

void bd_winograd_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                                 const float *out_gradient, float *workspace, float *kernel_gradient)
{
	struct gradient_task task = { .winograd = bd_conv_winograd(conv, in, NULL, BD_CLAMP_NONE, NULL),
		                      .kernels = conv->kernels,
		                      .cut = cut_of(conv, pictures),
		                      .out_gradient = out_gradient,
		                      .parts = workspace,
		                      .kernel_gradient = kernel_gradient };
	bd_run_tasks(run, task.cut.chunks * task.cut.filter_blocks, sum_tiles, &task);
	if (task.cut.chunks > 1)
		bd_sum_parts(conv->kernels, run, workspace, task.cut.chunks, task.cut.filter_blocks * task.cut.block_floats,
		             workspace);
	/* channels are a multiple of 16 */
	bd_run_tasks(run, conv->channels / FINISH_CHANNELS * task.cut.filter_blocks, finish, &task);
}
