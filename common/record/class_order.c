#include "common/record/class_order.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names of a sentence; more are counted. */
#define LISTED_NAMES 10

struct entry {
	const char *name;
	size_t number;
};

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static struct entry *sorted(char *const *names, size_t count)
{
	struct entry *entries = malloc((count ? count : 1) * sizeof *entries);
	for (size_t i = 0; entries && i < count; i++)
		entries[i] = (struct entry){ names[i], i };
	if (entries)
		qsort(entries, count, sizeof *entries, compare_entries);
	return entries;
}

/* "a, b, c and 4 more" */
static void list_names(char *const *names, size_t count, char *ret_text, size_t size)
{
	size_t at = 0;
	ret_text[0] = 0;
	for (size_t i = 0; i < count && at < size; i++) {
		if (i == LISTED_NAMES) {
			snprintf(ret_text + at, size - at, " and %zu more", count - i);
			return;
		}
		at += (size_t)snprintf(ret_text + at, size - at, "%s%s", i ? ", " : "", names[i]);
	}
}

static int compare_lists(const struct entry *have, size_t count, const struct entry *want, size_t wanted_count, const char *listed,
                         struct bd_error *error)
{
	for (size_t i = 1; i < wanted_count; i++)
		if (!strcmp(want[i].name, want[i - 1].name))
			return bd_error_set(error, -EINVAL, "the class '%s' is given twice", want[i].name);
	for (size_t i = 0; i < wanted_count; i++)
		if (!bsearch(&want[i], have, count, sizeof *have, compare_entries))
			return bd_error_set(error, -EINVAL, "no class is named '%s'; the classes are %s", want[i].name, listed);
	for (size_t i = 0; i < count; i++)
		if (!bsearch(&have[i], want, wanted_count, sizeof *want, compare_entries))
			return bd_error_set(error, -EINVAL, "the class '%s' is not given; the classes are %s", have[i].name,
			                    listed);
	return 0;
}

int bd_class_order(char *const *classes, size_t count, char *const *wanted, size_t wanted_count, size_t *ret_numbers,
                   struct bd_error *error)
{
	char listed[400];
	struct entry *have = sorted(classes, count), *want = sorted(wanted, wanted_count);
	list_names(classes, count, listed, sizeof listed);
	int result = have && want ? compare_lists(have, count, want, wanted_count, listed, error)
	                          : bd_error_set(error, -ENOMEM, "no memory for the names of the classes");
	/* the same names in the same order, now that both are sorted */
	for (size_t i = 0; !result && i < count; i++)
		ret_numbers[have[i].number] = want[i].number;
	free(have);
	free(want);
	return result;
}

/* ---- names that are nearly the same ---- */

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : (unsigned char)c;
}

static int compare_loosely(const void *a, const void *b)
{
	const char *one = ((const struct entry *)a)->name, *other = ((const struct entry *)b)->name;
	for (;; one++, other++) {
		while (is_blank(*one))
			one++;
		while (is_blank(*other))
			other++;
		if (lower(*one) != lower(*other) || !*one)
			return lower(*one) - lower(*other);
	}
}

int bd_class_names_alike(char *const *classes, size_t count, char *ret_text, size_t size, struct bd_error *error)
{
	struct entry *entries = sorted(classes, count);
	if (!entries)
		return bd_error_set(error, -ENOMEM, "no memory for the names of the classes");
	qsort(entries, count, sizeof *entries, compare_loosely);
	size_t at = 1;
	while (at < count && compare_loosely(&entries[at - 1], &entries[at]) != 0)
		at++;
	if (at < count)
		snprintf(ret_text, size, "the classes '%s' and '%s' differ in blanks or case only", entries[at - 1].name,
		         entries[at].name);
	free(entries);
	return at < count;
}
