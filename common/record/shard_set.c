#include "common/record/shard_set.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF "-of-"
/* Longer numbers are none of shards. */
#define MAX_DIGITS 9

struct member {
	const char *path, *ending; /* what follows the number of shards */
	size_t prefix_bytes, digits; /* of the path, up to the number; of the number */
	unsigned long number, of;
	bool wanted; /* one of those whose sets are looked at */
};

/* Digits that end before `end`, within the text from `begin` on. */
static size_t digits_before(const char *begin, const char *end)
{
	size_t count = 0;
	while (end - count > begin && isdigit((unsigned char)end[-(ptrdiff_t)count - 1]))
		count++;
	return count;
}

static const char *last_of(const char *name)
{
	const char *found = NULL;
	for (const char *at = name; (at = strstr(at, OF)); at++)
		found = at;
	return found;
}

static bool read_name(const char *path, struct member *ret_member)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *of = last_of(name);
	if (!of)
		return false;
	const char *total = of + sizeof OF - 1;
	size_t digits = digits_before(name, of), total_digits = strspn(total, "0123456789");
	if (!digits || digits > MAX_DIGITS || !total_digits || total_digits > MAX_DIGITS)
		return false;
	*ret_member = (struct member){ .path = path,
		                       .ending = total + total_digits,
		                       .prefix_bytes = (size_t)(of - path) - digits,
		                       .digits = digits,
		                       .number = strtoul(of - digits, NULL, 10),
		                       .of = strtoul(total, NULL, 10) };
	return ret_member->number <= ret_member->of;
}

/* By set, then ending, then number. */
static int compare_sets(const struct member *a, const struct member *b)
{
	if (a->prefix_bytes != b->prefix_bytes)
		return a->prefix_bytes < b->prefix_bytes ? -1 : 1;
	int order = memcmp(a->path, b->path, a->prefix_bytes);
	if (order)
		return order;
	return a->of < b->of ? -1 : a->of > b->of;
}

static int compare_members(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	int order = compare_sets(a, b);
	if (!order)
		order = strcmp(a->ending, b->ending);
	return order ? order : a->number < b->number ? -1 : a->number > b->number;
}

static int compare_numbers(const void *left, const void *right)
{
	const struct member *a = left, *b = right;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Members ordered by number: how many of the set are missing, and the first number that is. */
static unsigned long count_missing(const struct member *members, size_t count, unsigned long *ret_first)
{
	unsigned long of = members[0].of, base = members[count - 1].number == of, present = 0, next = base;
	*ret_first = of + base;
	for (size_t i = 0; i < count; i++) {
		if (i && members[i].number == members[i - 1].number)
			continue;
		if (members[i].number != next && *ret_first == of + base)
			*ret_first = next;
		next = members[i].number + 1;
		present++;
	}
	if (*ret_first == of + base)
		*ret_first = next;
	/* numbers from 0 to `of` are one too many */
	return of > present ? of - present : 0;
}

/* Whether all members of the set, whatever their endings, make one set with no number twice. Orders them anew. */
static bool share_one_set(struct member *members, size_t count)
{
	unsigned long first;
	qsort(members, count, sizeof *members, compare_numbers);
	return count == members[0].of && !count_missing(members, count, &first);
}

static bool is_wanted(const struct member *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (members[i].wanted)
			return true;
	return false;
}

static void describe(const struct member *member, unsigned long missing, unsigned long first, char *ret_text, size_t size)
{
	snprintf(ret_text, size, "%lu of %lu shards %s missing; the first is %.*s%0*lu" OF "%s", missing, member->of,
	         missing == 1 ? "is" : "are", (int)member->prefix_bytes, member->path, (int)member->digits, first,
	         member->path + member->prefix_bytes + member->digits + sizeof OF - 1);
}

/* One set: members that differ in number and ending. */
static int judge(struct member *members, size_t count, char *ret_text, size_t size)
{
	for (size_t begin = 0, end; begin < count; begin = end) {
		unsigned long missing, first;
		for (end = begin + 1; end < count && !strcmp(members[end].ending, members[begin].ending); end++)
			;
		missing = count_missing(members + begin, end - begin, &first);
		if (!missing || !is_wanted(members + begin, end - begin))
			continue;
		describe(&members[begin], missing, first, ret_text, size);
		return !share_one_set(members, count);
	}
	return 0;
}

int bd_shard_set_find_gap(char *const *paths, size_t count, size_t first, size_t end, char *ret_text, size_t size,
                          struct bd_error *error)
{
	struct member *members = calloc(count + 1, sizeof *members);
	size_t found = 0;
	int result = 0;
	if (!members)
		return bd_error_set(error, -ENOMEM, "no memory for the list of files");
	for (size_t i = 0; i < count; i++) {
		if (read_name(paths[i], &members[found]))
			members[found++].wanted = i >= first && i < end;
	}
	qsort(members, found, sizeof *members, compare_members);
	for (size_t begin = 0, next; !result && begin < found; begin = next) {
		for (next = begin + 1; next < found && !compare_sets(&members[begin], &members[next]); next++)
			;
		result = judge(members + begin, next - begin, ret_text, size);
	}
	free(members);
	return result;
}
