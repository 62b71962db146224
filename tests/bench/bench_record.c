/*
 * bench_record.c - what every record goes through, in memory: CRC-32C, framing, finding features, inflating, indexing.
 *
 *   bench_record [SECONDS-PER-LINE]
 *
 * One line of JSON each: {"what":"crc32c","bytes":67500,"gb_per_s":30.1,"ns":2240}.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/record/crc32c.h"
#include "common/record/deflate.h"
#include "common/record/example.h"
#include "common/record/example_writer.h"
#include "common/record/shard_index.h"
#include "common/record/tfrecord.h"

static double seconds = 0.3;
static volatile uint32_t sink;

struct work {
	uint8_t *bytes;
	size_t length;
	struct bd_example_writer writer;
	int fd;
};

static void die(const char *what)
{
	fprintf(stderr, "bench_record: %s\n", what);
	exit(1);
}

/* Repeats `once` for the time and prints the fastest of five parts: the machine may be busy. */
static void measure(const char *what, size_t bytes, void (*once)(struct work *), struct work *work)
{
	double best = 1e30;
	for (int part = 0; part < 5; part++) {
		uint64_t start = bd_now_ns(), now = start, runs = 0, limit = (uint64_t)(seconds * 1e9 / 5);
		for (; now - start < limit; now = bd_now_ns())
			for (int i = 0; i < 16; i++, runs++)
				once(work);
		double ns = (double)(now - start) / (double)runs;
		best = ns < best ? ns : best;
	}
	printf("{\"what\":\"%s\",\"bytes\":%zu,\"gb_per_s\":%.2f,\"ns\":%.1f}\n", what, bytes, (double)bytes / best, best);
	fflush(stdout);
}

static void run_crc(struct work *work)
{
	sink = bd_crc32c(0, work->bytes, work->length);
}

static void run_crc_tables(struct work *work)
{
	sink = bd_crc32c_portable(0, work->bytes, work->length);
}

static void run_header(struct work *work)
{
	uint64_t length;
	bd_tfrecord_header(work->length, work->bytes);
	sink = bd_tfrecord_is_header(work->bytes, &length);
}

static void run_find(struct work *work)
{
	static const struct bd_feature_name names[] = { { "image", 5 }, { "label", 5 } };
	struct bd_feature_view views[2];
	struct bd_bytes_view image;
	int64_t label;
	size_t count;
	if (bd_example_find(work->bytes, work->length, names, 2, views, NULL) < 0 ||
	    bd_feature_read_bytes(&views[0], &image, 1, &count, NULL) < 0 ||
	    bd_feature_read_int64(&views[1], &label, 1, &count, NULL) < 0)
		die("the Example does not read back");
	sink = (uint32_t)label + image.bytes[0];
}

static void run_write(struct work *work)
{
	const uint8_t *bytes;
	int64_t label = 1;
	bd_example_writer_begin(&work->writer);
	bd_example_writer_add_bytes(&work->writer, "image", work->bytes, work->length);
	bd_example_writer_add_int64(&work->writer, "label", &label, 1);
	size_t length;
	if (bd_example_writer_end(&work->writer, &bytes, &length, NULL) < 0)
		die("no memory");
	sink = bytes[0];
}

static void run_inflate(struct work *work)
{
	struct bd_inflater *inflater;
	size_t done;
	if (bd_inflater_create(work->fd, BD_COMPRESSION_GZIP, &inflater, NULL) < 0 ||
	    bd_inflater_read(inflater, NULL, work->length, &done, NULL) < 0 || done != work->length)
		die("does not inflate");
	bd_inflater_destroy(inflater);
}

static void run_index(struct work *work)
{
	struct bd_index_options options = { .ignore_text = true };
	struct bd_shard_index *index;
	if (bd_shard_index_open_fd(work->fd, "bench", &options, &index, NULL) < 0 || bd_shard_index_count(index) != 1000)
		die("cannot index");
	bd_shard_index_destroy(index);
}

static int put(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	(void)error;
	if (write(*(int *)context, bytes, length) != (ssize_t)length)
		die("cannot write");
	return 0;
}

static int memory_file(void)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	if (fd < 0)
		die("no memory file");
	return fd;
}

static void fill(uint8_t *bytes, size_t length)
{
	uint32_t x = 7;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)((x = x * 1664525 + 1013904223) >> 27);
}

static void bench_inflate(uint8_t *bytes, size_t length)
{
	struct work work = { .length = length, .fd = memory_file() };
	struct bd_deflater *deflater;
	if (bd_deflater_create(BD_COMPRESSION_GZIP, 6, put, &work.fd, &deflater, NULL) < 0 ||
	    bd_deflater_write(deflater, bytes, length, NULL) < 0 || bd_deflater_end(deflater, NULL) < 0)
		die("cannot deflate");
	bd_deflater_destroy(deflater);
	measure("inflate gzip, of output", length, run_inflate, &work);
	close(work.fd);
}

/* 1000 records of which only the headers are read: `bytes` is what the shard holds. */
static void bench_index(const uint8_t *bytes, size_t record)
{
	struct work work = { .fd = memory_file() };
	uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES];
	char what[64];
	bd_tfrecord_header(record, header);
	bd_tfrecord_footer(bytes, record, footer);
	for (int i = 0; i < 1000; i++) {
		put(&work.fd, header, sizeof header, NULL);
		put(&work.fd, bytes, record, NULL);
		put(&work.fd, footer, sizeof footer, NULL);
	}
	snprintf(what, sizeof what, "index 1000 records of %zu", record);
	measure(what, 1000 * (record + BD_TFRECORD_FRAMING_BYTES), run_index, &work);
	close(work.fd);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = strtod(argv[1], NULL);
	size_t room = 1 << 20;
	uint8_t *bytes = malloc(room);
	if (!bytes)
		die("no memory");
	fill(bytes, room);
	const size_t lengths[] = { 100, 1000, 23000, 67500, 1 << 20 };
	struct work work = { .bytes = bytes };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		work.length = lengths[i];
		measure("crc32c", work.length, run_crc, &work);
	}
	work.length = 67500;
	measure("crc32c by tables", work.length, run_crc_tables, &work);
	measure("write an Example", work.length, run_write, &work);
	const uint8_t *example;
	if (bd_example_writer_end(&work.writer, &example, &work.length, NULL) < 0)
		die("no memory");
	struct work reading = { .bytes = (uint8_t *)example, .length = work.length };
	measure("find two features", reading.length, run_find, &reading);
	bd_example_writer_finish(&work.writer);
	bench_inflate(bytes, room);
	bench_index(bytes, 67500);
	bench_index(bytes, 100);
	measure("frame and check a header", BD_TFRECORD_HEADER_BYTES, run_header, &work);
	free(bytes);
	return 0;
}
