/* The key `shards` of a dataset file: globs, lists, image folders, lists of pictures. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/class_order.h"
#include "common/record/dataset_parts.h"
#include "common/record/image_folder.h"
#include "common/record/shard_set.h"

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the list of files");
}

/* The array grows by doubling; path_count is a power of two whenever it is full. */
static int append_path(struct bd_dataset *dataset, char *path_take, struct bd_error *error)
{
	size_t count = dataset->path_count;
	if (!path_take)
		return no_memory(error);
	if (count >= BD_DATASET_MAX_FILES) {
		free(path_take);
		return bd_error_set(error, -EFBIG, "more than %u files", BD_DATASET_MAX_FILES);
	}
	if ((count & (count - 1)) == 0) {
		size_t room = count ? 2 * count : 1;
		char **paths = realloc(dataset->paths, room * sizeof *paths);
		if (!paths) {
			free(path_take);
			return no_memory(error);
		}
		dataset->paths = paths;
	}
	dataset->paths[count] = path_take;
	dataset->path_count = count + 1;
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- on another user's behalf ---- */

/* 0: the path may be looked at; -ENOENT; other -errno: not by whoever asks. */
static int look(const struct bd_dataset *dataset, const char *path, struct bd_error *error)
{
	return dataset->guard ? dataset->guard->look(dataset->guard->context, path, error) : 0;
}

static int open_folder(const struct bd_dataset_guard *guard, const char *path, int *ret_fd, struct bd_error *error)
{
	if (guard)
		return guard->open_folder(guard->context, path, ret_fd, error);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot list the folder: %s", path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* glob() hands no context to its functions. */
static _Thread_local struct {
	const struct bd_dataset_guard *guard;
	struct bd_error refusal; /* the first; code 0: none */
} globbing;

static void note_refusal(const struct bd_error *reason)
{
	if (reason->code != -ENOENT && reason->code != -ENOTDIR && !globbing.refusal.code)
		globbing.refusal = *reason;
	errno = -reason->code;
}

static void *guarded_opendir(const char *path)
{
	struct bd_error reason;
	int fd = -1;
	if (open_folder(globbing.guard, path, &fd, &reason) < 0) {
		note_refusal(&reason);
		return NULL;
	}
	DIR *folder = fdopendir(fd);
	if (folder)
		return folder;
	bd_error_set(&reason, -errno, "%s: cannot list the folder: %s", path, strerror(errno));
	close(fd);
	note_refusal(&reason);
	return NULL;
}

/* glob() takes an error for the end of the folder. */
static struct dirent *guarded_readdir(void *folder)
{
	errno = 0;
	struct dirent *entry = readdir(folder);
	if (!entry && errno) {
		struct bd_error reason;
		bd_error_set(&reason, -errno, "cannot list a folder: %s", strerror(errno));
		note_refusal(&reason);
	}
	return entry;
}

static void guarded_closedir(void *folder)
{
	closedir(folder);
}

static bool may_stat(const char *path)
{
	struct bd_error reason;
	if (!globbing.guard || globbing.guard->look(globbing.guard->context, path, &reason) == 0)
		return true;
	note_refusal(&reason);
	return false;
}

static int note_stat(const char *path, int result)
{
	struct bd_error reason;
	if (result != 0) {
		bd_error_set(&reason, -errno, "%s: cannot open: %s", path, strerror(errno));
		note_refusal(&reason);
	}
	return result;
}

static int guarded_stat(const char *path, struct stat *ret_status)
{
	return may_stat(path) ? note_stat(path, stat(path, ret_status)) : -1;
}

static int guarded_lstat(const char *path, struct stat *ret_status)
{
	return may_stat(path) ? note_stat(path, lstat(path, ret_status)) : -1;
}

/* Returns what glob() does; *ret_refusal has code 0 where nothing was refused. */
static int guarded_glob(const struct bd_dataset_guard *guard, const char *pattern, glob_t *found, struct bd_error *ret_refusal)
{
	globbing.guard = guard;
	globbing.refusal.code = 0;
	found->gl_opendir = guarded_opendir;
	found->gl_readdir = guarded_readdir;
	found->gl_closedir = guarded_closedir;
	found->gl_stat = guarded_stat;
	found->gl_lstat = guarded_lstat;
	int status = glob(pattern, GLOB_NOSORT | GLOB_ALTDIRFUNC, NULL, found);
	*ret_refusal = globbing.refusal;
	return status;
}

/* ---- globs ---- */

/* The folder's own stars and brackets stand for themselves. NULL without memory. */
static char *join_pattern(const char *folder, const char *pattern)
{
	if (pattern[0] == '/')
		return strdup(pattern);
	size_t length = strlen(pattern) + 1;
	char *joined = malloc(2 * strlen(folder) + length + 1), *to = joined;
	if (!joined)
		return NULL;
	for (const char *c = folder; *c; c++) {
		if (strchr("*?[]\\", *c))
			*to++ = '\\';
		*to++ = *c;
	}
	*to++ = '/';
	memcpy(to, pattern, length);
	return joined;
}

/* 1: a file, or one that whoever asks may not look at: opening it is refused later; 0: a folder; -errno: nobody can tell. */
static int is_file(const struct bd_dataset *dataset, const char *path, struct bd_error *error)
{
	struct stat status;
	int seen = look(dataset, path, NULL);
	if (seen < 0 && seen != -ENOENT)
		return 1;
	int code = seen < 0 ? seen : stat(path, &status) != 0 ? -errno : 0;
	if (code < 0)
		return bd_error_set(error, code, "%s: cannot open: %s", path, strerror(-code));
	return !S_ISDIR(status.st_mode);
}

/* Is there a match `stem` + `ending`? The paths are sorted. -ENOMEM. */
static int has_match(const glob_t *found, const char *stem, size_t stem_bytes, const char *ending)
{
	char *shard;
	if (asprintf(&shard, "%.*s%s", (int)stem_bytes, stem, ending) < 0)
		return -ENOMEM;
	bool match = bsearch(&shard, found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, compare_texts);
	free(shard);
	return match;
}

/* 1: `x.idx`, `x.index` or `x.tfindex` beside a matched `x`, or beside `x.tfrecord` as tfrecord2idx has it: an index, no shard. -ENOMEM. */
static int is_index_of_a_match(const glob_t *found, const char *path)
{
	static const char *const indexes[] = { ".idx", ".index", ".tfindex" }, *const shards[] = { "", ".tfrecord", ".tfrecords" };
	const char *ending = strrchr(path, '.');
	bool index = false;
	int match = 0;
	for (size_t i = 0; ending && i < BD_COUNT_OF(indexes); i++)
		index = index || !strcmp(ending, indexes[i]);
	for (size_t i = 0; index && !match && i < BD_COUNT_OF(shards); i++)
		match = has_match(found, path, (size_t)(ending - path), shards[i]);
	return match;
}

static int append_matches(const struct bd_yaml_node *node, const char *pattern, glob_t *found, const struct bd_error *refusal,
                          struct bd_dataset *dataset, struct bd_error *error)
{
	size_t before = dataset->path_count;
	if (found->gl_pathc)
		qsort(found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, compare_texts);
	for (size_t i = 0; i < found->gl_pathc; i++) {
		const char *path = found->gl_pathv[i];
		int index = is_index_of_a_match(found, path);
		if (index > 0)
			continue;
		int result = index < 0 ? no_memory(error) : is_file(dataset, path, error);
		if (result > 0)
			result = append_path(dataset, strdup(path), error);
		if (result < 0)
			return result;
	}
	/* what could not be looked at may hold more shards */
	if (refusal->code) {
		if (error)
			*error = *refusal;
		return refusal->code;
	}
	if (dataset->path_count > before)
		return 0;
	bd_yaml_error(node, error, "no file matches '%s'", pattern);
	if (error)
		error->code = -ENOENT;
	return -ENOENT;
}

static int append_glob(const struct bd_yaml_node *node, const char *folder, const char *pattern, struct bd_dataset *dataset,
                       struct bd_error *error)
{
	char *joined = join_pattern(folder, pattern);
	if (!joined)
		return no_memory(error);
	glob_t found = { 0 };
	struct bd_error refusal;
	int status = guarded_glob(dataset->guard, joined, &found, &refusal);
	free(joined);
	int result = status == GLOB_NOSPACE ? no_memory(error) : append_matches(node, pattern, &found, &refusal, dataset, error);
	globfree(&found);
	return result;
}

static int append_file(const struct bd_yaml_node *node, const char *folder, const char *name, struct bd_dataset *dataset,
                       struct bd_error *error)
{
	char *path = bd_path_join(folder, name);
	struct stat status;
	if (!path)
		return no_memory(error);
	int result = look(dataset, path, error);
	if (result < 0 && result != -ENOENT) {
		free(path);
		return result;
	}
	result = stat(path, &status) == 0 ? 0 : -errno;
	if (result == 0 && S_ISDIR(status.st_mode))
		result = -EISDIR;
	if (result == 0)
		return append_path(dataset, path, error);
	if (result == -EISDIR)
		bd_yaml_error(node, error,
		              "'%s' is a folder, not a file: '%s/*' names the files in it, {folder: %s} is an image folder", path,
		              name, name);
	else
		bd_yaml_error(node, error, "cannot read '%s': %s", path, strerror(-result));
	if (error)
		error->code = result;
	free(path);
	return result;
}

/* 1: something has this very name, stars and brackets included; 0: nothing that whoever asks could see; -ENOMEM. */
static int is_there(const struct bd_dataset *dataset, const char *folder, const char *name, struct bd_error *error)
{
	struct stat status;
	char *path = bd_path_join(folder, name);
	if (!path)
		return no_memory(error);
	bool there = look(dataset, path, NULL) == 0 && lstat(path, &status) == 0;
	free(path);
	return there;
}

/* *ret_glob: the item is a pattern, and not the name of a file. */
static int append_shards(const struct bd_yaml_node *node, const char *folder, struct bd_dataset *dataset, bool *ret_glob,
                         struct bd_error *error)
{
	const char *text;
	*ret_glob = false;
	int result = bd_yaml_get_text(node, "shards", &text, error);
	if (result < 0)
		return result;
	if (!*text)
		return bd_yaml_error(node, error, "'shards' is empty");
	if (strstr(text, "://"))
		return bd_yaml_error(node, error, "'%s': shards are read from files; copy or mount them", text);
	int exists = strpbrk(text, "*?[") ? is_there(dataset, folder, text, error) : 1;
	if (exists < 0)
		return exists;
	*ret_glob = !exists;
	if (*ret_glob && strstr(text, "**"))
		return bd_yaml_error(node, error,
		                     "'%s': '**' does not lead through folders here; a list has a pattern for each depth, as in "
		                     "['*.tfrecord', '*/*.tfrecord']",
		                     text);
	if (*ret_glob)
		return append_glob(node, folder, text, dataset, error);
	return append_file(node, folder, text, dataset, error);
}

static int add_note(struct bd_dataset *dataset, const char *about, const char *text, struct bd_error *error)
{
	size_t size = strlen(about) + strlen(text) + sizeof ": ";
	char *note = malloc(size);
	char **notes = note ? realloc(dataset->notes, (dataset->note_count + 1) * sizeof *notes) : NULL;
	if (!notes) {
		free(note);
		return no_memory(error);
	}
	snprintf(note, size, "%s: %s", about, text);
	dataset->notes = notes;
	dataset->notes[dataset->note_count++] = note;
	return 0;
}

/* What the glob at `node` found, paths[first..end): sets of shards are whole, counting what the other items name. */
static int check_sets(const struct bd_yaml_node *node, size_t first, size_t end, struct bd_dataset *dataset, struct bd_error *error)
{
	char gap[BD_ERROR_TEXT_BYTES];
	const char *pattern = "";
	int result = bd_yaml_get_text(node, "shards", &pattern, error);
	if (result == 0)
		result = bd_shard_set_find_gap(dataset->paths, dataset->path_count, first, end, gap, sizeof gap, error);
	if (result <= 0)
		return result;
	if (dataset->partial)
		return add_note(dataset, pattern, gap, error);
	bd_yaml_error(node, error, "'%s': %s; 'partial: true' reads those that are there", pattern, gap);
	if (error)
		error->code = -ENOENT;
	return -ENOENT;
}

static int append_only_shards(const struct bd_yaml_node *node, const char *folder, struct bd_dataset *dataset,
                              struct bd_error *error)
{
	bool glob;
	int result = append_shards(node, folder, dataset, &glob, error);
	return result == 0 && glob ? check_sets(node, 0, dataset->path_count, dataset, error) : result;
}

static int append_shard_list(const struct bd_yaml_node *node, const char *folder, struct bd_dataset *dataset,
                             struct bd_error *error)
{
	struct range {
		size_t first, end;
		bool glob;
	} *ranges = calloc(bd_yaml_count(node), sizeof *ranges);
	int result = ranges ? 0 : no_memory(error);
	for (size_t i = 0; result == 0 && i < bd_yaml_count(node); i++) {
		ranges[i].first = dataset->path_count;
		result = append_shards(bd_yaml_item(node, i), folder, dataset, &ranges[i].glob, error);
		ranges[i].end = dataset->path_count;
	}
	for (size_t i = 0; result == 0 && i < bd_yaml_count(node); i++)
		if (ranges[i].glob)
			result = check_sets(bd_yaml_item(node, i), ranges[i].first, ranges[i].end, dataset, error);
	free(ranges);
	return result;
}

/* ---- image folders ---- */

static int check_skipped(const struct bd_image_folder *found, const struct bd_dataset *dataset, struct bd_error *error)
{
	double lost = (double)found->unreadable_count, all = lost + (double)found->count;
	if (!lost || lost <= dataset->skip_limit * all)
		return 0;
	return bd_error_set(error, -ENOENT,
	                    "%zu of %.0f files cannot be looked at, more than skip_limit: %g allows; the first is %s",
	                    found->unreadable_count, all, dataset->skip_limit, found->unreadable[0]);
}

static int note_what_is_odd(const struct bd_image_folder *found, const char *root, struct bd_dataset *dataset,
                            struct bd_error *error)
{
	char text[BD_ERROR_TEXT_BYTES];
	int result = bd_class_names_alike(found->classes, found->class_count, text, sizeof text, error);
	if (result > 0)
		result = add_note(dataset, root, text, error);
	for (int i = 0; !result && i < BD_IMAGE_FOLDER_REMARKS; i++)
		if (bd_image_folder_say(found, (enum bd_image_folder_remark)i, text, sizeof text))
			result = add_note(dataset, root, text, error);
	if (result || !found->unreadable_count)
		return result;
	snprintf(text, sizeof text, "%zu of its entries cannot be looked at and are left out; the first is %s",
	         found->unreadable_count, found->unreadable[0]);
	return add_note(dataset, root, text, error);
}

/* The dataset takes what was found. */
static void take_folder(struct bd_image_folder *found, struct bd_dataset *dataset)
{
	dataset->paths = found->paths;
	dataset->labels = found->labels;
	dataset->path_count = found->count;
	found->paths = NULL;
	found->labels = NULL;
	if (dataset->classes)
		return;
	dataset->classes = found->classes;
	dataset->class_count = found->class_count;
	found->classes = NULL;
}

static int list_root(const char *root, struct bd_dataset *dataset, struct bd_error *error)
{
	struct bd_image_folder found = { 0 };
	struct bd_image_folder_options options = { .classes = dataset->classes,
		                                   .class_count = dataset->class_count,
		                                   .limit = BD_DATASET_MAX_FILES,
		                                   .guard = dataset->guard,
		                                   .skip = dataset->on_error == BD_ON_ERROR_SKIP,
		                                   .advice = "'on_error: skip' leaves such files out" };
	int result = bd_image_folder_list(root, &options, &found, error);
	if (result == -EINVAL && dataset->classes) {
		bd_error_prefix(error, "'classes' sets the order of the class folders in '%s'", root);
		return result;
	}
	if (result < 0)
		return result;
	result = check_skipped(&found, dataset, error);
	if (result == 0)
		result = note_what_is_odd(&found, root, dataset, error);
	if (result == 0)
		take_folder(&found, dataset);
	bd_image_folder_finish(&found);
	return result;
}

static int parse_folder(const struct bd_yaml_node *node, const char *folder, struct bd_dataset *dataset, struct bd_error *error)
{
	const char *text;
	int result = bd_yaml_get_text(node, "folder", &text, error);
	if (result < 0)
		return result;
	char *root = bd_path_join(folder, text);
	dataset->source = BD_SOURCE_FOLDER;
	result = root ? list_root(root, dataset, error) : no_memory(error);
	free(root);
	if (result == 0 && !dataset->path_count) {
		bd_yaml_error(node, error, "no picture in '%s': it needs one sub-folder a class", text);
		if (error)
			error->code = -ENOENT;
		return -ENOENT;
	}
	return result;
}

/* ---- */

static int parse_list(const struct bd_yaml_node *node, const char *folder, bool pictures, struct bd_dataset *dataset,
                      struct bd_error *error)
{
	if (bd_yaml_kind(node) == BD_YAML_SCALAR && !pictures)
		return append_only_shards(node, folder, dataset, error);
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || !bd_yaml_count(node))
		return bd_yaml_error(node, error, "'%s' needs at least one file", pictures ? "files" : "shards");
	if (!pictures)
		return append_shard_list(node, folder, dataset, error);
	int result = 0;
	for (size_t i = 0; result == 0 && i < bd_yaml_count(node); i++) {
		const char *text = NULL;
		/* names of pictures come from a program and are taken as they are, stars and brackets included */
		result = bd_yaml_get_text(bd_yaml_item(node, i), "files", &text, error);
		if (result == 0)
			result = append_file(bd_yaml_item(node, i), folder, text, dataset, error);
	}
	return result;
}

int bd_dataset_parse_shards(const struct bd_yaml_node *shards, const char *folder, struct bd_dataset *dataset,
                            struct bd_error *error)
{
	static const char *const keys[] = { "folder", "files", NULL };
	if (bd_yaml_kind(shards) != BD_YAML_MAPPING)
		return parse_list(shards, folder, false, dataset, error);
	int result = bd_yaml_check_keys(shards, "shards", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *root = bd_yaml_find(shards, "folder"), *files = bd_yaml_find(shards, "files");
	if (!root == !files)
		return bd_yaml_error(shards, error, "'shards' is a glob, a list, {folder: FOLDER} or {files: [FILE, ...]}");
	if (root)
		return parse_folder(root, folder, dataset, error);
	dataset->source = BD_SOURCE_FILES;
	return parse_list(files, folder, true, dataset, error);
}
