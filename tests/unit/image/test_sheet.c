#include "common/image/sheet.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/image/picture.h"
#include "common/image/plot.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/batchd-sheet-XXXXXX";

static struct bd_pixels gradient(uint32_t height, uint32_t width, uint32_t channels)
{
	struct bd_pixels pixels;
	assert_int_equal(bd_pixels_init(&pixels, height, width, channels, NULL), 0);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width * channels; x++)
			bd_pixels_line(&pixels, y)[x] = (uint8_t)(255 * (x + y) / (width * channels + height));
	return pixels;
}

/* How many pixels of the colour the picture has. */
static size_t count_colour(const struct bd_pixels *pixels, uint32_t colour)
{
	size_t count = 0;
	for (size_t i = 0; i < bd_pixels_bytes(pixels); i += 3)
		count += pixels->data[i] == (colour >> 16) && pixels->data[i + 1] == (colour >> 8 & 255) &&
		         pixels->data[i + 2] == (colour & 255);
	return count;
}

static void tiles_of_all_sizes_fit(void **state)
{
	(void)state;
	struct bd_pixels small = gradient(1, 1, 1), grey = gradient(28, 28, 1), large = gradient(400, 900, 3),
			 thin = gradient(1000, 2, 3);
	const struct bd_sheet_tile tiles[] = {
		{ &small, "one pixel", BD_SHEET_PLAIN },
		{ &grey, "seven", BD_SHEET_RIGHT },
		{ &large, "a caption that is far too long for its tile and has no end in sight", BD_SHEET_WRONG },
		{ &thin, NULL, 99 },
		{ &grey, "", BD_SHEET_PLAIN },
	};
	for (uint32_t columns = 0; columns < 8; columns++) {
		struct bd_pixels sheet;
		assert_int_equal(bd_sheet_draw(tiles, 5, columns, &sheet, NULL), 0);
		assert_true(sheet.channels == 3 && sheet.width > 168 && sheet.height > 168);
		assert_true(count_colour(&sheet, 0x1a9850) > 300);
		assert_true(count_colour(&sheet, 0xd73027) > 300);
		bd_pixels_finish(&sheet);
	}
	bd_pixels_finish(&small);
	bd_pixels_finish(&grey);
	bd_pixels_finish(&large);
	bd_pixels_finish(&thin);
}

static void no_tiles_are_refused(void **state)
{
	(void)state;
	struct bd_pixels sheet;
	assert_int_equal(bd_sheet_draw(NULL, 0, 0, &sheet, NULL), -EINVAL);
}

static void a_sheet_is_a_png_and_not_replaced(void **state)
{
	(void)state;
	char path[64];
	snprintf(path, sizeof path, "%s/sheet.png", folder);
	struct bd_pixels picture = gradient(20, 30, 3);
	struct bd_sheet_tile tile = { &picture, "caf\xc3\xa9 ~!", BD_SHEET_PLAIN };
	assert_int_equal(bd_sheet_write(path, false, &tile, 1, 0, NULL), 0);
	assert_int_equal(bd_sheet_write(path, false, &tile, 1, 0, NULL), -EEXIST);
	assert_int_equal(bd_sheet_write(path, true, &tile, 1, 0, NULL), 0);
	FILE *file = fopen(path, "rb");
	uint8_t head[64];
	uint32_t height, width, channels;
	assert_int_equal(fread(head, 1, sizeof head, file), sizeof head);
	fclose(file);
	assert_int_equal(bd_picture_size(head, sizeof head, &height, &width, &channels, NULL), 0);
	assert_int_equal(channels, 3);
	unlink(path);
	bd_pixels_finish(&picture);
}

static void curves_stand_where_their_numbers_say(void **state)
{
	(void)state;
	double x[200], y[200], z[200];
	for (int i = 0; i < 200; i++) {
		x[i] = i;
		y[i] = i < 100 ? 0 : 1;
		z[i] = 0.5;
	}
	const struct bd_plot_series series[] = { { "step", x, y, 200 }, { "level", x, z, 200 } };
	struct bd_pixels pixels;
	assert_int_equal(bd_plot_draw("T", "x", "y", series, 2, &pixels, NULL), 0);
	/* The blue step lies low on the left and high on the right; the orange line half-way. */
	size_t low_left = 0, high_right = 0;
	for (uint32_t row = 0; row < pixels.height; row++)
		for (uint32_t column = 100; column < pixels.width - 40; column++) {
			const uint8_t *at = bd_pixels_line(&pixels, row) + (size_t)column * 3;
			bool blue = at[0] == 0x1f && at[1] == 0x6f && at[2] == 0xb4;
			low_left += blue && row > 500 && column < 500;
			high_right += blue && row > 60 && row < 120 && column > 520;
		}
	assert_true(low_left > 300 && high_right > 300);
	bd_pixels_finish(&pixels);
}

static void odd_numbers_are_drawn_without_harm(void **state)
{
	(void)state;
	const double values[] = { NAN, INFINITY, -INFINITY, 0, 1e300, -1e300, 1e-300, 5, 5 };
	const struct bd_plot_series series[] = { { "odd", values, values, 9 }, { NULL, NULL, NULL, 0 } };
	struct bd_pixels pixels;
	assert_int_equal(bd_plot_draw(NULL, NULL, NULL, series, 2, &pixels, NULL), 0);
	bd_pixels_finish(&pixels);
	assert_int_equal(bd_plot_draw("none", "", "", NULL, 0, &pixels, NULL), 0);
	bd_pixels_finish(&pixels);
	const double one[] = { 3 };
	const struct bd_plot_series single = { "one", one, one, 1 };
	assert_int_equal(bd_plot_draw("one", "", "", &single, 1, &pixels, NULL), 0);
	bd_pixels_finish(&pixels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiles_of_all_sizes_fit),
		cmocka_unit_test(no_tiles_are_refused),
		cmocka_unit_test(a_sheet_is_a_png_and_not_replaced),
		cmocka_unit_test(curves_stand_where_their_numbers_say),
		cmocka_unit_test(odd_numbers_are_drawn_without_harm),
	};
	if (!mkdtemp(folder))
		return 1;
	int failed = cmocka_run_group_tests_name("sheet", tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
