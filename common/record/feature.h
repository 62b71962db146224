/*
 * feature.h - zero-copy view of one Feature of an Example, and the readers of its values.
 *
 * A Feature holds one of three lists (bytes, float, int64). Its serialized form may come in pieces: the same list twice, the
 * map entry's value twice, packed and unpacked numbers mixed. protobuf joins pieces of one kind and forgets the others
 * when the kind changes; the view does the same without copying: `list` is the one piece, or where `scattered` the
 * place where the joined pieces begin.
 * Ownership: everything points into the record's bytes and lives as long as they do.
 * Threads: no state.
 */
#ifndef BD_RECORD_FEATURE_H
#define BD_RECORD_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/protobuf.h"

enum bd_value_kind {
	BD_VALUE_NONE = 0, /* the key is absent, or its Feature holds no list */
	BD_VALUE_BYTES = 1, /* the numbers of tensorflow.Feature's fields */
	BD_VALUE_FLOAT = 2,
	BD_VALUE_INT64 = 3,
};

struct bd_feature_view {
	const char *name; /* the key; not NUL-terminated */
	size_t name_length;
	enum bd_value_kind kind;
	bool present; /* the key is there, perhaps without a list */
	bool scattered;
	const uint8_t *list; /* the serialized BytesList, FloatList or Int64List; scattered: fields of a Feature */
	size_t list_length;
	const uint8_t *tail; /* scattered: fields of the map entry that follow */
	size_t tail_length;
	const uint8_t *entry; /* where the map entry begins: later ones win */
};

/* One string of a BytesList, in place. */
struct bd_bytes_view {
	const uint8_t *bytes;
	size_t length;
};

/* "bytes", "float", "int64", "none" */
const char *bd_value_kind_name(enum bd_value_kind kind);

/* The number of values; 0 for NONE. Returns 0 or -EBADMSG: the list is malformed. */
BD_MUST_CHECK int bd_feature_count(const struct bd_feature_view *view, size_t *ret_count, struct bd_error *error);

/*
 * Read the values, packed or not, in order. At most `room` are written; *ret_count is how many there are, which may be more.
 * Returns 0, -EBADMSG: the list is malformed (values may have been written), or -EINVAL: the view is of another kind.
 */
BD_MUST_CHECK int bd_feature_read_int64(const struct bd_feature_view *view, int64_t *ret_values, size_t room, size_t *ret_count,
                                        struct bd_error *error);
BD_MUST_CHECK int bd_feature_read_float(const struct bd_feature_view *view, float *ret_values, size_t room, size_t *ret_count,
                                        struct bd_error *error);
BD_MUST_CHECK int bd_feature_read_bytes(const struct bd_feature_view *view, struct bd_bytes_view *ret_values, size_t room,
                                        size_t *ret_count, struct bd_error *error);

/*
 * The strings of a view one after the other, without an array: begin, then next until it returns 0.
 * next returns 1 (one string), 0 (no more), or -EBADMSG. Begin on a view of another kind: no strings.
 */
struct bd_bytes_cursor {
	const struct bd_feature_view *view;
	struct bd_fields list, feature, entry; /* what is left on each level */
};
void bd_bytes_cursor_begin(const struct bd_feature_view *view, struct bd_bytes_cursor *ret_cursor);
BD_MUST_CHECK int bd_bytes_cursor_next(struct bd_bytes_cursor *cursor, struct bd_bytes_view *ret_value, struct bd_error *error);

/*
 * Makes the view of a serialized Feature (its fields), or of a map entry whose values are Features. What a reader of
 * Examples calls; `name` is left alone. Returns 0 or -EBADMSG.
 */
BD_MUST_CHECK int bd_feature_view_of_feature(const uint8_t *bytes, size_t length, struct bd_feature_view *view,
                                             struct bd_error *error);
BD_MUST_CHECK int bd_feature_view_of_entry(const uint8_t *bytes, size_t length, struct bd_feature_view *view,
                                           struct bd_error *error);

#endif
