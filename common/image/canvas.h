/*
 * canvas.h - drawing on RGB pixels: areas, smooth lines, text, pictures; for contact sheets and charts.
 *
 * Everything is cut at the canvas's edges. Colours are 0xrrggbb. Threads: no state.
 */
#ifndef BD_IMAGE_CANVAS_H
#define BD_IMAGE_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "common/image/pixels.h"

/* A letter with its gap, and a line with the space below it, at scale 1. */
#define BD_TEXT_ADVANCE_PX 6
#define BD_TEXT_LINE_PX 11
#define BD_TEXT_CAPITAL_PX 7

/* A box, cut at the edges. colour: 0xRRGGBB. */
void bd_canvas_fill(struct bd_pixels *canvas, int x, int y, int width, int height, uint32_t colour);

/* A frame of `thickness` pixels just inside the box. */
void bd_canvas_frame(struct bd_pixels *canvas, int x, int y, int width, int height, int thickness, uint32_t colour);

/* `length` bytes of UTF-8 with the top left at x, y; what is not ASCII shows as '?'. scale 1 or more; from 2 on edges are smoothed. */
void bd_canvas_text(struct bd_pixels *canvas, int x, int y, int scale, uint32_t colour, const char *text, size_t length);

/* Letters that the text takes: its characters, not its bytes. */
size_t bd_text_letters(const char *text, size_t length);

/* A line of `thickness` pixels with smooth edges and round ends; coordinates are pixel centres. */
void bd_canvas_line(struct bd_pixels *canvas, double x0, double y0, double x1, double y1, double thickness, uint32_t colour);

/* A grey or RGB picture with its top left at x, y. */
void bd_canvas_picture(struct bd_pixels *canvas, int x, int y, const struct bd_pixels *picture);

#endif
