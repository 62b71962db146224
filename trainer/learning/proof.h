/*
 * proof.h - where a loss that is no finite number comes from: the data, or the weights.
 *
 * Why: a NaN in a label is the data's fault and has a record; weights that have run away are finite numbers for a while, and a
 * checkpoint of them would take the place of every good one. A checkpoint is therefore saved only where its weights have given a
 * finite loss, and the message names what to look at.
 * Threads: the loop's.
 */
#ifndef BD_LEARNING_PROOF_H
#define BD_LEARNING_PROOF_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/learning/feed.h"
#include "trainer/learning/network.h"
#include "trainer/learning/record_names.h"

#define BD_FAULT_TEXT_BYTES (BD_RECORD_NAME_BYTES + 80)

/* What is known of the weights as they are. */
enum bd_proof {
	BD_PROOF_NONE, /* no loss was computed with them yet */
	BD_PROOF_GOOD, /* they gave a finite loss */
	BD_PROOF_BAD, /* they gave a loss that is NaN or infinite, on data without such numbers */
};

/*
 * Looks for a number of the feed's batch that is NaN or infinite: in pictures that are floats, and in labels. True: *text says which record
 * (bd_record_names_format) and what of it, "k.tfrecord: record 17 at byte 4120: its label holds NaN". False: the batch is good.
 */
bool bd_proof_find_fault(const struct bd_network *network, struct bd_feed *feed, const struct bd_feed_batch *batch, char *text,
                         size_t size);

/* Runs the batch, which was just learned, through the network once more; nothing changes. GOOD or BAD. */
enum bd_proof bd_proof_of(const struct bd_network *network, const struct bd_feed_batch *batch, uint64_t step);

#endif
