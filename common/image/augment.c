#include "common/image/augment.h"

#include <math.h>

#include "common/base/random.h"

/* torchvision's own number of tries. */
#define TRIES 10

/* The crop and the flip draw from sequences of their own: switching one on does not change the other. */
#define CROP_SALT 0x63726f70u /* "crop" */
#define FLIP_SALT 0x666c6970u /* "flip" */

static uint32_t at_least_one(double value)
{
	return value < 1 ? 1 : (uint32_t)value;
}

static struct bd_box middle(uint32_t height, uint32_t width, uint32_t box_height, uint32_t box_width)
{
	return (struct bd_box){ (height - box_height) / 2, (width - box_width) / 2, box_height, box_width };
}

struct bd_box bd_box_center(uint32_t height, uint32_t width, uint32_t out_height, uint32_t out_width)
{
	if ((uint64_t)width * out_height > (uint64_t)height * out_width)
		return middle(height, width, height, at_least_one(rint((double)height * out_width / out_height)));
	return middle(height, width, at_least_one(rint((double)width * out_height / out_width)), width);
}

static struct bd_box fallback(uint32_t height, uint32_t width, const double ratio[2])
{
	double own = (double)width / height;
	if (own < ratio[0])
		return middle(height, width, at_least_one(rint(width / ratio[0])), width);
	if (own > ratio[1])
		return middle(height, width, height, at_least_one(rint(height * ratio[1])));
	return (struct bd_box){ 0, 0, height, width };
}

struct bd_box bd_box_random_resized(uint32_t height, uint32_t width, const double scale[2], const double ratio[2],
                                    struct bd_random *random)
{
	double area = (double)height * width, low = log(ratio[0]), high = log(ratio[1]);
	for (int i = 0; i < TRIES; i++) {
		double target = area * bd_random_uniform(random, scale[0], scale[1]);
		double aspect = exp(bd_random_uniform(random, low, high));
		double box_width = rint(sqrt(target * aspect)), box_height = rint(sqrt(target / aspect));
		if (box_width < 1 || box_height < 1 || box_width > width || box_height > height)
			continue;
		struct bd_box box = { .height = (uint32_t)box_height, .width = (uint32_t)box_width };
		box.top = (uint32_t)bd_random_below(random, height - box.height + 1ull);
		box.left = (uint32_t)bd_random_below(random, width - box.width + 1ull);
		return box;
	}
	return fallback(height, width, ratio);
}

struct bd_augment bd_augment_draw(const struct bd_image_options *options, uint32_t height, uint32_t width, uint64_t seed,
                                  uint64_t epoch, uint64_t record)
{
	struct bd_augment augment = { .box = { 0, 0, height, width } };
	if (options->crop == BD_CROP_CENTER) {
		uint32_t out_height = options->resize_height ? options->resize_height : options->raw_height;
		uint32_t out_width = options->resize_width ? options->resize_width : options->raw_width;
		augment.box = bd_box_center(height, width, out_height, out_width);
	} else if (options->crop == BD_CROP_RANDOM_RESIZED) {
		struct bd_random random = bd_random_of(seed ^ CROP_SALT, epoch, record);
		augment.box = bd_box_random_resized(height, width, options->crop_scale, options->crop_ratio, &random);
	}
	if (options->flip) {
		struct bd_random random = bd_random_of(seed ^ FLIP_SALT, epoch, record);
		augment.flip = bd_random_next(&random) >> 63;
	}
	return augment;
}
