/*
 * keep_text.h - a small text file that is written only where it changes.
 *
 * Why: a run that goes on finds the files of its model directory as it would write them; it must not need room on the disk for that.
 */
#ifndef BD_MODEL_KEEP_TEXT_H
#define BD_MODEL_KEEP_TEXT_H

#include <stddef.h>

#include <batchd/error.h>

/* Afterwards `path` holds exactly this text. Returns 0 or what writing gives. */
BD_MUST_CHECK int bd_keep_text(const char *path, const void *text, size_t length, struct bd_error *error);

#endif
