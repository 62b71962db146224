/* A stream without augmentation gives the pictures of a dataset file that has none, whatever its own says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define SIDE 9
#define RECORDS 6
#define BYTES (SIDE * SIDE * 3)

static const char features[] =
	"shards: [d.tfrecord]\nfeatures:\n  image: {type: image, encoding: raw, shape: [9, 9, 3], dtype: uint8%s}\n";

static void make(struct bd_example_writer *writer, uint64_t number, void *context)
{
	(void)context;
	uint8_t image[BYTES];
	struct bd_random random = bd_random_of(7, number, 0);
	for (size_t i = 0; i < BYTES; i++)
		image[i] = (uint8_t)bd_random_below(&random, 256);
	bd_example_writer_add_bytes(writer, "image", image, BYTES);
}

/* The digest of the one batch that holds all records. */
static void digest_of(const char *folder, const char *more, enum bd_augment augment, char ret_digest[65])
{
	char yaml[400];
	struct bd_error error = { 0 };
	struct bd_stream_spec spec;
	struct bd_test_batch batch;
	size_t count = 0;
	snprintf(yaml, sizeof yaml, features, more);
	bd_stream_spec_init(&spec);
	spec.batch = RECORDS;
	spec.augment = augment;
	struct bd_engine *engine = bd_test_engine(2, 64 << 20);
	struct bd_pipeline *pipeline = bd_test_pipeline(engine, folder, yaml, &spec, &error);
	if (!pipeline || bd_test_wait_ready(pipeline, &error) == BD_PIPELINE_FAILED)
		fail_msg("%s", error.text);
	assert_int_equal(bd_test_read_all(pipeline, NULL, &batch, 1, &count), -ENODATA);
	assert_true(count == 1 && batch.rows == RECORDS);
	memcpy(ret_digest, batch.digest, sizeof batch.digest);
	bd_pipeline_destroy(pipeline);
	bd_engine_destroy(engine);
}

static void random_crops_and_flips_are_left_out(void **state)
{
	(void)state;
	static const char random[] = ", resize: {height: 9, width: 9}, flip: horizontal, crop: {kind: random_resized}";
	char *folder = bd_test_folder(), *shard = bd_test_path(folder, "d.tfrecord");
	char plain[65], off[65], on[65];
	bd_test_shard(shard, BD_COMPRESSION_NONE, 0, RECORDS, make, NULL);
	digest_of(folder, ", resize: {height: 9, width: 9}", BD_AUGMENT_ON, plain);
	digest_of(folder, random, BD_AUGMENT_OFF, off);
	digest_of(folder, random, BD_AUGMENT_ON, on);
	assert_string_equal(off, plain);
	assert_string_not_equal(on, plain);
	free(shard);
	bd_test_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_crops_and_flips_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
