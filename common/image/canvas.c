#include "common/image/canvas.h"

#include <math.h>
#include <stdbool.h>

#include "common/image/canvas_font.h"

static void blend(struct bd_pixels *canvas, int x, int y, uint32_t colour, double share)
{
	if (x < 0 || y < 0 || x >= (int)canvas->width || y >= (int)canvas->height)
		return;
	uint8_t *at = bd_pixels_line(canvas, (uint32_t)y) + (size_t)x * 3;
	for (int c = 0; c < 3; c++) {
		double wanted = colour >> (16 - 8 * c) & 0xff;
		at[c] = (uint8_t)lrint(at[c] + (wanted - at[c]) * share);
	}
}

void bd_canvas_fill(struct bd_pixels *canvas, int x, int y, int width, int height, uint32_t colour)
{
	for (int row = y; row < y + height; row++)
		for (int column = x; column < x + width; column++)
			blend(canvas, column, row, colour, 1);
}

void bd_canvas_frame(struct bd_pixels *canvas, int x, int y, int width, int height, int thickness, uint32_t colour)
{
	bd_canvas_fill(canvas, x, y, width, thickness, colour);
	bd_canvas_fill(canvas, x, y + height - thickness, width, thickness, colour);
	bd_canvas_fill(canvas, x, y, thickness, height, colour);
	bd_canvas_fill(canvas, x + width - thickness, y, thickness, height, colour);
}

/* ---- text ---- */

static bool letter_pixel(const char *letter, int x, int y)
{
	if (x < 0 || y < 0 || x >= BD_FONT_COLUMNS || y >= BD_FONT_ROWS)
		return false;
	int digit = letter[y] <= '9' ? letter[y] - '0' : letter[y] - 'A' + 10;
	return digit >> (BD_FONT_COLUMNS - 1 - x) & 1;
}

/*
 * A quarter of an enlarged pixel: a corner where two set pixels meet diagonally is filled, so that slanting strokes do not break up
 * into stairs; a corner that sticks out stays.
 */
static bool quarter(const char *letter, int x, int y, int dx, int dy)
{
	bool own = letter_pixel(letter, x, y), side = letter_pixel(letter, x + dx, y), end = letter_pixel(letter, x, y + dy);
	bool away = letter_pixel(letter, x - dx, y) || letter_pixel(letter, x, y - dy);
	return own || (side && end && !letter_pixel(letter, x + dx, y + dy) && !away);
}

static void draw_letter(struct bd_pixels *canvas, int x, int y, int scale, uint32_t colour, const char *letter)
{
	for (int row = 0; row < BD_FONT_ROWS * scale; row++)
		for (int column = 0; column < BD_FONT_COLUMNS * scale; column++) {
			int from_x = column / scale, from_y = row / scale;
			int dx = column % scale * 2 < scale ? -1 : 1, dy = row % scale * 2 < scale ? -1 : 1;
			bool own = letter_pixel(letter, from_x, from_y);
			if (own)
				blend(canvas, x + column, y + row, colour, 1);
			else if (scale > 1 && quarter(letter, from_x, from_y, dx, dy))
				blend(canvas, x + column, y + row, colour, 0.6);
		}
}

/* The first byte of each character counts. */
static bool begins_character(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t bd_text_letters(const char *text, size_t length)
{
	size_t letters = 0;
	for (size_t i = 0; i < length; i++)
		letters += begins_character(text[i]);
	return letters;
}

void bd_canvas_text(struct bd_pixels *canvas, int x, int y, int scale, uint32_t colour, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!begins_character(text[i]))
			continue;
		char letter = text[i] >= BD_FONT_FIRST && text[i] <= BD_FONT_LAST ? text[i] : '?';
		draw_letter(canvas, x, y, scale, colour, bd_font[letter - BD_FONT_FIRST]);
		x += BD_TEXT_ADVANCE_PX * scale;
	}
}

/* ---- lines and pictures ---- */

static double distance(double x, double y, double x0, double y0, double x1, double y1)
{
	double dx = x1 - x0, dy = y1 - y0, square = dx * dx + dy * dy;
	double t = square > 0 ? ((x - x0) * dx + (y - y0) * dy) / square : 0;
	t = t < 0 ? 0 : t > 1 ? 1 : t;
	return hypot(x - x0 - t * dx, y - y0 - t * dy);
}

void bd_canvas_line(struct bd_pixels *canvas, double x0, double y0, double x1, double y1, double thickness, uint32_t colour)
{
	double reach = thickness / 2 + 1, limit_x = canvas->width, limit_y = canvas->height;
	double left = fmax(floor(fmin(x0, x1) - reach), 0), right = fmin(ceil(fmax(x0, x1) + reach), limit_x - 1);
	double top = fmax(floor(fmin(y0, y1) - reach), 0), bottom = fmin(ceil(fmax(y0, y1) + reach), limit_y - 1);
	for (int y = (int)top; y <= (int)bottom; y++)
		for (int x = (int)left; x <= (int)right; x++) {
			double share = thickness / 2 + 0.5 - distance(x, y, x0, y0, x1, y1);
			if (share > 0)
				blend(canvas, x, y, colour, share < 1 ? share : 1);
		}
}

void bd_canvas_picture(struct bd_pixels *canvas, int x, int y, const struct bd_pixels *picture)
{
	for (uint32_t row = 0; row < picture->height; row++)
		for (uint32_t column = 0; column < picture->width; column++) {
			const uint8_t *at = bd_pixels_line(picture, row) + (size_t)column * picture->channels;
			uint32_t last = picture->channels == 3;
			blend(canvas, x + (int)column, y + (int)row, (uint32_t)at[0] << 16 | (uint32_t)at[last] << 8 | at[2 * last],
			      1);
		}
}
