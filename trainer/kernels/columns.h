/*
 * columns.h - im2col: the windows of some output pixels as rows of a matrix. For trainer/kernels only.
 */
#ifndef BD_KERNELS_COLUMNS_H
#define BD_KERNELS_COLUMNS_H

#include "trainer/kernels/convolution.h"

/*
 * Row r holds columns first_column .. + columns of the window (kh, kw, channels) of output pixel first + r, counted through all pictures;
 * 0 outside the picture. Rows lie `columns` floats apart.
 */
void bd_columns(const struct bd_conv *conv, const float *in, size_t first, size_t count, size_t first_column, size_t columns,
                float *to);

/* The inverse for one picture: adds whole rows of `from` to where the values came from. */
void bd_columns_add(const struct bd_conv *conv, const float *from, size_t first, size_t count, float *picture);

#endif
