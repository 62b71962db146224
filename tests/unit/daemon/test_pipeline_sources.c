/* Every kind of source gives the records it holds: plain, gzip and zlib shards, image folders, sequences; large records, failing disks. */
#include <errno.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/image/encode.h"
#include "common/record/tfrecord.h"
#include "tests/support/data_stream.h"
#include "tests/support/golden.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)
#define RECORDS 300
#define ROOM 512

static char *folder;

/* ---- a disk that fails ---- */

static _Atomic int fail_reads;

static ssize_t (*real_pread)(int, void *, size_t, off_t); /* set before threads start */

/* Takes the place of libc's for the whole program. */
ssize_t pread(int fd, void *buffer, size_t count, off_t offset)
{
	if (atomic_load(&fail_reads)) {
		errno = EIO;
		return -1;
	}
	return real_pread(fd, buffer, count, offset);
}

/* ---- datasets ---- */

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	size_t *bytes = context;
	int64_t label = (int64_t)number;
	uint8_t *blob = calloc(1, *bytes + 1);
	for (size_t i = 0; i < *bytes; i++)
		blob[i] = (uint8_t)(number + i * i);
	bd_example_writer_add_int64(writer, "label", &label, 1);
	bd_example_writer_add_bytes(writer, "blob", blob, *bytes - number % 7);
	free(blob);
}

static const char yaml[] = "shards: '*.tfrecord'\nfeatures:\n  label: {type: int64}\n  blob: {type: bytes}\n";

static void make_shards(enum bd_compression compression, size_t blob)
{
	for (unsigned i = 0; i < 3; i++) {
		char name[32];
		snprintf(name, sizeof name, "%u.tfrecord", i);
		char *path = bd_test_path(folder, name);
		bd_test_shard(path, compression, i * RECORDS / 3, RECORDS / 3, make_record, &blob);
		free(path);
	}
}

static int setup(void **state)
{
	(void)state;
	folder = bd_test_folder();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&fail_reads, 0);
	bd_test_folder_remove(folder);
	return 0;
}

static struct bd_stream_spec spec_of(uint32_t batch, enum bd_shuffle shuffle)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = batch;
	spec.shuffle = shuffle;
	return spec;
}

struct fixture {
	struct bd_engine *engine;
	struct bd_pipeline *pipeline;
	struct bd_test_consumer consumer;
	struct bd_error error;
};

static void open_stream(struct fixture *fixture, unsigned threads, uint64_t memory, const char *text,
                        const struct bd_stream_spec *spec)
{
	fixture->engine = bd_test_engine(threads, memory);
	fixture->pipeline = bd_test_pipeline(fixture->engine, folder, text, spec, &fixture->error);
	assert_non_null(fixture->pipeline);
	if (bd_test_wait_ready(fixture->pipeline, &fixture->error) != BD_PIPELINE_READY)
		fail_msg("%s", fixture->error.text);
	assert_int_equal(bd_test_attach(fixture->pipeline, NULL, &fixture->consumer, &fixture->error), 0);
	bd_pipeline_start(fixture->pipeline);
}

static void close_stream(struct fixture *fixture)
{
	bd_test_detach(&fixture->consumer);
	bd_pipeline_destroy(fixture->pipeline);
	bd_engine_destroy(fixture->engine);
}

static void digests(const char *text, enum bd_shuffle shuffle, unsigned threads, uint64_t memory, struct bd_test_batch *ret_batches,
                    size_t *ret_count)
{
	struct bd_stream_spec spec = spec_of(16, shuffle);
	struct bd_engine *engine = bd_test_engine(threads, memory);
	struct bd_error error;
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, text, &spec, &error);
	assert_non_null(pipeline);
	if (bd_test_wait_ready(pipeline, &error) != BD_PIPELINE_READY)
		fail_msg("%s", error.text);
	assert_int_equal(bd_test_read_all(pipeline, NULL, ret_batches, ROOM, ret_count), -ENODATA);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

/* ---- tests ---- */

static void compressed_shards_are_the_plain_ones(void **state)
{
	(void)state;
	static struct bd_test_batch plain[ROOM], packed[ROOM];
	size_t plain_count, packed_count;
	for (int shuffle = BD_SHUFFLE_NONE; shuffle <= BD_SHUFFLE_GLOBAL; shuffle++) {
		make_shards(BD_COMPRESSION_NONE, 3000);
		digests(yaml, (enum bd_shuffle)shuffle, 2, MEMORY, plain, &plain_count);
		assert_int_equal(plain_count, (RECORDS + 15) / 16);
		for (int compression = BD_COMPRESSION_GZIP; compression <= BD_COMPRESSION_ZLIB; compression++) {
			make_shards((enum bd_compression)compression, 3000);
			/* with room for the uncompressed shards, and without: workers' buffers and a ring of these batches, but not 900 kB more */
			for (unsigned variant = 0; variant < 4; variant++) {
				unsigned threads = variant % 2 ? 4 : 1;
				uint64_t memory = variant < 2 ? MEMORY : threads * (9ull << 19) + (3ull << 19);
				digests(yaml, (enum bd_shuffle)shuffle, threads, memory, packed, &packed_count);
				assert_int_equal(packed_count, plain_count);
				for (size_t i = 0; i < plain_count; i++)
					assert_string_equal(packed[i].digest, plain[i].digest);
			}
		}
	}
}

/*
 * Records are inflated ahead from where the stream began: who comes before the first batch is opened begins there too, or is told that
 * it has passed. Which of both is a matter of moments; what the batches hold is not.
 */
static void second_start_while_records_are_inflated_ahead_is_true_or_refused(void **state)
{
	(void)state;
	static struct bd_test_batch all[ROOM], read[ROOM];
	struct bd_stream_spec spec = spec_of(16, BD_SHUFFLE_GLOBAL);
	const struct bd_order_position late = { 0, 9 }, early = { 0, 0 };
	uint64_t memory = (9ull << 19) + (3ull << 19);
	size_t count, read_count;
	make_shards(BD_COMPRESSION_GZIP, 3000);
	digests(yaml, BD_SHUFFLE_GLOBAL, 1, memory, all, &count);
	for (unsigned i = 0; i < 20; i++) {
		struct bd_error error;
		struct bd_engine *engine = bd_test_engine(1, memory);
		struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
		struct bd_test_consumer first;
		assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_READY);
		bd_pipeline_start(pipeline);
		assert_int_equal(bd_test_attach(pipeline, &late, &first, &error), 0);
		usleep(i * 50);
		bd_test_detach(&first);
		int result = bd_test_read_all(pipeline, &early, read, ROOM, &read_count);
		if (result != -ESTALE) {
			assert_int_equal(result, -ENODATA);
			assert_int_equal(read_count, count);
			for (size_t n = 0; n < count; n++)
				assert_string_equal(read[n].digest, all[n].digest);
		}
		bd_pipeline_destroy(pipeline);
		bd_engine_destroy(engine);
	}
}

static void truncated_compressed_shard_is_named(void **state)
{
	(void)state;
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	make_shards(BD_COMPRESSION_GZIP, 3000);
	char *path = bd_test_path(folder, "1.tfrecord");
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size / 2), 0);
	open_stream(&fixture, 2, MEMORY, yaml, &spec);
	int result;
	uint64_t rows = 0;
	while ((result = bd_test_next(&fixture.consumer, 60000, &item)) == 0) {
		rows += item.rows;
		bd_test_release(&fixture.consumer, &item);
	}
	assert_int_equal(result, -EIO);
	assert_true(rows >= 100);
	assert_int_equal(bd_pipeline_state(fixture.pipeline, &fixture.error), BD_PIPELINE_FAILED);
	assert_non_null(strstr(fixture.error.text, "1.tfrecord: record "));
	close_stream(&fixture);
	free(path);
}

static void large_record_is_read_or_refused_by_name(void **state)
{
	(void)state;
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	struct bd_error error;
	size_t blob = 3u << 20;
	char *path = bd_test_path(folder, "0.tfrecord");
	bd_test_shard(path, BD_COMPRESSION_NONE, 0, 3, make_record, &blob);
	open_stream(&fixture, 1, MEMORY, yaml, &spec);
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
	struct bd_ring_array array;
	assert_int_equal(bd_ring_item_array(&item, 1, &array), 0);
	assert_int_equal(array.bytes, blob);
	assert_int_equal(array.data[1000], (uint8_t)(1000 * 1000));
	close_stream(&fixture);

	struct bd_engine *engine = bd_test_engine(1, 7u << 20);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_FAILED);
	assert_int_equal(error.code, -ENOMEM);
	assert_non_null(strstr(error.text, "0.tfrecord: record 0 at byte 0: this record has 31457"));
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
	free(path);
}

static const char yaml_skip[] = "shards: '*.tfrecord'\nfeatures:\n  label: {type: int64}\n  blob: {type: bytes}\n"
				"on_error: skip\nskip_limit: 1.0\n";

/* `on_error: skip` is about records: what the disk does to all of them is no fault of theirs. */
/* What the tools say of it, too; nothing of it is on the disk but its header. */
static void record_of_more_than_2_gib_is_refused_by_name(void **state)
{
	(void)state;
	uint8_t header[BD_TFRECORD_HEADER_BYTES];
	uint64_t length = (2ull << 30) + 1;
	char *path = bd_test_path(folder, "0.tfrecord");
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_stream_spec spec = spec_of(8, BD_SHUFFLE_NONE);
	struct bd_error error = { 0 };
	bd_tfrecord_header(length, header);
	bd_test_write_file(path, header, sizeof header);
	assert_int_equal(truncate(path, (off_t)(length + BD_TFRECORD_FRAMING_BYTES)), 0);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	assert_non_null(pipeline);
	assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_FAILED);
	assert_int_equal(error.code, -EFBIG);
	assert_non_null(
		strstr(error.text, "0.tfrecord: record 0 at byte 0: its 2147483649 bytes are more than the limit of 2147483648"));
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
	free(path);
}

static void disk_error_eio_is_the_end_with_the_record(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum bd_compression compression;
		uint64_t memory;
	} cases[] = {
		{ yaml, BD_COMPRESSION_NONE, MEMORY },
		{ yaml_skip, BD_COMPRESSION_NONE, MEMORY },
		{ yaml_skip, BD_COMPRESSION_GZIP, 2 * (9ull << 19) + (3ull << 19) }, /* no room for the uncompressed shards */
	};
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		struct fixture fixture;
		struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL);
		struct bd_ring_item item;
		int result;
		spec.epochs = 0;
		make_shards(cases[i].compression, 3000);
		open_stream(&fixture, 2, cases[i].memory, cases[i].text, &spec);
		assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
		atomic_store(&fail_reads, 1);
		do {
			bd_test_release(&fixture.consumer, &item);
			result = bd_test_next(&fixture.consumer, 60000, &item);
		} while (result == 0);
		assert_int_equal(result, -EIO);
		assert_int_equal(bd_pipeline_state(fixture.pipeline, &fixture.error), BD_PIPELINE_FAILED);
		assert_non_null(strstr(fixture.error.text, ".tfrecord: record "));
		atomic_store(&fail_reads, 0);
		close_stream(&fixture);
	}
}

static void disk_error_eio_while_it_is_opened_is_not_skipped(void **state)
{
	(void)state;
	for (int compression = BD_COMPRESSION_NONE; compression <= BD_COMPRESSION_ZLIB; compression++) {
		struct bd_stream_spec spec = spec_of(10, BD_SHUFFLE_GLOBAL);
		struct bd_engine *engine = bd_test_engine(2, MEMORY);
		struct bd_error error = { 0 };
		make_shards((enum bd_compression)compression, 3000);
		atomic_store(&fail_reads, 1);
		struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml_skip, &spec, &error);
		assert_non_null(pipeline);
		assert_int_equal(bd_test_wait_ready(pipeline, &error), BD_PIPELINE_FAILED);
		atomic_store(&fail_reads, 0);
		assert_int_equal(error.code, -EIO);
		assert_non_null(strstr(error.text, ".tfrecord: "));
		bd_pipeline_destroy(pipeline);
		bd_engine_destroy(engine);
	}
}

static void write_picture(const char *name, uint8_t value)
{
	uint8_t data[4 * 6 * 3], *png;
	size_t length;
	struct bd_error error;
	memset(data, value, sizeof data);
	struct bd_pixels pixels = { .height = 4, .width = 6, .channels = 3, .data = data };
	char *path = bd_test_path(folder, name);
	assert_int_equal(bd_png_encode(&pixels, &png, &length, &error), 0);
	bd_test_write_file(path, png, length);
	free(png);
	free(path);
}

static void make_image_folder(void)
{
	const char *classes[] = { "cats", "dogs" };
	for (size_t i = 0; i < BD_COUNT_OF(classes); i++) {
		char *path = bd_test_path(folder, classes[i]);
		assert_int_equal(mkdir(path, 0700), 0);
		free(path);
	}
	write_picture("cats/b.png", 11);
	write_picture("cats/a.png", 10);
	write_picture("dogs/c.png", 12);
}

static void image_folder_is_pictures_and_classes(void **state)
{
	(void)state;
	static const char text[] =
		"shards: {folder: .}\nfeatures:\n  image: {type: image, dtype: uint8, resize: {height: 4, width: 6}}\n"
		"  label: {type: int64}\n";
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(3, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	struct bd_ring_array image, label;
	make_image_folder();
	open_stream(&fixture, 2, MEMORY, text, &spec);
	assert_int_equal(bd_pipeline_schema(fixture.pipeline)->class_count, 2);
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
	assert_int_equal(item.rows, 3);
	assert_int_equal(bd_ring_item_array(&item, 0, &image), 0);
	assert_int_equal(bd_ring_item_array(&item, 1, &label), 0);
	for (uint32_t row = 0; row < 3; row++) {
		assert_int_equal(image.data[row * 72], 10 + row);
		assert_int_equal(((const int64_t *)(const void *)label.data)[row], row / 2);
	}
	close_stream(&fixture);
}

static void broken_picture_is_named(void **state)
{
	(void)state;
	static const char text[] =
		"shards: {folder: .}\nfeatures:\n  image: {type: image, resize: {height: 4, width: 6}}\n  label: {type: int64}\n";
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(3, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	make_image_folder();
	char *path = bd_test_path(folder, "dogs/b.png");
	bd_test_write_file(path, "no picture", 10);
	open_stream(&fixture, 2, MEMORY, text, &spec);
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), -EIO);
	bd_pipeline_state(fixture.pipeline, &fixture.error);
	assert_non_null(strstr(fixture.error.text, "dogs/b.png: record 2: "));
	close_stream(&fixture);
	free(path);
}

static void damaged_length_costs_one_number_and_is_listed(void **state)
{
	(void)state;
	static const char text[] = "shards: '*.tfrecord'\nfeatures: {label: {type: int64}}\non_error: skip\nskip_limit: 1.0\n";
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(RECORDS, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	struct bd_quarantine_entry entries[2];
	make_shards(BD_COMPRESSION_NONE, 3000);
	char *path = bd_test_path(folder, "1.tfrecord");
	bd_test_damage(path, 0);
	open_stream(&fixture, 2, MEMORY, text, &spec);
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
	assert_int_equal(item.rows, RECORDS - 1);
	assert_int_equal(bd_pipeline_quarantine(fixture.pipeline, 0, entries, 2), 1);
	assert_int_equal(entries[0].record, RECORDS / 3);
	assert_string_equal(entries[0].file, path);
	assert_int_equal(entries[0].offset, 0);
	assert_non_null(strstr(entries[0].reason, "length CRC"));
	close_stream(&fixture);
	free(path);
}

static bool golden(const char *name, const char *rest, char *ret_text, size_t size)
{
	char path[512];
	if (!bd_shared_path(name, path, sizeof path)) {
		print_message("missing: ../shared/%s\n", name);
		return false;
	}
	snprintf(ret_text, size, "shards: %s\n%s", path, rest);
	return true;
}

static const int64_t *int64s(const struct bd_ring_item *item, uint32_t array, int64_t *ret_count)
{
	struct bd_ring_array found;
	assert_int_equal(bd_ring_item_array(item, array, &found), 0);
	*ret_count = found.shape[0];
	return (const int64_t *)(const void *)found.data;
}

static void golden_sequences_have_their_steps(void **state)
{
	(void)state;
	char text[1024];
	if (!golden("golden/tfrecords/sequence.tfrecord",
	            "features: {id: {type: int64, default: -1}}\n"
	            "sequence_features: {frames: {type: float, shape: [4]}, nums: {type: int64, varlen: true}, words: {type: "
	            "bytes, varlen: true}}\n"
	            "on_error: skip\nskip_limit: 1.0\n",
	            text, sizeof text))
		skip();
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(64, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	struct bd_ring_array values;
	int64_t count;
	uint32_t bits;
	open_stream(&fixture, 2, MEMORY, text, &spec);
	assert_int_equal(bd_pipeline_schema(fixture.pipeline)->array_count, 10);
	assert_string_equal(bd_pipeline_schema(fixture.pipeline)->arrays[4].name, "nums.step_splits");
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
	assert_true(item.rows >= 2);
	/* frames: record 0 has none, record 1 three steps of four */
	const int64_t *splits = int64s(&item, 2, &count);
	assert_int_equal(count, item.rows + 1);
	assert_int_equal(splits[1], 0);
	assert_int_equal(splits[2], 3);
	assert_int_equal(bd_ring_item_array(&item, 1, &values), 0);
	assert_int_equal(values.shape[0], splits[item.rows]);
	assert_int_equal(values.shape[1], 4);
	memcpy(&bits, values.data + 4, sizeof bits);
	assert_int_equal(bits, 0x3e902b5e);
	/* nums of record 0: [[1], [2, 3], [-4, 5, 6]] */
	static const int64_t nums[] = { 1, 2, 3, -4, 5, 6 }, steps[] = { 0, 1, 3, 6 };
	assert_memory_equal(int64s(&item, 3, &count), nums, sizeof nums);
	assert_memory_equal(int64s(&item, 4, &count), steps, sizeof steps);
	assert_int_equal(int64s(&item, 5, &count)[1], 3);
	/* words of record 0: [["a", "bb"], [], ["ccc"]] */
	static const int64_t strings[] = { 0, 1, 3, 6 }, word_steps[] = { 0, 2, 2, 3 };
	assert_int_equal(bd_ring_item_array(&item, 6, &values), 0);
	assert_memory_equal(values.data, "abbccc", 6);
	assert_memory_equal(int64s(&item, 7, &count), strings, sizeof strings);
	assert_memory_equal(int64s(&item, 8, &count), word_steps, sizeof word_steps);
	assert_int_equal(int64s(&item, 9, &count)[1], 3);
	close_stream(&fixture);
}

/* parse.tfrecord, as parse.json says of its specifications. */
static void golden_specifications_are_kept(void **state)
{
	(void)state;
	static const struct {
		const char *features;
		uint32_t rows;
		int64_t records[6];
		int64_t values[9];
		int64_t value_count;
	} cases[] = {
		{ "{i: {type: int64, shape: [3]}}", 2, { 0, 1 }, { 1, 2, 3, 4, 5, 6 }, 6 },
		{ "{i: {type: int64, shape: [3], default: -1}}", 3, { 0, 1, 2 }, { 1, 2, 3, 4, 5, 6, -1, -1, -1 }, 9 },
		{ "{i: {type: int64, varlen: true}}", 5, { 0, 1, 2, 3, 4 }, { 1, 2, 3, 4, 5, 6, 7, 8 }, 8 },
		{ "{i: {type: int64, shape: [2]}}", 1, { 4 }, { 7, 8 }, 2 },
	};
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		char text[1024], rest[256];
		struct fixture fixture;
		struct bd_stream_spec spec = spec_of(6, BD_SHUFFLE_NONE);
		struct bd_ring_item item;
		const uint64_t *records;
		uint32_t arrays;
		int64_t count;
		snprintf(rest, sizeof rest, "features: %s\non_error: skip\nskip_limit: 1.0\n", cases[i].features);
		if (!golden("golden/tfrecords/parse.tfrecord", rest, text, sizeof text))
			skip();
		open_stream(&fixture, 2, MEMORY, text, &spec);
		assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
		assert_int_equal(item.rows, cases[i].rows);
		assert_int_equal(bd_ring_item_records(&item, &arrays, &records), 0);
		assert_memory_equal(records, cases[i].records, item.rows * sizeof *records);
		assert_memory_equal(int64s(&item, 0, &count), cases[i].values, (size_t)cases[i].value_count * sizeof(int64_t));
		close_stream(&fixture);
	}
}

/* The batch of the tutorial's input function, bit for bit. */
static void golden_input_values_are_equal(void **state)
{
	(void)state;
	char text[1024], path[512];
	struct bd_npy expected;
	if (!golden("golden/input_fn/pictures_nearest.tfrecord",
	            "features:\n  image: {type: image, encoding: raw, shape: [150, 150, 3], channels: bgr, mean: 116.779}\n"
	            "  label: {type: int64}\n",
	            text, sizeof text) ||
	    !bd_shared_path("golden/input_fn/batch_nearest.npy", path, sizeof path) || !bd_npy_load(path, &expected))
		skip();
	struct fixture fixture;
	struct bd_stream_spec spec = spec_of(8, BD_SHUFFLE_NONE);
	struct bd_ring_item item;
	struct bd_ring_array image;
	open_stream(&fixture, 2, MEMORY, text, &spec);
	assert_int_equal(bd_test_next(&fixture.consumer, 60000, &item), 0);
	assert_int_equal(bd_ring_item_array(&item, 0, &image), 0);
	assert_int_equal(image.bytes, expected.count * sizeof(float));
	assert_memory_equal(image.data, expected.data, image.bytes);
	close_stream(&fixture);
	bd_npy_free(&expected);
}

int main(void)
{
	real_pread = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(compressed_shards_are_the_plain_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(second_start_while_records_are_inflated_ahead_is_true_or_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(truncated_compressed_shard_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(large_record_is_read_or_refused_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(record_of_more_than_2_gib_is_refused_by_name, setup, teardown),
		cmocka_unit_test_setup_teardown(disk_error_eio_is_the_end_with_the_record, setup, teardown),
		cmocka_unit_test_setup_teardown(disk_error_eio_while_it_is_opened_is_not_skipped, setup, teardown),
		cmocka_unit_test_setup_teardown(image_folder_is_pictures_and_classes, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_picture_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_length_costs_one_number_and_is_listed, setup, teardown),
		cmocka_unit_test_setup_teardown(golden_sequences_have_their_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(golden_specifications_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(golden_input_values_are_equal, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
