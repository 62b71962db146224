/* The key `shards` of a dataset file: globs, lists, image folders, lists of pictures. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/dataset_parts.h"

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the list of files");
}

/* Both arrays grow by doubling; path_count is a power of two whenever they are full. */
static int append_path(struct bd_dataset *dataset, char *path_take, int64_t label, struct bd_error *error)
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
		if (paths)
			dataset->paths = paths;
		int64_t *labels = realloc(dataset->labels, room * sizeof *labels);
		if (labels)
			dataset->labels = labels;
		if (!paths || !labels) {
			free(path_take);
			return no_memory(error);
		}
	}
	dataset->paths[count] = path_take;
	dataset->labels[count] = label;
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
	if (reason->code != -ENOENT && !globbing.refusal.code)
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
	if (!folder)
		close(fd);
	return folder;
}

static struct dirent *guarded_readdir(void *folder)
{
	return readdir(folder);
}

static void guarded_closedir(void *folder)
{
	closedir(folder);
}

static bool may_stat(const char *path)
{
	struct bd_error reason;
	if (globbing.guard->look(globbing.guard->context, path, &reason) == 0)
		return true;
	note_refusal(&reason);
	return false;
}

static int guarded_stat(const char *path, struct stat *ret_status)
{
	return may_stat(path) ? stat(path, ret_status) : -1;
}

static int guarded_lstat(const char *path, struct stat *ret_status)
{
	return may_stat(path) ? lstat(path, ret_status) : -1;
}

/* Returns what glob() does; *ret_refusal has code 0 where nothing was refused. */
static int guarded_glob(const struct bd_dataset_guard *guard, const char *pattern, glob_t *found, struct bd_error *ret_refusal)
{
	*ret_refusal = (struct bd_error){ 0 };
	if (!guard)
		return glob(pattern, GLOB_NOSORT, NULL, found);
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

static bool is_file(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

/* `x.idx` or `x.index` beside a matched `x`: an index, no shard. The paths are sorted. */
static bool is_index_of_a_match(const glob_t *found, const char *path)
{
	const char *ending = strrchr(path, '.');
	if (!ending || (strcmp(ending, ".idx") != 0 && strcmp(ending, ".index") != 0))
		return false;
	char *shard = strndup(path, (size_t)(ending - path));
	bool match = shard && bsearch(&shard, found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, compare_texts);
	free(shard);
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
		int seen = look(dataset, path, NULL);
		if (seen == -ENOENT || (seen == 0 && !is_file(path)) || is_index_of_a_match(found, path))
			continue;
		int result = append_path(dataset, strdup(path), 0, error);
		if (result < 0)
			return result;
	}
	if (dataset->path_count > before)
		return 0;
	if (refusal->code) {
		if (error)
			*error = *refusal;
		return refusal->code;
	}
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
		return append_path(dataset, path, 0, error);
	bd_yaml_error(node, error, "cannot read '%s': %s", path, strerror(-result));
	if (error)
		error->code = result;
	free(path);
	return result;
}

static int append_shards(const struct bd_yaml_node *node, const char *folder, struct bd_dataset *dataset, struct bd_error *error)
{
	const char *text;
	int result = bd_yaml_get_text(node, "shards", &text, error);
	if (result < 0)
		return result;
	if (!*text)
		return bd_yaml_error(node, error, "'shards' is empty");
	if (strstr(text, "://"))
		return bd_yaml_error(node, error, "'%s': shards are read from files; copy or mount them", text);
	if (strpbrk(text, "*?["))
		return append_glob(node, folder, text, dataset, error);
	return append_file(node, folder, text, dataset, error);
}

/* ---- image folders ---- */

static int keep_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
}

/* Keeps the name where it is a folder (or is a file). Returns 0 or -ENOMEM. */
static int keep_entry(const struct bd_dataset *dataset, const char *folder, const char *name, bool folders, char **names,
                      size_t *count)
{
	char *path = bd_path_join(folder, name);
	struct stat status;
	if (!path)
		return -ENOMEM;
	int seen = look(dataset, path, NULL);
	bool keep = seen == 0 ? stat(path, &status) == 0 && (folders ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode))
	                      : seen != -ENOENT;
	free(path);
	if (!keep)
		return 0;
	names[*count] = strdup(name);
	if (!names[*count])
		return -ENOMEM;
	++*count;
	return 0;
}

/* The names in `folder` that are folders (or are files), in byte order; none after a failure. */
static int list_folder(const struct bd_dataset *dataset, const char *folder, bool folders, char ***ret_names, size_t *ret_count,
                       struct bd_error *error)
{
	struct dirent **entries;
	size_t count = 0;
	*ret_names = NULL;
	*ret_count = 0;
	int fd = -1, result = open_folder(dataset->guard, folder, &fd, error);
	if (result < 0)
		return result;
	int found = scandirat(fd, ".", &entries, keep_visible, compare_entries), code = -errno;
	close(fd);
	if (found < 0)
		return bd_error_set(error, code, "%s: cannot list the folder: %s", folder, strerror(-code));
	char **names = calloc((size_t)found + 1, sizeof *names);
	result = names ? 0 : -ENOMEM;
	for (int i = 0; i < found; i++) {
		if (result == 0)
			result = keep_entry(dataset, folder, entries[i]->d_name, folders, names, &count);
		free(entries[i]);
	}
	free(entries);
	if (result < 0) {
		free_names(names, count);
		return no_memory(error);
	}
	*ret_names = names;
	*ret_count = count;
	return 0;
}

static int append_class(const char *folder, int64_t label, struct bd_dataset *dataset, struct bd_error *error)
{
	char **names;
	size_t count;
	int result = list_folder(dataset, folder, false, &names, &count, error);
	for (size_t i = 0; result == 0 && i < count; i++)
		result = append_path(dataset, bd_path_join(folder, names[i]), label, error);
	free_names(names, count);
	return result;
}

static int append_classes(const char *root, struct bd_dataset *dataset, struct bd_error *error)
{
	int result = 0;
	if (!dataset->classes) {
		char **names = NULL;
		size_t count = 0;
		result = list_folder(dataset, root, true, &names, &count, error);
		dataset->classes = names;
		dataset->class_count = count;
	}
	for (size_t i = 0; result == 0 && i < dataset->class_count; i++) {
		char *path = bd_path_join(root, dataset->classes[i]);
		result = path ? append_class(path, (int64_t)i, dataset, error) : no_memory(error);
		free(path);
	}
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
	result = root ? append_classes(root, dataset, error) : no_memory(error);
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
		return append_shards(node, folder, dataset, error);
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || !bd_yaml_count(node))
		return bd_yaml_error(node, error, "'%s' needs at least one file", pictures ? "files" : "shards");
	for (size_t i = 0; i < bd_yaml_count(node); i++) {
		const struct bd_yaml_node *item = bd_yaml_item(node, i);
		const char *text = NULL;
		/* names of pictures come from a program and are taken as they are, stars and brackets included */
		int result = pictures ? bd_yaml_get_text(item, "files", &text, error) : append_shards(item, folder, dataset, error);
		if (result == 0 && pictures)
			result = append_file(item, folder, text, dataset, error);
		if (result < 0)
			return result;
	}
	return 0;
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
