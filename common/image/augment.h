/*
 * augment.h - which part of a picture is taken, and whether it is mirrored.
 *
 * Why before decoding: the box decides which lines and columns are decoded at all. Random draws are a function of
 * (seed, epoch, record) alone: the same at any number of threads and after a resume. Threads: no state.
 */
#ifndef BD_IMAGE_AUGMENT_H
#define BD_IMAGE_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/image/image_options.h"

struct bd_box {
	uint32_t top, left, height, width;
};

/*
 * The largest box of the shape out_height x out_width in the middle of a picture, its sides rounded to whole pixels (Keras' smart_resize cuts
 * the fraction off); never empty.
 */
struct bd_box bd_box_center(uint32_t height, uint32_t width, uint32_t out_height, uint32_t out_width);

struct bd_random;

/*
 * As torchvision's RandomResizedCrop.get_params: ten tries at an area share within `scale` and a ratio (width / height) whose
 * logarithm is uniform within `ratio`; else the largest middle box within the ratios.
 */
struct bd_box bd_box_random_resized(uint32_t height, uint32_t width, const double scale[2], const double ratio[2],
                                    struct bd_random *random);

struct bd_augment {
	struct bd_box box;
	bool flip;
};

/* What the options ask for, drawn with the picture's key; height and width are the stored picture's. */
struct bd_augment bd_augment_draw(const struct bd_image_options *options, uint32_t height, uint32_t width, uint64_t seed,
                                  uint64_t epoch, uint64_t record);

#endif
