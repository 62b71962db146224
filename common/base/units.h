/*
 * units.h - sizes, durations, shapes and numbers as people write them.
 *
 * The parsers take the whole text or fail with -EINVAL and a text that shows a right form.
 */
#ifndef BD_BASE_UNITS_H
#define BD_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

BD_MUST_CHECK int bd_parse_size(const char *text, uint64_t *ret_bytes, struct bd_error *error); /* 256MiB, 4GB, 1.5GiB, 123 */
BD_MUST_CHECK int bd_parse_duration(const char *text, uint64_t *ret_ns,
                                    struct bd_error *error); /* 100ms, 30s, 5m, 2h; a bare number: seconds */
BD_MUST_CHECK int bd_parse_shape(const char *text, uint32_t *ret_height, uint32_t *ret_width, struct bd_error *error); /* 150x150 */
BD_MUST_CHECK int bd_parse_u64(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_parse_i64(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_parse_double(const char *text, double *ret_value, struct bd_error *error); /* finite */

void bd_format_size(uint64_t bytes, char *ret_text, size_t size); /* "512 B", "1.5 GiB" */
void bd_format_duration(double seconds, char *ret_text, size_t size); /* "0.4 s", "42 s", "1m 05s", "2h 03m" */

/* The word of the NULL-terminated list nearest to `word` by edits; NULL where none is near enough to be meant. */
const char *bd_nearest_word(const char *word, const char *const *words);

#endif
