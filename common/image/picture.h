/*
 * picture.h - the whole path of one picture, fused: encoded bytes to the pixels of one row of a slot.
 *
 * Why: a pixel is touched once after it was decoded. Lines leave the decoder into a buffer that stays in the cache, are
 * resized as they come, and are written to the row with mean, scale, channel order and layout done; no whole picture is
 * held, what the crop does not need is not decoded, and nothing is allocated per record once the buffers have grown.
 *
 * What a picture is: `auto` looks at the first bytes (JPEG, PNG); anything else must be raw pixels of the stated shape.
 * JPEG: accurate DCT, fancy upsampling, CMYK and YCCK turned to RGB as TensorFlow does it, EXIF orientation not applied;
 * warnings of the decoder are no errors, a picture that ends early is. With a crop, lines below the crop are not decoded:
 * damage there goes unnoticed, a missing end does not. PNG: alpha is dropped, not blended; of 16 bits the high byte counts.
 * Threads: a decoder belongs to one thread at a time; options are read only.
 */
#ifndef BD_IMAGE_PICTURE_H
#define BD_IMAGE_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/image/image_options.h"
#include "common/image/pixels.h"

struct bd_picture_decoder;

/* What random crops and flips are a function of. */
struct bd_picture_key {
	uint64_t seed, epoch, record;
};

/* `memory_limit_bytes` bounds what one picture may make the decoder hold; a picture that needs more is refused. */
BD_MUST_CHECK int bd_picture_decoder_create(uint64_t memory_limit_bytes, struct bd_picture_decoder **ret_decoder,
                                            struct bd_error *error);
void bd_picture_decoder_destroy(struct bd_picture_decoder *decoder);

/*
 * Decodes one picture into `ret_row`: exactly bd_image_output_bytes, aligned to 4; written once and never read back (it
 * may be shared memory). Returns 0, -EBADMSG (broken, or not of the stated shape or encoding), -EFBIG (past the memory
 * limit), -EINVAL (options without a shape), -ENOMEM. After an error the row's content is undefined, and nothing outside
 * the row was touched.
 */
BD_MUST_CHECK int bd_picture_decode(struct bd_picture_decoder *decoder, const struct bd_image_options *options,
                                    const uint8_t *bytes, size_t length, struct bd_picture_key key, void *ret_row,
                                    struct bd_error *error);

/* The whole JPEG or PNG as it is stored, without options. `channels`: 3, 1 or 0 = as stored (1 or 3; PNG without alpha). */
BD_MUST_CHECK int bd_picture_decode_whole(struct bd_picture_decoder *decoder, const uint8_t *bytes, size_t length,
                                          uint32_t channels, struct bd_pixels *ret_pixels, struct bd_error *error);

/* From the header alone, no decoder needed. -EBADMSG where it is neither JPEG nor PNG or the header is cut short. */
BD_MUST_CHECK int bd_picture_size(const uint8_t *bytes, size_t length, uint32_t *ret_height, uint32_t *ret_width,
                                  uint32_t *ret_channels, struct bd_error *error);

/* Undoes mean, scale, channel order and layout of a decoded row, for showing it; `shape` as bd_image_output_shape. */
BD_MUST_CHECK int bd_pixels_of_row(const void *row, enum bd_dtype dtype, const struct bd_image_options *options,
                                   struct bd_pixels *ret_pixels, struct bd_error *error);

#endif
