#include "tools/tfrecord/picture_classes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/record/class_order.h"

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the names of the classes");
}

static void free_names(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free(names[i]);
	free(names);
}

/* "A,B,C" to an array of strings. */
static int split(const char *text, char ***ret_names, size_t *ret_count, struct bd_error *error)
{
	size_t room = 1, count = 0;
	for (const char *c = text; *c; c++)
		room += *c == ',';
	char **names = calloc(room, sizeof *names);
	for (const char *at = text; names && count < room; at += *at == ',') {
		size_t length = strcspn(at, ",");
		names[count] = strndup(at, length);
		if (!names[count++]) {
			free_names(names, count);
			names = NULL;
		}
		at += length;
	}
	if (!names)
		return no_memory(error);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

int bd_picture_classes_order(struct bd_picture_list *list, const char *names, struct bd_error *error)
{
	char **wanted = NULL;
	size_t count = 0;
	int status = split(names, &wanted, &count, error);
	if (status)
		return status;
	struct bd_error reason = { 0 };
	size_t *numbers = calloc(list->class_count + 1, sizeof *numbers);
	status = numbers ? bd_class_order(list->classes, list->class_count, wanted, count, numbers, &reason) : no_memory(&reason);
	if (status)
		bd_error_set(error, status, "--classes sets the order: %s%s", reason.text,
		             count == list->class_count ? "; --rename-classes gives them other names" : "");
	for (size_t i = 0; !status && i < list->count; i++)
		list->labels[i] = (int64_t)numbers[list->labels[i]];
	free(numbers);
	if (status) {
		free_names(wanted, count);
		return status;
	}
	free_names(list->classes, list->class_count);
	list->classes = wanted;
	return 0;
}

static int check_names(char *const *names, size_t count, size_t class_count, struct bd_error *error)
{
	if (count != class_count)
		return bd_error_set(error, -EINVAL, "%zu names for the classes, the pictures have %zu classes", count, class_count);
	for (size_t i = 0; i < count; i++)
		if (!*names[i])
			return bd_error_set(error, -EINVAL, "name %zu of the classes is empty", i + 1);
	size_t *numbers = calloc(count + 1, sizeof *numbers);
	int status = numbers ? bd_class_order(names, count, names, count, numbers, error) : no_memory(error);
	free(numbers);
	return status;
}

int bd_picture_classes_rename(struct bd_picture_list *list, const char *names, struct bd_error *error)
{
	char **wanted = NULL;
	size_t count = 0;
	int status = split(names, &wanted, &count, error);
	if (!status)
		status = check_names(wanted, count, list->class_count, error);
	if (status) {
		free_names(wanted, count);
		return status;
	}
	free_names(list->classes, list->class_count);
	list->classes = wanted;
	return 0;
}
