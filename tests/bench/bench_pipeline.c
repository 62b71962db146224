/*
 * bench_pipeline.c - the data plane within one process, beside loops that do only the work that cannot be left out.
 *
 *   bench_pipeline [--data DATASET.yaml] [--records 2000] [--batch 20] [--threads 2] [--seconds 3] [--shuffle global] [--memory MIB]
 *
 * Without --data: raw pictures of 150x150x3 (67,500 bytes) in 8 shards below $TMPDIR. One line of JSON a loop:
 *   memory    records in memory: CRC, Example, pixels to the slot; threads that share nothing. The limit.
 *   pread     the same, each record read into a buffer of half an L2 cache first
 *   mmap      the same from mapped shards, page tables filled by the first pass
 *   fault     the same from shards that are mapped anew for each pass: what bounded memory would cost
 *   pipeline  engine, order, ring and a consumer that touches one row of every batch
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/record/dataset.h"
#include "common/record/tfrecord.h"
#include "daemon/data/layout.h"
#include "daemon/data/records.h"
#include "daemon/data/row.h"
#include "daemon/data/worker.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"

#define SHARDS 8
#define PIXELS (150 * 150 * 3)
#define MAX_THREADS 64

static struct {
	const char *data;
	uint64_t records, memory_mib;
	uint32_t batch;
	unsigned threads;
	double seconds;
	enum bd_shuffle shuffle;
} options = { .records = 2000, .memory_mib = 1024, .batch = 20, .threads = 2, .seconds = 3, .shuffle = BD_SHUFFLE_GLOBAL };

static struct bd_dataset *dataset;
static struct bd_layout layout;
static struct bd_row_plan plan;
static struct bd_records records;
static _Atomic bool stop;

static void die(const char *what)
{
	fprintf(stderr, "bench_pipeline: %s\n", what);
	exit(1);
}

/* ---- data ---- */

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	static uint8_t pixels[PIXELS];
	int64_t label = (int64_t)(number % 2);
	(void)context;
	for (size_t i = 0; i < PIXELS; i++)
		pixels[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
	bd_example_writer_add_bytes(writer, "image", pixels, PIXELS);
	bd_example_writer_add_int64(writer, "label", &label, 1);
}

static const char yaml[] = "shards: '*.tfrecord'\n"
			   "features:\n"
			   "  image: {type: image, encoding: raw, shape: [150, 150, 3], channels: bgr, mean: 116.779}\n"
			   "  label: {type: int64}\n";

static void make_data(const char *folder)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		char name[32];
		snprintf(name, sizeof name, "%u.tfrecord", i);
		char *path = bd_test_path(folder, name);
		uint64_t first = options.records * i / SHARDS;
		bd_test_shard(path, BD_COMPRESSION_NONE, first, options.records * (i + 1) / SHARDS - first, make_record, NULL);
		free(path);
	}
}

static void open_data(const char *folder)
{
	struct bd_error error;
	int result = options.data ? bd_dataset_load(options.data, &dataset, &error)
	                          : bd_dataset_parse("bench", folder, yaml, strlen(yaml), &dataset, &error);
	if (result == 0)
		result = bd_layout_init(&layout, dataset, options.batch, &error);
	if (result == 0)
		result = bd_row_plan_init(&plan, &layout, dataset, &error);
	if (result == 0)
		result = bd_records_init(&records, dataset, NULL, NULL, &error);
	for (size_t i = 0; result == 0 && i < dataset->path_count; i++)
		result = bd_records_open_file(&records, i, &error);
	if (result == 0)
		result = bd_records_settle(&records, &error);
	if (result < 0)
		die(error.text);
}

static double cpu_us(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Of the whole process for each image of the last measurement: says more than the rate when other programs run. */
static double cpu_us_per_image;

/* ---- loops that share nothing ---- */

enum from { FROM_MEMORY, FROM_PREAD, FROM_MMAP, FROM_FAULT };

struct loop {
	pthread_t thread;
	enum from from;
	unsigned number;
	uint64_t done;
	uint8_t **maps; /* of the files */
};

static uint8_t **map_files(enum from from)
{
	uint8_t **maps = calloc(dataset->path_count, sizeof *maps);
	for (size_t i = 0; i < dataset->path_count; i++) {
		size_t size = (size_t)records.files[i].key.st_size;
		if (from == FROM_MEMORY) {
			size_t got;
			struct bd_error error;
			maps[i] = malloc(size + 1);
			if (!maps[i] || bd_file_read_full(records.files[i].fd, maps[i], size, 0, &got, &error) < 0)
				die("reading");
		} else if (size) {
			maps[i] = mmap(NULL, size, PROT_READ, MAP_SHARED, records.files[i].fd, 0);
			if (maps[i] == MAP_FAILED)
				die("mapping");
		}
	}
	return maps;
}

static void unmap_files(uint8_t **maps, enum from from)
{
	for (size_t i = 0; i < dataset->path_count; i++) {
		if (from == FROM_MEMORY)
			free(maps[i]);
		else if (maps[i])
			munmap(maps[i], (size_t)records.files[i].key.st_size);
	}
	free(maps);
}

static void one_record(struct loop *loop, struct bd_worker *worker, uint64_t record, uint8_t *slot)
{
	struct bd_place place = bd_records_place(&records, record);
	struct bd_error error;
	const uint8_t *data;
	size_t got;
	if (loop->from == FROM_PREAD) {
		if (bd_file_read_full(records.files[place.file].fd, worker->buffer, place.length + 4, place.offset, &got, &error) <
		    0)
			die(error.text);
		data = worker->buffer;
	} else {
		data = loop->maps[place.file] + place.offset;
	}
	struct bd_row_input input = { .data = data, .length = place.length, .key = { 0, 0, record } };
	if (bd_tfrecord_check_data(data, place.length, data + place.length, &error) < 0 ||
	    bd_row_write(&plan, worker, &input, slot, (uint32_t)(record % options.batch), NULL, &error) < 0)
		die(error.text);
}

/* Batches of neighbours in a scattered order, as many slots as a ring has. */
static void *loop_main(void *context)
{
	struct loop *loop = context;
	struct bd_worker worker;
	struct bd_error error;
	uint64_t batches = records.records / options.batch, at = loop->number;
	if (bd_worker_init(&worker, loop->number, 64 << 20, &error) < 0)
		die(error.text);
	uint8_t *slots = mmap(NULL, layout.var_offset * 3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
	                      0);
	uint64_t pass = 0;
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint64_t batch = at * 7919 % batches;
		for (uint32_t i = 0; i < options.batch; i++)
			one_record(loop, &worker, batch * options.batch + i, slots + at % 3 * layout.var_offset);
		loop->done += options.batch;
		at += options.threads;
		if (loop->from == FROM_FAULT && at / batches != pass) {
			pass = at / batches;
			for (size_t i = 0; i < dataset->path_count; i++)
				madvise(loop->maps[i], (size_t)records.files[i].key.st_size, MADV_DONTNEED);
		}
	}
	munmap(slots, layout.var_offset * 3);
	bd_worker_finish(&worker);
	return NULL;
}

static double run_loop(enum from from)
{
	static struct loop loops[MAX_THREADS];
	uint64_t done = 0;
	atomic_store(&stop, false);
	for (unsigned i = 0; i < options.threads; i++) {
		loops[i] = (struct loop){ .from = from, .number = i };
		loops[i].maps = map_files(from);
		pthread_create(&loops[i].thread, NULL, loop_main, &loops[i]);
	}
	usleep((unsigned)(options.seconds * 0.3e6));
	uint64_t begin_ns = bd_now_ns(), before = 0;
	double cpu_before = cpu_us();
	for (unsigned i = 0; i < options.threads; i++)
		before += loops[i].done;
	usleep((unsigned)(options.seconds * 1e6));
	for (unsigned i = 0; i < options.threads; i++)
		done += loops[i].done;
	double seconds = (double)(bd_now_ns() - begin_ns) / 1e9;
	cpu_us_per_image = (cpu_us() - cpu_before) / (double)(done - before);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < options.threads; i++) {
		pthread_join(loops[i].thread, NULL);
		unmap_files(loops[i].maps, from);
	}
	return (double)(done - before) / seconds;
}

/* ---- the pipeline ---- */

static double run_pipeline(const char *folder, struct bd_pipeline_statistics *ret_statistics)
{
	struct bd_stream_spec spec;
	struct bd_error error;
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	uint64_t sink = 0;
	bd_stream_spec_init(&spec);
	spec.batch = options.batch;
	spec.shuffle = options.shuffle;
	spec.epochs = 0;
	struct bd_engine *engine = bd_test_engine(options.threads, options.memory_mib << 20);
	struct bd_pipeline_options pipeline_options = { .spec = spec };
	struct bd_pipeline *pipeline;
	int result = options.data ? bd_dataset_load(options.data, &pipeline_options.dataset_take, &error)
	                          : bd_dataset_parse("bench", folder, yaml, strlen(yaml), &pipeline_options.dataset_take, &error);
	if (result < 0 || bd_pipeline_create(engine, &pipeline_options, &pipeline, &error) < 0 ||
	    bd_test_wait_ready(pipeline, &error) != BD_PIPELINE_READY || bd_test_attach(pipeline, NULL, &consumer, &error) < 0)
		die(error.text);
	bd_pipeline_start(pipeline);
	double cpu_before = 0;
	uint64_t begin_ns = 0, first_ns = bd_now_ns(), done = 0, now_ns = 0;
	do {
		if (bd_test_next(&consumer, 60000, &item) < 0) {
			bd_pipeline_state(pipeline, &error);
			die(error.text);
		}
		for (uint64_t i = 0; i < layout.fixed_row_bytes; i += 64)
			sink += item.data[layout.records_offset + i];
		bd_test_release(&consumer, &item);
		now_ns = bd_now_ns();
		if (!begin_ns && (double)(now_ns - first_ns) > options.seconds * 0.3e9)
			begin_ns = now_ns, cpu_before = cpu_us();
		else if (begin_ns)
			done += item.rows;
	} while (!begin_ns || (double)(now_ns - begin_ns) < options.seconds * 1e9);
	cpu_us_per_image = (cpu_us() - cpu_before) / (double)done;
	if (sink == 1) /* the bytes were looked at: the sum must be used */
		fprintf(stderr, "\n");
	bd_pipeline_statistics(pipeline, ret_statistics);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
	return (double)done / ((double)(now_ns - begin_ns) / 1e9);
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *word = argv[i], *value = argv[i + 1];
		if (!strcmp(word, "--data"))
			options.data = value;
		else if (!strcmp(word, "--records"))
			options.records = strtoull(value, NULL, 10);
		else if (!strcmp(word, "--memory"))
			options.memory_mib = strtoull(value, NULL, 10);
		else if (!strcmp(word, "--batch"))
			options.batch = (uint32_t)strtoul(value, NULL, 10);
		else if (!strcmp(word, "--threads"))
			options.threads = (unsigned)strtoul(value, NULL, 10);
		else if (!strcmp(word, "--seconds"))
			options.seconds = strtod(value, NULL);
		else if (!strcmp(word, "--shuffle"))
			options.shuffle = !strcmp(value, "none")     ? BD_SHUFFLE_NONE
			                  : !strcmp(value, "window") ? BD_SHUFFLE_WINDOW
			                                             : BD_SHUFFLE_GLOBAL;
		else
			die("unknown option");
	}
	if (!options.batch || !options.threads || options.threads > MAX_THREADS || options.records < options.batch)
		die("wrong number");
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "memory", "pread", "mmap", "fault" };
	struct bd_pipeline_statistics statistics;
	parse(argc, argv);
	char *folder = bd_test_folder();
	if (!options.data)
		make_data(folder);
	open_data(folder);
	for (int from = FROM_MEMORY; from <= FROM_FAULT && dataset->source == BD_SOURCE_TFRECORD; from++) {
		double rate = run_loop((enum from)from);
		printf("{\"loop\":\"%s\",\"threads\":%u,\"images_per_s\":%.0f,\"cpu_us\":%.2f}\n", names[from], options.threads,
		       rate, cpu_us_per_image);
	}
	fflush(stdout);
	double rate = run_pipeline(folder, &statistics);
	printf("{\"loop\":\"pipeline\",\"threads\":%u,\"images_per_s\":%.0f,\"cpu_us\":%.2f,\"disk_us\":%.2f,\"decode_us\":%.2f,"
	       "\"ring_full_s\":%."
	       "3f,"
	       "\"ring_empty_s\":%.3f,\"bottleneck\":\"%s\"}\n",
	       options.threads, rate, cpu_us_per_image, (double)statistics.disk_ns / 1e3 / (double)statistics.records,
	       (double)statistics.decode_ns / 1e3 / (double)statistics.records, (double)statistics.ring_full_ns / 1e9,
	       (double)statistics.ring_empty_ns / 1e9, statistics.bottleneck);
	bd_records_finish(&records);
	bd_row_plan_finish(&plan);
	bd_layout_finish(&layout);
	bd_dataset_destroy(dataset);
	bd_test_folder_remove(folder);
	return 0;
}
