#include "daemon/data/hoard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/record/dataset.h"
#include "common/record/tfrecord.h"
#include "common/stream/spec.h"
#include "tests/support/data_stream.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

enum { SHARDS = 3, EACH = 100, RECORDS = SHARDS * EACH, BLOB = 900, BATCH = 7 };

struct fixture {
	char *folder;
	struct bd_dataset *dataset;
	struct bd_records records;
	struct bd_order order;
	struct bd_worker worker;
	struct bd_hoard hoard;
};

static void make_record(struct bd_example_writer *writer, uint64_t number, void *context)
{
	int64_t label = (int64_t)number;
	uint8_t blob[BLOB];
	(void)context;
	for (size_t i = 0; i < sizeof blob; i++)
		blob[i] = (uint8_t)(number + i * i);
	bd_example_writer_add_int64(writer, "label", &label, 1);
	bd_example_writer_add_bytes(writer, "blob", blob, sizeof blob - number % 50);
}

static void make_shards(const char *folder)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		char name[32];
		snprintf(name, sizeof name, "%u.tfrecord", i);
		char *path = bd_test_path(folder, name);
		/* the last one is plain: its records are not hoarded */
		bd_test_shard(path, i == SHARDS - 1 ? BD_COMPRESSION_NONE : BD_COMPRESSION_GZIP, i * EACH, EACH, make_record, NULL);
		free(path);
	}
}

static void open_all(struct fixture *fixture)
{
	static const char text[] = "shards: '*.tfrecord'\nfeatures: {label: {type: int64}}\n";
	assert_int_equal(bd_dataset_parse("test", fixture->folder, text, strlen(text), &fixture->dataset, NULL), 0);
	assert_int_equal(bd_records_init(&fixture->records, fixture->dataset, NULL, NULL, NULL), 0);
	for (size_t i = 0; i < SHARDS; i++)
		assert_int_equal(bd_records_open_file(&fixture->records, i, NULL), 0);
	assert_int_equal(bd_records_settle(&fixture->records, NULL), 0);
	assert_int_equal(bd_worker_init(&fixture->worker, 0, 4 << 20, NULL), 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	fixture->folder = bd_test_folder();
	make_shards(fixture->folder);
	open_all(fixture);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	bd_hoard_finish(&fixture->hoard);
	bd_worker_finish(&fixture->worker);
	bd_records_finish(&fixture->records);
	bd_dataset_destroy(fixture->dataset);
	bd_test_folder_remove(fixture->folder);
	free(fixture);
	return 0;
}

static void begin(struct fixture *fixture, uint64_t epochs, uint32_t rank, uint64_t bytes)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = 2 * BATCH;
	spec.world = 2;
	spec.rank = rank;
	spec.shuffle = BD_SHUFFLE_GLOBAL;
	spec.epochs = epochs;
	assert_int_equal(bd_order_init(&fixture->order, RECORDS, &spec, NULL), 0);
	assert_int_equal(bd_hoard_init(&fixture->hoard, &fixture->records, BATCH, bytes, NULL), 0);
}

/* One run, if there is one. */
static bool turn(struct fixture *fixture, struct bd_order_position start)
{
	struct bd_run run;
	if (!bd_hoard_take(&fixture->hoard, start, &run))
		return false;
	assert_int_equal(bd_hoard_work(&fixture->hoard, &fixture->records, &fixture->order, &fixture->worker, &run), 0);
	bd_hoard_finish_run(&fixture->hoard, &run);
	return true;
}

/* Every record of the batch, or NULL where it must not be here. Returns how many are. */
static unsigned check_batch(struct fixture *fixture, const struct bd_order_batch *batch, const struct bd_hoarded *hoarded)
{
	unsigned here = 0;
	for (uint32_t row = 0; row < batch->rows; row++) {
		uint64_t epoch, record;
		bd_order_row(&fixture->order, batch, row, &epoch, &record);
		struct bd_place place = bd_records_place(&fixture->records, record);
		assert_int_equal(hoarded[row].place.file, place.file);
		assert_int_equal(hoarded[row].place.offset, place.offset);
		if (!hoarded[row].data)
			continue;
		here++;
		assert_true(bd_records_is_compressed(&fixture->records, place.file));
		assert_int_equal(bd_tfrecord_check_data(hoarded[row].data, place.length, hoarded[row].data + place.length, NULL),
		                 0);
	}
	return here;
}

/* All batches from `start` on; returns the rows, *ret_here: of them inflated ahead. Gives rows back late, as workers do. */
static unsigned read_all(struct fixture *fixture, struct bd_order_position start, unsigned *ret_here)
{
	struct bd_order_position position = start, behind;
	struct bd_order_batch batch;
	struct bd_hoard_window *window, *before = NULL;
	unsigned rows = 0, here = 0;
	uint32_t owed = 0;
	while (bd_order_batch_at(&fixture->order, position, &batch, &behind) == 0) {
		while (turn(fixture, start))
			;
		if (!bd_hoard_is_ready(&fixture->hoard) && before) {
			bd_hoard_give_back(before, owed);
			before = NULL;
			continue;
		}
		assert_true(bd_hoard_is_ready(&fixture->hoard));
		here += check_batch(fixture, &batch, bd_hoard_open(&fixture->hoard, &window));
		if (before)
			bd_hoard_give_back(before, owed);
		before = window;
		owed = batch.rows;
		rows += batch.rows;
		position = behind;
	}
	if (before)
		bd_hoard_give_back(before, owed);
	while (turn(fixture, start))
		;
	assert_true(fixture->hoard.ended);
	assert_false(bd_hoard_is_ready(&fixture->hoard));
	*ret_here = here;
	return rows;
}

static void records_are_there_in_the_order_of_the_rows(void **state)
{
	struct fixture *fixture = *state;
	for (uint64_t bytes = 80000; bytes <= 2000000; bytes *= 5) {
		unsigned here, rows = 0, all_here = 0;
		for (uint32_t rank = 0; rank < 2; rank++) {
			begin(fixture, 3, rank, bytes);
			assert_true(fixture->hoard.on);
			rows += read_all(fixture, (struct bd_order_position){ 0, 0 }, &here);
			all_here += here;
			bd_hoard_finish(&fixture->hoard);
		}
		assert_int_equal(rows, 3 * RECORDS);
		assert_int_equal(all_here, 3 * (RECORDS - EACH)); /* all but those of the plain shard */
	}
}

static void any_start_is_the_rest(void **state)
{
	struct fixture *fixture = *state;
	unsigned here, whole, rest;
	begin(fixture, 2, 0, 200000);
	whole = read_all(fixture, (struct bd_order_position){ 0, 0 }, &here);
	bd_hoard_finish(&fixture->hoard);
	begin(fixture, 2, 0, 200000);
	rest = read_all(fixture, (struct bd_order_position){ 0, 5 }, &here);
	assert_int_equal(whole - rest, 5 * BATCH);
}

/* A worker that is slow with the last rows of a window: the others have opened all batches of the next one meanwhile. */
static void window_that_is_opened_to_its_end_is_not_ready(void **state)
{
	struct fixture *fixture = *state;
	struct bd_order_position start = { 0, 0 }, position = start, behind;
	struct bd_order_batch batch;
	struct bd_hoard_window *window;
	begin(fixture, 0, 0, 80000);
	while (turn(fixture, start))
		;
	uint32_t batches = fixture->hoard.windows[0].batches + fixture->hoard.windows[1].batches;
	for (uint32_t i = 0; i < batches; i++) {
		assert_true(bd_hoard_is_ready(&fixture->hoard));
		assert_int_equal(bd_order_batch_at(&fixture->order, position, &batch, &behind), 0);
		check_batch(fixture, &batch, bd_hoard_open(&fixture->hoard, &window));
		position = behind;
	}
	assert_false(bd_hoard_is_ready(&fixture->hoard));
	bd_hoard_give_back(&fixture->hoard.windows[0], (uint32_t)fixture->hoard.windows[0].rows_left);
	assert_false(bd_hoard_is_ready(&fixture->hoard));
	while (turn(fixture, start))
		;
	assert_true(bd_hoard_is_ready(&fixture->hoard));
}

/* Else the first batch waits until much of the dataset is inflated. */
static void first_window_is_short_and_the_next_ones_grow(void **state)
{
	struct fixture *fixture = *state;
	struct bd_order_position start = { 0, 0 };
	begin(fixture, 0, 0, 4000000);
	assert_true(turn(fixture, start));
	uint32_t first = fixture->hoard.windows[0].batches;
	assert_in_range(first, BD_HOARD_LEAST_BATCHES - 2, BD_HOARD_LEAST_BATCHES + 1);
	while (turn(fixture, start))
		;
	assert_in_range(fixture->hoard.windows[1].batches, 2 * first - 2, 2 * first + 4);
}

static void each_run_goes_forward_in_one_shard(void **state)
{
	struct fixture *fixture = *state;
	struct bd_order_position start = { 0, 0 };
	struct bd_run run;
	size_t runs = 0;
	begin(fixture, 0, 0, 400000);
	assert_true(turn(fixture, start));
	struct bd_hoard_window *window = &fixture->hoard.windows[0];
	while (bd_hoard_take(&fixture->hoard, start, &run) && run.window == window) {
		for (uint32_t i = 1; i < run.count; i++) {
			const struct bd_hoarded *a = &window->records[window->sorted[run.first + i - 1]],
						*b = &window->records[window->sorted[run.first + i]];
			assert_int_equal(a->place.file, b->place.file);
			assert_true(a->place.offset < b->place.offset);
		}
		runs++;
	}
	assert_int_equal(runs, SHARDS - 1);
}

static void memory_for_some_batches_only_is_not_worth_it(void **state)
{
	struct fixture *fixture = *state;
	begin(fixture, 1, 0, 2 * BATCH * BLOB);
	assert_false(fixture->hoard.on);
}

/* What went wrong is told at the record's turn, by who reads it then. */
static void shard_that_shrank_leaves_its_records_out(void **state)
{
	struct fixture *fixture = *state;
	char *path = bd_test_path(fixture->folder, "0.tfrecord");
	assert_int_equal(truncate(path, 100), 0);
	free(path);
	unsigned here;
	begin(fixture, 1, 0, 400000);
	assert_in_range(read_all(fixture, (struct bd_order_position){ 0, 0 }, &here), RECORDS / 2 - BATCH, RECORDS / 2 + BATCH);
	assert_in_range(here, 10, EACH);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(records_are_there_in_the_order_of_the_rows),    TEST(any_start_is_the_rest),
		TEST(first_window_is_short_and_the_next_ones_grow),  TEST(each_run_goes_forward_in_one_shard),
		TEST(window_that_is_opened_to_its_end_is_not_ready), TEST(memory_for_some_batches_only_is_not_worth_it),
		TEST(shard_that_shrank_leaves_its_records_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
