/*
 * plot.h - line charts as PNG: the curves of a training run.
 *
 * Title, axes with round numbers, grid and a legend; points that are not finite leave a gap in their line.
 */
#ifndef BD_IMAGE_PLOT_H
#define BD_IMAGE_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/image/pixels.h"

struct bd_plot_series {
	const char *name;
	const double *x, *y; /* `count` of each */
	size_t count;
};

/* Draws the series into a new picture; free with bd_pixels_finish. -ENOMEM. */
BD_MUST_CHECK int bd_plot_draw(const char *title, const char *x_label, const char *y_label, const struct bd_plot_series *series,
                               size_t count, struct bd_pixels *ret_pixels, struct bd_error *error);

/* The same, written to `path` under a temporary name and renamed; -EEXIST unless `force`. */
BD_MUST_CHECK int bd_plot_write(const char *path, bool force, const char *title, const char *x_label, const char *y_label,
                                const struct bd_plot_series *series, size_t count, struct bd_error *error);

#endif
