#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/host_memory.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

static void put(const char *root, const char *name, const char *text)
{
	struct bd_error error;
	char *path = bd_test_path(root, name), *folder = bd_path_folder(path);
	assert_int_equal(bd_make_folders(folder, 0700, &error), 0);
	bd_test_write_file(path, text, strlen(text));
	free(folder);
	free(path);
}

static void tightest_group_is_what_the_host_gives(void **state)
{
	(void)state;
	char *root = bd_test_folder();
	assert_true(bd_host_memory_at(root) == UINT64_MAX);
	put(root, "proc/meminfo", "MemTotal: 900 kB\nMemAvailable:     800 kB\n");
	assert_int_equal(bd_host_memory_at(root), 800 * 1024);
	/* version 1: the group's parent is tighter; file pages of it can be reclaimed */
	put(root, "proc/self/cgroup", "4:memory:/a/b\n2:cpu:/elsewhere\n");
	put(root, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
	put(root, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "500000\n");
	put(root, "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "300000\n");
	put(root, "sys/fs/cgroup/memory/a/memory.stat", "cache 5\ntotal_inactive_file 100000\ntotal_active_file 50000\n");
	assert_int_equal(bd_host_memory_at(root), 350000);
	/* version 2 */
	put(root, "proc/self/cgroup", "0::/c\n");
	put(root, "sys/fs/cgroup/c/memory.max", "max\n");
	assert_int_equal(bd_host_memory_at(root), 800 * 1024);
	put(root, "sys/fs/cgroup/c/memory.max", "70000\n");
	put(root, "sys/fs/cgroup/c/memory.current", "80000\n");
	put(root, "sys/fs/cgroup/c/memory.stat", "inactive_file 20000\nactive_file 0\n");
	assert_int_equal(bd_host_memory_at(root), 10000);
	bd_test_folder_remove(root);
}

static void this_host_gives_something(void **state)
{
	(void)state;
	assert_true(bd_host_memory() > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tightest_group_is_what_the_host_gives),
		cmocka_unit_test(this_host_gives_something),
	};
	return cmocka_run_group_tests_name("host_memory", tests, NULL, NULL);
}
