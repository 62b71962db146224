/*
 * screen.h - lines that fit a terminal.
 *
 * Why: a line that is longer than the terminal is wide takes two, and a picture that is higher than it scrolls: both jump at each look.
 * Threads: one.
 */
#ifndef BD_BATCHCTL_SCREEN_H
#define BD_BATCHCTL_SCREEN_H

#include <stdio.h>

#include <batchd/error.h>

struct bd_screen {
	FILE *out; /* borrowed */
	unsigned rows, columns;
	unsigned used; /* rows that have a line */
};

/* The size of the terminal at `fd`; 24 rows of 80 columns where it has none, or is none. */
void bd_screen_init(struct bd_screen *ret_screen, FILE *out, int fd);

/* Rows that are free; the last one stays so, for the cursor. */
unsigned bd_screen_left(const struct bd_screen *screen);

/* One line, cut to the columns between characters (UTF-8). Nothing where no row is left. */
void bd_screen_line(struct bd_screen *screen, const char *format, ...) BD_PRINTF(2, 3);

#endif
