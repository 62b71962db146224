/* A decoder that does not come back: the stream that has it waits, every other goes on. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "common/image/encode.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MEMORY (64ull << 20)
#define PICTURES 12
#define STUCK_SIDE 24 /* the picture of this size is the one */

static char *folder;

/* ---- a decoder that waits at a gate, in place of libjpeg's function ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool closed; /* locked: pictures of STUCK_SIDE do not come through */
static unsigned stuck; /* locked: how many are in there */

static boolean (*real_start)(j_decompress_ptr); /* set before threads start */

boolean jpeg_start_decompress(j_decompress_ptr info)
{
	pthread_mutex_lock(&mutex);
	bool waits = info->image_width == STUCK_SIDE;
	stuck += waits;
	pthread_cond_broadcast(&changed);
	while (waits && closed)
		pthread_cond_wait(&changed, &mutex);
	stuck -= waits;
	pthread_mutex_unlock(&mutex);
	return real_start(info);
}

static void set_gate(bool is_closed)
{
	pthread_mutex_lock(&mutex);
	closed = is_closed;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

static void wait_until_stuck(void)
{
	pthread_mutex_lock(&mutex);
	while (!stuck)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
}

/* ---- datasets ---- */

static void make_picture(struct bd_example_writer *writer, uint64_t number, void *context)
{
	uint64_t *odd_one = context;
	uint32_t side = number == *odd_one ? STUCK_SIDE : 16;
	uint8_t data[STUCK_SIDE * STUCK_SIDE * 3] = { 0 }, *jpeg;
	size_t length;
	struct bd_pixels pixels = { .height = side, .width = side, .channels = 3, .data = data };
	assert_int_equal(bd_jpeg_encode(&pixels, 90, &jpeg, &length, NULL), 0);
	bd_example_writer_add_bytes(writer, "image", jpeg, length);
	free(jpeg);
}

static struct bd_pipeline *open_stream(struct bd_engine *engine, const char *shard)
{
	struct bd_stream_spec spec;
	struct bd_error error;
	char yaml[256];
	bd_stream_spec_init(&spec);
	spec.batch = 4;
	snprintf(yaml, sizeof yaml, "shards: %s\nfeatures: {image: {type: image, dtype: uint8, resize: {height: 8, width: 8}}}\n",
	         shard);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	assert_non_null(pipeline);
	if (bd_test_wait_ready(pipeline, &error) != BD_PIPELINE_READY)
		fail_msg("%s", error.text);
	return pipeline;
}

static int setup(void **state)
{
	(void)state;
	uint64_t second_batch = 5, none = UINT64_MAX;
	folder = bd_test_folder();
	char *path = bd_test_path(folder, "stuck.tfrecord"), *other = bd_test_path(folder, "other.tfrecord");
	bd_test_shard(path, BD_COMPRESSION_NONE, 0, PICTURES, make_picture, &second_batch);
	bd_test_shard(other, BD_COMPRESSION_NONE, 0, PICTURES, make_picture, &none);
	free(path);
	free(other);
	set_gate(true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static void stuck_decoder_holds_up_its_stream_only(void **state)
{
	(void)state;
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_pipeline *pipeline = open_stream(engine, "stuck.tfrecord"), *other = open_stream(engine, "other.tfrecord");
	struct bd_test_consumer consumer;
	struct bd_ring_item item;
	struct bd_error error;
	struct bd_test_batch batches[PICTURES];
	size_t count;
	assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
	bd_pipeline_start(pipeline);
	wait_until_stuck();
	assert_int_equal(bd_test_read_all(other, NULL, batches, PICTURES, &count), -ENODATA);
	assert_int_equal(count, PICTURES / 4);
	/* what comes before the picture is there, the batch that it is in is not */
	assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
	assert_int_equal(item.batch, 0);
	bd_test_release(&consumer, &item);
	assert_int_equal(bd_test_next(&consumer, 50, &item), -EAGAIN);
	set_gate(false);
	for (uint64_t batch = 1; batch < PICTURES / 4; batch++) {
		assert_int_equal(bd_test_next(&consumer, 60000, &item), 0);
		assert_int_equal(item.batch, batch);
		assert_int_equal(item.rows, 4);
		bd_test_release(&consumer, &item);
	}
	assert_int_equal(bd_test_next(&consumer, 60000, &item), -ENODATA);
	bd_test_detach(&consumer);
	bd_pipeline_destroy(other);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

/* Its trainer has gone: the stream ends at once, what it has in hand is cleared up when the decoder comes back. */
static void stream_with_a_stuck_decoder_can_be_ended(void **state)
{
	(void)state;
	struct bd_engine *engine = bd_test_engine(2, MEMORY);
	struct bd_pipeline *pipeline = open_stream(engine, "stuck.tfrecord"), *other;
	struct bd_test_consumer consumer;
	struct bd_error error;
	struct bd_test_batch batches[PICTURES];
	size_t count;
	assert_int_equal(bd_test_attach(pipeline, NULL, &consumer, &error), 0);
	bd_pipeline_start(pipeline);
	wait_until_stuck();
	bd_test_detach(&consumer);
	bd_pipeline_destroy(pipeline);
	other = open_stream(engine, "other.tfrecord");
	assert_int_equal(bd_test_read_all(other, NULL, batches, PICTURES, &count), -ENODATA);
	assert_int_equal(count, PICTURES / 4);
	bd_pipeline_destroy(other);
	set_gate(false);
	bd_engine_destroy(engine);
}

int main(void)
{
	real_start = (boolean(*)(j_decompress_ptr))dlsym(RTLD_NEXT, "jpeg_start_decompress");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stuck_decoder_holds_up_its_stream_only, setup, teardown),
		cmocka_unit_test_setup_teardown(stream_with_a_stuck_decoder_can_be_ended, setup, teardown),
	};
	return cmocka_run_group_tests_name("stuck", tests, NULL, NULL);
}
