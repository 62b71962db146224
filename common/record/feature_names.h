/*
 * feature_names.h - what a record has in place of a feature that was looked for: a part of an error's line.
 *
 * Why: whoever writes a dataset file for shards that another program made knows the names only roughly.
 * Threads: no state. Allocates: for errors only.
 */
#ifndef BD_RECORD_FEATURE_NAMES_H
#define BD_RECORD_FEATURE_NAMES_H

#include <stddef.h>
#include <stdint.h>

/*
 * "; did you mean 'image/encoded'? It has image/encoded, label and 3 more" of a serialized Example or SequenceExample; "" where it cannot be
 * read. The nearest name is named where it is near. The names end where the text would be longer than `size` - 1.
 */
void bd_feature_names_explain(const uint8_t *data, size_t length, const char *wanted, char *ret_text, size_t size);

#endif
