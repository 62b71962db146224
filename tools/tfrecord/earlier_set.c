#include "tools/tfrecord/earlier_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/folder.h"

struct names {
	char **items;
	size_t count;
};

/* A folder, open, and the files of the set that are in it or shall come back from it. */
struct content {
	int fd;
	struct names names;
};

struct bd_earlier_set {
	char *folder, *name;
	char *moving, *old, *done; /* names of the hidden folder */
	char *file; /* one that was there at the start */
	int fd; /* of the folder; -1: it is not there */
	struct content moved; /* so that neither putting back nor removing needs a descriptor or memory */
	enum { IN_PLACE, MOVED, COMMITTED } state;
};

/* ---- names ---- */

/* NAME-12345-of-12345.tfrecord */
static bool is_shard(const char *file, const char *name)
{
	size_t length = strlen(name);
	unsigned index, count;
	int end = 0;
	return !strncmp(file, name, length) && strlen(file + length) == strlen("-00000-of-00000.tfrecord") &&
	       sscanf(file + length, "-%5u-of-%5u.tfrecord%n", &index, &count, &end) == 2 && end && !file[length + (size_t)end];
}

static bool is_output(const char *file, const char *name)
{
	size_t length = strlen(name);
	return is_shard(file, name) || (!strncmp(file, name, length) && !strcmp(file + length, ".yaml"));
}

static void free_names(struct names *names)
{
	bd_folder_names_free(names->items, names->count);
	*names = (struct names){ 0 };
}

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the names of the earlier files");
}

/* 1: a file of the set, where `fd` is the folder; 0: not; -errno. */
static int is_member(const struct bd_earlier_set *set, int fd, const char *file, struct bd_error *error)
{
	struct stat status;
	if (!is_output(file, set->name))
		return 0;
	if (fstatat(fd, file, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return bd_error_set(error, -errno, "%s/%s: cannot open: %s", set->folder, file, strerror(errno));
	return !S_ISDIR(status.st_mode);
}

/* The files of the set in the folder `inner`, which is open as `fd`. */
static int list(const struct bd_earlier_set *set, int fd, const char *inner, struct names *ret_names, struct bd_error *error)
{
	struct names all = { 0 };
	size_t kept = 0;
	char *path = bd_path_join(set->folder, inner);
	int result = path ? bd_folder_list(path, &all.items, &all.count, error) : no_memory(error);
	free(path);
	for (size_t i = 0; i < all.count; i++) {
		int member = result < 0 ? 0 : is_member(set, fd, all.items[i], error);
		if (member < 0)
			result = member;
		if (member > 0)
			all.items[kept++] = all.items[i];
		else
			free(all.items[i]);
	}
	all.count = kept;
	if (result < 0)
		free_names(&all);
	else
		*ret_names = all;
	return result;
}

static int look(const struct bd_earlier_set *set, const char *inner, bool *ret_there, struct bd_error *error)
{
	struct stat status;
	*ret_there = fstatat(set->fd, inner, &status, AT_SYMLINK_NOFOLLOW) == 0;
	if (!*ret_there && errno != ENOENT)
		return bd_error_set(error, -errno, "%s/%s: cannot open: %s", set->folder, inner, strerror(errno));
	return 0;
}

/* ---- steps ---- */

/* Moves the file without replacing one. */
static int move(const struct bd_earlier_set *set, int from, int to, const char *file, struct bd_error *error)
{
	int result = renameat2(from, file, to, file, RENAME_NOREPLACE);
	if (result != 0 && errno == EINVAL && faccessat(to, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
		result = renameat(from, file, to, file); /* a file system without NOREPLACE */
	if (result != 0)
		return bd_error_set(error, -errno, "%s/%s: cannot rename: %s", set->folder, file, strerror(errno));
	return 0;
}

static void close_content(struct content *content)
{
	free_names(&content->names);
	if (content->fd >= 0)
		close(content->fd);
	content->fd = -1;
}

static int open_content(const struct bd_earlier_set *set, const char *inner, struct content *ret_content, struct bd_error *error)
{
	struct content content = { .fd = openat(set->fd, inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (content.fd < 0)
		return bd_error_set(error, -errno, "%s/%s: cannot open: %s", set->folder, inner, strerror(errno));
	int result = list(set, content.fd, inner, &content.names, error);
	if (result)
		close_content(&content);
	else
		*ret_content = content;
	return result;
}

static int remove_content(const struct bd_earlier_set *set, const struct content *content, struct bd_error *error)
{
	for (size_t i = 0; i < content->names.count; i++)
		if (unlinkat(content->fd, content->names.items[i], 0) != 0 && errno != ENOENT)
			return bd_error_set(error, -errno, "%s: cannot remove an earlier %s: %s", set->folder,
			                    content->names.items[i], strerror(errno));
	return 0;
}

/* Those that were moved; a file that is not there was not. */
static int move_back(const struct bd_earlier_set *set, const struct content *content, struct bd_error *error)
{
	int result = 0;
	for (size_t i = 0; !result && i < content->names.count; i++) {
		result = move(set, content->fd, set->fd, content->names.items[i], error);
		if (result == -ENOENT)
			result = 0;
	}
	return result;
}

static int rename_inner(const struct bd_earlier_set *set, const char *from, const char *to, struct bd_error *error)
{
	if (renameat(set->fd, from, set->fd, to) != 0)
		return bd_error_set(error, -errno, "%s/%s: cannot rename: %s", set->folder, from, strerror(errno));
	return 0;
}

static int remove_inner(const struct bd_earlier_set *set, const char *inner, struct bd_error *error)
{
	if (unlinkat(set->fd, inner, AT_REMOVEDIR) != 0)
		return bd_error_set(error, -errno, "%s/%s: cannot remove: %s", set->folder, inner, strerror(errno));
	return 0;
}

static void say_where(const struct bd_earlier_set *set, const char *inner, struct bd_error *error)
{
	bd_error_prefix(error, "the earlier files are in %s/%s, and the next run puts them back", set->folder, inner);
}

static int put_back(struct bd_earlier_set *set, struct bd_error *error)
{
	int result = set->moved.fd < 0 ? open_content(set, set->moving, &set->moved, error) : 0;
	if (!result)
		result = move_back(set, &set->moved, error);
	if (!result)
		result = remove_inner(set, set->moving, error);
	if (result)
		say_where(set, set->moving, error);
	else
		close_content(&set->moved);
	return result;
}

/* ---- the set ---- */

static int open_folder(struct bd_earlier_set *set, struct bd_error *error)
{
	if (set->fd >= 0)
		return 0;
	set->fd = open(set->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->fd < 0 && errno != ENOENT)
		return bd_error_set(error, -errno, "%s: cannot open: %s", set->folder, strerror(errno));
	return 0;
}

static char *inner_name(const char *name, const char *ending)
{
	char *inner = NULL;
	return asprintf(&inner, ".%s.%s", name, ending) < 0 ? NULL : inner;
}

static struct bd_earlier_set *create(const char *folder, const char *name)
{
	struct bd_earlier_set *set = calloc(1, sizeof *set);
	if (!set)
		return NULL;
	*set = (struct bd_earlier_set){ .folder = strdup(folder), .name = strdup(name), .fd = -1, .moved = { .fd = -1 } };
	set->moving = inner_name(name, "moving");
	set->old = inner_name(name, "old");
	set->done = inner_name(name, "done");
	if (set->folder && set->name && set->moving && set->old && set->done)
		return set;
	bd_earlier_set_destroy(set);
	return NULL;
}

/* What a run that was killed has left. */
static int end_earlier_run(struct bd_earlier_set *set, struct bd_error *error)
{
	bool moving = false, old = false, done = false;
	int result = look(set, set->moving, &moving, error);
	if (!result)
		result = look(set, set->old, &old, error);
	if (!result)
		result = look(set, set->done, &done, error);
	if (!result && moving)
		result = put_back(set, error);
	set->state = old ? MOVED : done ? COMMITTED : IN_PLACE;
	if (!result && old)
		result = bd_earlier_set_restore(set, error);
	if (!result && done)
		result = bd_earlier_set_drop(set, error);
	return result;
}

static int note_file(struct bd_earlier_set *set, struct bd_error *error)
{
	struct names names = { 0 };
	int result = list(set, set->fd, ".", &names, error);
	if (!result && names.count) {
		set->file = names.items[0];
		names.items[0] = NULL;
	}
	free_names(&names);
	return result;
}

int bd_earlier_set_open(const char *folder, const char *name, struct bd_earlier_set **ret_set, struct bd_error *error)
{
	struct bd_earlier_set *set = create(folder, name);
	int result = set ? open_folder(set, error) : no_memory(error);
	if (!result && set->fd >= 0)
		result = end_earlier_run(set, error);
	if (!result && set->fd >= 0)
		result = note_file(set, error);
	if (result)
		bd_earlier_set_destroy(set);
	else
		*ret_set = set;
	return result;
}

void bd_earlier_set_destroy(struct bd_earlier_set *set)
{
	if (!set)
		return;
	close_content(&set->moved);
	if (set->fd >= 0)
		close(set->fd);
	free(set->folder);
	free(set->name);
	free(set->moving);
	free(set->old);
	free(set->done);
	free(set->file);
	free(set);
}

const char *bd_earlier_set_file(const struct bd_earlier_set *set)
{
	return set->file;
}

static int move_aside(struct bd_earlier_set *set, struct bd_error *error)
{
	int result = 0;
	for (size_t i = 0; !result && i < set->moved.names.count; i++)
		result = move(set, set->fd, set->moved.fd, set->moved.names.items[i], error);
	return result ? result : rename_inner(set, set->moving, set->old, error);
}

int bd_earlier_set_move(struct bd_earlier_set *set, struct bd_error *error)
{
	struct bd_error why = { 0 };
	int result = open_folder(set, error);
	if (!result && set->fd >= 0)
		result = list(set, set->fd, ".", &set->moved.names, error);
	if (result || !set->moved.names.count)
		return result;
	if (mkdirat(set->fd, set->moving, 0700) != 0)
		return bd_error_set(error, -errno, "%s/%s: cannot create the folder: %s", set->folder, set->moving,
		                    strerror(errno));
	set->moved.fd = openat(set->fd, set->moving, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->moved.fd < 0) {
		result = bd_error_set(error, -errno, "%s/%s: cannot open: %s", set->folder, set->moving, strerror(errno));
		unlinkat(set->fd, set->moving, AT_REMOVEDIR);
		return result;
	}
	result = move_aside(set, error);
	if (!result)
		set->state = MOVED;
	else if (put_back(set, &why))
		say_where(set, set->moving, error);
	return result;
}

int bd_earlier_set_commit(struct bd_earlier_set *set, struct bd_error *error)
{
	int result = set->state == MOVED ? rename_inner(set, set->old, set->done, error) : 0;
	if (!result && set->state == MOVED)
		set->state = COMMITTED;
	return result;
}

int bd_earlier_set_drop(struct bd_earlier_set *set, struct bd_error *error)
{
	if (set->state != COMMITTED)
		return 0;
	/* after a crash the commit must not be lost while the removal is not */
	if (fsync(set->fd) != 0)
		return bd_error_set(error, -errno, "%s: cannot sync the folder: %s", set->folder, strerror(errno));
	int result = set->moved.fd < 0 ? open_content(set, set->done, &set->moved, error) : 0;
	if (!result)
		result = remove_content(set, &set->moved, error);
	if (!result)
		result = remove_inner(set, set->done, error);
	if (!result)
		set->state = IN_PLACE;
	close_content(&set->moved);
	return result;
}

int bd_earlier_set_restore(struct bd_earlier_set *set, struct bd_error *error)
{
	if (set->state != MOVED)
		return 0;
	struct content newer = { .fd = -1 };
	int result = open_content(set, ".", &newer, error);
	if (!result)
		result = remove_content(set, &newer, error);
	if (!result)
		result = rename_inner(set, set->old, set->moving, error);
	close_content(&newer);
	if (result) {
		say_where(set, set->old, error);
		return result;
	}
	set->state = IN_PLACE;
	return put_back(set, error);
}
