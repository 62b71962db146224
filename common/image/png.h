/*
 * png.h - PNG line by line; interlaced pictures by way of a whole one. The only user of libpng, with encode.h's PNG half.
 *
 * As TensorFlow: alpha and transparency are dropped, palettes and grey below 8 bits are spread, 16 bits keep the high byte,
 * colour to grey by 0.299, 0.587, 0.114. Gamma and colour profiles are not applied, except that colours become grey in linear light
 * where a gAMA, sRGB or iCCP chunk tells the gamma (libpng's png_set_rgb_to_gray, which TensorFlow calls).
 * Memory: all that libpng and zlib ask for comes out of one block of the reader, which is kept from picture to picture.
 * Threads: one at a time.
 */
#ifndef BD_IMAGE_PNG_H
#define BD_IMAGE_PNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_png;

enum bd_png_colour { BD_PNG_AS_STORED /* grey or RGB */, BD_PNG_GREY, BD_PNG_RGB, BD_PNG_BGR };

struct bd_png_header {
	uint32_t height, width;
	uint32_t channels; /* of a decoded line */
};

/* memory_limit_bytes: what one picture may make libpng allocate. -ENOMEM. Free with bd_png_destroy, which takes NULL. */
BD_MUST_CHECK int bd_png_create(uint64_t memory_limit_bytes, struct bd_png **ret_png, struct bd_error *error);
void bd_png_destroy(struct bd_png *png);

/* Reads the header and makes ready for lines. `bytes` are borrowed until bd_png_end. -EBADMSG, -EFBIG. */
BD_MUST_CHECK int bd_png_open(struct bd_png *png, const uint8_t *bytes, size_t length, enum bd_png_colour colour,
                              struct bd_png_header *ret_header, struct bd_error *error);

/* The next line: width x channels bytes. */
BD_MUST_CHECK int bd_png_read(struct bd_png *png, uint8_t *ret_line, struct bd_error *error);

/* Reads what is left, so that damage below the last line wanted is found. */
BD_MUST_CHECK int bd_png_end(struct bd_png *png, struct bd_error *error);

#endif
