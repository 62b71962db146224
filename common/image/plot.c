#include "common/image/plot.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/image/canvas.h"
#include "common/image/encode.h"

#define HEIGHT_PX 600
#define WIDTH_PX 960
#define LEFT_PX 92
#define RIGHT_PX 28
#define TOP_PX 76
#define BOTTOM_PX 66
#define LINE_PX 2.4
#define TICKS 6

#define PAPER 0xffffffu
#define INK 0x222222u
#define SOFT 0x666666u
#define GRID 0xe4e4e4u

static const uint32_t palette[] = { 0x1f6fb4, 0xd9541e, 0x2a9d46, 0x8e44ad, 0xb8860b, 0x118a96, 0xc2185b, 0x5d6d7e };

struct axis {
	double low, high, step; /* of the numbers shown */
	double from, to; /* pixels */
};

static double to_pixels(const struct axis *axis, double value)
{
	return axis->from + (value - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, such that about TICKS steps cover the range. */
static double round_step(double range)
{
	double raw = range / TICKS, power = pow(10, floor(log10(raw))), part = raw / power;
	return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

/* The range of all finite values, widened to whole steps where `widen`. */
static struct axis make_axis(const struct bd_plot_series *series, size_t count, bool horizontal, double from, double to)
{
	double low = INFINITY, high = -INFINITY;
	for (size_t s = 0; s < count; s++)
		for (size_t i = 0; i < series[s].count; i++) {
			double value = horizontal ? series[s].x[i] : series[s].y[i];
			if (isfinite(series[s].x[i]) && isfinite(series[s].y[i])) {
				low = fmin(low, value);
				high = fmax(high, value);
			}
		}
	if (!(low <= high))
		low = 0, high = 1;
	if (!(high - low > fabs(high) * 1e-9)) { /* one value: a band around it */
		double half = high != 0 ? fabs(high) * 0.1 : 0.5;
		low -= half;
		high += half;
	}
	struct axis axis = { .step = round_step(high - low), .from = from, .to = to };
	axis.low = horizontal ? low : floor(low / axis.step) * axis.step;
	axis.high = horizontal ? high : ceil(high / axis.step) * axis.step;
	return axis;
}

static void text(struct bd_pixels *canvas, double x, double y, int scale, uint32_t colour, const char *words, double align)
{
	size_t length = strlen(words);
	double width = (double)bd_text_letters(words, length) * BD_TEXT_ADVANCE_PX * scale - scale;
	bd_canvas_text(canvas, (int)lrint(x - width * align), (int)lrint(y), scale, colour, words, length);
}

/* As many decimals as the step has. */
static void format_number(double value, double step, char *ret_text, size_t size)
{
	int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	if (fabs(value) < step * 1e-6)
		value = 0;
	if (fabs(value) >= 1e6 || decimals > 5)
		snprintf(ret_text, size, "%.3g", value);
	else
		snprintf(ret_text, size, "%.*f", decimals, value);
}

/* The n-th multiple of the step that the axis shows. */
static double tick(const struct axis *axis, int n)
{
	return (ceil(axis->low / axis->step - 1e-9) + n) * axis->step;
}

static void draw_axes(struct bd_pixels *canvas, const struct axis *x, const struct axis *y)
{
	char number[40];
	for (int n = 0; tick(y, n) <= y->high + y->step * 1e-6; n++) {
		double value = tick(y, n), at = to_pixels(y, value);
		bd_canvas_fill(canvas, LEFT_PX, (int)lrint(at), WIDTH_PX - LEFT_PX - RIGHT_PX, 1, GRID);
		format_number(value, y->step, number, sizeof number);
		text(canvas, LEFT_PX - 10, at - 7, 2, SOFT, number, 1);
	}
	for (int n = 0; tick(x, n) <= x->high + x->step * 1e-6; n++) {
		double value = tick(x, n), at = to_pixels(x, value);
		bd_canvas_fill(canvas, (int)lrint(at), TOP_PX, 1, HEIGHT_PX - TOP_PX - BOTTOM_PX, GRID);
		format_number(value, x->step, number, sizeof number);
		text(canvas, at, HEIGHT_PX - BOTTOM_PX + 10, 2, SOFT, number, 0.5);
	}
	bd_canvas_fill(canvas, LEFT_PX, TOP_PX, 2, HEIGHT_PX - TOP_PX - BOTTOM_PX, SOFT);
	bd_canvas_fill(canvas, LEFT_PX, HEIGHT_PX - BOTTOM_PX - 1, WIDTH_PX - LEFT_PX - RIGHT_PX, 2, SOFT);
}

static void draw_series(struct bd_pixels *canvas, const struct axis *x, const struct axis *y, const struct bd_plot_series *series,
                        uint32_t colour)
{
	bool open = false; /* a point stands at (last_x, last_y) */
	double last_x = 0, last_y = 0;
	for (size_t i = 0; i < series->count; i++) {
		if (!isfinite(series->x[i]) || !isfinite(series->y[i])) {
			open = false;
			continue;
		}
		double at_x = to_pixels(x, series->x[i]), at_y = to_pixels(y, series->y[i]);
		if (open)
			bd_canvas_line(canvas, last_x, last_y, at_x, at_y, LINE_PX, colour);
		else
			bd_canvas_line(canvas, at_x, at_y, at_x, at_y, LINE_PX * 1.5, colour);
		open = true;
		last_x = at_x;
		last_y = at_y;
	}
}

/* In one line above the plot, right-aligned: it never hides a curve. */
static void draw_legend(struct bd_pixels *canvas, const struct bd_plot_series *series, size_t count)
{
	double x = WIDTH_PX - RIGHT_PX;
	for (size_t s = count; s-- > 0;) {
		const char *name = series[s].name ? series[s].name : "";
		double width = (double)bd_text_letters(name, strlen(name)) * BD_TEXT_ADVANCE_PX * 2;
		x -= width;
		text(canvas, x, TOP_PX - 26, 2, INK, name, 0);
		bd_canvas_line(canvas, x - 34, TOP_PX - 19, x - 10, TOP_PX - 19, 4,
		               palette[s % (sizeof palette / sizeof *palette)]);
		x -= 56;
	}
}

int bd_plot_draw(const char *title, const char *x_label, const char *y_label, const struct bd_plot_series *series, size_t count,
                 struct bd_pixels *ret_pixels, struct bd_error *error)
{
	int status = bd_pixels_init(ret_pixels, HEIGHT_PX, WIDTH_PX, 3, error);
	if (status)
		return status;
	struct axis x = make_axis(series, count, true, LEFT_PX + 8, WIDTH_PX - RIGHT_PX - 8);
	struct axis y = make_axis(series, count, false, HEIGHT_PX - BOTTOM_PX, TOP_PX + 4);
	bd_canvas_fill(ret_pixels, 0, 0, WIDTH_PX, HEIGHT_PX, PAPER);
	draw_axes(ret_pixels, &x, &y);
	for (size_t s = 0; s < count; s++)
		draw_series(ret_pixels, &x, &y, &series[s], palette[s % (sizeof palette / sizeof *palette)]);
	draw_legend(ret_pixels, series, count);
	text(ret_pixels, LEFT_PX, 14, 3, INK, title ? title : "", 0);
	text(ret_pixels, LEFT_PX, TOP_PX - 26, 2, SOFT, y_label ? y_label : "", 0);
	text(ret_pixels, (LEFT_PX + WIDTH_PX - RIGHT_PX) / 2.0, HEIGHT_PX - 30, 2, SOFT, x_label ? x_label : "", 0.5);
	return 0;
}

int bd_plot_write(const char *path, bool force, const char *title, const char *x_label, const char *y_label,
                  const struct bd_plot_series *series, size_t count, struct bd_error *error)
{
	struct bd_pixels pixels = { 0 };
	int status = bd_plot_draw(title, x_label, y_label, series, count, &pixels, error);
	if (!status)
		status = bd_picture_write(path, force, &pixels, error);
	bd_pixels_finish(&pixels);
	return status;
}
