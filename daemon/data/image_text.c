#include "daemon/data/image_text.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const encoding_words[] = { "auto", "jpeg", "png", "raw" };
static const char *const decode_words[] = { "exact", "scaled" };
static const char *const method_words[] = { "nearest",           "bilinear",     "bicubic",     "area",        "antialias",
	                                    "bicubic_antialias", "tf1_bilinear", "tf1_nearest", "tf1_bicubic", "tf1_area" };
static const char *const crop_words[] = { "none", "center" };
static const char *const channel_words[] = { "rgb", "bgr", "grey" };

/* 9 digits: a float read back from this text has the same bits. */
static void print_pixels(FILE *stream, const struct bd_image_options *options)
{
	if (options->crop == BD_CROP_RANDOM_RESIZED)
		fprintf(stream, ", crop: {kind: random_resized, scale: [%.17g, %.17g], ratio: [%.17g, %.17g]}",
		        options->crop_scale[0], options->crop_scale[1], options->crop_ratio[0], options->crop_ratio[1]);
	else
		fprintf(stream, ", crop: {kind: %s}", crop_words[options->crop]);
	fprintf(stream, ", flip: %s, channels: %s, dtype: %s", options->flip ? "horizontal" : "none",
	        channel_words[options->channels], options->dtype == BD_UINT8 ? "uint8" : "float32");
	if (options->has_mean)
		fprintf(stream, ", mean: [%.9g, %.9g, %.9g]", (double)options->mean[0], (double)options->mean[1],
		        (double)options->mean[2]);
	fprintf(stream, ", scale: %.9g, layout: %s}", (double)options->scale, options->nchw ? "nchw" : "nhwc");
}

char *bd_image_text(const struct bd_image_options *options)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);
	if (!stream)
		return NULL;
	fprintf(stream, "{type: image, encoding: %s, decode: %s", encoding_words[options->encoding], decode_words[options->decode]);
	if (options->raw_height)
		fprintf(stream, ", shape: [%u, %u, %u]", options->raw_height, options->raw_width,
		        options->raw_channels ? options->raw_channels : 3);
	if (options->converted_height)
		fprintf(stream, ", converted: {height: %u, width: %u, filter: %s}", options->converted_height,
		        options->converted_width, bd_pil_filter_name(options->converted_filter));
	if (options->resize_height)
		fprintf(stream, ", resize: {height: %u, width: %u, method: %s}", options->resize_height, options->resize_width,
		        method_words[options->resize_method]);
	print_pixels(stream, options);
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
