/*
 * image_options.h - what a feature of type `image` asks for: the words of the dataset file as numbers.
 *
 * The order of the steps is fixed: decode, as converted, crop, resize, flip, minus the mean, times the scale, channel order, layout.
 * `mean` is in the order that the picture has when read (RGB), also where `channels` is bgr.
 */
#ifndef BD_IMAGE_IMAGE_OPTIONS_H
#define BD_IMAGE_IMAGE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/dtype.h>
#include <batchd/error.h>

#include "common/image/pil_resize.h"

/* The longest side that an output or a raw picture may have: what libjpeg can write, far more than a net takes. */
#define BD_IMAGE_MAX_SIDE_PX 65500u

enum bd_image_encoding { BD_ENCODING_AUTO, BD_ENCODING_JPEG, BD_ENCODING_PNG, BD_ENCODING_RAW };
enum bd_image_decode {
	BD_DECODE_EXACT, /* libjpeg-turbo's accurate DCT and fancy upsampling, byte for byte */
	BD_DECODE_SCALED, /* decoded at 1/1, 1/2, 1/4 or 1/8, the smallest that is still as large as needed */
};
enum bd_resize_method {
	BD_RESIZE_NEAREST, /* tf.image.resize's methods, half-pixel centres, not clipped */
	BD_RESIZE_BILINEAR,
	BD_RESIZE_BICUBIC,
	BD_RESIZE_AREA,
	BD_RESIZE_ANTIALIAS, /* bilinear with antialias: what torchvision and Pillow do */
	BD_RESIZE_BICUBIC_ANTIALIAS,
	BD_RESIZE_TF1_BILINEAR, /* tf.compat.v1.image.resize_*: align_corners False, corners for centres */
	BD_RESIZE_TF1_NEAREST,
	BD_RESIZE_TF1_BICUBIC,
	BD_RESIZE_TF1_AREA,
};
enum bd_crop_kind { BD_CROP_NONE, BD_CROP_CENTER, BD_CROP_RANDOM_RESIZED };
enum bd_channels { BD_CHANNELS_RGB, BD_CHANNELS_BGR, BD_CHANNELS_GREY };

struct bd_image_options {
	enum bd_image_encoding encoding;
	enum bd_image_decode decode;
	uint32_t raw_height, raw_width, raw_channels; /* `shape`; 0 = not given */
	/* `converted`: how the stored pictures were made. One that is not of this size yet is brought to it before all else. */
	uint32_t converted_height, converted_width; /* 0 = not given */
	enum bd_pil_filter converted_filter;
	uint32_t resize_height, resize_width; /* 0 = no resize */
	enum bd_resize_method resize_method;
	enum bd_crop_kind crop;
	double crop_scale[2], crop_ratio[2]; /* of random_resized: share of the area, width / height */
	bool flip; /* half of the records, drawn by (seed, epoch, record) */
	enum bd_channels channels;
	enum bd_dtype dtype; /* BD_UINT8 or BD_FLOAT32 */
	bool has_mean;
	float mean[3]; /* R, G, B; grey uses the first */
	float scale; /* multiplied after the mean; 1 */
	bool nchw;
};

/* The defaults of the dataset file: auto, exact, no resize, bilinear, no crop, rgb, float32, no mean, scale 1, nhwc. */
void bd_image_options_init(struct bd_image_options *ret_options);

struct bd_yaml_node;

/*
 * Reads the keys of one feature's mapping (interfaces.md, "Dataset file"); `type` is skipped, an unknown key is refused.
 * Returns 0 or -EINVAL with file and line. A feature without a shape passes here and is refused by bd_image_output_shape.
 */
BD_MUST_CHECK int bd_image_options_parse(const struct bd_yaml_node *feature, struct bd_image_options *ret_options,
                                         struct bd_error *error);

/* The dataset file's words for them. */
const char *bd_channels_name(enum bd_channels channels);
const char *bd_resize_method_name(enum bd_resize_method method);
const char *bd_pil_filter_name(enum bd_pil_filter filter);

/* Channels of the output: 3, or 1 for grey. */
uint32_t bd_image_output_channels(const struct bd_image_options *options);

/*
 * The shape of one row: (h, w, c) or, with nchw, (c, h, w).
 * -EINVAL where neither `resize` nor `shape` says it: pictures of mixed sizes cannot be batched.
 */
BD_MUST_CHECK int bd_image_output_shape(const struct bd_image_options *options, int64_t ret_shape[3], struct bd_error *error);

/* Height and width of the output, whatever the layout. Same errors. */
BD_MUST_CHECK int bd_image_output_size(const struct bd_image_options *options, uint32_t *ret_height, uint32_t *ret_width,
                                       struct bd_error *error);

/* Bytes of one row; same errors. */
BD_MUST_CHECK int bd_image_output_bytes(const struct bd_image_options *options, size_t *ret_bytes, struct bd_error *error);

#endif
