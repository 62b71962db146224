#include "tests/support/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a number that means a length, a count or a size is set to. */
static const uint64_t numbers[] = {
	0,
	1,
	2,
	7,
	8,
	15,
	16,
	127,
	128,
	255,
	256,
	32767,
	32768,
	65500,
	65535,
	65536,
	1u << 20,
	1u << 30,
	INT32_MAX,
	1ull << 31,
	UINT32_MAX,
	1ull << 32,
	1ull << 40,
	INT64_MAX,
	1ull << 63,
	UINT64_MAX - 16,
	UINT64_MAX - 15,
	UINT64_MAX - 11,
	UINT64_MAX,
};

struct draft {
	uint8_t *bytes;
	size_t length, room;
};

uint64_t bd_mutator_next(struct bd_mutator *mutator)
{
	/* splitmix64 */
	uint64_t z = mutator->state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

size_t bd_mutator_below(struct bd_mutator *mutator, size_t limit)
{
	return limit ? (size_t)(bd_mutator_next(mutator) % limit) : 0;
}

/* Half of all places lie near the beginning, where headers are. */
static size_t place(struct bd_mutator *mutator, size_t length)
{
	size_t within = bd_mutator_below(mutator, 2) && length > 64 ? 64 : length;
	return bd_mutator_below(mutator, within);
}

static void flip_bits(struct bd_mutator *mutator, struct draft *draft)
{
	for (size_t i = bd_mutator_below(mutator, 8) + 1; i-- > 0 && draft->length;)
		draft->bytes[place(mutator, draft->length)] ^= (uint8_t)(1u << bd_mutator_below(mutator, 8));
}

static void put_bytes(struct bd_mutator *mutator, struct draft *draft)
{
	static const uint8_t interesting[] = { 0, 1, 0x7f, 0x80, 0xff, 0xd8, 0xda, 0xc0, 0xc4 };
	for (size_t i = bd_mutator_below(mutator, 4) + 1; i-- > 0 && draft->length;)
		draft->bytes[place(mutator, draft->length)] = interesting[bd_mutator_below(mutator, sizeof interesting)];
}

static void put_number(struct bd_mutator *mutator, struct draft *draft)
{
	uint64_t number = numbers[bd_mutator_below(mutator, sizeof numbers / sizeof *numbers)];
	size_t width = (size_t)1 << bd_mutator_below(mutator, 4), at = place(mutator, draft->length);
	if (bd_mutator_below(mutator, 2))
		number = __builtin_bswap64(number) >> (64 - 8 * width);
	if (at + width <= draft->length)
		memcpy(draft->bytes + at, &number, width);
}

static void cut(struct bd_mutator *mutator, struct draft *draft)
{
	draft->length = bd_mutator_below(mutator, 2)
	                        ? bd_mutator_below(mutator, draft->length + 1)
	                        : draft->length - bd_mutator_below(mutator, draft->length < 32 ? draft->length : 32);
}

static void leave_out(struct bd_mutator *mutator, struct draft *draft)
{
	size_t at = place(mutator, draft->length), count = bd_mutator_below(mutator, draft->length - at + 1);
	memmove(draft->bytes + at, draft->bytes + at + count, draft->length - at - count);
	draft->length -= count;
}

static void insert(struct bd_mutator *mutator, struct draft *draft, const uint8_t *from, size_t count)
{
	size_t at = bd_mutator_below(mutator, draft->length + 1), room = draft->room - draft->length;
	count = count < room ? count : room;
	memmove(draft->bytes + at + count, draft->bytes + at, draft->length - at);
	memmove(draft->bytes + at, from, count);
	draft->length += count;
}

static void repeat(struct bd_mutator *mutator, struct draft *draft)
{
	size_t at = place(mutator, draft->length), count = bd_mutator_below(mutator, (draft->length - at) / 4 + 1);
	uint8_t *piece = malloc(count + 1);
	if (!piece)
		abort();
	memcpy(piece, draft->bytes + at, count);
	for (size_t i = bd_mutator_below(mutator, 6) + 1; i-- > 0;)
		insert(mutator, draft, piece, count);
	free(piece);
}

/* Its beginning, and the other's end. */
static void splice(struct bd_mutator *mutator, struct draft *draft, const uint8_t *other, size_t other_length)
{
	size_t from = bd_mutator_below(mutator, other_length + 1), count = other_length - from;
	draft->length = bd_mutator_below(mutator, draft->length + 1);
	count = count < draft->room - draft->length ? count : draft->room - draft->length;
	memcpy(draft->bytes + draft->length, other + from, count);
	draft->length += count;
}

uint8_t *bd_mutate(struct bd_mutator *mutator, const uint8_t *bytes, size_t length, const uint8_t *other, size_t other_length,
                   size_t most, size_t *ret_length)
{
	struct draft draft = { .bytes = malloc(most + 1), .room = most };
	if (!draft.bytes)
		abort();
	draft.length = length < most ? length : most;
	memcpy(draft.bytes, bytes, draft.length);
	for (size_t i = bd_mutator_below(mutator, 3) + 1; i-- > 0;) {
		switch (bd_mutator_below(mutator, 8)) {
		case 0:
			put_bytes(mutator, &draft);
			break;
		case 1:
		case 2:
			put_number(mutator, &draft);
			break;
		case 3:
			cut(mutator, &draft);
			break;
		case 4:
			leave_out(mutator, &draft);
			break;
		case 5:
			repeat(mutator, &draft);
			break;
		case 6:
			splice(mutator, &draft, other, other_length);
			break;
		default:
			flip_bits(mutator, &draft);
			break;
		}
	}
	uint8_t *exact = malloc(draft.length ? draft.length : 1);
	if (!exact)
		abort();
	memcpy(exact, draft.bytes, draft.length);
	free(draft.bytes);
	*ret_length = draft.length;
	return exact;
}
