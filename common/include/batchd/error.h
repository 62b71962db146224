/*
 * error.h - an error as a value: a negative errno and one line for a person.
 *
 * Why: errors travel between threads inside work items and between processes inside messages, so they are
 * plain data and no thread-local state. A function that can fail returns 0 or the negative errno and takes
 * `struct bd_error *error` as its last parameter; the text is written where the failure is first seen
 * (bd_error_set) and every caller that knows more puts its context in front (bd_error_prefix):
 *
 *   train-00003-of-00008.tfrecord: record 17 at byte 81920: data CRC mismatch (stored 0x..., computed 0x...)
 *
 * The text has no line break and no full stop at its end; the program that prints it adds its name.
 * Threads: no state. `error` may be NULL everywhere: the caller then sees the number only.
 */
#ifndef BATCHD_ERROR_H
#define BATCHD_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Long enough for two paths of everyday length and a sentence; a longer text is cut and ends in "...". */
#define BD_ERROR_TEXT_BYTES 1024

struct bd_error {
	int code; /* negative errno, 0 = none */
	char text[BD_ERROR_TEXT_BYTES]; /* NUL-terminated, one line */
};

#define BD_MUST_CHECK __attribute__((warn_unused_result))
#define BD_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Sets code and text; control characters of the text become '?'. Returns `code`, so that an origin reads `return bd_error_set(...)`. */
int bd_error_set(struct bd_error *error, int code, const char *format, ...) BD_PRINTF(3, 4);

/* Puts "<formatted>: " in front of the text. Returns error->code, or -EIO where `error` is NULL: use the callee's result then. */
int bd_error_prefix(struct bd_error *error, const char *format, ...) BD_PRINTF(2, 3);

/*
 * The static analyzer sees one file at a time: it is told that what bd_error_set returns is the code, and that a code is
 * negative (errno after a failed call is never 0), so that no path goes on as if all were well.
 */
#ifdef __clang_analyzer__
static inline int bd_error_negative(int code)
{
	return code < 0 ? code : -1;
}
#define bd_error_set(error, code, ...) ((void)(bd_error_set)(error, code, __VA_ARGS__), bd_error_negative(code))
#endif

#ifdef __cplusplus
}
#endif

#endif
