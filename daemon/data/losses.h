/*
 * losses.h - how many records damaged shards have lost, as far as that can be told, for `on_error: skip`.
 *
 * Why: what cannot be told apart is one damaged record (damage.h): an HTML page in place of a shard of 10,000 records, or a shard that was cut off,
 * would count as one, and pass every skip_limit.
 * What is known: a range in the middle held as many records as its bytes say, by the mean of the good ones. A shard that ends in damage, or is of
 * another kind, held as many as an index beside it says; else as many as its siblings, where most of these have about
 * the same number (the last one of a set may have fewer); and so did an empty one among such siblings. Where nothing says it, a
 * shard of which no record can be read is a loss of its own, and skip_limit holds for the share of such shards, too; of one that was read in part a note says it.
 * Threads: called once, by bd_records_settle.
 */
#ifndef BD_DATA_LOSSES_H
#define BD_DATA_LOSSES_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_records;

struct bd_losses {
	uint64_t unseen; /* lost records, beyond the one that each damaged range counts as */
	size_t shards; /* of which nothing can be read, with an unknown number of records */
};

/*
 * Looks at the files of `records`, all of which are open and counted. Notes say which shards have lost how many. Returns 0, -ENOMEM; -EBADMSG: more is lost than
 * skip_limit allows, or a file is no shard at all and nothing is to be skipped.
 */
BD_MUST_CHECK int bd_losses_count(struct bd_records *records, struct bd_losses *ret_losses, struct bd_error *error);

#endif
