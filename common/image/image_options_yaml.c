/* The dataset file's words for image_options.h. */
#include <errno.h>
#include <string.h>

#include "common/base/yaml.h"
#include "common/image/image_options.h"

/* Outside of this a drawn box has no pixel or is the whole picture ten times over; both are typing errors. */
#define RATIO_MIN 1e-3
#define RATIO_MAX 1e3

static const char *const feature_keys[] = { "type", "encoding", "decode", "shape", "converted", "resize", "crop",
	                                    "flip", "channels", "dtype",  "mean",  "scale",     "layout", NULL };
static const char *const encoding_names[] = { "auto", "jpeg", "png", "raw", NULL };
static const char *const decode_names[] = { "exact", "scaled", NULL };
static const char *const method_names[] = { "nearest",      "bilinear",    "bicubic",
	                                    "area",         "antialias",   "bicubic_antialias",
	                                    "tf1_bilinear", "tf1_nearest", "tf1_bicubic",
	                                    "tf1_area",     NULL };
static const char *const filter_names[] = { "nearest", "box", "bilinear", "bicubic", NULL };
static const char *const crop_names[] = { "none", "center", "random_resized", NULL };
static const char *const flip_names[] = { "none", "horizontal", NULL };
static const char *const channel_names[] = { "rgb", "bgr", "grey", NULL };
static const char *const dtype_names[] = { "uint8", "float32", NULL };
static const char *const layout_names[] = { "nhwc", "nchw", NULL };

const char *bd_channels_name(enum bd_channels channels)
{
	return channel_names[channels];
}

const char *bd_resize_method_name(enum bd_resize_method method)
{
	return method_names[method];
}

const char *bd_pil_filter_name(enum bd_pil_filter filter)
{
	return filter_names[filter];
}

/* Writes the index of the word; an absent key leaves the default. */
static int read_choice(const struct bd_yaml_node *mapping, const char *key, const char *const *names, int *value,
                       struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_find(mapping, key);
	return node ? bd_yaml_get_choice(node, key, names, value, error) : 0;
}

static int read_side(const struct bd_yaml_node *node, const char *what, uint32_t *ret_px, struct bd_error *error)
{
	uint64_t value = 0;
	int status = bd_yaml_get_u64(node, what, 1, BD_IMAGE_MAX_SIDE_PX, &value, error);
	if (!status)
		*ret_px = (uint32_t)value;
	return status;
}

static int read_shape(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_find(feature, "shape");
	if (!node)
		return 0;
	size_t count = bd_yaml_kind(node) == BD_YAML_SEQUENCE ? bd_yaml_count(node) : 0;
	if (count != 2 && count != 3)
		return bd_yaml_error(node, error, "the shape of an image is [height, width, channels]");
	int status = read_side(bd_yaml_item(node, 0), "shape", &options->raw_height, error);
	if (!status)
		status = read_side(bd_yaml_item(node, 1), "shape", &options->raw_width, error);
	uint64_t channels = 1;
	if (!status && count == 3)
		status = bd_yaml_get_u64(bd_yaml_item(node, 2), "channels of the shape", 1, 3, &channels, error);
	if (!status && channels == 2)
		status = bd_yaml_error(node, error, "an image has 1 or 3 channels, not 2");
	options->raw_channels = (uint32_t)channels;
	return status;
}

static int read_resize(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	static const char *const keys[] = { "height", "width", "method", NULL };
	const struct bd_yaml_node *node = bd_yaml_find(feature, "resize");
	if (!node)
		return 0;
	int status = bd_yaml_check_keys(node, "resize", keys, error), method = (int)options->resize_method;
	if (status)
		return status;
	const struct bd_yaml_node *height = bd_yaml_find(node, "height"), *width = bd_yaml_find(node, "width");
	if (!height || !width)
		return bd_yaml_error(node, error, "resize needs height and width");
	status = read_side(height, "height", &options->resize_height, error);
	if (!status)
		status = read_side(width, "width", &options->resize_width, error);
	if (!status)
		status = read_choice(node, "method", method_names, &method, error);
	options->resize_method = (enum bd_resize_method)method;
	return status;
}

static int read_converted(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	static const char *const keys[] = { "height", "width", "filter", NULL };
	const struct bd_yaml_node *node = bd_yaml_find(feature, "converted");
	if (!node)
		return 0;
	int status = bd_yaml_check_keys(node, "converted", keys, error), filter = BD_PIL_BICUBIC;
	if (status)
		return status;
	const struct bd_yaml_node *height = bd_yaml_find(node, "height"), *width = bd_yaml_find(node, "width");
	if (!height || !width || !bd_yaml_find(node, "filter"))
		return bd_yaml_error(node, error, "converted needs height, width and filter: what tfrecord convert was told");
	status = read_side(height, "height", &options->converted_height, error);
	if (!status)
		status = read_side(width, "width", &options->converted_width, error);
	if (!status)
		status = read_choice(node, "filter", filter_names, &filter, error);
	options->converted_filter = (enum bd_pil_filter)filter;
	if (!status && options->raw_height &&
	    (options->raw_height != options->converted_height || options->raw_width != options->converted_width))
		return bd_yaml_error(node, error, "converted says %u x %u, and shape %u x %u", options->converted_height,
		                     options->converted_width, options->raw_height, options->raw_width);
	return status;
}

static int read_pair(const struct bd_yaml_node *mapping, const char *key, double minimum, double maximum, double pair[2],
                     struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_find(mapping, key);
	if (!node)
		return 0;
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || bd_yaml_count(node) != 2)
		return bd_yaml_error(node, error, "%s is a list of two numbers, [smallest, largest]", key);
	int status = bd_yaml_get_double(bd_yaml_item(node, 0), key, minimum, maximum, &pair[0], error);
	if (!status)
		status = bd_yaml_get_double(bd_yaml_item(node, 1), key, minimum, maximum, &pair[1], error);
	if (!status && pair[0] > pair[1])
		status = bd_yaml_error(node, error, "%s: the first number is the smaller one", key);
	return status;
}

static int read_crop(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	static const char *const keys[] = { "kind", "scale", "ratio", NULL };
	const struct bd_yaml_node *node = bd_yaml_find(feature, "crop");
	if (!node)
		return 0;
	int kind = BD_CROP_NONE, status = 0;
	if (bd_yaml_kind(node) == BD_YAML_SCALAR) {
		status = bd_yaml_get_choice(node, "crop", crop_names, &kind, error);
		options->crop = (enum bd_crop_kind)kind;
		return status;
	}
	status = bd_yaml_check_keys(node, "crop", keys, error);
	if (!status)
		status = read_choice(node, "kind", crop_names, &kind, error);
	if (!status && kind != BD_CROP_RANDOM_RESIZED && (bd_yaml_find(node, "scale") || bd_yaml_find(node, "ratio")))
		status = bd_yaml_error(node, error, "scale and ratio belong to 'kind: random_resized'");
	if (!status)
		status = read_pair(node, "scale", RATIO_MIN, 1.0, options->crop_scale, error);
	if (!status)
		status = read_pair(node, "ratio", RATIO_MIN, RATIO_MAX, options->crop_ratio, error);
	options->crop = (enum bd_crop_kind)kind;
	return status;
}

static int read_mean(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_find(feature, "mean");
	if (!node)
		return 0;
	bool list = bd_yaml_kind(node) == BD_YAML_SEQUENCE;
	size_t count = list ? bd_yaml_count(node) : 1;
	if (count != 1 && count != 3)
		return bd_yaml_error(node, error, "mean is one number, or one for each of red, green and blue");
	for (size_t i = 0; i < 3; i++) {
		double value = 0;
		int status = bd_yaml_get_double(list ? bd_yaml_item(node, count == 3 ? i : 0) : node, "mean", -1e6, 1e6, &value,
		                                error);
		if (status)
			return status;
		options->mean[i] = (float)value;
	}
	options->has_mean = true;
	return 0;
}

static int read_words(const struct bd_yaml_node *feature, struct bd_image_options *options, struct bd_error *error)
{
	int encoding = 0, decode = 0, flip = 0, channels = 0, dtype = 1, layout = 0;
	const struct {
		const char *key;
		const char *const *names;
		int *value;
	} words[] = {
		{ "encoding", encoding_names, &encoding }, { "decode", decode_names, &decode }, { "flip", flip_names, &flip },
		{ "channels", channel_names, &channels },  { "dtype", dtype_names, &dtype },    { "layout", layout_names, &layout }
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		int status = read_choice(feature, words[i].key, words[i].names, words[i].value, error);
		if (status)
			return status;
	}
	options->encoding = (enum bd_image_encoding)encoding;
	options->decode = (enum bd_image_decode)decode;
	options->flip = flip == 1;
	options->channels = (enum bd_channels)channels;
	options->dtype = dtype == 0 ? BD_UINT8 : BD_FLOAT32;
	options->nchw = layout == 1;
	return 0;
}

/* Bytes hold 0 to 255: a mean or a scale that leaves this range would clip, one that leaves two values nothing to see. */
static int check_bytes(const struct bd_yaml_node *feature, const struct bd_image_options *options, struct bd_error *error)
{
	const struct bd_yaml_node *mean = bd_yaml_find(feature, "mean"), *scale = bd_yaml_find(feature, "scale");
	for (uint32_t i = 0; i < bd_image_output_channels(options); i++) {
		double black = (0 - (double)options->mean[i]) * options->scale + 0.0; /* 0 for -0 */
		double white = (255 - (double)options->mean[i]) * options->scale;
		double least = black < white ? black : white, most = black < white ? white : black;
		if (least < -0.5 || most > 255.5)
			return bd_yaml_error(
				mean ? mean : scale, error,
				"'dtype: uint8' holds 0 to 255; with this mean and scale the pixels are %g to %g and would "
				"be cut off: use 'dtype: float32'",
				least, most);
		if (most - least < 2)
			return bd_yaml_error(
				scale, error,
				"'dtype: uint8' holds whole numbers; with this scale all pixels are %g to %g: use 'dtype: "
				"float32'",
				least, most);
	}
	return 0;
}

/* A key that would do nothing is a misunderstanding. */
static int check_effects(const struct bd_yaml_node *feature, const struct bd_image_options *options, struct bd_error *error)
{
	const struct bd_yaml_node *shape = bd_yaml_find(feature, "shape");
	const float *mean = options->mean;
	bool same_mean = mean[0] == mean[1] && mean[1] == mean[2];
	bool compressed = options->encoding == BD_ENCODING_JPEG || options->encoding == BD_ENCODING_PNG;
	bool same_size = options->raw_height == options->resize_height && options->raw_width == options->resize_width;
	if (options->channels == BD_CHANNELS_GREY && !same_mean)
		return bd_yaml_error(bd_yaml_find(feature, "mean"), error, "a grey picture has one mean, not three");
	if (options->scale == 0)
		return bd_yaml_error(bd_yaml_find(feature, "scale"), error, "'scale: 0' would make all pixels 0");
	if (options->decode == BD_DECODE_SCALED && (options->encoding == BD_ENCODING_PNG || options->encoding == BD_ENCODING_RAW))
		return bd_yaml_error(bd_yaml_find(feature, "decode"), error,
		                     "'decode: scaled' is for JPEG, and 'encoding: %s' allows none",
		                     encoding_names[options->encoding]);
	if (shape && compressed && options->resize_height && !same_size)
		return bd_yaml_error(
			shape, error,
			"'shape' does nothing here: a picture of 'encoding: %s' knows its size, and 'resize' says that "
			"of the output",
			encoding_names[options->encoding]);
	return 0;
}

/* What no single key shows. */
static int check_together(const struct bd_yaml_node *feature, const struct bd_image_options *options, struct bd_error *error)
{
	if (options->raw_channels == 1 && options->channels != BD_CHANNELS_GREY)
		return bd_yaml_error(feature, error, "a picture of one channel needs 'channels: grey'");
	if (options->encoding == BD_ENCODING_RAW && !options->raw_height)
		return bd_yaml_error(feature, error, "'encoding: raw' needs 'shape: [height, width, channels]'");
	if (options->crop != BD_CROP_NONE && !options->resize_height && !options->raw_height)
		return bd_yaml_error(feature, error, "crop needs 'resize: {height: H, width: W}'");
	int status = options->dtype == BD_UINT8 ? check_bytes(feature, options, error) : 0;
	return status ? status : check_effects(feature, options, error);
}

int bd_image_options_parse(const struct bd_yaml_node *feature, struct bd_image_options *ret_options, struct bd_error *error)
{
	struct bd_image_options options;
	bd_image_options_init(&options);
	int status = bd_yaml_check_keys(feature, "an image feature", feature_keys, error);
	if (!status)
		status = read_words(feature, &options, error);
	if (!status)
		status = read_shape(feature, &options, error);
	if (!status)
		status = read_converted(feature, &options, error);
	if (!status)
		status = read_resize(feature, &options, error);
	if (!status)
		status = read_crop(feature, &options, error);
	if (!status)
		status = read_mean(feature, &options, error);
	const struct bd_yaml_node *scale = bd_yaml_find(feature, "scale");
	double factor = 1;
	if (!status && scale)
		status = bd_yaml_get_double(scale, "scale", -1e6, 1e6, &factor, error);
	options.scale = (float)factor;
	if (!status)
		status = check_together(feature, &options, error);
	if (!status)
		*ret_options = options;
	return status;
}
