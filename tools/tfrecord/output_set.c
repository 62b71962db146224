#include "tools/tfrecord/output_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"

/* What a process needs open beside the files of a set. */
#define OTHER_DESCRIPTORS 64u

struct member {
	int fd;
	char *hidden; /* its name until it is published; NULL: it has none */
	char *name;
	bool published;
};

struct bd_output_set {
	char *folder;
	int folder_fd;
	char *made; /* the first folder of the path that was not there; NULL: all were */
	struct member *members;
	size_t count, room;
	bool kept;
};

/* The topmost folder of `path` that does not exist; NULL where all do. */
static char *first_missing(const char *path)
{
	char *missing = NULL, *at = strdup(path);
	struct stat status;
	while (at && stat(at, &status) != 0 && errno == ENOENT) {
		char *parent = bd_path_folder(at);
		free(missing);
		missing = at;
		if (!parent || !strcmp(parent, at)) {
			free(parent);
			return missing;
		}
		at = parent;
	}
	free(at);
	return missing;
}

int bd_output_set_create(const char *folder, struct bd_output_set **ret_set, struct bd_error *error)
{
	struct bd_output_set *set = calloc(1, sizeof *set);
	if (!set)
		return bd_error_set(error, -ENOMEM, "no memory");
	set->folder_fd = -1;
	set->folder = strdup(folder);
	set->made = first_missing(folder);
	int status = set->folder ? bd_make_folders(folder, 0777, error) : bd_error_set(error, -ENOMEM, "no memory");
	if (!status) {
		set->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (set->folder_fd < 0)
			status = bd_error_set(error, -errno, "%s: cannot open: %s", folder, strerror(errno));
	}
	if (status) {
		bd_output_set_destroy(set);
		return status;
	}
	*ret_set = set;
	return 0;
}

/* From the innermost folder out, as far as they were made here and are empty. */
static void remove_folders(const struct bd_output_set *set)
{
	char *at = set->made && set->folder ? strdup(set->folder) : NULL;
	while (at) {
		bool last = !strcmp(at, set->made);
		if (rmdir(at) != 0 || last)
			break;
		char *parent = bd_path_folder(at);
		free(at);
		at = parent;
	}
	free(at);
}

void bd_output_set_destroy(struct bd_output_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++) {
		struct member *member = &set->members[i];
		if (member->hidden)
			unlinkat(set->folder_fd, member->hidden, 0);
		if (member->published && !set->kept)
			unlinkat(set->folder_fd, member->name, 0);
		close(member->fd);
		free(member->hidden);
		free(member->name);
	}
	if (set->folder_fd >= 0)
		close(set->folder_fd);
	if (!set->kept)
		remove_folders(set);
	free(set->members);
	free(set->folder);
	free(set->made);
	free(set);
}

/* Every file of the set stays open until the end: raise the soft limit as far as the hard one allows. */
static void allow_descriptors(size_t count)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count + OTHER_DESCRIPTORS)
		return;
	rlim_t wanted = (count + OTHER_DESCRIPTORS) * 2;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_hidden(struct bd_output_set *set, struct member *ret_member, struct bd_error *error)
{
	char name[64];
	snprintf(name, sizeof name, ".tfrecord-%ld-%zu.tmp", (long)getpid(), set->count);
	ret_member->hidden = strdup(name);
	if (!ret_member->hidden)
		return bd_error_set(error, -ENOMEM, "no memory");
	ret_member->fd = openat(set->folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (ret_member->fd >= 0)
		return 0;
	int status = bd_error_set(error, -errno, "%s: cannot create a file: %s", set->folder, strerror(errno));
	free(ret_member->hidden);
	ret_member->hidden = NULL;
	return status;
}

int bd_output_set_add(struct bd_output_set *set, int *ret_fd, struct bd_error *error)
{
	if (set->count == set->room) {
		size_t room = set->room ? set->room * 2 : 16;
		struct member *members = realloc(set->members, room * sizeof *members);
		if (!members)
			return bd_error_set(error, -ENOMEM, "no memory");
		set->members = members;
		set->room = room;
	}
	allow_descriptors(set->count + 1);
	struct member member = { .fd = openat(set->folder_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0666) };
	if (member.fd < 0) {
		int status = open_hidden(set, &member, error);
		if (status)
			return status;
	}
	set->members[set->count++] = member;
	*ret_fd = member.fd;
	return 0;
}

size_t bd_output_set_count(const struct bd_output_set *set)
{
	return set->count;
}

int bd_output_set_name(struct bd_output_set *set, size_t index, const char *name, struct bd_error *error)
{
	char *copy = strdup(name);
	if (!copy)
		return bd_error_set(error, -ENOMEM, "no memory");
	free(set->members[index].name);
	set->members[index].name = copy;
	return 0;
}

/* Neither a link nor this rename replaces what is there. */
static int give_name(struct bd_output_set *set, const struct member *member)
{
	char self[64];
	if (!member->hidden) {
		snprintf(self, sizeof self, "/proc/self/fd/%d", member->fd);
		return linkat(AT_FDCWD, self, set->folder_fd, member->name, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
	}
	if (renameat2(set->folder_fd, member->hidden, set->folder_fd, member->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL && faccessat(set->folder_fd, member->name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
	    renameat(set->folder_fd, member->hidden, set->folder_fd, member->name) == 0)
		return 0; /* a file system without NOREPLACE */
	return -errno;
}

static int publish_one(struct bd_output_set *set, size_t index, struct bd_error *error)
{
	struct member *member = &set->members[index];
	int status = give_name(set, member);
	if (status == -EEXIST)
		return bd_error_set(error, status, "%s/%s: is there already", set->folder, member->name);
	if (status)
		return bd_error_set(error, status, "%s/%s: cannot name the file: %s", set->folder, member->name, strerror(-status));
	free(member->hidden);
	member->hidden = NULL;
	member->published = true;
	return 0;
}

int bd_output_set_publish(struct bd_output_set *set, struct bd_error *error)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->members[i].name && fsync(set->members[i].fd) != 0)
			return bd_error_set(error, -errno, "%s/%s: cannot write: %s", set->folder, set->members[i].name,
			                    strerror(errno));
	for (size_t i = 0; i < set->count; i++) {
		int status = set->members[i].name ? publish_one(set, i, error) : 0;
		if (status)
			return status;
	}
	if (fsync(set->folder_fd) != 0)
		return bd_error_set(error, -errno, "%s: cannot write: %s", set->folder, strerror(errno));
	return 0;
}

void bd_output_set_keep(struct bd_output_set *set)
{
	set->kept = true;
}
