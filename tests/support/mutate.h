/*
 * mutate.h - damage made by numbers: the same seed makes the same damage on every machine.
 *
 * Kinds: flipped bits, interesting bytes, numbers put over what may be a length, pieces cut off, left out, repeated, or taken from another
 * input.
 */
#ifndef BD_TESTS_SUPPORT_MUTATE_H
#define BD_TESTS_SUPPORT_MUTATE_H

#include <stddef.h>
#include <stdint.h>

struct bd_mutator {
	uint64_t state; /* the seed */
};

uint64_t bd_mutator_next(struct bd_mutator *mutator);

/* 0 to limit - 1; 0 for a limit of 0. */
size_t bd_mutator_below(struct bd_mutator *mutator, size_t limit);

/* A damaged copy of at most `most` bytes on the heap, exactly *ret_length (0 is possible) long, so that ASan sees what is read behind it. */
uint8_t *bd_mutate(struct bd_mutator *mutator, const uint8_t *bytes, size_t length, const uint8_t *other, size_t other_length,
                   size_t most, size_t *ret_length);

#endif
