/*
 * bench_picture.c - bd_picture_decode alone, on one thread: microseconds of CPU time a picture, medians of several turns.
 *
 *   bench_picture                         every workload, on drawn pictures of 375x500
 *   bench_picture WORKLOAD FILE...        shards that hold one picture a record, or picture files
 *     raw        150x150x3 pixels to float32, BGR, minus the mean
 *     jpeg       exact, bilinear to 150x150, float32
 *     scaled     the same with decode: scaled
 *     antialias  exact, antialias to 150x150, float32
 *     crop       random resized crop to 224x224, flip, uint8
 *     crop-scaled
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/file.h"
#include "common/image/encode.h"
#include "common/image/picture.h"
#include "common/record/crc32c.h"
#include "common/record/example.h"
#include "common/record/tfrecord.h"

#define SLOTS 80
#define TURNS 5
#define TURN_NS 300000000u

struct picture {
	const uint8_t *bytes;
	size_t length;
	const uint8_t *record;
	size_t record_length;
};

static struct picture *pictures;
static size_t count;

static void die(const char *what, const struct bd_error *error)
{
	fprintf(stderr, "bench_picture: %s: %s\n", what, error ? error->text : "");
	exit(1);
}

static void add(struct picture picture)
{
	if ((count & (count - 1)) == 0)
		pictures = realloc(pictures, (count ? 2 * count : 1) * sizeof *pictures);
	pictures[count++] = picture;
}

/* The largest byte string of the record. */
static void add_record(const uint8_t *record, size_t length)
{
	struct bd_example example = { 0 };
	struct picture picture = { .record = record, .record_length = length };
	if (bd_example_read(&example, record, length, NULL))
		die("no Example", NULL);
	for (size_t i = 0; i < example.count; i++) {
		struct bd_bytes_view view;
		size_t values = 0;
		if (!bd_feature_read_bytes(&example.features[i], &view, 1, &values, NULL) && values &&
		    view.length > picture.length) {
			picture.bytes = view.bytes;
			picture.length = view.length;
		}
	}
	bd_example_finish(&example);
	add(picture);
}

static void load(const char *path)
{
	uint8_t *bytes = NULL;
	size_t length = 0;
	struct bd_error error;
	if (bd_file_read_all(path, SIZE_MAX / 2, &bytes, &length, &error))
		die(path, &error);
	uint64_t data = 0;
	if (length < BD_TFRECORD_FRAMING_BYTES || !bd_tfrecord_is_header(bytes, &data)) {
		add((struct picture){ bytes, length, bytes, length });
		return;
	}
	for (size_t at = 0; at < length; at += data + BD_TFRECORD_FRAMING_BYTES) {
		if (bd_tfrecord_parse_header(bytes + at, &data, &error))
			die(path, &error);
		add_record(bytes + at + BD_TFRECORD_HEADER_BYTES, data);
	}
}

static struct bd_image_options options_of(const char *workload)
{
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = options.resize_width = 150;
	if (!strcmp(workload, "raw")) {
		options.encoding = BD_ENCODING_RAW;
		options.raw_height = options.raw_width = 150;
		options.raw_channels = 3;
		options.channels = BD_CHANNELS_BGR;
		options.has_mean = true;
		options.mean[0] = options.mean[1] = options.mean[2] = 116.779f;
	}
	if (strstr(workload, "scaled"))
		options.decode = BD_DECODE_SCALED;
	if (!strcmp(workload, "antialias"))
		options.resize_method = BD_RESIZE_ANTIALIAS;
	if (!strncmp(workload, "crop", 4)) {
		options.crop = BD_CROP_RANDOM_RESIZED;
		options.flip = true;
		options.resize_height = options.resize_width = 224;
		options.dtype = BD_UINT8;
	}
	return options;
}

/* The thread's own time: a busy machine does not count against it. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(const char *workload)
{
	struct bd_image_options options = options_of(workload);
	struct bd_picture_decoder *decoder;
	struct bd_error error;
	size_t row = 0;
	if (bd_picture_decoder_create(512u << 20, &decoder, &error) || bd_image_output_bytes(&options, &row, &error))
		die("start", &error);
	uint8_t *slots = aligned_alloc(64, (row * SLOTS + 63) / 64 * 64);
	memset(slots, 0, row * SLOTS);
	double turns[TURNS];
	uint64_t random = 88172645463325252u, sum = 0;
	for (int turn = -1; turn < TURNS; turn++) {
		uint64_t begin = cpu_ns(), now = begin, done = 0;
		while (now - begin < TURN_NS) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			const struct picture *picture = &pictures[random % count];
			sum += bd_crc32c(0, picture->record, picture->record_length);
			struct bd_picture_key key = { .epoch = 1, .record = done };
			if (bd_picture_decode(decoder, &options, picture->bytes, picture->length, key, slots + row * (done % SLOTS),
			                      &error))
				die("decode", &error);
			done++;
			if (done % 16 == 0)
				now = cpu_ns();
		}
		if (turn >= 0)
			turns[turn] = (double)(now - begin) / 1e3 / (double)done;
	}
	qsort(turns, TURNS, sizeof *turns, compare);
	printf("{\"bench\":\"picture\",\"workload\":\"%s\",\"us\":%.1f,\"images_per_s\":%.0f,\"spread_us\":[%.1f,%.1f],\"check\":%"
	       "u}\n",
	       workload, turns[TURNS / 2], 1e6 / turns[TURNS / 2], turns[0], turns[TURNS - 1], (unsigned)(sum & 1));
	bd_picture_decoder_destroy(decoder);
	free(slots);
}

/* Waves and noise: a JPEG of about 30 KB, as a photograph of that size has. */
static void draw(int number, bool raw)
{
	struct bd_pixels pixels;
	struct bd_error error;
	uint32_t height = raw ? 150 : 375, width = raw ? 150 : 500, noise = (uint32_t)number + 1;
	if (bd_pixels_init(&pixels, height, width, 3, &error))
		die("draw", &error);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			for (uint32_t c = 0; c < 3; c++) {
				noise = noise * 1664525u + 1013904223u;
				double wave = sin((x + y * (c + 1)) * 0.013 * (number % 5 + 1)) +
				              cos((y - x * 0.7) * 0.021 * (number % 3 + 1));
				bd_pixels_line(&pixels, y)[3 * x + c] = (uint8_t)(128 + 45 * wave + (noise >> 28));
			}
	uint8_t *bytes = pixels.data;
	size_t length = bd_pixels_bytes(&pixels);
	if (!raw && bd_jpeg_encode(&pixels, 85, &bytes, &length, &error))
		die("encode", &error);
	if (!raw)
		bd_pixels_finish(&pixels);
	add((struct picture){ bytes, length, bytes, length });
}

static void measure_drawn(void)
{
	static const char *const workloads[] = { "raw", "jpeg", "scaled", "antialias", "crop", "crop-scaled" };
	for (size_t w = 0; w < sizeof workloads / sizeof *workloads; w++) {
		if (w < 2)
			for (count = 0; count < 64;)
				draw((int)count, w == 0);
		measure(workloads[w]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		measure_drawn();
		return 0;
	}
	if (argc < 3) {
		fprintf(stderr, "bench_picture [WORKLOAD FILE...]\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		load(argv[i]);
	measure(argv[1]);
	return 0;
}
