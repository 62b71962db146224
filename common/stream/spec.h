/*
 * spec.h - the stream options: defaults, checks, and their words on command lines.
 *
 * The struct itself is public (batchd/client.h). One table in spec_words.c holds every word, its kind, its limits and its text for
 * --help, so that all commands take the same ones. Threads: no state.
 */
#ifndef BD_STREAM_SPEC_H
#define BD_STREAM_SPEC_H

#include <batchd/client.h>

#include "common/base/options.h"

/* Rows of a batch: far above what memory allows for pictures, and small enough that no product of sizes overflows. */
#define BD_MAX_BATCH_ROWS (1u << 20)
/* Slots of a ring: more only adds latency and memory. */
#define BD_MAX_SLOTS 1024u
#define BD_MIN_SLOTS 2u
/* Consumers that share_start may wait for: the holders of a slot are counted, sessions are limited by the daemon anyway. */
#define BD_MAX_SHARE_START 4096u
/* Records of a dataset: leaves 2^16 for products with rows and epochs. */
#define BD_MAX_RECORDS (UINT64_C(1) << 48)

void bd_stream_spec_init(struct bd_stream_spec *ret_spec);

/* -EINVAL names the word and what it may be. Called by both sides: the daemon trusts no client. */
BD_MUST_CHECK int bd_stream_spec_check(const struct bd_stream_spec *spec, struct bd_error *error);

/* NULL-terminated, by number. */
extern const char *const bd_shuffle_names[], *const bd_remainder_names[], *const bd_augment_names[];

/* "?" for a number that is none. */
const char *bd_shuffle_name(enum bd_shuffle shuffle);
const char *bd_remainder_name(enum bd_remainder remainder);
const char *bd_augment_name(enum bd_augment augment);

/* "EPOCH:BATCH" */
BD_MUST_CHECK int bd_parse_position(const char *text, uint64_t *ret_epoch, uint64_t *ret_batch, struct bd_error *error);

/* ---- command lines ---- */

#define BD_STREAM_OPTION_COUNT 15

/* What the options of a command line are parsed into, between init and apply. */
struct bd_stream_options {
	struct bd_stream_spec *spec;
	uint64_t batch, window, seed, epochs, rank, world, share_start, share_timeout_ns, slots, cache_bytes;
	int shuffle, remainder, augment;
	bool window_given, cache_given; /* refused where they do nothing */
	const char *start, *share_group;
	struct bd_option options[BD_STREAM_OPTION_COUNT]; /* for struct bd_command, alone or copied into a longer table */
	size_t count;
};

/*
 * The option table for *spec, whose present values are the defaults. `without` names options that the command has for
 * itself (NULL-terminated, e.g. "epochs"; NULL: none): those words of the spec stay as they are.
 */
void bd_stream_options_init(struct bd_stream_options *options, struct bd_stream_spec *spec, const char *const *without);

/* After parsing: writes what was given into the spec and checks it. -EINVAL: wrong usage. */
BD_MUST_CHECK int bd_stream_options_apply(struct bd_stream_options *options, struct bd_error *error);

#endif
