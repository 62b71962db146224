/*
 * Every file of data/images_hostile and data/tfrecords, and damage of all of them, on the whole way: index, reading, parsing, decoding,
 * ring. Each input ends, with its own end or with one line; it is not read or inflated over and over; and all of them together leave
 * no memory behind.
 *
 * MUTATION_SECONDS: new damage for so long instead of a fixed number; MUTATION_SEED begins it elsewhere. What an input was is printed when it
 * fails, and after a crash it lies in the test's folder below $TMPDIR.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "common/base/clock.h"
#include "common/record/record_reader.h"
#include "common/record/tfrecord.h"
#include "common/record/deflate.h"
#include "tests/support/corpus.h"
#include "tests/support/data_stream.h"
#include "tests/support/mutate.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc comes without its header */
#endif

#define MEMORY (48ull << 20)
#define SHARD_MOST_BYTES (192u << 10) /* of a damaged one: the beginning of a large file is as good as all of it */
#define PICTURE_MOST_BYTES (64u << 10)
#define ROWS 32 /* records of a shard whose records are damaged */

/* Heap that may stay in use after thousands of inputs: what libraries keep. */
#define LEFT_BYTES (256u << 10)

static struct bd_corpus shards, pictures;
static char *folder, *input; /* the input's path */
static struct bd_engine *engine;
static uint64_t ended_well, ended_with_an_error;

/* ---- work that is counted, in place of libc's and zlib's functions ---- */

static _Atomic uint64_t bytes_read, bytes_inflated;

static ssize_t (*real_pread)(int, void *, size_t, off_t); /* set before threads start */
static int (*real_inflate)(z_streamp, int);

ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
	ssize_t got = real_pread(fd, buffer, count, offset);
	if (got > 0)
		atomic_fetch_add(&bytes_read, (uint64_t)got);
	return got;
}

int inflate(z_streamp stream, int flush)
{
	uLong before = stream->total_out;
	int result = real_inflate(stream, flush);
	atomic_fetch_add(&bytes_inflated, stream->total_out - before);
	return result;
}

static uint64_t heap_in_use(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return __sanitizer_get_current_allocated_bytes();
#elif defined(__SANITIZE_THREAD__)
	return 0; /* it has an allocator of its own, and no such count */
#else
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
#endif
}

/* ---- one input on its way ---- */

static void expect_one_line(const struct bd_error *error, const char *what)
{
	if (!error->text[0] || strchr(error->text, '\n'))
		fail_msg("%s: not one line: '%s'", what, error->text);
}

/* Reads the dataset to its end; `what` is said when it goes wrong. */
static void run(const char *yaml, enum bd_shuffle shuffle, const char *what)
{
	struct bd_stream_spec spec;
	struct bd_error error = { 0 };
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	bd_stream_spec_init(&spec);
	spec.batch = 16;
	spec.shuffle = shuffle;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	if (!pipeline)
		fail_msg("%s: %s", what, error.text);
	if (bd_test_wait_ready(pipeline, &error) == BD_PIPELINE_READY) {
		int result;
		assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
		bd_pipeline_start(pipeline);
		while ((result = bd_test_next(&consumer, 60000, &item)) == 0)
			bd_test_release(&consumer, &item);
		bd_test_detach(&consumer);
		if (result != -ENODATA && result != -EIO)
			fail_msg("%s: it does not end (%d)", what, result);
		if (result == -EIO)
			bd_pipeline_state(pipeline, &error);
		ended_well += result == -ENODATA;
	}
	if (bd_pipeline_state(pipeline, &error) == BD_PIPELINE_FAILED) {
		expect_one_line(&error, what);
		ended_with_an_error++;
	}
	bd_pipeline_destroy(pipeline);
}

/* An input may be indexed, read, and looked at again where it is damaged: some passes, whatever is in it. */
static void run_bounded(const char *yaml, enum bd_shuffle shuffle, size_t length, const char *what)
{
	uint64_t before = atomic_load(&bytes_read), most = 8 * length + (1 << 20);
	run(yaml, shuffle, what);
	uint64_t was_read = atomic_load(&bytes_read) - before;
	if (was_read > most)
		fail_msg("%s: %llu bytes were read of an input of %zu", what, (unsigned long long)was_read, length);
}

static void write_input(const uint8_t *bytes, size_t length, const char *what)
{
	char *about = bd_test_path(folder, "about");
	bd_test_write_file(input, bytes, length);
	bd_test_write_file(about, what, strlen(what));
	free(about);
}

/* ---- files as they are ---- */

static void shards_as_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < shards.count; i++) {
		char yaml[4096];
		const struct bd_corpus_file *file = &shards.files[i];
		snprintf(yaml, sizeof yaml, "shards: '%s'\n%son_error: skip\nskip_limit: 1.0\n", file->path, file->features);
		run_bounded(yaml, BD_SHUFFLE_NONE, file->length, file->path);
	}
	assert_int_equal(ended_well, shards.count);
}

static const char *const picture_options[] = {
	"{type: image, dtype: uint8, resize: {height: 24, width: 24}}",
	"{type: image, decode: scaled, mean: 100, scale: 0.1, resize: {height: 16, width: 30, method: antialias}}",
	"{type: image, channels: grey, crop: {kind: random_resized}, resize: {height: 8, width: 8, method: area}}",
	"{type: image, dtype: uint8, crop: {kind: center}, flip: horizontal, layout: nchw, resize: {height: 20, width: 12, method: "
	"nearest}}",
};
#define OPTIONS (sizeof picture_options / sizeof *picture_options)

static void pictures_as_they_are(void **state)
{
	(void)state;
	for (size_t way = 0; way < OPTIONS; way++) {
		char *yaml = NULL;
		size_t size, bytes = 0;
		FILE *text = open_memstream(&yaml, &size);
		fprintf(text, "shards:\n  files:\n");
		for (size_t i = 0; i < pictures.count; i++) {
			fprintf(text, "  - '%s'\n", pictures.files[i].path);
			bytes += pictures.files[i].length;
		}
		fprintf(text, "features: {image: %s}\non_error: skip\nskip_limit: 1.0\n", picture_options[way]);
		fclose(text);
		run_bounded(yaml, BD_SHUFFLE_GLOBAL, bytes, picture_options[way]);
		free(yaml);
	}
	assert_int_equal(ended_well, OPTIONS);
}

/* ---- damage ---- */

static const struct bd_corpus_file *any_of(struct bd_mutator *mutator, const struct bd_corpus *corpus)
{
	return &corpus->files[bd_mutator_below(mutator, corpus->count)];
}

/* A length field with its right CRC that says something else. */
static void lie_about_a_length(struct bd_mutator *mutator, uint8_t *bytes, size_t length)
{
	uint64_t record = 0;
	size_t at = 0;
	for (size_t skip = bd_mutator_below(mutator, 8); skip-- > 0; at += (size_t)record + 16) {
		if (at + BD_TFRECORD_HEADER_BYTES > length || !bd_tfrecord_is_header(bytes + at, &record) || record > length - at)
			return;
	}
	if (at + BD_TFRECORD_HEADER_BYTES <= length)
		bd_tfrecord_header(bd_mutator_next(mutator) >> bd_mutator_below(mutator, 64), bytes + at);
}

static void damaged_shard(struct bd_mutator *mutator, const char *what)
{
	const struct bd_corpus_file *file = any_of(mutator, &shards), *other = any_of(mutator, &shards);
	char yaml[4096];
	size_t length;
	uint8_t *bytes = bd_mutate(mutator, file->bytes, file->length, other->bytes, other->length, SHARD_MOST_BYTES, &length);
	if (bd_mutator_below(mutator, 3) == 0)
		lie_about_a_length(mutator, bytes, length);
	write_input(bytes, length, what);
	free(bytes);
	snprintf(yaml, sizeof yaml, "shards: input\n%s%s", file->features,
	         bd_mutator_below(mutator, 8) ? "on_error: skip\nskip_limit: 1.0\n" : "");
	run_bounded(yaml, (enum bd_shuffle)bd_mutator_below(mutator, 3), length, what);
}

/* ---- damaged records in good frames ---- */

struct shard {
	uint8_t *bytes;
	size_t length;
};

static int put(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct shard *shard = context;
	(void)error;
	shard->bytes = realloc(shard->bytes, shard->length + length + 1);
	assert_non_null(shard->bytes);
	memcpy(shard->bytes + shard->length, bytes, length);
	shard->length += length;
	return 0;
}

static void put_record(struct shard *shard, const uint8_t *bytes, size_t length)
{
	uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES];
	bd_tfrecord_header(length, header);
	bd_tfrecord_footer(bytes, length, footer);
	put(shard, header, sizeof header, NULL);
	put(shard, bytes, length, NULL);
	put(shard, footer, sizeof footer, NULL);
}

/* Writes the shard as the input, one in three compressed, and frees it. */
static size_t write_shard(struct bd_mutator *mutator, struct shard *shard, const char *what)
{
	struct shard packed = { 0 };
	if (bd_mutator_below(mutator, 3) == 0) {
		enum bd_compression compression = bd_mutator_below(mutator, 2) ? BD_COMPRESSION_GZIP : BD_COMPRESSION_ZLIB;
		struct bd_deflater *deflater;
		assert_int_equal(bd_deflater_create(compression, 1, put, &packed, &deflater, NULL), 0);
		assert_int_equal(bd_deflater_write(deflater, shard->bytes, shard->length, NULL), 0);
		assert_int_equal(bd_deflater_end(deflater, NULL), 0);
		bd_deflater_destroy(deflater);
	}
	const struct shard *written = packed.length ? &packed : shard;
	size_t length = written->length;
	write_input(written->bytes, length, what);
	free(packed.bytes);
	free(shard->bytes);
	return length;
}

static void damaged_records(struct bd_mutator *mutator, const char *what)
{
	const struct bd_corpus_file *file = any_of(mutator, &shards);
	struct bd_record_reader reader;
	struct bd_record record;
	struct shard shard = { 0 };
	uint8_t *before = calloc(1, 1); /* the record that was damaged last: what is spliced in */
	size_t before_length = 1;
	FILE *opened = fopen(file->path, "re");
	assert_non_null(opened);
	assert_int_equal(bd_record_reader_init(&reader, fileno(opened), BD_COMPRESSION_AUTO, true, 0, NULL), 0);
	for (int i = 0; i < ROWS && bd_record_reader_next(&reader, &record, NULL) > 0;) {
		if (record.length == 0 || bd_mutator_below(mutator, 2))
			continue;
		size_t length;
		uint8_t *bytes = bd_mutate(mutator, record.data, record.length, before, before_length, PICTURE_MOST_BYTES, &length);
		put_record(&shard, bytes, length);
		free(before);
		before = bytes;
		before_length = length;
		i++;
	}
	free(before);
	bd_record_reader_finish(&reader);
	fclose(opened);
	char yaml[4096];
	size_t length = write_shard(mutator, &shard, what);
	snprintf(yaml, sizeof yaml, "shards: input\n%son_error: skip\nskip_limit: 1.0\n", file->features);
	run_bounded(yaml, (enum bd_shuffle)bd_mutator_below(mutator, 3), length, what);
}

static void damaged_pictures(struct bd_mutator *mutator, const char *what)
{
	struct bd_example_writer writer = { 0 };
	struct shard shard = { 0 };
	for (int i = 0; i < ROWS; i++) {
		const struct bd_corpus_file *file = any_of(mutator, &pictures), *other = any_of(mutator, &pictures);
		const uint8_t *record;
		size_t length;
		uint8_t *bytes = bd_mutate(mutator, file->bytes, file->length, other->bytes, other->length, PICTURE_MOST_BYTES,
		                           &length);
		bd_example_writer_begin(&writer);
		bd_example_writer_add_bytes(&writer, "image", bytes, length);
		free(bytes);
		assert_int_equal(bd_example_writer_end(&writer, &record, &length, NULL), 0);
		put_record(&shard, record, length);
	}
	bd_example_writer_finish(&writer);
	char yaml[1024];
	size_t length = write_shard(mutator, &shard, what);
	snprintf(yaml, sizeof yaml, "shards: input\nfeatures: {image: %s}\non_error: skip\nskip_limit: 1.0\n",
	         picture_options[bd_mutator_below(mutator, OPTIONS)]);
	run_bounded(yaml, (enum bd_shuffle)bd_mutator_below(mutator, 3), length, what);
}

/* A gzip stream that holds all of the shard and then a block that cannot be one. */
static void put_packed_and_broken(struct shard *packed, struct shard *shard)
{
	z_stream stream = { .next_in = shard->bytes, .avail_in = (uInt)shard->length };
	assert_int_equal(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	packed->bytes = malloc(shard->length + 1024);
	assert_non_null(packed->bytes);
	stream.next_out = packed->bytes;
	stream.avail_out = (uInt)shard->length + 1024;
	assert_int_equal(deflate(&stream, Z_FULL_FLUSH), Z_OK);
	packed->length = (size_t)stream.total_out;
	deflateEnd(&stream);
	put(packed, (const uint8_t *)"\xff\xff\xff\xff", 4, NULL);
}

/* In any order, records before the damage cost what they cost in a good shard: not an inflation each. */
static void compressed_shard_with_a_damaged_end_is_inflated_twice(void **state)
{
	(void)state;
	enum { RECORDS = 2000, RECORD_BYTES = 300, STREAM_BYTES = RECORDS * (RECORD_BYTES + 16) };
	struct bd_mutator mutator = { .state = 1 };
	struct shard shard = { 0 }, packed = { 0 };
	for (int i = 0; i < RECORDS; i++) {
		uint8_t record[RECORD_BYTES];
		for (size_t k = 0; k < sizeof record; k++)
			record[k] = (uint8_t)(bd_mutator_next(&mutator) % 16);
		put_record(&shard, record, sizeof record);
	}
	put_packed_and_broken(&packed, &shard);
	write_input(packed.bytes, packed.length, "damaged end");
	uint64_t before = atomic_load(&bytes_inflated);
	run("shards: input\nfeatures: {x: {type: int64, default: 1}}\non_error: skip\nskip_limit: 1.0\n", BD_SHUFFLE_GLOBAL,
	    "damaged end");
	uint64_t inflated = atomic_load(&bytes_inflated) - before;
	assert_int_equal(ended_well, 1);
	assert_int_equal(inflated, 2 * STREAM_BYTES);
	free(packed.bytes);
	free(shard.bytes);
}

/* ---- many of them, and what they leave ---- */

typedef void damaging(struct bd_mutator *mutator, const char *what);

static uint64_t number_of(const char *variable)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 10) : 0;
}

static void try_inputs(damaging *damage, const char *name, uint64_t first, uint64_t count, uint64_t end_ns)
{
	engine = bd_test_engine(2, MEMORY);
	for (uint64_t i = first; end_ns ? bd_now_ns() < end_ns : i < first + count; i++) {
		char what[256];
		struct bd_mutator mutator = { .state = i };
		snprintf(what, sizeof what, "%s, MUTATION_SEED=%llu", name, (unsigned long long)i);
		damage(&mutator, what);
	}
	bd_engine_destroy(engine);
	engine = NULL;
}

static void many(damaging *damage, const char *name, uint64_t count)
{
	uint64_t seed = number_of("MUTATION_SEED"), seconds = number_of("MUTATION_SECONDS");
	try_inputs(damage, name, seed, 8, 0); /* what libraries make once is made */
	uint64_t heap = heap_in_use();
	ended_well = ended_with_an_error = 0;
	try_inputs(damage, name, seed, count, seconds ? bd_now_ns() + seconds * BD_NS_PER_S : 0);
	uint64_t left = heap_in_use();
	print_message("%s: %llu ended well, %llu with an error\n", name, (unsigned long long)ended_well,
	              (unsigned long long)ended_with_an_error);
	assert_true(ended_well > 0);
	if (left > heap + LEFT_BYTES)
		fail_msg("%s: %llu bytes of the heap are in use, %llu before", name, (unsigned long long)left,
		         (unsigned long long)heap);
}

static void damaged_shards_do_no_harm(void **state)
{
	(void)state;
	many(damaged_shard, "damaged shards", 150);
}

static void damaged_records_do_no_harm(void **state)
{
	(void)state;
	many(damaged_records, "damaged records", 60);
}

static void damaged_pictures_do_no_harm(void **state)
{
	(void)state;
	many(damaged_pictures, "damaged pictures", 40);
}

static int setup(void **state)
{
	(void)state;
	ended_well = 0;
	engine = bd_test_engine(2, MEMORY);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_engine_destroy(engine);
	engine = NULL;
	return 0;
}

int main(void)
{
	real_pread = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
	real_inflate = (int (*)(z_streamp, int))dlsym(RTLD_NEXT, "inflate");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shards_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(pictures_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(compressed_shard_with_a_damaged_end_is_inflated_twice, setup, teardown),
		cmocka_unit_test(damaged_shards_do_no_harm),
		cmocka_unit_test(damaged_records_do_no_harm),
		cmocka_unit_test(damaged_pictures_do_no_harm),
	};
	if (!bd_corpus_load("data/tfrecords", &shards) || !bd_corpus_load("data/images_hostile", &pictures))
		return 0; /* skipped, as was said */
	bd_corpus_describe(&shards);
	folder = bd_test_folder();
	input = bd_test_path(folder, "input");
	int failed = cmocka_run_group_tests_name("mutations", tests, NULL, NULL);
	bd_test_folder_remove(folder);
	free(input);
	bd_corpus_finish(&shards);
	bd_corpus_finish(&pictures);
	return failed;
}
