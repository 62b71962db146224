#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "common/base/file.h"
#include "daemon/data/quarantine.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

static void each_record_is_listed_once(void **state)
{
	(void)state;
	struct bd_quarantine quarantine;
	struct bd_error error;
	assert_int_equal(bd_quarantine_init(&quarantine, NULL, "a.yaml", &error), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t record = 0; record < 1000; record++)
			assert_int_equal(bd_quarantine_add(&quarantine, record * 64, "file", record, "broken", &error), pass == 0);
	}
	assert_int_equal(quarantine.records, 1000);
	assert_int_equal(quarantine.count, 1000);
	assert_int_equal(quarantine.entries[999].record, 999 * 64);
	assert_null(bd_quarantine_take_text(&quarantine));
	bd_quarantine_finish(&quarantine);
}

static void long_reason_is_cut(void **state)
{
	(void)state;
	struct bd_quarantine quarantine;
	struct bd_error error;
	char reason[1000];
	memset(reason, 'x', sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	assert_int_equal(bd_quarantine_init(&quarantine, NULL, "a.yaml", &error), 0);
	assert_int_equal(bd_quarantine_add(&quarantine, 1, "file", 0, reason, &error), 1);
	assert_int_equal(strlen(quarantine.entries[0].reason), sizeof quarantine.entries[0].reason - 1);
	bd_quarantine_finish(&quarantine);
}

static void log_is_one_line_a_record_of_its_owner(void **state)
{
	(void)state;
	struct bd_quarantine quarantine;
	struct bd_error error;
	struct stat status;
	uint8_t *text;
	size_t length;
	char *root = bd_test_folder(), *folder = bd_test_path(root, "state/quarantine");
	assert_int_equal(bd_quarantine_init(&quarantine, folder, "a.yaml", &error), 0);
	assert_int_equal(bd_quarantine_add(&quarantine, 7, "a \"b\"", 12, "broken", &error), 1);
	bd_quarantine_write(&quarantine, bd_quarantine_take_text(&quarantine));
	assert_int_equal(bd_quarantine_add(&quarantine, 8, "not utf-8: \xff", 13, "broken", &error), 1);
	bd_quarantine_write(&quarantine, bd_quarantine_take_text(&quarantine));
	assert_null(bd_quarantine_take_text(&quarantine));
	assert_int_equal(stat(quarantine.path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(bd_file_read_all(quarantine.path, 10000, &text, &length, &error), 0);
	char *second = strchr((char *)text, '\n');
	assert_non_null(second);
	*second++ = '\0';
	assert_non_null(strstr((char *)text, "\"record\":7"));
	assert_non_null(strstr((char *)text, "\"file\":\"a \\\"b\\\"\""));
	assert_non_null(strstr(second, "\"record\":8,\"file\":\"not utf-8: \xef\xbf\xbd\",\"offset\":13,\"reason\":\"broken\""));
	free(text);
	bd_quarantine_finish(&quarantine);
	free(folder);
	bd_test_folder_remove(root);
}

static void log_that_is_too_long_is_set_aside(void **state)
{
	(void)state;
	struct bd_quarantine quarantine;
	struct bd_error error;
	struct stat status;
	char *folder = bd_test_folder(), older[512];
	assert_int_equal(bd_quarantine_init(&quarantine, folder, "a.yaml", &error), 0);
	snprintf(older, sizeof older, "%s.1", quarantine.path);
	for (uint64_t round = 0; round < 2; round++) {
		bd_test_write_file(quarantine.path, "x\n", 2);
		assert_int_equal(truncate(quarantine.path, BD_QUARANTINE_LOG_BYTES + (off_t)round), 0);
		assert_int_equal(bd_quarantine_add(&quarantine, round, "file", 12, "broken", &error), 1);
		bd_quarantine_write(&quarantine, bd_quarantine_take_text(&quarantine));
		assert_int_equal(stat(older, &status), 0);
		assert_int_equal(status.st_size, BD_QUARANTINE_LOG_BYTES + (off_t)round);
		assert_int_equal(stat(quarantine.path, &status), 0);
		assert_in_range(status.st_size, 1, 1000);
	}
	bd_quarantine_finish(&quarantine);
	bd_test_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_record_is_listed_once),
		cmocka_unit_test(long_reason_is_cut),
		cmocka_unit_test(log_is_one_line_a_record_of_its_owner),
		cmocka_unit_test(log_that_is_too_long_is_set_aside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
