/*
 * json.h - JSON values, behind jansson.
 *
 * The library's own functions (json_pack, json_object_set_new, ...) are used directly by whoever includes this header; here is
 * what the programs need beside them: one object a line on stdout, numbers that JSON cannot hold, and a strict parser.
 *
 * A result is whole or it is not written. The library's containers leave out a member that is NULL, and nobody looks at what
 * each call returned: instead the library's allocations are watched, and the text of a value is refused where one has failed in this
 * thread since the last text. Who cannot make a value for another reason calls bd_json_lost.
 * Threads: a value is built and written by one thread.
 */
#ifndef BD_BASE_JSON_H
#define BD_BASE_JSON_H

#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include <batchd/error.h>

/* Notes that something is missing from the value that this thread is building. Returns NULL, in place of the missing part. */
json_t *bd_json_lost(void);

/* The text of a value, freed by the caller; takes the reference in every case. NULL: value NULL, no memory, or not whole. */
char *bd_json_dump(json_t *value_take, size_t flags);

/*
 * Writes the value compactly as one line; takes the reference in every case. bd_json_print_line flushes, too. Returns 0, -ENOMEM (value NULL, or not
 * whole: nothing is written) or -errno of writing.
 */
BD_MUST_CHECK int bd_json_write_line(FILE *stream, json_t *value_take, struct bd_error *error);
BD_MUST_CHECK int bd_json_print_line(FILE *stream, json_t *value_take, struct bd_error *error);

/* A real number; null where it is no finite number, which JSON has no word for. NULL without memory. */
json_t *bd_json_real(double value);

/* A float with as few digits as read back the same float (0.1, not 0.10000000149011612). */
json_t *bd_json_float(float value);

/* A string of bytes that may be no UTF-8: bad bytes become U+FFFD. */
json_t *bd_json_text(const char *bytes, size_t length);

/* Sets a member whose name may be no UTF-8, as bd_json_text has it. */
void bd_json_set(json_t *object, const char *name, size_t length, json_t *value_take);

/* Parses one value and nothing behind it but white space; keys that stand twice are refused. `name` stands in errors. Returns 0, -EINVAL, -ENOMEM. */
BD_MUST_CHECK int bd_json_parse(const char *name, const char *text, size_t length, json_t **ret_value, struct bd_error *error);

#endif
