#include <batchd/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A hostile file name or a key out of a record must not reach a terminal as an escape sequence or a second line. */
static void clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static void mark_cut(char *text, size_t size)
{
	memcpy(text + size - sizeof "...", "...", sizeof "...");
}

int(bd_error_set)(struct bd_error *error, int code, const char *format, ...)
{
	if (!error)
		return code;
	error->code = code;
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	if (length >= (int)sizeof error->text)
		mark_cut(error->text, sizeof error->text);
	clean(error->text);
	return code;
}

int bd_error_prefix(struct bd_error *error, const char *format, ...)
{
	if (!error)
		return -EIO;
	char prefix[BD_ERROR_TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(prefix, sizeof prefix, format, arguments);
	va_end(arguments);
	if (length < 0)
		return error->code;
	clean(prefix);
	char whole[2 * BD_ERROR_TEXT_BYTES + 2];
	snprintf(whole, sizeof whole, "%s: %s", prefix, error->text);
	size_t whole_length = strlen(whole);
	if (whole_length >= sizeof error->text) {
		memcpy(error->text, whole, sizeof error->text - 1);
		mark_cut(error->text, sizeof error->text);
	} else {
		memcpy(error->text, whole, whole_length + 1);
	}
	return error->code;
}
