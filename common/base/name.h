/*
 * name.h - names of files as people can read them.
 *
 * Why: a file's name is bytes. Those that are no UTF-8, and control characters, would garble a terminal or be refused by YAML.
 * Threads: no state.
 */
#ifndef BD_BASE_NAME_H
#define BD_BASE_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the well-formed UTF-8 sequence at `c`, 0 where there is none (Unicode 15, table 3-7). */
size_t bd_utf8_sequence(const unsigned char *c, size_t left);

bool bd_name_is_utf8(const char *text);

/* The name with each byte that is no UTF-8 or a control character as \\xNN; cut to `size`. Returns ret_text. */
const char *bd_name_escape(const char *name, char *ret_text, size_t size);

#endif
