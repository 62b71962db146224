#include "tools/tfrecord/picture_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <strings.h>

#include "common/base/file.h"

void bd_picture_list_finish(struct bd_picture_list *list)
{
	for (size_t i = 0; list->paths && i < list->count; i++)
		free(list->paths[i]);
	for (size_t i = 0; list->classes && i < list->class_count; i++)
		free(list->classes[i]);
	free(list->paths);
	free(list->labels);
	free(list->classes);
	bd_image_folder_finish(&list->folder);
	bd_idx_finish(&list->images);
	*list = (struct bd_picture_list){ 0 };
}

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

/* Takes `path`. */
static int append(struct bd_picture_list *list, char *path, int64_t label, struct bd_error *error)
{
	if (!path || !make_room(&list->paths, list->count, sizeof *list->paths) ||
	    !make_room(&list->labels, list->count, sizeof *list->labels)) {
		free(path);
		return no_memory(error);
	}
	list->paths[list->count] = path;
	list->labels[list->count++] = label;
	return 0;
}

/* ---- folder ---- */

int bd_picture_list_of_folder(const char *path, bool skip, struct bd_picture_list *ret_list, struct bd_error *error)
{
	struct bd_picture_list list = { 0 };
	struct bd_image_folder_options options = { .skip = skip, .advice = "'--on-error skip' leaves such pictures out" };
	int status = bd_image_folder_list(path, &options, &list.folder, error);
	if (status)
		return status;
	struct bd_image_folder *folder = &list.folder;
	list.paths = folder->paths;
	list.labels = folder->labels;
	list.count = folder->count;
	list.classes = folder->classes;
	list.class_count = folder->class_count;
	folder->paths = folder->classes = NULL;
	folder->labels = NULL;
	if (!list.class_count)
		status = bd_error_set(error, -EINVAL, "%s: no sub-folders; each class has one, with its pictures inside", path);
	else if (!list.count && folder->unreadable_count)
		status = bd_error_set(error, -EINVAL, "%s: no pictures in its sub-folders that can be looked at; the first is %s",
		                      path, folder->unreadable[0]);
	else if (!list.count)
		status = bd_error_set(error, -EINVAL, "%s: no pictures in its sub-folders", path);
	if (status)
		bd_picture_list_finish(&list);
	else
		*ret_list = list;
	return status;
}

/* ---- CSV ---- */

/* One field as RFC 4180 has it, unquoted in place; *at moves behind it and its comma. NULL where a quote is not closed. */
static char *csv_field(char **at)
{
	char *field = *at, *to = field, *from = field;
	if (*from != '"') {
		from += strcspn(from, ",");
		*at = from + (*from == ',');
		*from = 0;
		return field;
	}
	for (from++; *from && !(from[0] == '"' && from[1] != '"'); from++) {
		if (*from == '"')
			from++;
		*to++ = *from;
	}
	if (*from != '"' || (from[1] && from[1] != ','))
		return NULL;
	*at = from + 1 + (from[1] == ',');
	*to = 0;
	return field;
}

struct row {
	char *path, *class_name;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int64_t find_class(const struct bd_picture_list *list, const char *name)
{
	char **found = bsearch(&name, list->classes, list->class_count, sizeof *list->classes, compare_names);
	return found - list->classes;
}

/* The distinct class names in byte order. */
static int collect_classes(struct bd_picture_list *list, const struct row *rows, size_t count, struct bd_error *error)
{
	const char **names = malloc(count * sizeof *names);
	list->classes = calloc(count, sizeof *list->classes);
	if (!names || !list->classes) {
		free(names);
		return no_memory(error);
	}
	for (size_t i = 0; i < count; i++)
		names[i] = rows[i].class_name;
	qsort(names, count, sizeof *names, compare_names);
	int status = 0;
	for (size_t i = 0; !status && i < count; i++) {
		if (i && !strcmp(names[i], names[i - 1]))
			continue;
		char *copy = strdup(names[i]);
		if (copy)
			list->classes[list->class_count++] = copy;
		else
			status = no_memory(error);
	}
	free(names);
	return status;
}

/* Splits the text in place. */
static int read_rows(const char *name, char *text, struct row **ret_rows, size_t *ret_count, struct bd_error *error)
{
	struct row *rows = NULL;
	size_t count = 0, line_number = 0;
	/* what some programs put before UTF-8 */
	for (char *line = text + (strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0), *next; *line; line = next) {
		size_t length = strcspn(line, "\n");
		next = line + length + (line[length] == '\n');
		line[length] = 0;
		line_number++;
		if (length && line[length - 1] == '\r')
			line[length - 1] = 0;
		if (!*line)
			continue;
		char *at = line, *path = csv_field(&at), *class_name = path && *at ? csv_field(&at) : NULL;
		if (!path || !*path || !class_name || !*class_name || *at) {
			free(rows);
			return bd_error_set(error, -EINVAL, "%s: line %zu: a line is `path,class`", name, line_number);
		}
		if (!make_room(&rows, count, sizeof *rows)) {
			free(rows);
			return no_memory(error);
		}
		rows[count++] = (struct row){ path, class_name };
	}
	if (!count)
		return bd_error_set(error, -EINVAL, "%s: the list is empty; a line is `path,class`", name);
	*ret_rows = rows;
	*ret_count = count;
	return 0;
}

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(text, *words) == 0)
			return true;
	return false;
}

/* "filename,class" and the like, where no file has that name. */
static bool is_heading(const char *folder, const struct row *row)
{
	static const char *const paths[] = { "path",      "file",    "filename", "file_name",  "filepath",
		                             "file_path", "image",   "img",      "image_path", "image_file",
		                             "image_id",  "picture", "name",     "id",         NULL };
	static const char *const classes[] = { "class",    "classes", "class_name", "label", "labels",  "label_name",
		                               "category", "target",  "y",          "breed", "species", NULL };
	if (!is_one_of(row->path, paths) || !is_one_of(row->class_name, classes))
		return false;
	char *path = bd_path_join(folder, row->path);
	bool is_there = !path || access(path, F_OK) == 0;
	free(path);
	return !is_there;
}

int bd_picture_list_of_csv(const char *path, struct bd_picture_list *ret_list, struct bd_error *error)
{
	struct bd_picture_list list = { 0 };
	uint8_t *text = NULL;
	size_t length = 0, count = 0;
	struct row *rows = NULL;
	char *folder = bd_path_folder(path);
	int status = folder ? bd_file_read_all(path, BD_CSV_LIMIT_BYTES, &text, &length, error) : no_memory(error);
	if (!status && memchr(text, 0, length))
		status = bd_error_set(error, -EINVAL, "%s: no text file; a list has `path,class` lines", path);
	if (!status)
		status = read_rows(path, (char *)text, &rows, &count, error);
	list.has_heading = !status && is_heading(folder, &rows[0]);
	size_t first = list.has_heading ? 1 : 0;
	if (!status && first == count)
		status = bd_error_set(error, -EINVAL, "%s: there is nothing in it but a heading; a line is `path,class`", path);
	if (!status)
		status = collect_classes(&list, rows + first, count - first, error);
	for (size_t i = first; !status && i < count; i++)
		status = append(&list, bd_path_join(folder, rows[i].path), find_class(&list, rows[i].class_name), error);
	free(rows);
	free(text);
	free(folder);
	if (status)
		bd_picture_list_finish(&list);
	else
		*ret_list = list;
	return status;
}

/* ---- IDX ---- */

static int number_classes(struct bd_picture_list *list, struct bd_error *error)
{
	for (size_t i = 0; i < list->count; i++)
		if ((size_t)list->labels[i] >= list->class_count)
			list->class_count = (size_t)list->labels[i] + 1;
	list->classes = calloc(list->class_count ? list->class_count : 1, sizeof *list->classes);
	for (size_t i = 0; list->classes && i < list->class_count; i++) {
		char name[24];
		snprintf(name, sizeof name, "%zu", i);
		list->classes[i] = strdup(name);
		if (!list->classes[i])
			return no_memory(error);
	}
	return list->classes ? 0 : no_memory(error);
}

static int check_idx(const char *images_path, const char *labels_path, const struct bd_idx *images, const struct bd_idx *labels,
                     struct bd_error *error)
{
	if (images->rank < 3 || (images->rank == 4 && images->shape[3] != 3 && images->shape[3] != 1))
		return bd_error_set(error, -EBADMSG, "%s: pictures have three dimensions (or a fourth of 3 channels), this has %u",
		                    images_path, images->rank);
	if (labels->rank != 1)
		return bd_error_set(error, -EBADMSG, "%s: labels have one dimension, this has %u", labels_path, labels->rank);
	if (images->shape[0] != labels->shape[0])
		return bd_error_set(error, -EBADMSG, "%s has %u pictures and %s %u labels", images_path, images->shape[0],
		                    labels_path, labels->shape[0]);
	if (!images->shape[0] || !images->shape[1] || !images->shape[2])
		return bd_error_set(error, -EBADMSG, "%s: no pictures in it", images_path);
	return 0;
}

int bd_picture_list_of_idx(const char *images, const char *labels, struct bd_picture_list *ret_list, struct bd_error *error)
{
	struct bd_picture_list list = { 0 };
	struct bd_idx numbers = { 0 };
	int status = bd_idx_load(images, &list.images, error);
	if (!status)
		status = bd_idx_load(labels, &numbers, error);
	if (!status)
		status = check_idx(images, labels, &list.images, &numbers, error);
	if (!status) {
		list.labels = malloc(numbers.shape[0] * sizeof *list.labels);
		status = list.labels ? 0 : no_memory(error);
	}
	if (!status) {
		list.count = numbers.shape[0];
		for (size_t i = 0; i < list.count; i++)
			list.labels[i] = numbers.values[i];
		status = number_classes(&list, error);
	}
	bd_idx_finish(&numbers);
	if (status)
		bd_picture_list_finish(&list);
	else
		*ret_list = list;
	return status;
}
