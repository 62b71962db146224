/*
 * sheet.h - a contact sheet: pictures in a grid, each with a caption, as one PNG.
 *
 * Pictures keep their shape inside equal tiles; small ones are enlarged with hard pixel edges, large ones shrunk.
 */
#ifndef BD_IMAGE_SHEET_H
#define BD_IMAGE_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image/pixels.h"

enum bd_sheet_mark { BD_SHEET_PLAIN = 0, BD_SHEET_RIGHT = 1 /* green */, BD_SHEET_WRONG = 2 /* red */ };

struct bd_sheet_tile {
	const struct bd_pixels *pixels; /* grey or RGB */
	const char *caption; /* UTF-8, shown in ASCII, cut to the tile's width; NULL = none */
	int mark; /* enum bd_sheet_mark */
};

/* The sheet as pixels. `columns` 0 = about as many as rows. */
BD_MUST_CHECK int bd_sheet_draw(const struct bd_sheet_tile *tiles, size_t count, uint32_t columns, struct bd_pixels *ret_pixels,
                                struct bd_error *error);

/* The same, written to `path` under a temporary name and renamed; -EEXIST unless `force`. */
BD_MUST_CHECK int bd_sheet_write(const char *path, bool force, const struct bd_sheet_tile *tiles, size_t count, uint32_t columns,
                                 struct bd_error *error);

#endif
