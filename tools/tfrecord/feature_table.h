/*
 * feature_table.h - what the features of many records have in common: kinds, numbers of values, sizes, pictures.
 *
 * Limits: BD_FEATURE_TABLE_MAX names; more are counted, not kept.
 */
#ifndef BD_TOOLS_TFRECORD_FEATURE_TABLE_H
#define BD_TOOLS_TFRECORD_FEATURE_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/record/example.h"
#include "common/record/sequence_example.h"

#define BD_FEATURE_TABLE_MAX 4096u

struct bd_range {
	uint64_t least, most;
	bool any;
};

struct bd_feature_summary {
	char *name;
	size_t name_length;
	bool sequence; /* a feature list; `values` is then of a step */
	unsigned kinds; /* bit 1 << enum bd_value_kind */
	uint64_t records; /* that have the key */
	struct bd_range values; /* of a record */
	struct bd_range steps;
	struct bd_range bytes; /* of a string */
	unsigned formats; /* of single strings: 1 other, 2 JPEG, 4 PNG */
	struct bd_range height, width, channels;
};

struct bd_feature_table {
	struct bd_feature_summary *items; /* sorted by sequence, then name */
	size_t count, room;
	uint64_t dropped; /* names past the limit, each time they are seen */
};

/* Return 0 or -ENOMEM. */
BD_MUST_CHECK int bd_feature_table_add(struct bd_feature_table *table, const struct bd_example *example, struct bd_error *error);
BD_MUST_CHECK int bd_feature_table_add_sequence(struct bd_feature_table *table, const struct bd_sequence_example *example,
                                                struct bd_error *error);
void bd_feature_table_finish(struct bd_feature_table *table);

/* {"label":{"kind":"int64","shape":[],"records":49}, ...}; a number of values that differs from record to record is null. */
json_t *bd_feature_table_json(const struct bd_feature_table *table, bool sequence);

/* A line a feature. */
void bd_feature_table_print(const struct bd_feature_table *table, FILE *stream);

#endif
