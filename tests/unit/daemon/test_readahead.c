#include "common/base/clock.h"
#include "common/stream/spec.h"
#include "daemon/data/readahead.h"
#include "tests/unit/test.h"

#define NOW (100 * BD_NS_PER_S)

static void setup_order(struct bd_order *ret_order, struct bd_records *ret_records, uint64_t bytes)
{
	struct bd_stream_spec spec;
	struct bd_error error;
	bd_stream_spec_init(&spec);
	spec.batch = 10;
	spec.epochs = 2;
	*ret_records = (struct bd_records){ .records = 100, .bytes = bytes };
	assert_int_equal(bd_order_init(ret_order, 100, &spec, &error), 0);
}

static void fast_reads_ask_for_nothing(void **state)
{
	(void)state;
	struct bd_order order;
	struct bd_records records;
	struct bd_readahead readahead;
	setup_order(&order, &records, 100 << 20);
	bd_readahead_init(&readahead, &records, 10, 1ull << 30);
	assert_false(readahead.drops);
	bd_readahead_observe(&readahead, NOW, 1 << 20, 100 * BD_NS_PER_US);
	bd_readahead_observe(&readahead, NOW, 1, 100 * BD_NS_PER_US); /* short: no proof */
	assert_int_equal(bd_readahead_claim(&readahead, &order, (struct bd_order_position){ 0, 1 }, NOW).count, 0);
}

static void slow_reads_ask_each_batch_once_up_to_the_distance(void **state)
{
	(void)state;
	struct bd_order order;
	struct bd_records records;
	struct bd_readahead readahead;
	setup_order(&order, &records, 100 << 20);
	bd_readahead_init(&readahead, &records, 10, 400 << 20); /* 10 MiB a batch; the bound is 32 MiB: 3 batches */
	assert_int_equal(readahead.distance, 3);
	bd_readahead_observe(&readahead, NOW, 1 << 20, 20 * BD_NS_PER_MS);
	uint64_t asked = 0;
	for (uint64_t opened = 0; opened < 20; opened++) {
		struct bd_order_position behind = { (opened + 1) / 10, (opened + 1) % 10 };
		struct bd_readahead_claim claim = bd_readahead_claim(&readahead, &order, behind, NOW);
		if (claim.count) {
			assert_int_equal(claim.first.epoch * 10 + claim.first.batch, asked + 1);
			asked += claim.count;
		}
		assert_true(asked <= opened + 3);
		assert_true(asked >= (opened + 3 < 19 ? opened + 3 : 19)); /* the next epoch's too, to the end of the last */
	}
	assert_int_equal(asked, 19);
	assert_int_equal(bd_readahead_claim(&readahead, &order, (struct bd_order_position){ 0, 1 }, NOW + 3 * BD_NS_PER_S).count,
	                 0);
}

static void large_dataset_is_dropped_behind(void **state)
{
	(void)state;
	struct bd_order order;
	struct bd_records records;
	struct bd_readahead readahead;
	setup_order(&order, &records, 100 << 20);
	bd_readahead_init(&readahead, &records, 10, 150 << 20);
	assert_true(readahead.drops);
	assert_int_equal(readahead.distance, 1);
	bd_readahead_init(&readahead, &records, 10, UINT64_MAX);
	assert_false(readahead.drops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_reads_ask_for_nothing),
		cmocka_unit_test(slow_reads_ask_each_batch_once_up_to_the_distance),
		cmocka_unit_test(large_dataset_is_dropped_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
