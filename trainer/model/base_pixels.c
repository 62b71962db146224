#include "trainer/model/base_pixels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"

static const struct wanted {
	const char *base;
	enum bd_channels channels;
	float mean[3]; /* R, G, B */
	float scale;
	const char *words; /* as the dataset file says it */
} wanted[] = {
	{ "vgg16", BD_CHANNELS_BGR, { 123.68f, 116.779f, 103.939f }, 1, "mean: [123.68, 116.779, 103.939], channels: bgr" },
	{ "vgg16", BD_CHANNELS_BGR, { 116.779f, 116.779f, 116.779f }, 1, NULL },
	{ "squeezenet1_1", BD_CHANNELS_BGR, { 123.68f, 116.779f, 103.939f }, 1, "mean: [123.68, 116.779, 103.939], channels: bgr" },
	{ "squeezenet1_1", BD_CHANNELS_BGR, { 116.779f, 116.779f, 116.779f }, 1, NULL },
	{ "mobilenet",
	  BD_CHANNELS_RGB,
	  { 127.5f, 127.5f, 127.5f },
	  1 / 127.5f,
	  "mean: [127.5, 127.5, 127.5], scale: 0.00784313725" },
};

/* A mean that is rounded, or a scale with fewer digits, is the same picture to a net. */
static bool is_near(float a, float b, float share)
{
	return fabsf(a - b) <= share;
}

static bool fits(const struct wanted *kind, const struct bd_image_options *image)
{
	bool same = kind->channels == image->channels && is_near(image->scale, kind->scale, 0.02f * kind->scale);
	for (int i = 0; i < 3; i++)
		same = same && is_near(image->has_mean ? image->mean[i] : 0, kind->mean[i], 1);
	return same;
}

bool bd_base_pixels_doubt(const struct bd_base_config *base, const struct bd_image_options *image, char *text, size_t size)
{
	const char *words = NULL;
	if (!base->name || !base->weights)
		return false;
	for (size_t i = 0; i < BD_COUNT_OF(wanted); i++) {
		if (strcmp(wanted[i].base, base->name) != 0)
			continue;
		if (fits(&wanted[i], image))
			return false;
		words = words ? words : wanted[i].words;
	}
	if (!words)
		return false;
	snprintf(text, size, "the published weights of %s want pictures with '%s' in the dataset file; these are made otherwise",
	         base->name, words);
	return true;
}
