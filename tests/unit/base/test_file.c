#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char folder[] = "/tmp/batchd-test-file-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	char command[200];
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static size_t files_in(const char *path)
{
	size_t count = 0;
	DIR *entries = opendir(path);
	for (struct dirent *entry; entries && (entry = readdir(entries));)
		count += entry->d_name[0] != '.';
	closedir(entries);
	return count;
}

static void output_appears_whole_on_commit(void **state)
{
	(void)state;
	char *path = bd_path_join(folder, "out");
	struct bd_output output;
	assert_int_equal(bd_output_open(&output, path, false, NULL), 0);
	fputs("hello", output.stream);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(bd_output_commit(&output, NULL), 0);
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_file_read_all(path, 100, &bytes, &length, NULL), 0);
	assert_int_equal(length, 5);
	assert_string_equal((char *)bytes, "hello");
	free(bytes);
	assert_int_equal(bd_output_open(&output, path, false, NULL), -EEXIST);
	assert_int_equal(bd_output_open(&output, path, true, NULL), 0);
	bd_output_abandon(&output);
	bd_output_abandon(&output);
	assert_int_equal(files_in(folder), 1);
	assert_int_equal(bd_file_read_all(path, 4, &bytes, &length, NULL), -EFBIG);
	unlink(path);
	free(path);
}

static void output_that_cannot_be_written_leaves_the_old_file(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK) != 0)
		skip();
	char *path = bd_path_join(folder, "kept");
	struct bd_output output;
	assert_int_equal(bd_output_open(&output, path, false, NULL), 0);
	fputs("old", output.stream);
	assert_int_equal(bd_output_commit(&output, NULL), 0);
	assert_int_equal(bd_output_open(&output, path, true, NULL), 0);
	int full = open("/dev/full", O_WRONLY);
	dup2(full, fileno(output.stream));
	close(full);
	fputs("new", output.stream);
	struct bd_error error;
	assert_int_equal(bd_output_commit(&output, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "kept"));
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_file_read_all(path, 100, &bytes, &length, NULL), 0);
	assert_string_equal((char *)bytes, "old");
	free(bytes);
	assert_int_equal(files_in(folder), 1);
	unlink(path);
	free(path);
}

static void missing_file_is_named(void **state)
{
	(void)state;
	uint8_t *bytes;
	size_t length;
	struct bd_error error;
	assert_int_equal(bd_file_read_all("/nonexistent/x", 10, &bytes, &length, &error), -ENOENT);
	assert_string_equal(error.text, "/nonexistent/x: cannot open: No such file or directory");
	assert_int_equal(bd_file_read_all(folder, 10, &bytes, &length, &error), -EISDIR);
}

static void folders_are_made_with_their_parents(void **state)
{
	(void)state;
	char *path = bd_path_join(folder, "a/b/c");
	assert_int_equal(bd_make_folders(path, 0755, NULL), 0);
	assert_int_equal(bd_make_folders(path, 0755, NULL), 0);
	char *file = bd_path_join(path, "f");
	close(open(file, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(bd_make_folders(file, 0755, NULL), -ENOTDIR);
	free(file);
	free(path);
}

static void a_hyphen_is_standard_output(void **state)
{
	(void)state;
	int ends[2], kept = dup(STDOUT_FILENO);
	char got[8] = "";
	fflush(stdout);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
	struct bd_output output;
	int opened = bd_output_open(&output, "-", false, NULL), committed = -1;
	if (opened == 0) {
		fputs("hello", output.stream);
		committed = bd_output_commit(&output, NULL);
	}
	dup2(kept, STDOUT_FILENO);
	close(kept);
	close(ends[1]);
	assert_int_equal(opened, 0);
	assert_int_equal(committed, 0);
	assert_int_equal(read(ends[0], got, sizeof got), 5);
	assert_string_equal(got, "hello");
	close(ends[0]);
	assert_int_not_equal(access("-", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hyphen_is_standard_output),
		cmocka_unit_test(output_appears_whole_on_commit),
		cmocka_unit_test(output_that_cannot_be_written_leaves_the_old_file),
		cmocka_unit_test(missing_file_is_named),
		cmocka_unit_test(folders_are_made_with_their_parents),
	};
	return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
