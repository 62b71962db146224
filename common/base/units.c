#include "common/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "kB", 1000 },
	{ "KB", 1000 },
	{ "MB", 1000000 },
	{ "GB", 1000000000 },
	{ "TB", 1000000000000 },
	{ "KiB", 1ull << 10 },
	{ "MiB", 1ull << 20 },
	{ "GiB", 1ull << 30 },
	{ "TiB", 1ull << 40 },
	{ "K", 1ull << 10 },
	{ "M", 1ull << 20 },
	{ "G", 1ull << 30 },
	{ NULL, 0 },
};

static const struct unit duration_units[] = {
	{ "", 1000000000 },  { "ns", 1 },          { "us", 1000 },         { "ms", 1000000 },
	{ "s", 1000000000 }, { "m", 60000000000 }, { "min", 60000000000 }, { "h", 3600000000000 },
	{ NULL, 0 },
};

/* digits[.digits]unit; exact for whole numbers, and below 2^63 in every case */
static int parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	char *end;
	errno = 0;
	unsigned long long whole = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	double fraction = 0, place = 0.1;
	if (*end == '.')
		for (end++; isdigit((unsigned char)*end); end++, place /= 10)
			fraction += place * (*end - '0');
	while (*end == ' ')
		end++;
	for (const struct unit *unit = units; unit->name; unit++) {
		if (strcmp(end, unit->name) != 0)
			continue;
		uint64_t value;
		if (__builtin_mul_overflow(whole, unit->factor, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(fraction * (double)unit->factor), &value) || value > INT64_MAX)
			return -ERANGE;
		*ret_value = value;
		return 0;
	}
	return -EINVAL;
}

int bd_parse_size(const char *text, uint64_t *ret_bytes, struct bd_error *error)
{
	int result = parse_with_unit(text, size_units, ret_bytes);
	if (result)
		return bd_error_set(error, -EINVAL, "'%s' is no size%s; write 256MiB or 4GB", text,
		                    result == -ERANGE ? " that fits" : "");
	return 0;
}

int bd_parse_duration(const char *text, uint64_t *ret_ns, struct bd_error *error)
{
	int result = parse_with_unit(text, duration_units, ret_ns);
	if (result)
		return bd_error_set(error, -EINVAL, "'%s' is no duration%s; write 30s or 5m", text,
		                    result == -ERANGE ? " that fits" : "");
	return 0;
}

int bd_parse_u64(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_value, struct bd_error *error)
{
	char *end = NULL;
	errno = 0;
	unsigned long long value = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
	if (!end || *end)
		return bd_error_set(error, -EINVAL, "'%s' is no whole number", text);
	if (errno || value < minimum || value > maximum) {
		if (maximum == UINT64_MAX)
			return bd_error_set(error, -EINVAL, "%s is outside of what is allowed: %llu or more", text,
			                    (unsigned long long)minimum);
		return bd_error_set(error, -EINVAL, "%s is outside of %llu to %llu", text, (unsigned long long)minimum,
		                    (unsigned long long)maximum);
	}
	*ret_value = value;
	return 0;
}

int bd_parse_i64(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_value, struct bd_error *error)
{
	char *end = NULL;
	errno = 0;
	bool number = isdigit((unsigned char)text[0]) || ((text[0] == '-' || text[0] == '+') && isdigit((unsigned char)text[1]));
	long long value = number ? strtoll(text, &end, 10) : 0;
	if (!end || *end)
		return bd_error_set(error, -EINVAL, "'%s' is no whole number", text);
	if (errno || value < minimum || value > maximum)
		return bd_error_set(error, -EINVAL, "%s is outside of %lld to %lld", text, (long long)minimum, (long long)maximum);
	*ret_value = value;
	return 0;
}

int bd_parse_double(const char *text, double *ret_value, struct bd_error *error)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || *end || isspace((unsigned char)text[0]) || !isfinite(value))
		return bd_error_set(error, -EINVAL, "'%s' is no number", text);
	*ret_value = value;
	return 0;
}

int bd_parse_shape(const char *text, uint32_t *ret_height, uint32_t *ret_width, struct bd_error *error)
{
	const char *x = strchr(text, 'x');
	char height[12] = "";
	uint64_t rows, columns;
	if (x && (size_t)(x - text) < sizeof height) {
		memcpy(height, text, (size_t)(x - text));
		if (!bd_parse_u64(height, 1, 65535, &rows, NULL) && !bd_parse_u64(x + 1, 1, 65535, &columns, NULL)) {
			*ret_height = (uint32_t)rows;
			*ret_width = (uint32_t)columns;
			return 0;
		}
	}
	return bd_error_set(error, -EINVAL, "'%s' is no shape; write HEIGHTxWIDTH, 150x150, each from 1 to 65535", text);
}

void bd_format_size(uint64_t bytes, char *ret_text, size_t size)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;
	while (value >= 1024 && unit + 1 < sizeof names / sizeof *names) {
		value /= 1024;
		unit++;
	}
	snprintf(ret_text, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, names[unit]);
}

void bd_format_duration(double seconds, char *ret_text, size_t size)
{
	if (!(seconds >= 0) || seconds > 1e9)
		snprintf(ret_text, size, "?");
	else if (seconds < 10)
		snprintf(ret_text, size, "%.1f s", seconds);
	else if (seconds < 60)
		snprintf(ret_text, size, "%.0f s", seconds);
	else if (seconds < 3600)
		snprintf(ret_text, size, "%um %02us", (unsigned)seconds / 60, (unsigned)seconds % 60);
	else
		snprintf(ret_text, size, "%uh %02um", (unsigned)seconds / 3600, (unsigned)seconds / 60 % 60);
}

/* Longer words are not compared: no key or option of ours is near that. */
#define WORD_LIMIT 64

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edits between two words: letters changed, left out or put in (Levenshtein's distance), or two neighbours exchanged; large and small
 * letters are the same. A row of the table per letter of `a`, of which the last three are kept.
 */
static size_t edits_between(const char *a, const char *b)
{
	size_t table[3][WORD_LIMIT + 1], length_b = strlen(b), i;
	for (size_t j = 0; j <= length_b; j++)
		table[0][j] = j;
	for (i = 0; a[i]; i++) {
		size_t *above = table[i % 3], *row = table[(i + 1) % 3],
		       *second = table[(i + 2) % 3]; /* second: of a letter before */
		row[0] = i + 1;
		for (size_t j = 0; j < length_b; j++) {
			int letter = tolower((unsigned char)a[i]), other = tolower((unsigned char)b[j]);
			row[j + 1] = least(above[j] + (letter != other), least(above[j + 1], row[j]) + 1);
			if (i && j && letter == tolower((unsigned char)b[j - 1]) && other == tolower((unsigned char)a[i - 1]))
				row[j + 1] = least(row[j + 1], second[j - 1] + 1);
		}
	}
	return table[i % 3][length_b];
}

static size_t most_edits(size_t length)
{
	return (length + 1) / 3;
}

/* conv1d is no slip of conv2d, nor vgg19 of vgg16: no digit stands in place of another. vgg61 may be. */
static bool same_digits(const char *a, const char *b)
{
	int surplus[10] = { 0 };
	bool a_has_more = false, b_has_more = false;
	for (; *a; a++)
		if (isdigit((unsigned char)*a))
			surplus[*a - '0']++;
	for (; *b; b++)
		if (isdigit((unsigned char)*b))
			surplus[*b - '0']--;
	for (int i = 0; i < 10; i++) {
		a_has_more = a_has_more || surplus[i] > 0;
		b_has_more = b_has_more || surplus[i] < 0;
	}
	return !(a_has_more && b_has_more);
}

/* layer_normalization is no slip of batch_normalization: where two words have as many parts, each is near the other's. */
static bool near_in_parts(const char *a, const char *b)
{
	char part_a[WORD_LIMIT + 1], part_b[WORD_LIMIT + 1];
	for (;;) {
		size_t length_a = strcspn(a, "_-"), length_b = strcspn(b, "_-");
		if (!a[length_a] != !b[length_b])
			return true;
		snprintf(part_a, sizeof part_a, "%.*s", (int)length_a, a);
		snprintf(part_b, sizeof part_b, "%.*s", (int)length_b, b);
		if (edits_between(part_a, part_b) > most_edits(length_a))
			return false;
		if (!a[length_a])
			return true;
		a += length_a + 1;
		b += length_b + 1;
	}
}

/* Another first letter makes another word: gelu is no slip of relu, nor nadam of adam. In a longer word it may have been left out. */
static bool begins_alike(const char *word, const char *other, size_t length)
{
	int first = tolower((unsigned char)word[0]);
	return first == tolower((unsigned char)other[0]) || (length > 4 && other[0] && first == tolower((unsigned char)other[1]));
}

const char *bd_nearest_word(const char *word, const char *const *words)
{
	const char *nearest = NULL;
	size_t length = strlen(word), fewest = most_edits(length) + 1;
	if (length > WORD_LIMIT)
		return NULL;
	for (; *words; words++) {
		if (strlen(*words) > WORD_LIMIT)
			continue;
		if (!begins_alike(word, *words, length) || !same_digits(word, *words) || !near_in_parts(word, *words))
			continue;
		size_t edits = edits_between(word, *words);
		if (edits < fewest) {
			fewest = edits;
			nearest = *words;
		}
	}
	return nearest;
}
