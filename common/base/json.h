/*
 * json.h - JSON values, behind jansson.
 *
 * The library's own functions (json_pack, json_object_set_new, ...) are used directly by whoever includes this header; here is
 * what the programs need beside them: one object a line on stdout, numbers that JSON cannot hold, and a strict parser.
 */
#ifndef BD_BASE_JSON_H
#define BD_BASE_JSON_H

#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

#include <batchd/error.h>

/* Prints the value compactly as one line and flushes; takes the reference in every case. Returns 0, -ENOMEM (value NULL) or -EIO. */
BD_MUST_CHECK int bd_json_print_line(FILE *stream, json_t *value_take, struct bd_error *error);

/* A real number; null where it is no finite number, which JSON has no word for. NULL without memory. */
json_t *bd_json_real(double value);

/* A float with as few digits as read back the same float (0.1, not 0.10000000149011612). */
json_t *bd_json_float(float value);

/* A string of bytes that may be no UTF-8: bad bytes become U+FFFD. */
json_t *bd_json_text(const char *bytes, size_t length);

/* Parses one value and nothing behind it but white space; keys that stand twice are refused. `name` stands in errors. Returns 0, -EINVAL, -ENOMEM. */
BD_MUST_CHECK int bd_json_parse(const char *name, const char *text, size_t length, json_t **ret_value, struct bd_error *error);

#endif
