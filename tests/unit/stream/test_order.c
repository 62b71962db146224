#include "common/stream/order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/stream/spec.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

static struct bd_stream_spec spec_of(uint32_t batch, enum bd_shuffle shuffle, enum bd_remainder remainder, uint64_t epochs)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = batch;
	spec.shuffle = shuffle;
	spec.remainder = remainder;
	spec.epochs = epochs;
	spec.seed = 7;
	return spec;
}

static struct bd_order order_of(uint64_t records, const struct bd_stream_spec *spec)
{
	struct bd_order order;
	assert_int_equal(bd_order_init(&order, records, spec, NULL), 0);
	return order;
}

/* ---- permutations ---- */

static void assert_bijection(const struct bd_order *order, uint64_t epoch, uint8_t *seen)
{
	memset(seen, 0, order->records);
	for (uint64_t position = 0; position < order->records; position++) {
		uint64_t record = bd_order_record(order, epoch, position);
		assert_true(record < order->records);
		assert_int_equal(seen[record], 0);
		seen[record] = 1;
	}
}

static void each_epoch_of_each_size_is_a_permutation(void **state)
{
	(void)state;
	static uint8_t seen[5000];
	for (uint64_t records = 1; records <= 5000; records++) {
		struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 1);
		struct bd_order order = order_of(records, &spec);
		assert_bijection(&order, records % 5, seen);
		/* A fourth of the sizes is enough here: the window cuts them differently each time. */
		if (records % 4 != 0 && records > 600)
			continue;
		spec.shuffle = BD_SHUFFLE_WINDOW;
		spec.window = 1 + records * 31 % 700;
		order = order_of(records, &spec);
		assert_bijection(&order, records % 5, seen);
	}
}

static void window_of_every_size_is_a_permutation(void **state)
{
	(void)state;
	static uint8_t seen[1009];
	for (uint64_t window = 1; window <= 1200; window += window < 200 ? 1 : 7) {
		struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_WINDOW, BD_REMAINDER_SHORT, 1);
		spec.window = window;
		struct bd_order order = order_of(1009, &spec);
		assert_bijection(&order, 3, seen);
	}
}

/* Huge sizes cannot be listed: the inverse leads back from everywhere, and stays inside. */
static void assert_inverse(const struct bd_order *order, uint64_t epoch, uint64_t position)
{
	uint64_t record = bd_order_record(order, epoch, position);
	assert_true(record < order->records);
	assert_int_equal(bd_order_position_of(order, epoch, record), position);
	uint64_t back = bd_order_position_of(order, epoch, position);
	assert_true(back < order->records);
	assert_int_equal(bd_order_record(order, epoch, back), position);
}

static void inverse_leads_back_around_powers_of_two(void **state)
{
	(void)state;
	for (unsigned k = 1; k <= 40; k++)
		for (int around = -1; around <= 1; around++)
			for (int shuffle = BD_SHUFFLE_WINDOW; shuffle <= BD_SHUFFLE_GLOBAL; shuffle++) {
				uint64_t records = (UINT64_C(1) << k) + (uint64_t)(int64_t)around;
				struct bd_stream_spec spec = spec_of(1, (enum bd_shuffle)shuffle, BD_REMAINDER_SHORT, 1);
				struct bd_order order = order_of(records, &spec);
				for (uint64_t i = 0; i < 60; i++) {
					assert_inverse(&order, i, i * (records / 60 + 1) % records);
					assert_inverse(&order, i, records - 1 - i % records);
				}
			}
}

static void epochs_and_seeds_differ(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 0);
	struct bd_order a = order_of(1000, &spec);
	spec.seed = 8;
	struct bd_order b = order_of(1000, &spec);
	int same_epoch = 0, same_seed = 0;
	for (uint64_t i = 0; i < 1000; i++) {
		same_epoch += bd_order_record(&a, 0, i) == bd_order_record(&a, 1, i);
		same_seed += bd_order_record(&a, 0, i) == bd_order_record(&b, 0, i);
	}
	assert_in_range(same_epoch, 0, 10);
	assert_in_range(same_seed, 0, 10);
}

/* A stored position means something only while the order never changes. */
static void order_is_what_it_always_was(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 0);
	struct bd_order order = order_of(1000000, &spec);
	const uint64_t global[] = { 955531, 945818, 967301, 212804, 748165, 783629 };
	for (size_t i = 0; i < BD_COUNT_OF(global); i++)
		assert_int_equal(bd_order_record(&order, 3, i), global[i]);
	spec.shuffle = BD_SHUFFLE_WINDOW;
	order = order_of(1000000, &spec);
	const uint64_t window[] = { 138022, 253612, 610214, 533521, 646619, 646528 };
	for (size_t i = 0; i < BD_COUNT_OF(window); i++)
		assert_int_equal(bd_order_record(&order, 3, i), window[i]);
}

/* ---- how well it mixes ---- */

struct mixing {
	double correlation; /* of position and record: 0 is best, 1 is no mixing */
	double neighbour; /* mean distance of records that follow each other, in units of all: 1/3 is best */
	double same_block; /* share of pairs that follow each other out of one block of 256 records */
};

static struct mixing measure(const struct bd_order *order, uint64_t epoch)
{
	double n = (double)order->records, sum = 0, distance = 0;
	uint64_t before = 0, same = 0;
	for (uint64_t position = 0; position < order->records; position++) {
		uint64_t record = bd_order_record(order, epoch, position);
		sum += ((double)position - (n - 1) / 2) * ((double)record - (n - 1) / 2);
		if (position > 0) {
			distance += record > before ? (double)(record - before) : (double)(before - record);
			same += record / 256 == before / 256;
		}
		before = record;
	}
	return (struct mixing){ sum / (n * (n * n - 1) / 12), distance / (n - 1) / n, (double)same / (n - 1) };
}

static void mixing_is_what_the_header_says(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 0);
	struct bd_order order = order_of(100003, &spec);
	double worst = 0;
	for (uint64_t epoch = 0; epoch < 8; epoch++) {
		struct mixing mixing = measure(&order, epoch);
		double correlation = mixing.correlation < 0 ? -mixing.correlation : mixing.correlation;
		worst = correlation > worst ? correlation : worst;
		/* Four standard deviations of a random permutation: 4/sqrt(n), and 4*sqrt(2/45/n)... of the mean distance. */
		assert_true(correlation < 0.0127);
		assert_true(mixing.neighbour > 0.3303 && mixing.neighbour < 0.3364);
		assert_true(mixing.same_block < 0.0033);
	}
	spec.shuffle = BD_SHUFFLE_WINDOW;
	struct bd_order windows = order_of(100003, &spec);
	struct mixing window = measure(&windows, 0), global = measure(&order, 0);
	if (getenv("BATCHD_TEST_VERBOSE"))
		print_message(
			"global: correlation %.4f (worst of 8 %.4f), neighbour %.4f, same block %.5f; window: %.4f, %.4f, %.5f\n",
			global.correlation, worst, global.neighbour, global.same_block, window.correlation, window.neighbour,
			window.same_block);
	assert_true(window.neighbour > 0.25 && window.neighbour < 0.40);
	assert_true(window.same_block < 0.08);
}

/* Every record comes about equally often at every place: each of the 24 orders of 4 records 1000 times of 24,000. */
static void small_sets_come_in_every_order(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(1, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 0);
	struct bd_order order = order_of(4, &spec);
	unsigned counts[256] = { 0 }, kinds = 0;
	for (uint64_t epoch = 0; epoch < 24000; epoch++) {
		unsigned key = 0;
		for (uint64_t position = 0; position < 4; position++)
			key = key << 2 | (unsigned)bd_order_record(&order, epoch, position);
		counts[key]++;
	}
	for (unsigned key = 0; key < 256; key++) {
		if (counts[key] == 0)
			continue;
		kinds++;
		/* 1000 expected, standard deviation 31. */
		assert_in_range(counts[key], 850, 1150);
	}
	assert_int_equal(kinds, 24);
}

/* ---- batches ---- */

/* "[[0, 1], [2]]" as the golden files write it. */
static void sequence_of(const struct bd_order *order, struct bd_order_position position, unsigned limit, char *ret_text,
                        size_t size)
{
	struct bd_order_batch batch;
	size_t length = 0;
	ret_text[0] = 0;
	for (unsigned n = 0; n < limit; n++) {
		if (bd_order_batch_at(order, position, &batch, &position) < 0)
			break;
		length += (size_t)snprintf(ret_text + length, size - length, "%s[", n ? ", " : "[");
		for (uint32_t row = 0; row < batch.rows; row++) {
			uint64_t epoch, record;
			bd_order_row(order, &batch, row, &epoch, &record);
			length += (size_t)snprintf(ret_text + length, size - length, "%s%llu", row ? ", " : "",
			                           (unsigned long long)record);
		}
		length += (size_t)snprintf(ret_text + length, size - length, "]");
	}
	if (length)
		snprintf(ret_text + length, size - length, "]");
}

struct chain {
	const char *name;
	uint32_t batch;
	enum bd_remainder remainder;
	uint64_t epochs, start;
	unsigned limit;
};

/* tf.data's chains as stream options. */
static const struct chain chains[] = {
	{ "batch", 4, BD_REMAINDER_SHORT, 1, 0, 99 },
	{ "batch_drop", 4, BD_REMAINDER_DROP, 1, 0, 99 },
	{ "batch_then_repeat_3", 4, BD_REMAINDER_SHORT, 3, 0, 99 },
	{ "repeat_3_then_batch", 4, BD_REMAINDER_CARRY, 3, 0, 99 },
	{ "batch_drop_then_repeat_3", 4, BD_REMAINDER_DROP, 3, 0, 99 },
	{ "repeat_2_then_batch", 4, BD_REMAINDER_CARRY, 2, 0, 99 },
	{ "repeat_forever_then_batch_take_8", 4, BD_REMAINDER_CARRY, 0, 0, 8 },
	{ "batch_then_repeat_forever_take_8", 4, BD_REMAINDER_SHORT, 0, 0, 8 },
	{ "batch_larger_than_data", 16, BD_REMAINDER_SHORT, 1, 0, 99 },
	{ "batch_larger_than_data_drop", 16, BD_REMAINDER_DROP, 1, 0, 99 },
	{ "batch_1", 1, BD_REMAINDER_SHORT, 1, 0, 99 },
	{ "batch_n", 10, BD_REMAINDER_SHORT, 1, 0, 99 },
	{ "batch_skip_1", 4, BD_REMAINDER_SHORT, 1, 1, 99 },
};

static void batches_are_those_of_tf_data(void **state)
{
	(void)state;
	char path[512];
	if (!bd_shared_path("golden/order/index.txt", path, sizeof path)) {
		print_message("missing: golden/order/index.txt\n");
		skip();
	}
	struct bd_golden_cases cases;
	assert_true(bd_golden_cases_open(path, &cases));
	size_t compared = 0;
	while (bd_golden_cases_next(&cases)) {
		char name[128], wanted[1024] = "", got[1024];
		assert_true(bd_golden_value(&cases, "name", name, sizeof name));
		bd_golden_value(&cases, "sequence", wanted, sizeof wanted);
		for (size_t i = 0; i < BD_COUNT_OF(chains); i++) {
			if (strcmp(chains[i].name, name) != 0)
				continue;
			struct bd_stream_spec spec = spec_of(chains[i].batch, BD_SHUFFLE_NONE, chains[i].remainder,
			                                     chains[i].epochs);
			struct bd_order order = order_of(10, &spec);
			sequence_of(&order, (struct bd_order_position){ 0, chains[i].start }, chains[i].limit, got, sizeof got);
			assert_string_equal(got, wanted);
			compared++;
		}
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(compared, BD_COUNT_OF(chains));
}

static void ranks_partition_each_batch(void **state)
{
	(void)state;
	const uint32_t worlds[] = { 1, 2, 3, 4, 6, 12 };
	for (int remainder = 0; remainder <= BD_REMAINDER_CARRY; remainder++)
		for (uint64_t records = 1; records < 60; records++) {
			struct bd_stream_spec whole_spec = spec_of(12, BD_SHUFFLE_GLOBAL, (enum bd_remainder)remainder, 3);
			struct bd_order whole = order_of(records, &whole_spec);
			for (size_t w = 0; w < BD_COUNT_OF(worlds); w++) {
				struct bd_order ranks[12];
				for (uint32_t r = 0; r < worlds[w]; r++) {
					struct bd_stream_spec spec = whole_spec;
					spec.world = worlds[w];
					spec.rank = r;
					assert_int_equal(bd_stream_spec_check(&spec, NULL), 0);
					ranks[r] = order_of(records, &spec);
				}
				struct bd_order_position position = { 0, 0 }, next;
				struct bd_order_batch all, part;
				while (bd_order_batch_at(&whole, position, &all, &next) == 0) {
					uint32_t row = 0;
					for (uint32_t r = 0; r < worlds[w]; r++) {
						struct bd_order_position rank_next;
						assert_int_equal(bd_order_batch_at(&ranks[r], position, &part, &rank_next), 0);
						assert_int_equal(rank_next.epoch, next.epoch);
						assert_int_equal(rank_next.batch, next.batch);
						for (uint32_t i = 0; i < part.rows; i++, row++) {
							uint64_t e1, r1, e2, r2;
							bd_order_row(&whole, &all, row, &e1, &r1);
							bd_order_row(&ranks[r], &part, i, &e2, &r2);
							assert_int_equal(e1, e2);
							assert_int_equal(r1, r2);
						}
					}
					assert_int_equal(row, all.rows);
					position = next;
				}
			}
		}
}

/* Walking from the start and jumping to a position give the same batch, and each epoch counts what bd_order_batches says. */
static void any_position_is_reached_at_once(void **state)
{
	(void)state;
	for (int remainder = 0; remainder <= BD_REMAINDER_CARRY; remainder++)
		for (uint64_t records = 1; records < 40; records++)
			for (uint32_t batch_rows = 1; batch_rows < 45; batch_rows += 3) {
				struct bd_stream_spec spec = spec_of(batch_rows, BD_SHUFFLE_NONE, (enum bd_remainder)remainder, 4);
				struct bd_order order = order_of(records, &spec);
				struct bd_order_position position = { 0, 0 }, next;
				struct bd_order_batch batch;
				uint64_t counted[5] = { 0 }, rows = 0;
				while (bd_order_batch_at(&order, position, &batch, &next) == 0) {
					struct bd_order_position here = { batch.epoch, batch.batch }, again;
					struct bd_order_batch same;
					assert_int_equal(batch.batch, counted[batch.epoch]);
					counted[batch.epoch]++;
					rows += batch.rows;
					assert_int_equal(bd_order_batch_at(&order, here, &same, &again), 0);
					assert_memory_equal(&same, &batch, sizeof batch);
					assert_memory_equal(&again, &next, sizeof next);
					position = next;
				}
				for (uint64_t epoch = 0; epoch < 4; epoch++)
					assert_int_equal(counted[epoch], bd_order_batches(&order, epoch));
				assert_int_equal(rows, remainder == BD_REMAINDER_DROP ? 4 * (records - records % batch_rows)
				                                                      : 4 * records);
				assert_int_equal(position.epoch, remainder == BD_REMAINDER_DROP && records < batch_rows ? 0 : 4);
			}
}

static void positions_outside_are_errors(void **state)
{
	(void)state;
	struct bd_stream_spec spec = spec_of(4, BD_SHUFFLE_NONE, BD_REMAINDER_SHORT, 2);
	struct bd_order order = order_of(10, &spec);
	struct bd_order_position next = { 9, 9 };
	struct bd_order_batch batch;
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 0, 4 }, &batch, &next), -ERANGE);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 2, 0 }, &batch, &next), -ENODATA);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 1, 3 }, &batch, &next), -ENODATA);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 2, 1 }, &batch, &next), -ERANGE);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 3, 0 }, &batch, &next), -ERANGE);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 0, UINT64_MAX }, &batch, &next), -ERANGE);
	assert_int_equal(next.epoch, 9);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 0, 3 }, &batch, &next), 0);
	assert_int_equal(batch.epoch, 1);
	assert_int_equal(batch.batch, 0);
	spec.remainder = BD_REMAINDER_CARRY;
	spec.epochs = 0;
	order = order_of(10, &spec);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 0, 4 }, &batch, &next), -ERANGE);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ UINT64_MAX - 1, 0 }, &batch, &next), 0);
}

static void endless_nothing_is_refused(void **state)
{
	(void)state;
	struct bd_order order;
	struct bd_error error;
	struct bd_stream_spec spec = spec_of(16, BD_SHUFFLE_NONE, BD_REMAINDER_DROP, 0);
	assert_int_equal(bd_order_init(&order, 10, &spec, &error), -EINVAL);
	assert_non_null(strstr(error.text, "never fill a batch"));
	spec.remainder = BD_REMAINDER_CARRY;
	assert_int_equal(bd_order_init(&order, 0, &spec, &error), -EINVAL);
	assert_int_equal(bd_order_init(&order, 10, &spec, &error), 0);
	assert_int_equal(bd_order_init(&order, BD_MAX_RECORDS + 1, &spec, &error), -EINVAL);
	spec = spec_of(16, BD_SHUFFLE_GLOBAL, BD_REMAINDER_SHORT, 1);
	struct bd_order_position next;
	struct bd_order_batch batch;
	assert_int_equal(bd_order_init(&order, 0, &spec, &error), 0);
	assert_int_equal(bd_order_batch_at(&order, (struct bd_order_position){ 0, 0 }, &batch, &next), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_epoch_of_each_size_is_a_permutation),
		cmocka_unit_test(window_of_every_size_is_a_permutation),
		cmocka_unit_test(inverse_leads_back_around_powers_of_two),
		cmocka_unit_test(epochs_and_seeds_differ),
		cmocka_unit_test(order_is_what_it_always_was),
		cmocka_unit_test(mixing_is_what_the_header_says),
		cmocka_unit_test(small_sets_come_in_every_order),
		cmocka_unit_test(batches_are_those_of_tf_data),
		cmocka_unit_test(ranks_partition_each_batch),
		cmocka_unit_test(any_position_is_reached_at_once),
		cmocka_unit_test(positions_outside_are_errors),
		cmocka_unit_test(endless_nothing_is_refused),
	};
	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
