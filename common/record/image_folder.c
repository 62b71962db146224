#include "common/record/image_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/record/class_order.h"
#include "common/record/dataset.h"

struct texts {
	char **items;
	size_t count;
};

struct walk {
	const char *root;
	const struct bd_image_folder_options *options;
	struct bd_image_folder found;
	struct texts pending; /* folders of the class that are not listed yet */
	int64_t label;
};

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the list of pictures");
}

/* Rooms double: one more element of `bytes` at `*array`. */
static bool make_room(void *array_pointer, size_t count, size_t bytes)
{
	if (count & (count - 1))
		return true;
	void **array = array_pointer, *larger = realloc(*array, (count ? count * 2 : 1) * bytes);
	if (larger)
		*array = larger;
	return larger;
}

static int push(char ***items, size_t *count, char *text_take, struct bd_error *error)
{
	if (!text_take || !make_room(items, *count, sizeof **items)) {
		free(text_take);
		return no_memory(error);
	}
	(*items)[(*count)++] = text_take;
	return 0;
}

static void free_texts(char **items, size_t count)
{
	for (size_t i = 0; items && i < count; i++)
		free(items[i]);
	free(items);
}

void bd_image_folder_finish(struct bd_image_folder *folder)
{
	free_texts(folder->paths, folder->count);
	free_texts(folder->classes, folder->class_count);
	free_texts(folder->unreadable, folder->unreadable_count);
	free(folder->labels);
	for (size_t i = 0; i < BD_IMAGE_FOLDER_REMARKS; i++)
		for (size_t k = 0; k < BD_IMAGE_FOLDER_NAMED; k++)
			free(folder->remarks[i].names[k]);
	*folder = (struct bd_image_folder){ 0 };
}

/* ---- what is found ---- */

static int remark(struct walk *walk, enum bd_image_folder_remark kind, const char *path, struct bd_error *error)
{
	size_t number = walk->found.remarks[kind].count++, root = strlen(walk->root);
	if (number >= BD_IMAGE_FOLDER_NAMED)
		return 0;
	const char *name = path + root + strspn(path + root, "/");
	walk->found.remarks[kind].names[number] = strdup(name);
	return walk->found.remarks[kind].names[number] ? 0 : no_memory(error);
}

static int add_picture(struct walk *walk, char *path_take, struct bd_error *error)
{
	struct bd_image_folder *found = &walk->found;
	if (walk->options->limit && found->count >= walk->options->limit) {
		free(path_take);
		return bd_error_set(error, -EFBIG, "more than %zu files", walk->options->limit);
	}
	if (!make_room(&found->labels, found->count, sizeof *found->labels)) {
		free(path_take);
		return no_memory(error);
	}
	found->labels[found->count] = walk->label;
	return push(&found->paths, &found->count, path_take, error);
}

/* What cannot be looked at: the end, or a line in the list. */
static int give_up(struct walk *walk, int code, struct bd_error *reason, struct bd_error *error)
{
	bool of_path = bd_code_is_of_path(code);
	if (of_path && walk->options->skip)
		return push(&walk->found.unreadable, &walk->found.unreadable_count, strdup(reason->text), error);
	return bd_error_set(error, code, "%s%s%s", reason->text, of_path ? "; " : "", of_path ? walk->options->advice : "");
}

/* Looks at a path as the guard allows. */
static int look(const struct walk *walk, const char *path, struct stat *ret_status, struct bd_error *error)
{
	const struct bd_dataset_guard *guard = walk->options->guard;
	int result = guard ? guard->look(guard->context, path, error) : 0;
	if (result == -ENOENT) /* a guard has no text for what is not there */
		return bd_error_set(error, result, "%s: cannot open: %s", path, strerror(-result));
	if (result == 0 && stat(path, ret_status) != 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	return result;
}

static bool is_link(const char *path)
{
	struct stat status;
	return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

/* ---- listing a folder ---- */

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int open_folder(const struct walk *walk, const char *path, int *ret_fd, struct bd_error *error)
{
	const struct bd_dataset_guard *guard = walk->options->guard;
	if (guard)
		return guard->open_folder(guard->context, path, ret_fd, error);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot list the folder: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

static int read_folder(const struct walk *walk, const char *path, struct dirent ***ret_entries, size_t *ret_count,
                       struct bd_error *error)
{
	int fd = -1, result = open_folder(walk, path, &fd, error);
	if (result < 0)
		return result;
	int count = scandirat(fd, ".", ret_entries, is_visible, by_bytes), code = -errno;
	close(fd);
	if (count < 0)
		return bd_error_set(error, code, "%s: cannot list the folder: %s", path, strerror(-code));
	*ret_count = (size_t)count;
	return 0;
}

typedef int take_entry(struct walk *walk, char *path_take, const struct stat *status, const char *name, struct bd_error *error);

/* Looks at each visible entry, in byte order, and hands it on. */
static int each_entry(struct walk *walk, const char *path, take_entry *take, struct bd_error *error)
{
	struct bd_error reason = { 0 };
	struct dirent **entries = NULL;
	size_t count = 0;
	/* the root itself is never left out */
	int result = read_folder(walk, path, &entries, &count, path == walk->root ? error : &reason);
	if (result < 0)
		return path == walk->root ? result : give_up(walk, result, &reason, error);
	for (size_t i = 0; i < count; i++) {
		char *inner = result ? NULL : bd_path_join(path, entries[i]->d_name);
		struct stat status;
		int seen = inner ? look(walk, inner, &status, &reason) : 0;
		if (!result && !inner)
			result = no_memory(error);
		else if (!result && seen < 0)
			result = give_up(walk, seen, &reason, error);
		if (!result && !seen)
			result = take(walk, inner, &status, entries[i]->d_name, error);
		else
			free(inner);
		free(entries[i]);
	}
	free(entries);
	return result;
}

/* ---- the root ---- */

static int take_class(struct walk *walk, char *path_take, const struct stat *status, const char *name, struct bd_error *error)
{
	int result;
	if (S_ISDIR(status->st_mode))
		result = push(&walk->found.classes, &walk->found.class_count, strdup(name), error);
	else
		result = remark(walk, S_ISREG(status->st_mode) ? BD_IMAGE_FOLDER_LOOSE : BD_IMAGE_FOLDER_SPECIAL, path_take, error);
	free(path_take);
	return result;
}

static int order_classes(struct walk *walk, struct bd_error *error)
{
	struct bd_image_folder *found = &walk->found;
	size_t count = found->class_count;
	size_t *numbers = calloc(count + 1, sizeof *numbers);
	char **ordered = calloc(count + 1, sizeof *ordered);
	int result = numbers && ordered ? bd_class_order(found->classes, count, walk->options->classes, walk->options->class_count,
	                                                 numbers, error)
	                                : no_memory(error);
	for (size_t i = 0; !result && i < count; i++)
		ordered[numbers[i]] = found->classes[i];
	free(numbers);
	free(result ? ordered : found->classes);
	if (!result)
		found->classes = ordered;
	return result;
}

/* ---- a class ---- */

static int take_picture(struct walk *walk, char *path_take, const struct stat *status, const char *name, struct bd_error *error)
{
	(void)name;
	if (S_ISREG(status->st_mode))
		return add_picture(walk, path_take, error);
	bool folder = S_ISDIR(status->st_mode);
	if (folder && !is_link(path_take))
		return push(&walk->pending.items, &walk->pending.count, path_take, error);
	int result = remark(walk, folder ? BD_IMAGE_FOLDER_LINK : BD_IMAGE_FOLDER_SPECIAL, path_take, error);
	free(path_take);
	return result;
}

/* By the folder's path, then by the file's name: not the order of the whole paths, in which "a-b/c" is before "a/c". */
static int by_folder(const void *a, const void *b)
{
	const char *one = *(char *const *)a, *other = *(char *const *)b;
	size_t one_length = (size_t)(bd_path_base(one) - one), other_length = (size_t)(bd_path_base(other) - other);
	size_t shorter = one_length < other_length ? one_length : other_length;
	/* without the slash at the end, so that a folder is before those that it begins */
	int order = strncmp(one, other, shorter - 1);
	if (!order && one_length != other_length)
		order = one_length < other_length ? -1 : 1;
	return order ? order : strcmp(one + one_length, other + other_length);
}

static int list_class(struct walk *walk, size_t number, struct bd_error *error)
{
	struct bd_image_folder *found = &walk->found;
	size_t before = found->count, listed = 0;
	char *path = bd_path_join(walk->root, found->classes[number]);
	walk->label = (int64_t)number;
	int result = push(&walk->pending.items, &walk->pending.count, path, error);
	while (!result && walk->pending.count) {
		char *folder = walk->pending.items[--walk->pending.count];
		result = each_entry(walk, folder, take_picture, error);
		free(folder);
		listed++;
	}
	if (!result && listed > 1)
		qsort(found->paths + before, found->count - before, sizeof *found->paths, by_folder);
	if (result || found->count > before)
		return result;
	path = bd_path_join(walk->root, found->classes[number]);
	result = path ? remark(walk, BD_IMAGE_FOLDER_EMPTY, path, error) : no_memory(error);
	free(path);
	return result;
}

int bd_image_folder_list(const char *root, const struct bd_image_folder_options *options, struct bd_image_folder *ret_folder,
                         struct bd_error *error)
{
	struct walk walk = { .root = root, .options = options };
	int result = each_entry(&walk, root, take_class, error);
	if (!result && options->classes)
		result = order_classes(&walk, error);
	for (size_t i = 0; !result && i < walk.found.class_count; i++)
		result = list_class(&walk, i, error);
	free_texts(walk.pending.items, walk.pending.count);
	if (result)
		bd_image_folder_finish(&walk.found);
	else
		*ret_folder = walk.found;
	return result;
}

bool bd_image_folder_say(const struct bd_image_folder *folder, enum bd_image_folder_remark remark, char *ret_text, size_t size)
{
	static const char *const words[BD_IMAGE_FOLDER_REMARKS][2] = {
		[BD_IMAGE_FOLDER_LOOSE] = { "1 file beside the class folders is left out",
		                            "files beside the class folders are left out" },
		[BD_IMAGE_FOLDER_LINK] = { "1 link to a folder is left out", "links to folders are left out" },
		[BD_IMAGE_FOLDER_SPECIAL] = { "1 entry that is no file is left out", "entries that are no files are left out" },
		[BD_IMAGE_FOLDER_EMPTY] = { "1 class has no pictures", "classes have no pictures" },
	};
	size_t count = folder->remarks[remark].count;
	if (!count)
		return false;
	int at = count == 1 ? snprintf(ret_text, size, "%s: ", words[remark][0])
	                    : snprintf(ret_text, size, "%zu %s: ", count, words[remark][1]);
	for (size_t i = 0; i < count && i < BD_IMAGE_FOLDER_NAMED && at < (int)size; i++)
		at += snprintf(ret_text + at, size - (size_t)at, "%s%s", i ? ", " : "", folder->remarks[remark].names[i]);
	if (count > BD_IMAGE_FOLDER_NAMED && at < (int)size)
		snprintf(ret_text + at, size - (size_t)at, ", ...");
	return true;
}
