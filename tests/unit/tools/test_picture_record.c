/* Which failures are a picture's own, so that `--on-error skip` may leave it out. */
#include "tools/tfrecord/picture_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "tests/unit/test.h"

static int make(char *path, struct bd_error *ret_error)
{
	char *paths[] = { path };
	int64_t label = 0;
	struct bd_picture_list list = { .count = 1, .paths = paths, .labels = &label };
	struct bd_record_options options = { .encoding = BD_RECORD_KEEP, .image_key = "image", .label_key = "label" };
	struct bd_record_maker *maker = NULL;
	struct bd_example_writer writer = { 0 };
	struct bd_record_shape shape;
	const uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_record_maker_create(&list, &options, &maker, NULL), 0);
	int result = bd_record_make(maker, 0, &writer, &bytes, &length, &shape, ret_error);
	int size = bd_picture_list_size(&list, 0, &shape, NULL);
	assert_int_equal(size, result);
	bd_example_writer_finish(&writer);
	bd_record_maker_destroy(maker);
	return result;
}

static void what_is_wrong_with_the_picture_is_ebadmsg(void **state)
{
	(void)state;
	char no_picture[] = "/tmp/batchd-no-picture-XXXXXX", missing[] = "/no/such/picture.png", folder[] = "/tmp";
	int fd = mkstemp(no_picture);
	assert_true(fd >= 0);
	close(fd);
	char *const paths[] = { no_picture, missing, folder };
	for (size_t i = 0; i < BD_COUNT_OF(paths); i++) {
		struct bd_error error = { 0 };
		assert_int_equal(make(paths[i], &error), -EBADMSG);
		assert_int_equal(error.code, -EBADMSG);
		assert_non_null(strstr(error.text, paths[i]));
	}
	unlink(no_picture);
}

static void what_this_process_lacks_is_not_the_pictures_fault(void **state)
{
	(void)state;
	char path[] = "/proc/self/status";
	struct bd_error error = { 0 };
	struct rlimit limit, none;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int result = make(path, &error);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(result, -EMFILE);
	assert_int_equal(error.code, -EMFILE);
	/* a read that fails, as a bad disk gives it: the process's memory at address 0 */
	char memory[] = "/proc/self/mem";
	assert_int_equal(make(memory, &error), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_with_the_picture_is_ebadmsg),
		cmocka_unit_test(what_this_process_lacks_is_not_the_pictures_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
