#include "common/base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct names {
	char **items;
	size_t count, room;
};

static int append(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		char **items = realloc(names->items, room * sizeof *items);
		if (!items)
			return -ENOMEM;
		names->items = items;
		names->room = room;
	}
	names->items[names->count] = strdup(name);
	return names->items[names->count] ? (names->count++, 0) : -ENOMEM;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(DIR *folder, struct names *names)
{
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(folder);
		if (!entry)
			return -errno;
		bool itself = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
		int result = itself ? 0 : append(names, entry->d_name);
		if (result < 0)
			return result;
	}
}

int bd_folder_list(const char *path, char ***ret_names, size_t *ret_count, struct bd_error *error)
{
	struct names names = { 0 };
	DIR *folder = opendir(path);
	int result = folder ? read_names(folder, &names) : -errno;
	if (folder)
		closedir(folder);
	if (result < 0) {
		bd_folder_names_free(names.items, names.count);
		return bd_error_set(error, result, "%s: cannot list the folder: %s", path, strerror(-result));
	}
	if (names.count)
		qsort(names.items, names.count, sizeof *names.items, by_bytes);
	*ret_names = names.items;
	*ret_count = names.count;
	return 0;
}

void bd_folder_names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
