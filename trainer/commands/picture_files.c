#include "trainer/commands/picture_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/name.h"

/* Folders in folders: a loop of links would never end. */
#define MAX_DEPTH 16

/* What is wrong with the path itself is told and left out; -errno for failures of our own. */
static int refuse(struct bd_picture_files *files, const char *path, int code, struct bd_error *error)
{
	char shown[PATH_MAX];
	bd_name_escape(path, shown, sizeof shown);
	if (code != EILSEQ && !bd_code_is_of_path(code))
		return bd_error_set(error, -code, "%s: %s", shown, strerror(code));
	fprintf(stderr, "batchtrain: %s: %s\n", shown,
	        code == EILSEQ ? "its name is no UTF-8, which a list of files must be" : strerror(code));
	files->refused++;
	return 0;
}

static int add_file(struct bd_picture_files *files, const char *path, struct bd_error *error)
{
	if (files->count == BD_PICTURE_FILES_MAX)
		return bd_error_set(error, -E2BIG, "more than %d pictures; convert them with 'tfrecord convert' and use --data",
		                    BD_PICTURE_FILES_MAX);
	/* Room grows in powers of two. */
	if ((files->count & (files->count - 1)) == 0) {
		size_t room = files->count ? 2 * files->count : 1;
		char **shown = realloc(files->shown, room * sizeof *shown);
		files->shown = shown ? shown : files->shown;
		char **absolute = realloc(files->absolute, room * sizeof *absolute);
		files->absolute = absolute ? absolute : files->absolute;
		if (!shown || !absolute)
			return bd_error_set(error, -ENOMEM, "no memory for the list of pictures");
	}
	char *shown = strdup(path), *absolute = realpath(path, NULL);
	if (!shown || !absolute) {
		int code = shown ? errno : ENOMEM;
		free(shown);
		free(absolute);
		return refuse(files, path, code, error);
	}
	if (access(absolute, R_OK) < 0 || !bd_name_is_utf8(absolute)) {
		int code = bd_name_is_utf8(absolute) ? errno : EILSEQ;
		free(shown);
		free(absolute);
		return refuse(files, path, code, error);
	}
	files->shown[files->count] = shown;
	files->absolute[files->count++] = absolute;
	return 0;
}

static int add_path(struct bd_picture_files *files, const char *path, int depth, struct bd_error *error);

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct bd_picture_files *files, const char *path, int depth, struct bd_error *error)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, is_visible, by_bytes), r = 0;
	if (count < 0)
		return refuse(files, path, errno, error);
	for (int i = 0; i < count; i++) {
		char *inside = r == 0 ? bd_path_join(path, entries[i]->d_name) : NULL;
		if (r == 0)
			r = inside ? add_path(files, inside, depth + 1, error)
			           : bd_error_set(error, -ENOMEM, "no memory for a path");
		free(inside);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int add_path(struct bd_picture_files *files, const char *path, int depth, struct bd_error *error)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return refuse(files, path, errno, error);
	if (S_ISREG(status.st_mode))
		return add_file(files, path, error);
	if (S_ISDIR(status.st_mode) && depth < MAX_DEPTH)
		return add_folder(files, path, depth, error);
	return depth == 0 ? bd_error_set(error, -EINVAL, "%s: no picture file and no folder", path) : 0;
}

static int add_list(struct bd_picture_files *files, FILE *list, struct bd_error *error)
{
	char *line = NULL;
	size_t room = 0;
	int r = 0;
	for (ssize_t length; r == 0 && (length = getline(&line, &room, list)) >= 0;) {
		if (length > 0 && line[length - 1] == '\n')
			line[--length] = 0;
		if (length > 0 && line[length - 1] == '\r')
			line[length - 1] = 0;
		if (*line)
			r = add_path(files, line, 0, error);
	}
	if (r == 0 && ferror(list))
		r = bd_error_set(error, -EIO, "standard input: cannot be read");
	free(line);
	return r;
}

int bd_picture_files_find(const char *const *words, size_t count, struct bd_picture_files *ret_files, struct bd_error *error)
{
	struct bd_picture_files files = { 0 };
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = strcmp(words[i], "-") == 0 ? add_list(&files, stdin, error) : add_path(&files, words[i], 0, error);
	if (r == 0 && files.count == 0 && files.refused > 0)
		r = bd_error_set(error, -ENODATA, "none of the %zu paths can be read", files.refused);
	else if (r == 0 && files.count == 0)
		r = bd_error_set(error, -ENODATA, "%s: there is no file in it",
		                 strcmp(words[0], "-") == 0 ? "standard input" : words[0]);
	if (r < 0)
		bd_picture_files_finish(&files);
	else
		*ret_files = files;
	return r;
}

void bd_picture_files_finish(struct bd_picture_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->shown[i]);
		free(files->absolute[i]);
	}
	free(files->shown);
	free(files->absolute);
	*files = (struct bd_picture_files){ 0 };
}
