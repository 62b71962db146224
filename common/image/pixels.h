/*
 * pixels.h - a decoded picture on the heap: height x width x channels bytes, rows without padding.
 *
 * For what is done once in a while (convert, contact sheets, tests); the path of every record uses picture.h and never
 * holds a whole picture.
 */
#ifndef BD_IMAGE_PIXELS_H
#define BD_IMAGE_PIXELS_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_pixels {
	uint32_t height, width, channels;
	uint8_t *data; /* (height, width, channels) */
};

/* Zeroed pixels; -EOVERFLOW where the product does not fit, -ENOMEM. */
BD_MUST_CHECK int bd_pixels_init(struct bd_pixels *ret_pixels, uint32_t height, uint32_t width, uint32_t channels,
                                 struct bd_error *error);

/* Takes zeroed and finished ones too. */
void bd_pixels_finish(struct bd_pixels *pixels);

/* (height, width, channels), one byte each, no padding between lines. */
static inline size_t bd_pixels_bytes(const struct bd_pixels *pixels)
{
	return (size_t)pixels->height * pixels->width * pixels->channels;
}

static inline uint8_t *bd_pixels_line(const struct bd_pixels *pixels, uint32_t y)
{
	return pixels->data + (size_t)y * pixels->width * pixels->channels;
}

#endif
