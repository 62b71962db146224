/*
 * shard_set.h - sets of shards whose names say how many there are: NAME-00003-of-00008.
 *
 * Why: a shard that was not copied, or that was deleted, is not seen in what a glob finds; a training then goes on with a part of the data.
 * A name is PREFIX, a number, "-of-", the number of shards, and whatever follows. Shards are numbered from 0 or from 1. Files
 * of one set have the same folder, prefix and number of shards; where they end differently (x.tfrecord, x.tfrecord.gz) each ending
 * is a set of its own, unless the endings share one set among them.
 * Threads: no state.
 */
#ifndef BD_RECORD_SHARD_SET_H
#define BD_RECORD_SHARD_SET_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

/*
 * Is a set of which there are files among paths[first..end) not whole in paths[0..count)? 1: "2 of 8 shards are missing; the first is PATH" in
 * ret_text; 0: no; -ENOMEM.
 */
BD_MUST_CHECK int bd_shard_set_find_gap(char *const *paths, size_t count, size_t first, size_t end, char *ret_text, size_t size,
                                        struct bd_error *error);

#endif
