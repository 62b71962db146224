/*
 * sequence_example.h - finds context features and feature lists in a serialized tensorflow.SequenceExample, in place.
 *
 * Format: SequenceExample { Features context = 1; FeatureLists feature_lists = 2; }, FeatureLists { map<string, FeatureList>
 * feature_list = 1; }, FeatureList { repeated Feature feature = 1; }. Semantics and lifetimes: example.h.
 * Threads: no state.
 */
#ifndef BD_RECORD_SEQUENCE_EXAMPLE_H
#define BD_RECORD_SEQUENCE_EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/example.h"

struct bd_feature_list_view {
	const char *name;
	size_t name_length;
	bool present;
	size_t steps; /* Features in the list */
	const uint8_t *entry; /* the map entry's fields */
	size_t entry_length;
	const uint8_t *start; /* where the map entry begins: later ones win */
};

/* The steps of a list one after the other. next: 1 (ret_step is the view of one Feature), 0 (no more), -EBADMSG. */
struct bd_step_cursor {
	const struct bd_feature_list_view *list;
	struct bd_fields entry, steps;
};
void bd_step_cursor_begin(const struct bd_feature_list_view *list, struct bd_step_cursor *ret_cursor);
BD_MUST_CHECK int bd_step_cursor_next(struct bd_step_cursor *cursor, struct bd_feature_view *ret_step, struct bd_error *error);

/* As bd_example_find, for both maps in one pass. Either count may be 0. */
BD_MUST_CHECK int bd_sequence_example_find(const uint8_t *data, size_t length, const struct bd_feature_name *context,
                                           size_t context_count, struct bd_feature_view *ret_context,
                                           const struct bd_feature_name *lists, size_t list_count,
                                           struct bd_feature_list_view *ret_lists, struct bd_error *error);

/* Everything, sorted by key and checked to the last value. Zero-initialised before the first read, reusable. */
struct bd_sequence_example {
	struct bd_example context;
	struct bd_feature_list_view *lists;
	size_t list_count, list_room;
};
BD_MUST_CHECK int bd_sequence_example_read(struct bd_sequence_example *example, const uint8_t *data, size_t length,
                                           struct bd_error *error);
void bd_sequence_example_finish(struct bd_sequence_example *example);

#endif
