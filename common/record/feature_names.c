#include "common/record/feature_names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/units.h"
#include "common/record/sequence_example.h"

/* Of " and 4294967295 more" */
#define REST_BYTES 24

/* The key as a word of one line. NULL without memory. */
static char *word_of(const struct bd_feature_view *feature)
{
	char *word = strndup(feature->name, feature->name_length);
	for (char *c = word; c && *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return word;
}

static bool ends_with_part(const char *word, const char *part)
{
	size_t length = strlen(word), part_length = strlen(part);
	return length > part_length && word[length - part_length - 1] == '/' && !strcmp(word + length - part_length, part);
}

static const char *nearest(const char *wanted, char *const *words)
{
	const char *near = bd_nearest_word(wanted, (const char *const *)words);
	for (size_t i = 0; !near && words[i]; i++)
		if (ends_with_part(words[i], wanted))
			near = words[i];
	return near;
}

static void list(char *const *words, size_t count, char *ret_text, size_t size)
{
	size_t used = (size_t)snprintf(ret_text, size, count ? "It has " : "It has no features"), i = 0;
	for (; i < count && used < size; i++) {
		size_t rest = i + 1 < count ? REST_BYTES : 0;
		if (used + strlen(words[i]) + 2 + rest >= size)
			break;
		used += (size_t)snprintf(ret_text + used, size - used, "%s%s", i ? ", " : "", words[i]);
	}
	if (i < count && used < size)
		snprintf(ret_text + used, size - used, "%s%zu%s", i ? " and " : "", count - i, i ? " more" : " features");
}

static void explain(const struct bd_sequence_example *example, char **words, const char *wanted, char *ret_text, size_t size)
{
	size_t used = 0, count = example->context.count;
	for (size_t i = 0; i < count; i++)
		if (!(words[i] = word_of(&example->context.features[i])))
			return;
	const char *near = nearest(wanted, words);
	for (size_t i = 0; i < example->list_count; i++)
		if (bd_name_is(example->lists[i].name, example->lists[i].name_length, wanted, strlen(wanted)))
			used = (size_t)snprintf(ret_text, size, "; it is a feature list there, for 'sequence_features'. ");
	if (!used)
		used = near ? (size_t)snprintf(ret_text, size, "; did you mean '%s'? ", near)
		            : (size_t)snprintf(ret_text, size, ". ");
	if (used < size)
		list(words, count, ret_text + used, size - used);
}

void bd_feature_names_explain(const uint8_t *data, size_t length, const char *wanted, char *ret_text, size_t size)
{
	struct bd_sequence_example example = { 0 };
	*ret_text = 0;
	if (bd_sequence_example_read(&example, data, length, NULL) == 0) {
		char **words = calloc(example.context.count + 1, sizeof *words);
		if (words)
			explain(&example, words, wanted, ret_text, size);
		for (size_t i = 0; words && i < example.context.count; i++)
			free(words[i]);
		free(words);
	}
	bd_sequence_example_finish(&example);
}
