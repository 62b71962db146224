#include "tools/batchctl/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/golden.h"
#include "tests/unit/test.h"

static char path[64];

static void assert_round_trip(const struct bd_array *array, const char *dtype)
{
	struct bd_npy npy;
	struct bd_error error = { .code = 0 };
	if (bd_npy_write(path, true, array, &error) < 0)
		fail_msg("%s", error.text);
	assert_true(bd_npy_load(path, &npy));
	assert_string_equal(npy.dtype, dtype);
	assert_int_equal(npy.rank, array->rank);
	for (uint32_t i = 0; i < array->rank; i++)
		assert_int_equal(npy.shape[i], array->shape[i]);
	assert_memory_equal(npy.data, array->data, bd_array_bytes(array));
	bd_npy_free(&npy);
	unlink(path);
}

static void arrays_come_back_as_they_were(void **state)
{
	(void)state;
	const float floats[24] = { 1.5f, -2, 3e10f };
	const int64_t numbers[3] = { 1, -1, INT64_MAX };
	const uint8_t bytes[120] = { 7 };
	assert_round_trip(&(struct bd_array){ .dtype = BD_FLOAT32, .rank = 4, .shape = { 2, 3, 1, 4 }, .data = floats }, "<f4");
	assert_round_trip(&(struct bd_array){ .dtype = BD_INT64, .rank = 1, .shape = { 3 }, .data = numbers }, "<i8");
	assert_round_trip(&(struct bd_array){ .dtype = BD_UINT8, .rank = 5, .shape = { 1, 2, 3, 4, 5 }, .data = bytes }, "|u1");
}

static void a_file_that_is_there_stays(void **state)
{
	(void)state;
	const int64_t number = 5;
	const struct bd_array array = { .dtype = BD_INT64, .rank = 1, .shape = { 1 }, .data = &number };
	assert_int_equal(bd_npy_write(path, false, &array, NULL), 0);
	assert_int_equal(bd_npy_write(path, false, &array, NULL), -EEXIST);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays_come_back_as_they_were),
		cmocka_unit_test(a_file_that_is_there_stays),
	};
	snprintf(path, sizeof path, "/tmp/batchd-test-%d.npy", (int)getpid());
	return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
