#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/data/staging.h"
#include "tests/unit/test.h"

/* Row r: r strings "x", "xx", ...; as many units. */
static void fill(struct bd_staging *staging, uint32_t row)
{
	struct bd_staged_row *staged = &staging->rows[row];
	struct bd_staged_part *part = &staged->parts[0];
	struct bd_error error;
	bd_staged_row_reset(staged);
	*part = (struct bd_staged_part){ 0 };
	assert_int_equal(bd_staged_row_add(staged, row * sizeof(int64_t), &part->lengths_at, &error), 0);
	assert_int_equal(bd_staged_row_add(staged, row * (row + 1) / 2, &part->values_at, &error), 0);
	for (int64_t i = 1; i <= (int64_t)row; i++) {
		memcpy(staged->bytes + part->lengths_at + part->string_count++ * sizeof i, &i, sizeof i);
		memset(staged->bytes + part->values_at + part->value_bytes, 'a' + (int)row, (size_t)i);
		part->value_bytes += (size_t)i;
	}
	part->units = row;
}

static void rows_are_joined_one_behind_the_other(void **state)
{
	(void)state;
	struct bd_staging staging;
	struct bd_error error;
	uint8_t values[16];
	int64_t row_splits[5], value_splits[8];
	static const int64_t expected_rows[] = { 0, 0, 1, 3, 6 }, expected_values[] = { 0, 1, 2, 4, 5, 7, 10 };
	assert_int_equal(bd_staging_init(&staging, 4, 1, 0, &error), 0);
	for (uint32_t row = 0; row < 4; row++)
		fill(&staging, row);
	struct bd_staged_total total = bd_staging_total(&staging, 0, 4);
	assert_int_equal(total.value_bytes, 10);
	assert_int_equal(total.strings, 6);
	assert_int_equal(total.units, 6);
	struct bd_joined_part out = { .values = values, .row_splits = row_splits, .value_splits = value_splits };
	bd_staging_join(&staging, 0, 4, &out);
	assert_memory_equal(values, "bcccdddddd", 10);
	assert_memory_equal(row_splits, expected_rows, sizeof expected_rows);
	assert_memory_equal(value_splits, expected_values, sizeof expected_values);
	bd_staging_finish(&staging);
}

static void holes_are_closed_and_buffers_kept(void **state)
{
	(void)state;
	struct bd_staging staging;
	struct bd_error error;
	uint8_t values[16];
	int64_t row_splits[3];
	static const uint32_t row_of[] = { 1, 3 };
	static const int64_t expected[] = { 0, 1, 4 };
	assert_int_equal(bd_staging_init(&staging, 4, 1, 0, &error), 0);
	for (uint32_t row = 0; row < 4; row++)
		fill(&staging, row);
	uint64_t bytes = bd_staging_bytes(&staging);
	bd_staging_close_holes(&staging, row_of, 2);
	struct bd_joined_part out = { .values = values, .row_splits = row_splits };
	bd_staging_join(&staging, 0, 2, &out);
	assert_memory_equal(values, "bdddddd", 7);
	assert_memory_equal(row_splits, expected, sizeof expected);
	assert_int_equal(bd_staging_bytes(&staging), bytes);
	bd_staging_trim(&staging, bytes);
	assert_int_equal(bd_staging_bytes(&staging), bytes);
	bd_staging_trim(&staging, bytes - 1);
	assert_int_equal(bd_staging_bytes(&staging), 0);
	bd_staging_finish(&staging);
}

static void rows_that_blow_up_fail_and_cost_no_more_memory(void **state)
{
	(void)state;
	struct bd_staging staging;
	struct bd_error error;
	size_t at, added = 0;
	assert_int_equal(bd_staging_init(&staging, 4, 1, 100000, &error), 0);
	/* What is expected, in one row or in all, before and after a batch of the same size. */
	for (int batch = 0; batch < 2; batch++) {
		for (uint32_t row = 0; row < 4; row++) {
			bd_staged_row_reset(&staging.rows[row]);
			assert_int_equal(bd_staged_row_add(&staging.rows[row], 24992, &at, &error), 0);
		}
	}
	bd_staging_trim(&staging, 100000);
	bd_staged_row_reset(&staging.rows[0]);
	assert_int_equal(bd_staged_row_add(&staging.rows[0], 99992, &at, &error), 0);
	while (bd_staged_row_add(&staging.rows[1], 5000, &at, &error) == 0)
		added += 5000;
	assert_int_equal(error.code, -ENOMEM);
	assert_true(added < 200000 && bd_staging_bytes(&staging) <= 200000 + 4 * 256);
	assert_int_equal(bd_staged_row_add(&staging.rows[2], SIZE_MAX / 2, &at, &error), -ENOMEM);
	bd_staging_finish(&staging);
}

static void without_parts_there_is_nothing(void **state)
{
	(void)state;
	struct bd_staging staging;
	struct bd_error error;
	static const uint32_t row_of[] = { 0 };
	assert_int_equal(bd_staging_init(&staging, 4, 0, 0, &error), 0);
	assert_null(staging.rows);
	bd_staging_close_holes(&staging, row_of, 1);
	assert_int_equal(bd_staging_bytes(&staging), 0);
	bd_staging_finish(&staging);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_joined_one_behind_the_other),
		cmocka_unit_test(holes_are_closed_and_buffers_kept),
		cmocka_unit_test(rows_that_blow_up_fail_and_cost_no_more_memory),
		cmocka_unit_test(without_parts_there_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
