/* The words of spec.h on command lines. Apart from spec.c, so that libbatchd needs none of it. */
#include "common/stream/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/units.h"

int bd_parse_position(const char *text, uint64_t *ret_epoch, uint64_t *ret_batch, struct bd_error *error)
{
	const char *colon = strchr(text, ':');
	char epoch_text[32];
	uint64_t epoch, batch;
	if (!colon || (size_t)(colon - text) >= sizeof epoch_text)
		return bd_error_set(error, -EINVAL, "start: '%s' is not EPOCH:BATCH, as in 2:150", text);
	memcpy(epoch_text, text, (size_t)(colon - text));
	epoch_text[colon - text] = 0;
	if (bd_parse_u64(epoch_text, 0, UINT64_MAX, &epoch, NULL) < 0 || bd_parse_u64(colon + 1, 0, UINT64_MAX, &batch, NULL) < 0)
		return bd_error_set(error, -EINVAL, "start: '%s' is not EPOCH:BATCH, as in 2:150", text);
	*ret_epoch = epoch;
	*ret_batch = batch;
	return 0;
}

/* ---- the table of words ---- */

enum word_kind { WORD_U32, WORD_U64, WORD_SIZE, WORD_DURATION, WORD_CHOICE, WORD_START, WORD_GROUP };

struct word {
	const char *option;
	enum word_kind kind;
	size_t field; /* in struct bd_stream_spec */
	size_t holder; /* in struct bd_stream_options */
	uint64_t minimum, maximum;
	const char *const *choices;
	const char *argument, *help;
};

#define FIELD(name) offsetof(struct bd_stream_spec, name)
#define HOLDER(name) offsetof(struct bd_stream_options, name)

static const struct word words[] = {
	{ "batch", WORD_U32, FIELD(batch), HOLDER(batch), 1, BD_MAX_BATCH_ROWS, NULL, "ROWS",
	  "rows of a batch, all ranks together" },
	{ "shuffle", WORD_CHOICE, FIELD(shuffle), HOLDER(shuffle), 0, 0, bd_shuffle_names, "ORDER", "none, window or global" },
	{ "window", WORD_U64, FIELD(window), HOLDER(window), 1, BD_MAX_RECORDS, NULL, "RECORDS",
	  "records that --shuffle window mixes" },
	{ "seed", WORD_U64, FIELD(seed), HOLDER(seed), 0, UINT64_MAX, NULL, "N", "of the order and of random augmentation" },
	{ "epochs", WORD_U64, FIELD(epochs), HOLDER(epochs), 0, UINT64_MAX, NULL, "N", "passes over the data; 0: endless" },
	{ "remainder", WORD_CHOICE, FIELD(remainder), HOLDER(remainder), 0, 0, bd_remainder_names, "WAY",
	  "a batch that the epoch's end leaves short: drop, short or carry" },
	{ "augment", WORD_CHOICE, FIELD(augment), HOLDER(augment), 0, 0, bd_augment_names, "on|off",
	  "random crops and flips of the dataset file" },
	{ "rank", WORD_U32, FIELD(rank), HOLDER(rank), 0, BD_MAX_BATCH_ROWS, NULL, "R",
	  "which part of each batch this trainer gets, from 0" },
	{ "world", WORD_U32, FIELD(world), HOLDER(world), 1, BD_MAX_BATCH_ROWS, NULL, "N",
	  "in how many parts each batch is dealt out" },
	{ "start", WORD_START, 0, HOLDER(start), 0, 0, NULL, "EPOCH:BATCH", "the first batch (0:0)" },
	{ "share-group", WORD_GROUP, FIELD(share_group), HOLDER(share_group), 0, 0, NULL, "NAME",
	  "trainers that name the same group and options share one stream" },
	{ "share-start", WORD_U32, FIELD(share_start), HOLDER(share_start), 0, BD_MAX_SHARE_START, NULL, "N",
	  "the group's first batch waits for so many; 0: does not wait" },
	{ "share-timeout", WORD_DURATION, FIELD(share_timeout_ns), HOLDER(share_timeout_ns), 0, 0, NULL, "TIME",
	  "who keeps its group waiting so long goes on alone; 0: never (0)" },
	{ "slots", WORD_U32, FIELD(slots), HOLDER(slots), BD_MIN_SLOTS, BD_MAX_SLOTS, NULL, "N",
	  "batches that are ready or held at a time" },
	{ "cache", WORD_SIZE, FIELD(cache_bytes), HOLDER(cache_bytes), 0, 0, NULL, "SIZE",
	  "of the daemon's memory, for decoded records of later epochs; 0: as the daemon has it (0)" },
};
_Static_assert(BD_COUNT_OF(words) == BD_STREAM_OPTION_COUNT, "the table in the header has room for each word");

static void *at(void *base, size_t offset)
{
	return (char *)base + offset;
}

static enum bd_option_kind option_kind_of(enum word_kind kind)
{
	switch (kind) {
	case WORD_SIZE:
		return BD_OPTION_SIZE;
	case WORD_DURATION:
		return BD_OPTION_DURATION;
	case WORD_CHOICE:
		return BD_OPTION_CHOICE;
	case WORD_START:
	case WORD_GROUP:
		return BD_OPTION_TEXT;
	case WORD_U32:
	case WORD_U64:
		break;
	}
	return BD_OPTION_U64;
}

static void default_from_spec(struct bd_stream_options *options, const struct word *word)
{
	void *holder = at(options, word->holder);
	const void *field = at(options->spec, word->field);
	if (word->kind == WORD_U32)
		*(uint64_t *)holder = *(const uint32_t *)field;
	else if (word->kind == WORD_CHOICE)
		*(int *)holder = (int)*(const unsigned *)field;
	else if (word->kind != WORD_START && word->kind != WORD_GROUP)
		*(uint64_t *)holder = *(const uint64_t *)field;
}

static bool is_in(const char *name, const char *const *list)
{
	for (; list && *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

void bd_stream_options_init(struct bd_stream_options *options, struct bd_stream_spec *spec, const char *const *without)
{
	memset(options, 0, sizeof *options);
	options->spec = spec;
	for (size_t i = 0; i < BD_COUNT_OF(words); i++) {
		const struct word *word = &words[i];
		default_from_spec(options, word);
		if (is_in(word->option, without))
			continue;
		options->options[options->count++] = (struct bd_option){
			.name = word->option,
			.kind = option_kind_of(word->kind),
			.value = at(options, word->holder),
			.given = strcmp(word->option, "window") == 0  ? &options->window_given
			         : strcmp(word->option, "cache") == 0 ? &options->cache_given
			                                              : NULL,
			.argument = word->argument,
			.help = word->help,
			.choices = word->choices,
			.tells_default = true,
			.minimum = word->minimum,
			.maximum = word->maximum == UINT64_MAX ? 0 : word->maximum,
		};
	}
}

static int set_group(struct bd_stream_spec *spec, const char *group, struct bd_error *error)
{
	if (strlen(group) >= sizeof spec->share_group)
		return bd_error_set(error, -EINVAL, "share_group: longer than %zu bytes", sizeof spec->share_group - 1);
	snprintf(spec->share_group, sizeof spec->share_group, "%s", group);
	return 0;
}

static bool has_option(const struct bd_stream_options *options, const struct word *word)
{
	for (size_t i = 0; i < options->count; i++)
		if (strcmp(options->options[i].name, word->option) == 0)
			return true;
	return false;
}

/* An option that the command left out keeps what the command wrote into the spec itself. */
static int apply_word(struct bd_stream_options *options, const struct word *word, struct bd_error *error)
{
	const void *holder = at(options, word->holder);
	void *field = at(options->spec, word->field);
	if (!has_option(options, word))
		return 0;
	switch (word->kind) {
	case WORD_U32:
		*(uint32_t *)field = (uint32_t) * (const uint64_t *)holder;
		return 0;
	case WORD_CHOICE:
		*(unsigned *)field = (unsigned)*(const int *)holder;
		return 0;
	case WORD_START:
		return options->start
		               ? bd_parse_position(options->start, &options->spec->start_epoch, &options->spec->start_batch, error)
		               : 0;
	case WORD_GROUP:
		return options->share_group ? set_group(options->spec, options->share_group, error) : 0;
	case WORD_U64:
	case WORD_SIZE:
	case WORD_DURATION:
		break;
	}
	*(uint64_t *)field = *(const uint64_t *)holder;
	return 0;
}

/* Options that would do nothing without another one. */
static int check_effects(const struct bd_stream_options *options, struct bd_error *error)
{
	const struct bd_stream_spec *spec = options->spec;
	if (options->window_given && spec->shuffle != BD_SHUFFLE_WINDOW)
		return bd_error_set(error, -EINVAL, "--window needs --shuffle window");
	if (options->cache_given && spec->cache_bytes && spec->epochs == 1)
		return bd_error_set(error, -EINVAL, "--cache keeps records for later epochs, and --epochs is 1");
	return 0;
}

int bd_stream_options_apply(struct bd_stream_options *options, struct bd_error *error)
{
	for (size_t i = 0; i < BD_COUNT_OF(words); i++) {
		int result = apply_word(options, &words[i], error);
		if (result < 0)
			return result;
	}
	int result = check_effects(options, error);
	return result < 0 ? result : bd_stream_spec_check(options->spec, error);
}
