/*
 * encode.h - pixels to JPEG and PNG files in memory.
 *
 * The same pixels give the same bytes: neither writes a time or a program's name. Threads: no state.
 */
#ifndef BD_IMAGE_ENCODE_H
#define BD_IMAGE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image/pixels.h"

/* Grey or RGB. quality 1 to 100; chroma is halved both ways below 90, kept from 90 on. *ret_bytes is freed by the caller. */
BD_MUST_CHECK int bd_jpeg_encode(const struct bd_pixels *pixels, int quality, uint8_t **ret_bytes, size_t *ret_length,
                                 struct bd_error *error);

/* Grey or RGB, 8 bits. *ret_bytes is freed by the caller. */
BD_MUST_CHECK int bd_png_encode(const struct bd_pixels *pixels, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error);

/* Whether bd_picture_write knows what a file of this name holds: .png, .jpg, .jpeg, or another ending than those of other pictures. */
bool bd_picture_name_is_good(const char *path);

/*
 * To a file, under a temporary name and renamed: as JPEG where the name ends in .jpg or .jpeg, else as PNG. -EINVAL: a name that ends
 * as another kind of picture does; -EEXIST unless `force`; -errno of writing.
 */
BD_MUST_CHECK int bd_picture_write(const char *path, bool force, const struct bd_pixels *pixels, struct bd_error *error);

#endif
