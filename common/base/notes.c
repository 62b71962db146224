#include "common/base/notes.h"

#include <batchd/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bd_notes_init(struct bd_notes *ret_notes)
{
	*ret_notes = (struct bd_notes){ .count = 0 };
	pthread_mutex_init(&ret_notes->lock, NULL);
}

void bd_notes_finish(struct bd_notes *notes)
{
	for (size_t i = 0; i < notes->count; i++)
		free(notes->texts[i]);
	notes->count = 0;
	pthread_mutex_destroy(&notes->lock);
}

/* Cut to the length of an error and cleaned as one. NULL without memory. */
static char *copy_line(const char *text)
{
	struct bd_error line;
	bd_error_set(&line, 0, "%s", text);
	return strdup(line.text);
}

void bd_notes_add(struct bd_notes *notes, const char *format, ...)
{
	char text[BD_ERROR_TEXT_BYTES];
	va_list arguments;
	if (!notes)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&notes->lock);
	char *line = notes->count < BD_NOTES_MAX ? copy_line(text) : NULL;
	if (line)
		notes->texts[notes->count++] = line;
	else
		notes->left_out++;
	pthread_mutex_unlock(&notes->lock);
}

void bd_notes_close(struct bd_notes *notes)
{
	char text[64];
	if (!notes->left_out)
		return;
	snprintf(text, sizeof text, "and %zu more notes like these", notes->left_out);
	char *line = copy_line(text);
	if (line)
		notes->texts[notes->count++] = line;
	notes->left_out = 0;
}
