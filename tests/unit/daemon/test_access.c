#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "daemon/control/access.h"

static gid_t some_groups[] = { 500, 501 };
static const struct bd_peer alice = { .uid = 1000, .gid = 1000, .groups = some_groups, .group_count = 2, .pidfd = -1 };
static const struct bd_peer root = { .uid = 0, .gid = 0, .pidfd = -1 };

/* ---- bits ---- */

static unsigned bits(uid_t owner, gid_t group, mode_t mode)
{
	return bd_access_bits(&alice, owner, group, mode, NULL, 0);
}

static void first_class_that_matches_decides(void **state)
{
	(void)state;
	assert_int_equal(bits(1000, 7, 0400), 4);
	assert_int_equal(bits(1000, 7, 0077), 0); /* the owner may have less than others */
	assert_int_equal(bits(7, 1000, 0740), 4);
	assert_int_equal(bits(7, 501, 0750), 5); /* supplementary */
	assert_int_equal(bits(7, 501, 0707), 0);
	assert_int_equal(bits(7, 7, 0774), 4);
	assert_int_equal(bits(7, 7, 0770), 0);
	assert_int_equal(bd_access_bits(&root, 7, 7, 0, NULL, 0), 7);
}

struct entry {
	uint16_t tag, bits;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct entry entries[8];
};

static unsigned acl_bits(uid_t owner, gid_t group, const struct entry *entries, size_t count)
{
	struct acl acl = { .version = 2 };
	memcpy(acl.entries, entries, count * sizeof *entries);
	return bd_access_bits(&alice, owner, group, 0777, &acl, sizeof acl.version + count * sizeof *entries);
}

static void acl_decides_as_acl_5_says(void **state)
{
	(void)state;
	const struct entry named_user[] = { { 1, 6, 0 }, { 2, 4, 1000 }, { 4, 0, 0 }, { 16, 7, 0 }, { 32, 0, 0 } };
	assert_int_equal(acl_bits(7, 7, named_user, 5), 4);
	const struct entry masked[] = { { 1, 6, 0 }, { 2, 7, 1000 }, { 4, 7, 0 }, { 16, 1, 0 }, { 32, 7, 0 } };
	assert_int_equal(acl_bits(7, 7, masked, 5), 1);
	assert_int_equal(acl_bits(1000, 7, masked, 5), 6); /* the mask is not for the owner */
	const struct entry named_group[] = { { 1, 6, 0 }, { 4, 0, 0 }, { 8, 4, 501 }, { 16, 7, 0 }, { 32, 0, 0 } };
	assert_int_equal(acl_bits(7, 1000, named_group, 5), 4); /* any group that grants it */
	assert_int_equal(acl_bits(7, 7, named_group, 5), 4);
	/* A mode of 0040 is the mask here, not what the owning group may. */
	const struct entry group_without[] = { { 1, 6, 0 }, { 2, 4, 1234 }, { 4, 0, 0 }, { 16, 4, 0 }, { 32, 4, 0 } };
	assert_int_equal(acl_bits(7, 1000, group_without, 5), 0);
	assert_int_equal(acl_bits(7, 7, group_without, 5), 4);
}

static void malformed_acl_grants_nothing(void **state)
{
	(void)state;
	struct acl acl = { .version = 3, .entries = { { 32, 7, 0 } } };
	assert_int_equal(bd_access_bits(&alice, 7, 7, 0777, &acl, 12), 0);
	acl.version = 2;
	assert_int_equal(bd_access_bits(&alice, 7, 7, 0777, &acl, 12), 7);
	assert_int_equal(bd_access_bits(&alice, 7, 7, 0777, &acl, 11), 0);
	assert_int_equal(bd_access_bits(&alice, 7, 7, 0777, &acl, 3), 0);
	acl.entries[0].tag = 64;
	assert_int_equal(bd_access_bits(&alice, 7, 7, 0777, &acl, 12), 0);
}

/* ---- ways ---- */

/*
 * A tree under /tmp that belongs to this process; `alice` is another user for it, or, where the tests run as user 1000, the owner: then
 * the tests that need a stranger skip.
 */
static char folder[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/batchd-access-XXXXXX");
	return mkdtemp(folder) && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static const char *path_of(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static void make_file(const char *name, mode_t mode)
{
	int fd = open(path_of(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "data", 4), 4);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_folder(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(path_of(name), 0700), 0);
	assert_int_equal(chmod(path_of(name), mode), 0);
}

static int try_path(const struct bd_peer *peer, const char *path)
{
	struct bd_access_walk walk;
	struct bd_error error;
	struct bd_file_identity identity;
	struct stat status;
	int fd = -1;
	bd_access_walk_init(&walk, peer);
	int result = bd_access_open(&walk, path, &fd, &identity, &error);
	if (result == 0) {
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_ino, identity.inode);
		assert_int_equal(status.st_dev, identity.device);
		close(fd);
	} else {
		assert_int_equal(error.code, result);
		assert_int_equal(fd, -1);
	}
	bd_access_walk_finish(&walk);
	return result;
}

static bool is_stranger(void)
{
	if (geteuid() != alice.uid && getegid() != alice.gid)
		return true;
	print_message("skipped: these tests run as user or group %u\n", (unsigned)alice.uid);
	return false;
}

static void file_of_others_needs_its_read_bit(void **state)
{
	(void)state;
	if (!is_stranger())
		skip();
	make_file("open", 0644);
	make_file("closed", 0640);
	assert_int_equal(try_path(&alice, path_of("open")), 0);
	assert_int_equal(try_path(&alice, path_of("closed")), -EACCES);
	assert_int_equal(try_path(NULL, path_of("closed")), 0); /* the daemon itself */
	assert_int_equal(try_path(&root, path_of("closed")), 0);
}

static void readable_file_in_a_closed_folder_is_eacces(void **state)
{
	(void)state;
	if (!is_stranger())
		skip();
	make_folder("home", 0700);
	make_file("home/data", 0644);
	assert_int_equal(try_path(&alice, path_of("home/data")), -EACCES);
	assert_int_equal(chmod(path_of("home"), 0711), 0); /* search is enough */
	assert_int_equal(try_path(&alice, path_of("home/data")), 0);
}

static void link_does_not_lend_rights(void **state)
{
	(void)state;
	if (!is_stranger())
		skip();
	make_folder("secret", 0700);
	make_file("secret/data", 0644);
	make_folder("public", 0755);
	make_file("public/data", 0644);
	assert_int_equal(symlink("../secret/data", path_of("public/to-secret")), 0);
	assert_int_equal(symlink(path_of("secret"), path_of("public/folder")), 0);
	assert_int_equal(symlink("../public/data", path_of("public/to-data")), 0);
	assert_int_equal(symlink(path_of("public/to-data"), path_of("public/to-link")), 0);
	assert_int_equal(try_path(&alice, path_of("public/to-secret")), -EACCES);
	assert_int_equal(try_path(&alice, path_of("public/folder/data")), -EACCES);
	assert_int_equal(try_path(&alice, path_of("public/to-data")), 0);
	assert_int_equal(try_path(&alice, path_of("public/to-link")), 0);
	/* the way to a parent needs its own right */
	assert_int_equal(try_path(&alice, path_of("secret/../public/data")), -EACCES);
	assert_int_equal(try_path(&alice, path_of("public/.././public//data")), 0);
}

static void link_loop_is_eloop(void **state)
{
	(void)state;
	assert_int_equal(symlink(path_of("b"), path_of("a")), 0);
	assert_int_equal(symlink(path_of("a"), path_of("b")), 0);
	assert_int_equal(try_path(&root, path_of("a")), -ELOOP);
}

static void what_is_no_regular_file_is_einval(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path_of("fifo"), 0666), 0);
	assert_int_equal(try_path(&root, path_of("fifo")), -EINVAL); /* and nothing waits for a writer */
	assert_int_equal(try_path(&root, folder), -EINVAL);
	assert_int_equal(try_path(&root, "/dev/zero"), -EINVAL);
	assert_int_equal(try_path(&root, "relative"), -EINVAL);
	assert_int_equal(try_path(&root, path_of("nothing")), -ENOENT);
	make_file("file", 0644);
	assert_int_equal(try_path(&root, path_of("file/below")), -ENOTDIR);
}

static void too_long_names_are_enametoolong(void **state)
{
	(void)state;
	char path[6000];
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = 0;
	path[0] = '/';
	assert_int_equal(try_path(&root, path), -ENAMETOOLONG);
	path[1000] = 0;
	assert_int_equal(try_path(&root, path), -ENAMETOOLONG);
}

static void walk_keeps_its_folder_for_the_next_file(void **state)
{
	(void)state;
	make_folder("shards", 0755);
	make_file("shards/0", 0644);
	make_file("shards/1", 0644);
	struct bd_access_walk walk;
	bd_access_walk_init(&walk, &root);
	assert_int_equal(bd_access_open(&walk, path_of("shards/0"), NULL, NULL, NULL), 0);
	int kept = walk.folder_fd;
	assert_int_equal(bd_access_open(&walk, path_of("shards/1"), NULL, NULL, NULL), 0);
	assert_int_equal(walk.folder_fd, kept);
	assert_int_equal(bd_access_open(&walk, path_of("shards/2"), NULL, NULL, NULL), -ENOENT);
	bd_access_walk_finish(&walk);
}

static void acl_of_a_file_counts(void **state)
{
	(void)state;
	if (!is_stranger())
		skip();
	make_file("shared", 0640);
	struct acl acl = { .version = 2,
		           .entries = { { 1, 6, UINT32_MAX },
		                        { 2, 4, 1000 },
		                        { 4, 0, UINT32_MAX },
		                        { 16, 4, UINT32_MAX },
		                        { 32, 0, UINT32_MAX } } };
	if (setxattr(path_of("shared"), "system.posix_acl_access", &acl, sizeof acl.version + 5 * sizeof *acl.entries, 0) != 0) {
		print_message("skipped: no ACLs on this file system: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(try_path(&alice, path_of("shared")), 0);
	struct bd_peer bob = alice;
	bob.uid = geteuid() == alice.uid + 1 ? alice.uid + 2 : alice.uid + 1; /* not the owner either */
	assert_int_equal(try_path(&bob, path_of("shared")), -EACCES);
}

/* ---- allow lists ---- */

static void allow_list_names_users_and_groups(void **state)
{
	(void)state;
	uid_t users[] = { 7 };
	gid_t groups[] = { 501 };
	struct bd_access_list list = { 0 };
	struct bd_peer bob = { .uid = 1001, .gid = 1001, .pidfd = -1 };
	assert_true(bd_access_list_allows(&list, &bob)); /* no `allow`: everyone */
	list.restricted = true;
	assert_false(bd_access_list_allows(&list, &alice)); /* an empty one: nobody but root */
	assert_true(bd_access_list_allows(&list, &root));
	list.groups = groups;
	list.group_count = 1;
	assert_true(bd_access_list_allows(&list, &alice));
	assert_false(bd_access_list_allows(&list, &bob));
	list.users = users;
	list.user_count = 1;
	bob.uid = 7;
	assert_true(bd_access_list_allows(&list, &bob));
}

int main(void)
{
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_class_that_matches_decides),
		cmocka_unit_test(acl_decides_as_acl_5_says),
		cmocka_unit_test(malformed_acl_grants_nothing),
		TREE_TEST(file_of_others_needs_its_read_bit),
		TREE_TEST(readable_file_in_a_closed_folder_is_eacces),
		TREE_TEST(link_does_not_lend_rights),
		TREE_TEST(link_loop_is_eloop),
		TREE_TEST(what_is_no_regular_file_is_einval),
		TREE_TEST(too_long_names_are_enametoolong),
		TREE_TEST(walk_keeps_its_folder_for_the_next_file),
		TREE_TEST(acl_of_a_file_counts),
		cmocka_unit_test(allow_list_names_users_and_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
