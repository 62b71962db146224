/*
 * example.h - finds features in a serialized tensorflow.Example, in place.
 *
 * Format: Example { Features features = 1; }, Features { map<string, Feature> feature = 1; } (tensorflow/core/example).
 * Reading is protobuf's, where TensorFlow's fast parser differs: of two map entries with one key the last counts, several
 * `features` are joined, pieces of a list are joined, and what protobuf refuses is refused: keys that are no UTF-8,
 * groups that do not close, bad tags. A map entry with unknown fields of its own is set aside whole, as protobuf's upb does.
 * Threads: no state; nothing is copied and views point into the record.
 */
#ifndef BD_RECORD_EXAMPLE_H
#define BD_RECORD_EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/feature.h"

struct bd_feature_name {
	const char *name;
	size_t length;
};

/*
 * Find the features `wanted[0..count)` in one pass and without allocation. ret_views[i] belongs to wanted[i]; its kind is
 * NONE and `present` false where the record has no such key. Features that nobody wants are stepped over: only their key
 * is looked at. Returns 0 or -EBADMSG (ret_views is then unspecified).
 */
BD_MUST_CHECK int bd_example_find(const uint8_t *data, size_t length, const struct bd_feature_name *wanted, size_t count,
                                  struct bd_feature_view *ret_views, struct bd_error *error);

/* All features of a record, sorted by key, checked to the last value. Zero-initialised before the first read, reusable. */
struct bd_example {
	struct bd_feature_view *features;
	size_t count;
	size_t room; /* allocated */
};

/* Returns 0, -EBADMSG or -ENOMEM; on failure the example is empty. The views live as long as `data`. */
BD_MUST_CHECK int bd_example_read(struct bd_example *example, const uint8_t *data, size_t length, struct bd_error *error);
void bd_example_finish(struct bd_example *example);

/* ---- for readers of other messages with such maps ---- */

/* An entry of a map from names to values, a repeated field of number 1. */
struct bd_map_entry {
	struct bd_field field; /* the entry itself */
	const char *key; /* UTF-8, checked */
	size_t key_length;
	bool counts; /* no unknown fields */
	size_t values; /* how often the field `value` occurs */
	const uint8_t *value; /* where it occurs once */
	size_t value_length;
};
/* The next entry of the message that `fields` walks through. Returns 1, 0 at its end, or -EBADMSG. */
BD_MUST_CHECK int bd_map_entry_next(struct bd_fields *fields, struct bd_map_entry *ret_entry, struct bd_error *error);

/* By name, in byte order; of equal names by where the entry stands. <0, 0, >0. */
int bd_entry_compare(const char *name, size_t length, const uint8_t *entry, const char *other_name, size_t other_length,
                     const uint8_t *other_entry);
bool bd_name_is(const char *name, size_t length, const char *other, size_t other_length);

/* An array of views with room for one more than `count`: the old one or one of twice the room; NULL: -ENOMEM, `views` is as it was. */
void *bd_views_grow(void *views, size_t count, size_t *room, size_t view_bytes, struct bd_error *error);

/* The same two for a serialized Features message (the context of a SequenceExample). */
BD_MUST_CHECK int bd_features_find(const uint8_t *bytes, size_t length, const struct bd_feature_name *wanted, size_t count,
                                   struct bd_feature_view *views, struct bd_error *error);
BD_MUST_CHECK int bd_features_append(struct bd_example *example, const uint8_t *bytes, size_t length, struct bd_error *error);
void bd_example_sort(struct bd_example *example);

#endif
