#include "tools/batchctl/screen.h"

#include <stdarg.h>
#include <sys/ioctl.h>

#define ROWS 24
#define COLUMNS 80
#define LINE_BYTES 1024

void bd_screen_init(struct bd_screen *ret_screen, FILE *out, int fd)
{
	struct winsize size;
	*ret_screen = (struct bd_screen){ .out = out, .rows = ROWS, .columns = COLUMNS };
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 1) {
		ret_screen->rows = size.ws_row;
		ret_screen->columns = size.ws_col;
	}
}

unsigned bd_screen_left(const struct bd_screen *screen)
{
	return screen->used + 1 < screen->rows ? screen->rows - 1 - screen->used : 0;
}

/* Bytes of the first `characters` of the text. */
static int bytes_of(const char *text, unsigned characters)
{
	int bytes = 0;
	for (; text[bytes]; bytes++)
		if (((unsigned char)text[bytes] & 0xc0) != 0x80 && characters-- == 0)
			break;
	return bytes;
}

void bd_screen_line(struct bd_screen *screen, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	if (bd_screen_left(screen) == 0)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	fprintf(screen->out, "%.*s\n", bytes_of(line, screen->columns), line);
	screen->used++;
}
