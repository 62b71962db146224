/*
 * record_json.h - a record as JSON: {"label":{"int64":[1]},"x":{"float":[0.5]},"image":{"bytes":["<base64>"]}}.
 *
 * Floats that JSON has no number for are "nan", "inf", "-inf"; a Feature without a list is {}.
 */
#ifndef BD_TOOLS_TFRECORD_RECORD_JSON_H
#define BD_TOOLS_TFRECORD_RECORD_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/json.h"
#include "common/record/example.h"
#include "common/record/sequence_example.h"

/* RFC 4648 with padding. Without memory the value is lost (common/base/json.h), also of those below. */
json_t *bd_json_base64(const uint8_t *bytes, size_t length);

/* The views must have been read by bd_example_read or bd_sequence_example_read. */
json_t *bd_json_features(const struct bd_example *example);
json_t *bd_json_feature_lists(const struct bd_sequence_example *example);

/*
 * Reads the bytes as an Example (or a SequenceExample). Returns 1; 0 where they are none: they do not parse, or they are not empty and
 * have none of its fields (many other messages parse as one with nothing but unknown fields); -ENOMEM.
 */
BD_MUST_CHECK int bd_record_read_example(const uint8_t *data, size_t length, struct bd_example *example, struct bd_error *error);
BD_MUST_CHECK int bd_record_read_sequence_example(const uint8_t *data, size_t length, struct bd_sequence_example *example,
                                                  struct bd_error *error);

#endif
