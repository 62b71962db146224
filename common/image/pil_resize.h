/*
 * pil_resize.h - Pillow's Image.resize, byte for byte (Pillow 12 and before: horizontal pass, then vertical).
 *
 * Why: the tutorial's records were made with Pillow, and `tfrecord convert` makes the same ones.
 * Two passes with weights in 22-bit fixed point and bytes between them; nearest adds up positions in double, which
 * decides ties. Source: Pillow's documentation of its filters, checked against golden/resize (pil_*). Threads: no state.
 */
#ifndef BD_IMAGE_PIL_RESIZE_H
#define BD_IMAGE_PIL_RESIZE_H

#include "common/image/pixels.h"

enum bd_pil_filter { BD_PIL_NEAREST, BD_PIL_BOX, BD_PIL_BILINEAR, BD_PIL_BICUBIC };

/* ret_pixels: height x width x in->channels, finished by the caller. -EINVAL for an empty side, -ENOMEM, -EOVERFLOW. */
BD_MUST_CHECK int bd_pil_resize(const struct bd_pixels *in, uint32_t height, uint32_t width, enum bd_pil_filter filter,
                                struct bd_pixels *ret_pixels, struct bd_error *error);

#endif
