#include "common/image/sheet.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/image/canvas.h"
#include "common/image/encode.h"
#include "common/image/pil_resize.h"

/* A picture's longest side in its tile: small ones are enlarged by whole factors up to it, large ones shrunk to it. */
#define TILE_SIDE_PX 168u

#define GAP_PX 12
#define FRAME_PX 3
#define CAPTION_LINES 2
#define TEXT_SCALE 2

/* As many tiles as a sheet that one still opens in a viewer may have. */
#define TILES_MAX 10000u

#define PAPER 0xf6f6f4u
#define INK 0x222222u
#define GREEN 0x1a9850u
#define RED 0xd73027u
#define PALE 0xdcdcd8u

struct layout {
	uint32_t columns, rows;
	int tile_width, tile_height; /* of the pictures' places */
	int caption_height;
	int scale; /* of the captions */
	int step_x, step_y;
};

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The size at which a picture is shown. */
static void shown_size(const struct bd_pixels *pixels, uint32_t *ret_height, uint32_t *ret_width)
{
	uint32_t side = larger(larger(pixels->height, pixels->width), 1);
	if (side <= TILE_SIDE_PX) {
		*ret_height = larger(pixels->height * (TILE_SIDE_PX / side), 1);
		*ret_width = larger(pixels->width * (TILE_SIDE_PX / side), 1);
	} else {
		*ret_height = larger((uint32_t)lrint((double)pixels->height * TILE_SIDE_PX / side), 1);
		*ret_width = larger((uint32_t)lrint((double)pixels->width * TILE_SIDE_PX / side), 1);
	}
}

/* ---- captions ---- */

/* Bytes of the first line of `text`: at most `letters` letters, broken at a space where there is one. */
static size_t first_line(const char *text, size_t letters)
{
	size_t length = 0, broken = 0, used = 0;
	for (; text[length]; length++) {
		if (((unsigned char)text[length] & 0xc0) != 0x80 && used++ == letters)
			return broken ? broken : length;
		if (text[length] == ' ')
			broken = length;
	}
	return length;
}

static int caption_lines(const char *caption, size_t letters)
{
	int lines = 0;
	while (caption && *caption) {
		caption += first_line(caption, letters);
		caption += *caption == ' ';
		lines++;
	}
	return lines;
}

static size_t letters_of(const struct layout *layout, int scale)
{
	int letters = layout->tile_width / (BD_TEXT_ADVANCE_PX * scale);
	return letters < 1 ? 1 : (size_t)letters;
}

static void choose_captions(struct layout *layout, const struct bd_sheet_tile *tiles, size_t count)
{
	int most = 0;
	layout->scale = TEXT_SCALE + 1;
	do {
		layout->scale--;
		most = 0;
		for (size_t i = 0; i < count; i++) {
			int lines = caption_lines(tiles[i].caption, letters_of(layout, layout->scale));
			most = lines > most ? lines : most;
		}
	} while (most > CAPTION_LINES && layout->scale > 1);
	most = most > CAPTION_LINES ? CAPTION_LINES : most;
	layout->caption_height = most ? most * BD_TEXT_LINE_PX * layout->scale + 4 : 0;
}

static void draw_caption(struct bd_pixels *sheet, const struct layout *layout, int x, int y, const char *caption, uint32_t colour)
{
	size_t letters = letters_of(layout, layout->scale);
	for (int line = 0; caption && *caption && line < CAPTION_LINES; line++) {
		size_t length = first_line(caption, letters), used = bd_text_letters(caption, length);
		const char *next = caption + length + (caption[length] == ' ');
		int width = (int)used * BD_TEXT_ADVANCE_PX * layout->scale - layout->scale,
		    left = x + (layout->tile_width - width) / 2;
		bd_canvas_text(sheet, left, y, layout->scale, colour, caption, length);
		if (line == CAPTION_LINES - 1 && *next && used > 2) /* more than fits: the last letters become dots */
			for (int dot = 0; dot < 2; dot++) {
				int at = left + (int)(used - 2 + (size_t)dot) * BD_TEXT_ADVANCE_PX * layout->scale;
				bd_canvas_fill(sheet, at, y, BD_TEXT_ADVANCE_PX * layout->scale,
				               BD_TEXT_LINE_PX * layout->scale - 2, PAPER);
				bd_canvas_text(sheet, at, y, layout->scale, colour, ".", 1);
			}
		caption = next;
		y += BD_TEXT_LINE_PX * layout->scale;
	}
}

/* ---- tiles ---- */

static struct layout lay_out(const struct bd_sheet_tile *tiles, size_t count, uint32_t columns)
{
	struct layout layout = { .columns = columns };
	if (!layout.columns)
		layout.columns = larger((uint32_t)ceil(sqrt((double)count * 1.25)), 1);
	if (layout.columns > count)
		layout.columns = larger((uint32_t)count, 1);
	layout.rows = (uint32_t)((count + layout.columns - 1) / layout.columns);
	for (size_t i = 0; i < count; i++) {
		uint32_t height, width;
		shown_size(tiles[i].pixels, &height, &width);
		layout.tile_height = (int)larger((uint32_t)layout.tile_height, height);
		layout.tile_width = (int)larger((uint32_t)layout.tile_width, width);
	}
	choose_captions(&layout, tiles, count);
	layout.step_x = layout.tile_width + 2 * FRAME_PX + GAP_PX;
	layout.step_y = layout.tile_height + 2 * FRAME_PX + layout.caption_height + GAP_PX;
	return layout;
}

static int draw_tile(struct bd_pixels *sheet, const struct layout *layout, int x, int y, const struct bd_sheet_tile *tile,
                     struct bd_error *error)
{
	uint32_t height, width;
	struct bd_pixels shown = { 0 };
	shown_size(tile->pixels, &height, &width);
	bool enlarged = height >= tile->pixels->height && width >= tile->pixels->width;
	int status = bd_pil_resize(tile->pixels, height, width, enlarged ? BD_PIL_NEAREST : BD_PIL_BICUBIC, &shown, error);
	if (status)
		return status;
	static const uint32_t colours[] = { [BD_SHEET_PLAIN] = PALE, [BD_SHEET_RIGHT] = GREEN, [BD_SHEET_WRONG] = RED };
	int mark = tile->mark == BD_SHEET_RIGHT || tile->mark == BD_SHEET_WRONG ? tile->mark : BD_SHEET_PLAIN;
	int left = x + FRAME_PX + (layout->tile_width - (int)width) / 2, top = y + FRAME_PX + layout->tile_height - (int)height;
	int frame = mark == BD_SHEET_PLAIN ? 1 : FRAME_PX;
	bd_canvas_frame(sheet, left - frame, top - frame, (int)width + 2 * frame, (int)height + 2 * frame, frame, colours[mark]);
	bd_canvas_picture(sheet, left, top, &shown);
	int below = y + layout->tile_height + 2 * FRAME_PX + 5;
	draw_caption(sheet, layout, x + FRAME_PX, below, tile->caption, mark == BD_SHEET_PLAIN ? INK : colours[mark]);
	bd_pixels_finish(&shown);
	return 0;
}

int bd_sheet_draw(const struct bd_sheet_tile *tiles, size_t count, uint32_t columns, struct bd_pixels *ret_pixels,
                  struct bd_error *error)
{
	if (!count || count > TILES_MAX)
		return bd_error_set(error, -EINVAL, "a sheet has 1 to %u pictures, not %zu", TILES_MAX, count);
	struct layout layout = lay_out(tiles, count, columns);
	struct bd_pixels sheet;
	int status = bd_pixels_init(&sheet, layout.rows * (uint32_t)layout.step_y + GAP_PX,
	                            layout.columns * (uint32_t)layout.step_x + GAP_PX, 3, error);
	if (status)
		return status;
	bd_canvas_fill(&sheet, 0, 0, (int)sheet.width, (int)sheet.height, PAPER);
	for (size_t i = 0; !status && i < count; i++) {
		int x = GAP_PX + (int)(i % layout.columns) * layout.step_x, y = GAP_PX + (int)(i / layout.columns) * layout.step_y;
		status = draw_tile(&sheet, &layout, x, y, &tiles[i], error);
	}
	if (status)
		bd_pixels_finish(&sheet);
	else
		*ret_pixels = sheet;
	return status;
}

int bd_sheet_write(const char *path, bool force, const struct bd_sheet_tile *tiles, size_t count, uint32_t columns,
                   struct bd_error *error)
{
	struct bd_pixels sheet = { 0 };
	int status = bd_sheet_draw(tiles, count, columns, &sheet, error);
	if (!status)
		status = bd_picture_write(path, force, &sheet, error);
	bd_pixels_finish(&sheet);
	return status;
}
