/*
 * bench_graph.c - images per second of whole training steps (forward, backward, RMSprop) on one random batch in memory, for the models of
 * the framework comparison: vgg16-head, squeezenet-head, mobilenet-head, vgg16-block5, cnn28, cnn150. Random weights.
 *
 * bench_graph [MODEL…] [--batch N] [--seconds S] [--threads N] [--exact] [--forward]
 * One JSON line a model; `cores_by_others` is what the rest of the machine took meanwhile: above 0.1 the line says little.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/simd.h"
#include "trainer/learning/optimizer.h"
#include "trainer/model/bases.h"
#include "trainer/model/graph.h"

struct settings {
	uint32_t batch, threads;
	double seconds;
	bool exact, forward;
};

static void die(const char *text)
{
	fprintf(stderr, "bench_graph: %s\n", text);
	exit(1);
}

static struct bd_layer_config *append(struct bd_model *model, const char *type)
{
	struct bd_layer_config *config = bd_model_append(model, type, NULL);
	if (!config)
		die("no memory");
	return config;
}

static void dense(struct bd_model *model, uint32_t units, enum bd_activation activation)
{
	struct bd_layer_config *config = append(model, "dense");
	config->units = units;
	config->activation = activation;
}

static void base(struct bd_model *model, const char *name, const char *trainable_from)
{
	struct bd_error error = { 0 };
	model->base.name = strdup(name);
	model->base.trainable_from = trainable_from ? strdup(trainable_from) : NULL;
	model->base.alpha = strcmp(name, "mobilenet") ? 1 : 0.75f;
	if (bd_base_append(model, &error))
		die(error.text);
}

static void convolutions(struct bd_model *model, const uint32_t *widths, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct bd_layer_config *config = append(model, "conv2d");
		config->filters = widths[i];
		config->kernel_size[0] = config->kernel_size[1] = 3;
		config->activation = BD_ACTIVATION_RELU;
		append(model, "max_pooling2d");
	}
}

static void build(struct bd_model *model, const char *name)
{
	bd_model_init(model);
	bool small = !strcmp(name, "cnn28");
	model->height = model->width = small ? 28 : 150;
	model->channels = small ? 1 : 3;
	uint32_t hidden = 256, outputs = 1;
	if (!strncmp(name, "cnn", 3)) {
		convolutions(model, small ? (uint32_t[]){ 32, 64 } : (uint32_t[]){ 32, 64, 128, 128 }, small ? 2 : 4);
		hidden = small ? 128 : 512;
		outputs = small ? 10 : 1;
	} else if (!strcmp(name, "vgg16-head")) {
		base(model, "vgg16", NULL);
	} else if (!strcmp(name, "vgg16-block5")) {
		base(model, "vgg16", "block5_conv1");
	} else if (!strcmp(name, "squeezenet-head")) {
		base(model, "squeezenet1_1", NULL);
	} else if (!strcmp(name, "mobilenet-head")) {
		base(model, "mobilenet", NULL);
	} else {
		die("unknown model");
	}
	append(model, "flatten");
	dense(model, hidden, BD_ACTIVATION_RELU);
	dense(model, outputs, BD_ACTIVATION_LINEAR);
	if (!bd_model_name_layers(model))
		die("no memory");
}

static void apply(const void *argument, size_t piece)
{
	bd_optimizer_apply(argument, piece);
}

struct job {
	struct bd_graph *graph;
	struct bd_optimizer *optimizer;
	struct bd_graph_input input;
	float *gradient;
	uint64_t step;
	bool forward_only;
	uint64_t forward_ns, backward_ns, update_ns;
};

static void step(struct job *job, uint32_t rows)
{
	uint64_t start = bd_now_ns();
	const float *output = bd_graph_forward(job->graph, &job->input, rows, true, job->step++);
	uint64_t forward = bd_now_ns();
	job->forward_ns += forward - start;
	if (job->forward_only)
		return;
	for (size_t i = 0; i < rows * bd_graph_output_count(job->graph); i++)
		job->gradient[i] = (output[i] > 0 ? 1e-3f : -1e-3f) / (float)rows;
	const struct bd_gradient_taker taker = { bd_optimizer_take, job->optimizer };
	bd_optimizer_begin(job->optimizer);
	bd_graph_backward(job->graph, job->gradient, &taker);
	uint64_t backward = bd_now_ns();
	bd_graph_parallel(job->graph, bd_optimizer_piece_count(job->optimizer), apply, job->optimizer);
	bd_graph_trained_weights_changed(job->graph);
	job->backward_ns += backward - forward;
	job->update_ns += bd_now_ns() - backward;
}

/* CPU seconds of all processes since boot. */
static double machine_cpu(void)
{
	unsigned long long user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft = 0;
	FILE *file = fopen("/proc/stat", "r");
	if (file && fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft) != 7)
		user = nice = system = irq = soft = 0;
	if (file)
		fclose(file);
	return (double)(user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu(void)
{
	struct timespec time;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void open_job(struct job *job, const char *name, const struct settings *settings)
{
	struct bd_model model;
	struct bd_error error = { 0 };
	build(&model, name);
	struct bd_graph_options options = { .threads = settings->threads,
		                            .training = true,
		                            .streams_gradients = true,
		                            .logits = true,
		                            .convolution = settings->exact ? BD_CONVOLUTION_EXACT : BD_CONVOLUTION_FAST };
	if (bd_graph_create(&model, settings->batch, &options, &job->graph, &error))
		die(error.text);
	bd_graph_initialize(job->graph, 1);
	size_t count = bd_graph_parameter_count(job->graph),
	       values = (size_t)settings->batch * model.height * model.width * model.channels;
	struct bd_parameter **parameters = calloc(count, sizeof *parameters);
	for (size_t i = 0; i < count; i++)
		parameters[i] = bd_graph_parameter(job->graph, i);
	struct bd_optimizer_config config = bd_optimizer_defaults(BD_RMSPROP, BD_KERAS3);
	if (bd_optimizer_create(&config, parameters, count, &job->optimizer, &error))
		die(error.text);
	free(parameters);
	float *pixels = malloc(values * sizeof *pixels);
	struct bd_random random = bd_random_of(1, 2, 3);
	for (size_t i = 0; i < values; i++)
		pixels[i] = (float)bd_random_uniform(&random, -1, 1);
	job->input.data = pixels;
	job->gradient = malloc(settings->batch * bd_graph_output_count(job->graph) * sizeof(float));
	job->forward_only = settings->forward;
	bd_model_finish(&model);
}

static void measure(const char *name, struct settings settings)
{
	enum { MOST_STEPS = 100000 };
	static double times[MOST_STEPS];
	if (!settings.batch)
		settings.batch = strcmp(name, "cnn28") ? 20 : 64;
	struct job job = { 0 };
	open_job(&job, name, &settings);
	for (int i = 0; i < 3; i++)
		step(&job, settings.batch);
	job.forward_ns = job.backward_ns = job.update_ns = 0;
	double others = machine_cpu(), own = own_cpu(), total = 0;
	size_t steps = 0;
	while (steps < MOST_STEPS && (total < settings.seconds || steps < 3)) {
		uint64_t start = bd_now_ns();
		step(&job, settings.batch);
		total += times[steps++] = 1e-9 * (double)(bd_now_ns() - start);
	}
	own = own_cpu() - own;
	others = (machine_cpu() - others - own) / total;
	qsort(times, steps, sizeof *times, compare);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	double scale = 1e-6 / (double)steps;
	const struct bd_kernels *kernels = bd_graph_kernels(job.graph);
	printf("{\"model\":\"%s\",\"batch\":%u,\"threads\":%u,\"simd\":\"%s\",\"gemm\":\"%s\",\"convolution\":\"%s\",\"images_per_"
	       "s\":%.1f,"
	       "\"images_per_s_median\":%.1f,\"images_per_s_best\":%.1f,\"step_ms\":%.2f,\"forward_ms\":%.2f,\"backward_ms\":%.2f,"
	       "\"update_ms\":%.2f,\"cpu_ms_per_image\":%.3f,\"steps\":%zu,\"cores_by_others\":%.2f,\"peak_rss_bytes\":%ld}\n",
	       name, settings.batch, bd_graph_threads(job.graph), bd_simd_name(kernels->level),
	       kernels->openblas ? "openblas" : "own", settings.exact ? "exact" : "fast", settings.batch * (double)steps / total,
	       settings.batch / times[steps / 2], settings.batch / times[0], 1e3 * times[steps / 2], scale * (double)job.forward_ns,
	       scale * (double)job.backward_ns, scale * (double)job.update_ns, 1e3 * own / (double)(steps * settings.batch), steps,
	       others > 0 ? others : 0, usage.ru_maxrss * 1024);
	fflush(stdout);
	bd_optimizer_destroy(job.optimizer);
	bd_graph_destroy(job.graph);
	free((void *)(uintptr_t)job.input.data);
	free(job.gradient);
}

int main(int argc, char **argv)
{
	static const char *const all[] = { "cnn28", "cnn150", "squeezenet-head", "mobilenet-head", "vgg16-head", "vgg16-block5" };
	const char *chosen[sizeof all / sizeof *all];
	size_t count = 0;
	struct settings settings = { .seconds = 5 };
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (!strcmp(argv[i], "--batch"))
			settings.batch = (uint32_t)strtoul(value, NULL, 10), i++;
		else if (!strcmp(argv[i], "--threads"))
			settings.threads = (uint32_t)strtoul(value, NULL, 10), i++;
		else if (!strcmp(argv[i], "--seconds"))
			settings.seconds = strtod(value, NULL), i++;
		else if (!strcmp(argv[i], "--exact"))
			settings.exact = true;
		else if (!strcmp(argv[i], "--forward"))
			settings.forward = true;
		else if (count < sizeof all / sizeof *all)
			chosen[count++] = argv[i];
	}
	for (size_t i = 0; i < (count ? count : sizeof all / sizeof *all); i++)
		measure(count ? chosen[i] : all[i], settings);
	return 0;
}
