/*
 * base_pixels.h - the pictures that the published weights of a base were trained on.
 *
 * Why: a frozen base sees nothing in pixels of another scale or channel order, and the head on top of it then learns little, without any
 * error. Values: keras.applications' preprocess_input of each net; the tutorial's VGG16 takes 116.779 from all three channels.
 * Threads: no state.
 */
#ifndef BD_MODEL_BASE_PIXELS_H
#define BD_MODEL_BASE_PIXELS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/image/image_options.h"
#include "trainer/model/model.h"

/*
 * Whether a base with weights from a file gets pictures of another kind than its published weights want; `text` then says so in
 * one line. False for a base without weights, and for one of no known kind.
 */
bool bd_base_pixels_doubt(const struct bd_base_config *base, const struct bd_image_options *image, char *text, size_t size);

#endif
