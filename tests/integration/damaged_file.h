/*
 * damaged_file.h - one damaged, odd or hostile file as a trainer meets it, for the tests that are named after the failure table's "Files".
 *
 * Of each is checked: what comes before the damage, the one line that names it, what `on_error: skip` leaves; and that the daemon goes
 * on, serves good data as before and has kept nothing.
 */
#ifndef BD_TESTS_INTEGRATION_DAMAGED_FILE_H
#define BD_TESTS_INTEGRATION_DAMAGED_FILE_H

#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/daemon.h"
#include "tests/support/reading.h"
#include "tests/support/records.h"

static struct bd_test_daemon *batchd;
static char *folder;
static unsigned descriptors;

static inline int start_daemon(void **state)
{
	static const char *const memory[] = { "--memory", "64MiB", NULL };
	(void)state;
	batchd = bd_test_daemon_start(500, memory);
	bd_test_read_numbers(batchd);
	bd_test_daemon_wait_idle(batchd);
	descriptors = bd_test_daemon_descriptors(batchd);
	return 0;
}

static inline int stop_daemon(void **state)
{
	(void)state;
	return bd_test_daemon_stop(batchd);
}

struct bytes {
	uint8_t *data;
	size_t length;
};

static inline int put(void *context, const uint8_t *data, size_t length, struct bd_error *error)
{
	struct bytes *bytes = context;
	(void)error;
	bytes->data = realloc(bytes->data, bytes->length + length + 1);
	assert_non_null(bytes->data);
	memcpy(bytes->data + bytes->length, data, length);
	bytes->length += length;
	return 0;
}

struct file_case {
	const char *name;
	void (*make)(struct bytes *file);
	const char *before; /* what comes with `on_error: fail` */
	const char *reason; /* its error says so; NULL: there is none */
	const char *left; /* what comes with `on_error: skip`; NULL: refused there too */
};

#define CASE(make, ...)                                                                                                            \
	{                                                                                                                          \
#make, make, __VA_ARGS__                                                                                           \
	}

static inline void write_in_folder(const char *name, struct bytes *file)
{
	char *path = bd_test_path(folder, name);
	bd_test_write_file(path, file->data, file->length);
	free(path);
	free(file->data);
	*file = (struct bytes){ 0 };
}

static inline void expect_failure(const struct file_case *tried, const struct bd_test_reading *reading, const char *place)
{
	if (reading->result == -ENODATA)
		fail_msg("no error; %s", reading->rows);
	if (!strstr(reading->error.text, tried->reason) || !strstr(reading->error.text, place) || strchr(reading->error.text, '\n'))
		fail_msg("not one line with '%s' and '%s': %s", place, tried->reason, reading->error.text);
}

static inline void check(const struct file_case *tried, const char *yaml, const char *place)
{
	struct bd_test_reading reading;
	char text[512];
	bd_test_read(batchd, folder, yaml, 1, &reading);
	assert_string_equal(reading.rows, tried->before);
	if (tried->reason)
		expect_failure(tried, &reading, place);
	else
		assert_int_equal(reading.result, -ENODATA);

	snprintf(text, sizeof text, "%son_error: skip\nskip_limit: 1.0\n", yaml);
	bd_test_read(batchd, folder, text, 1, &reading);
	if (!tried->left) {
		expect_failure(tried, &reading, place);
		return;
	}
	if (reading.result != -ENODATA)
		fail_msg("skip: %s", reading.error.text);
	assert_string_equal(reading.rows, tried->left);
	assert_int_equal(reading.skipped, tried->reason ? 1 : 0);
	if (tried->reason && !strstr(reading.quarantine, tried->reason))
		fail_msg("not listed: %s", reading.quarantine);
}

/* The same process, without what the streams had, and good data as good as before. */
static inline void expect_unharmed(void)
{
	struct bd_client *client;
	struct bd_daemon_status status;
	struct bd_error error;
	bd_test_read_numbers(batchd);
	bd_test_daemon_wait_idle(batchd);
	bd_test_daemon_wait_descriptors(batchd, descriptors);
	if (bd_client_connect(batchd->socket, NULL, &client, &error) < 0 || bd_client_status(client, &status, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(status.pid, batchd->pid);
	assert_int_equal(status.streams, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(status.peak_rss_bytes < 96 << 20); /* --memory, the program and its libraries */
#endif
	bd_client_close(client);
}

static inline int make_folder(void **state)
{
	(void)state;
	folder = bd_test_folder();
	return 0;
}

static inline int remove_folder(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define MOST_CASES 64

/* Runs `run` once for each case, under the case's name, with the case as its state and `folder` a new one. */
static inline int run_cases(const char *name, const struct file_case *cases, size_t count, CMUnitTestFunction run)
{
	static struct CMUnitTest tests[MOST_CASES];
	for (size_t i = 0; i < count && i < MOST_CASES; i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, run, make_folder, remove_folder, (void *)(uintptr_t)&cases[i] };
	return _cmocka_run_group_tests(name, tests, count, start_daemon, stop_daemon);
}

#endif
