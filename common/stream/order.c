#include "common/stream/order.h"

#include <errno.h>
#include <inttypes.h>

#include "common/base/arithmetic.h"
#include "common/stream/spec.h"

typedef unsigned __int128 u128;

/* ---- keyed permutation of [0, size) ---- */

#define FEISTEL_ROUNDS 8
/* Walking from 256 down to a tiny size costs at most some dozens of steps; halves of less than 4 bits mix badly. */
#define FEISTEL_MIN_BITS 8

/* Blocks that a window shuffle mixes: long reads, and yet enough of them. */
#define WINDOW_BLOCKS 16

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014): full avalanche. The order of every stream depends on it: never change it. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t key_of(uint64_t seed, uint64_t epoch, uint64_t purpose)
{
	return mix(mix(mix(seed + GOLDEN) + epoch + GOLDEN) + purpose * GOLDEN);
}

struct permutation {
	uint64_t size, key, low_mask, high_mask;
	unsigned low_bits;
};

static struct permutation permutation_of(uint64_t size, uint64_t key)
{
	unsigned bits = size > 1 ? 64 - (unsigned)__builtin_clzll(size - 1) : 1;
	if (bits < FEISTEL_MIN_BITS)
		bits = FEISTEL_MIN_BITS;
	unsigned low = bits / 2;
	return (struct permutation){
		.size = size,
		.key = key,
		.low_bits = low,
		.low_mask = (UINT64_C(1) << low) - 1,
		.high_mask = (UINT64_C(1) << (bits - low)) - 1,
	};
}

/* A half-round changes one half by a function of the other: its own inverse, whatever the function and the halves' sizes. */
static inline void half_round(const struct permutation *p, unsigned round, uint64_t *low, uint64_t *high)
{
	uint64_t key = p->key + round * GOLDEN;
	if (round & 1)
		*low ^= mix(*high ^ key) & p->low_mask;
	else
		*high ^= mix(*low ^ key) & p->high_mask;
}

static uint64_t permute(const struct permutation *p, uint64_t x)
{
	do {
		uint64_t low = x & p->low_mask, high = x >> p->low_bits;
		for (unsigned round = 0; round < FEISTEL_ROUNDS; round++)
			half_round(p, round, &low, &high);
		x = high << p->low_bits | low;
	} while (x >= p->size);
	return x;
}

static uint64_t permute_back(const struct permutation *p, uint64_t x)
{
	do {
		uint64_t low = x & p->low_mask, high = x >> p->low_bits;
		for (unsigned round = FEISTEL_ROUNDS; round-- > 0;)
			half_round(p, round, &low, &high);
		x = high << p->low_bits | low;
	} while (x >= p->size);
	return x;
}

/* ---- window ----
 *
 * Permuted blocks stand one behind the other. The dataset's last block may be short: wherever it lands, all blocks behind it
 * begin `missing` records earlier. `tail` is its place among the permuted blocks.
 */
enum { PURPOSE_GLOBAL = 1, PURPOSE_BLOCKS = 2, PURPOSE_WINDOWS = 3 };

struct blocks {
	struct permutation order;
	uint64_t tail, missing;
};

static struct blocks blocks_of(const struct bd_order *order, uint64_t epoch)
{
	struct blocks blocks = { .order = permutation_of(order->blocks, key_of(order->seed, epoch, PURPOSE_BLOCKS)) };
	blocks.missing = order->blocks * order->block - order->records;
	blocks.tail = permute_back(&blocks.order, order->blocks - 1);
	return blocks;
}

/* Where permuted block `place` begins. place may be `blocks`: the end. */
static uint64_t begin_of(const struct bd_order *order, const struct blocks *blocks, uint64_t place)
{
	return place * order->block - (place > blocks->tail ? blocks->missing : 0);
}

/* The permuted block in which a position lies. */
static uint64_t place_of(const struct bd_order *order, const struct blocks *blocks, uint64_t position)
{
	uint64_t place = position / order->block;
	return place < blocks->tail || position < begin_of(order, blocks, blocks->tail + 1)
	               ? place
	               : (position + blocks->missing) / order->block;
}

struct window {
	uint64_t begin; /* position of its first record */
	struct permutation inside;
};

static struct window window_of(const struct bd_order *order, const struct blocks *blocks, uint64_t epoch, uint64_t position)
{
	uint64_t number = place_of(order, blocks, position) / order->group;
	uint64_t first = number * order->group,
		 last = bd_min_u64(first + order->group, order->blocks); /* permuted blocks [first, last) */
	uint64_t begin = begin_of(order, blocks, first), end = begin_of(order, blocks, last);
	return (struct window){
		.begin = begin,
		.inside = permutation_of(end - begin, key_of(order->seed, epoch, PURPOSE_WINDOWS) + mix(number + GOLDEN)),
	};
}

static uint64_t window_record(const struct bd_order *order, uint64_t epoch, uint64_t position)
{
	struct blocks blocks = blocks_of(order, epoch);
	struct window window = window_of(order, &blocks, epoch, position);
	uint64_t mixed = window.begin + permute(&window.inside, position - window.begin);
	uint64_t place = place_of(order, &blocks, mixed);
	return permute(&blocks.order, place) * order->block + (mixed - begin_of(order, &blocks, place));
}

static uint64_t window_position(const struct bd_order *order, uint64_t epoch, uint64_t record)
{
	struct blocks blocks = blocks_of(order, epoch);
	uint64_t place = permute_back(&blocks.order, record / order->block);
	uint64_t mixed = begin_of(order, &blocks, place) + record % order->block;
	struct window window = window_of(order, &blocks, epoch, mixed);
	return window.begin + permute_back(&window.inside, mixed - window.begin);
}

/* ---- records ---- */

uint64_t bd_order_record(const struct bd_order *order, uint64_t epoch, uint64_t position)
{
	if (order->shuffle == BD_SHUFFLE_NONE)
		return position;
	if (order->shuffle == BD_SHUFFLE_WINDOW)
		return window_record(order, epoch, position);
	struct permutation all = permutation_of(order->records, key_of(order->seed, epoch, PURPOSE_GLOBAL));
	return permute(&all, position);
}

uint64_t bd_order_position_of(const struct bd_order *order, uint64_t epoch, uint64_t record)
{
	if (order->shuffle == BD_SHUFFLE_NONE)
		return record;
	if (order->shuffle == BD_SHUFFLE_WINDOW)
		return window_position(order, epoch, record);
	struct permutation all = permutation_of(order->records, key_of(order->seed, epoch, PURPOSE_GLOBAL));
	return permute_back(&all, record);
}

/* ---- batches ---- */

static bool is_endless_nothing(const struct bd_order *order)
{
	return order->epochs == 0 &&
	       (order->records == 0 || (order->remainder == BD_REMAINDER_DROP && order->records < order->batch));
}

int bd_order_init(struct bd_order *ret_order, uint64_t records, const struct bd_stream_spec *spec, struct bd_error *error)
{
	if (records > BD_MAX_RECORDS)
		return bd_error_set(error, -EINVAL,
		                    "the dataset has %" PRIu64 " records, more than the %" PRIu64 " that one stream can order",
		                    records, BD_MAX_RECORDS);
	struct bd_order order = {
		.records = records,
		.batch = spec->batch,
		.rank_rows = spec->batch / spec->world,
		.rank = spec->rank,
		.epochs = spec->epochs,
		.seed = spec->seed,
		.shuffle = spec->shuffle,
		.remainder = spec->remainder,
		.block = 1,
	};
	if (is_endless_nothing(&order))
		return bd_error_set(error, -EINVAL,
		                    "the dataset has %" PRIu64 " records, which never fill a batch of %" PRIu32
		                    ": an endless stream would give nothing; "
		                    "make 'batch' smaller or use 'remainder: short'",
		                    records, spec->batch);
	if (spec->window > WINDOW_BLOCKS)
		order.block = spec->window / WINDOW_BLOCKS;
	order.group = bd_min_u64(bd_max_u64(spec->window, 1), WINDOW_BLOCKS);
	order.blocks = records / order.block + (records % order.block != 0);
	*ret_order = order;
	return 0;
}

static u128 divide_up(u128 value, uint64_t by)
{
	return value / by + (value % by != 0);
}

uint64_t bd_order_batches(const struct bd_order *order, uint64_t epoch)
{
	if (order->remainder == BD_REMAINDER_DROP)
		return order->records / order->batch;
	if (order->remainder == BD_REMAINDER_SHORT)
		return (uint64_t)divide_up(order->records, order->batch);
	u128 begin = (u128)epoch * order->records;
	return (uint64_t)(divide_up(begin + order->records, order->batch) - divide_up(begin, order->batch));
}

/* The rows of a global batch of `rows` that are this rank's. */
static void deal(const struct bd_order *order, uint64_t rows, struct bd_order_batch *batch)
{
	uint64_t skip = order->rank * order->rank_rows;
	batch->rows = (uint32_t)(rows > skip ? bd_min_u64(rows - skip, order->rank_rows) : 0);
	batch->first += skip;
}

static int carried_batch_at(const struct bd_order *order, struct bd_order_position position, struct bd_order_batch *ret_batch,
                            struct bd_order_position *ret_next)
{
	u128 number = divide_up((u128)position.epoch * order->records, order->batch) + position.batch;
	u128 begin = number * order->batch;
	u128 end = (u128)order->epochs * order->records;
	if (order->epochs != 0 && begin >= end)
		return -ENODATA;
	uint64_t epoch = (uint64_t)(begin / order->records);
	struct bd_order_batch batch = {
		.epoch = epoch,
		.batch = (uint64_t)(number - divide_up((u128)epoch * order->records, order->batch)),
		.first = (uint64_t)(begin - (u128)epoch * order->records),
	};
	uint64_t rows = order->epochs != 0 && end - begin < order->batch ? (uint64_t)(end - begin) : order->batch;
	deal(order, rows, &batch);
	uint64_t next_epoch = (uint64_t)((begin + order->batch) / order->records);
	if (order->epochs != 0 && next_epoch > order->epochs)
		next_epoch = order->epochs;
	*ret_next = (struct bd_order_position){ epoch, batch.batch + 1 };
	if (next_epoch != epoch)
		*ret_next = (struct bd_order_position){ next_epoch, 0 };
	*ret_batch = batch;
	return 0;
}

int bd_order_batch_at(const struct bd_order *order, struct bd_order_position position, struct bd_order_batch *ret_batch,
                      struct bd_order_position *ret_next)
{
	if (order->epochs != 0 && position.epoch >= order->epochs)
		return position.epoch > order->epochs || position.batch > 0 ? -ERANGE : -ENODATA;
	uint64_t batches = bd_order_batches(order, position.epoch);
	if (position.batch > batches)
		return -ERANGE;
	if (order->records == 0)
		return -ENODATA;
	if (order->remainder == BD_REMAINDER_CARRY)
		return carried_batch_at(order, position, ret_batch, ret_next);
	if (position.batch == batches)
		position = (struct bd_order_position){ position.epoch + 1, 0 };
	if (batches == 0 || (order->epochs != 0 && position.epoch >= order->epochs))
		return -ENODATA;
	struct bd_order_batch batch = { .epoch = position.epoch, .batch = position.batch, .first = position.batch * order->batch };
	deal(order, bd_min_u64(order->batch, order->records - batch.first), &batch);
	*ret_next = position.batch + 1 < batches ? (struct bd_order_position){ position.epoch, position.batch + 1 }
	                                         : (struct bd_order_position){ position.epoch + 1, 0 };
	*ret_batch = batch;
	return 0;
}

void bd_order_row(const struct bd_order *order, const struct bd_order_batch *batch, uint32_t row, uint64_t *ret_epoch,
                  uint64_t *ret_record)
{
	uint64_t position = batch->first + row, epoch = batch->epoch;
	if (position >= order->records) {
		epoch += position / order->records;
		position %= order->records;
	}
	*ret_epoch = epoch;
	*ret_record = bd_order_record(order, epoch, position);
}
