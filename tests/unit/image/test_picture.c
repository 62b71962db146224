/* The fused path: raw pictures bit for bit, crops against the whole picture, layouts, every level of instruction set. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/simd.h"
#include "common/image/encode.h"
#include "common/image/kernels.h"
#include "common/image/picture.h"
#include "common/record/example.h"
#include "common/record/tfrecord.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

static struct bd_picture_decoder *decoder;
static const struct bd_picture_key key0;

static uint32_t noise_state = 1;

static uint8_t noise(void)
{
	noise_state = noise_state * 1664525u + 1013904223u;
	return (uint8_t)(noise_state >> 24);
}

/* Smooth colours with some noise: every part of a decoder has something to do. */
static struct bd_pixels make_pixels(uint32_t height, uint32_t width, uint32_t channels)
{
	struct bd_pixels pixels;
	assert_int_equal(bd_pixels_init(&pixels, height, width, channels, NULL), 0);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t i = 0; i < width * channels; i++)
			bd_pixels_line(&pixels, y)[i] = (uint8_t)(y * 3 + i * (1 + i % channels) / 2 + (noise() & 31));
	return pixels;
}

static void tutorial_batch_is_bit_equal(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/input_fn/pictures_nearest.tfrecord", path, sizeof path)) {
		print_message("golden/input_fn is missing\n");
		skip();
	}
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	struct bd_npy want;
	assert_true(bd_shared_path("golden/input_fn/batch_nearest.npy", path, sizeof path) && bd_npy_load(path, &want));
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.encoding = BD_ENCODING_RAW;
	options.raw_height = options.raw_width = 150;
	options.raw_channels = 3;
	options.channels = BD_CHANNELS_BGR;
	options.has_mean = true;
	options.mean[0] = options.mean[1] = options.mean[2] = 116.779f;
	size_t at = 0, row = 150 * 150 * 3, records = 0;
	float *out = malloc(row * sizeof *out);
	for (; at < length; records++) {
		uint64_t data;
		assert_int_equal(bd_tfrecord_parse_header(bytes + at, &data, NULL), 0);
		const struct bd_feature_name name = { "image", 5 };
		struct bd_feature_view view;
		struct bd_bytes_view image;
		size_t count;
		assert_int_equal(bd_example_find(bytes + at + BD_TFRECORD_HEADER_BYTES, data, &name, 1, &view, NULL), 0);
		assert_int_equal(bd_feature_read_bytes(&view, &image, 1, &count, NULL), 0);
		assert_int_equal(bd_picture_decode(decoder, &options, image.bytes, image.length, key0, out, NULL), 0);
		assert_memory_equal(out, (const float *)want.data + records * row, row * sizeof *out);
		at += data + BD_TFRECORD_FRAMING_BYTES;
	}
	assert_int_equal(records, 8);
	free(out);
	free(bytes);
	bd_npy_free(&want);
}

/* ---- reference: one pixel at a time ---- */

static float reference(const struct bd_image_options *options, const struct bd_pixels *in, uint32_t y, uint32_t x, uint32_t c)
{
	uint32_t stored = options->channels == BD_CHANNELS_BGR ? 2 - c : c;
	float mean = options->has_mean ? options->mean[stored] : 0;
	return ((float)bd_pixels_line(in, y)[x * in->channels + stored] - mean) * options->scale;
}

static void check_raw(const struct bd_image_options *options, const struct bd_pixels *in)
{
	size_t bytes, count = bd_pixels_bytes(in);
	assert_int_equal(bd_image_output_bytes(options, &bytes, NULL), 0);
	uint8_t *room = malloc(bytes + 64);
	memset(room, 0xa5, bytes + 64);
	uint8_t *exact = malloc(count); /* exactly as long as it is: ASan sees a read past its end */
	memcpy(exact, in->data, count);
	assert_int_equal(bd_picture_decode(decoder, options, exact, count, key0, room + 32, NULL), 0);
	for (int i = 0; i < 32; i++)
		assert_true(room[i] == 0xa5 && room[32 + bytes + (size_t)i] == 0xa5);
	for (uint32_t y = 0; y < in->height; y++)
		for (uint32_t x = 0; x < in->width; x++)
			for (uint32_t c = 0; c < in->channels; c++) {
				size_t at = options->nchw ? ((size_t)c * in->height + y) * in->width + x
				                          : ((size_t)y * in->width + x) * in->channels + c;
				float want = reference(options, in, y, x, c);
				if (options->dtype == BD_FLOAT32) {
					float got;
					memcpy(&got, room + 32 + 4 * at, 4);
					assert_true(got == want);
				} else {
					int rounded = want < 0 ? 0 : want > 255 ? 255 : (int)__builtin_rintf(want);
					assert_int_equal(room[32 + at], rounded);
				}
			}
	free(exact);
	free(room);
}

static void raw_pictures_of_every_form_are_exact(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = { { 1, 1 }, { 1, 17 }, { 5, 16 }, { 7, 33 }, { 16, 16 }, { 3, 100 } };
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (int form = 0; form < 24; form++) {
			struct bd_image_options options;
			bd_image_options_init(&options);
			options.channels = form % 3 == 0 ? BD_CHANNELS_RGB : form % 3 == 1 ? BD_CHANNELS_BGR : BD_CHANNELS_GREY;
			options.dtype = form / 3 % 2 ? BD_UINT8 : BD_FLOAT32;
			options.nchw = form / 6 % 2;
			options.has_mean = form / 12;
			options.mean[0] = 123.68f;
			options.mean[1] = 116.779f;
			options.mean[2] = 103.939f;
			options.scale = form / 12 ? 0.017f : 1;
			options.raw_height = sizes[s][0];
			options.raw_width = sizes[s][1];
			options.raw_channels = bd_image_output_channels(&options);
			struct bd_pixels in = make_pixels(sizes[s][0], sizes[s][1], options.raw_channels);
			check_raw(&options, &in);
			bd_pixels_finish(&in);
		}
}

static void flip_mirrors_half_of_the_records(void **state)
{
	(void)state;
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.raw_height = 3;
	options.raw_width = 5;
	options.raw_channels = 3;
	options.dtype = BD_UINT8;
	options.flip = true;
	struct bd_pixels in = make_pixels(3, 5, 3);
	int flipped = 0;
	for (uint64_t record = 0; record < 400; record++) {
		uint8_t out[45], again[45];
		struct bd_picture_key key = { .seed = 7, .epoch = 2, .record = record };
		assert_int_equal(bd_picture_decode(decoder, &options, in.data, 45, key, out, NULL), 0);
		assert_int_equal(bd_picture_decode(decoder, &options, in.data, 45, key, again, NULL), 0);
		assert_memory_equal(out, again, 45);
		bool mirrored = memcmp(out, in.data, 45) != 0;
		flipped += mirrored;
		for (uint32_t i = 0; i < 15; i++)
			assert_memory_equal(out + 3 * i, in.data + 3 * (mirrored ? i / 5 * 5 + 4 - i % 5 : i), 3);
	}
	assert_true(flipped > 140 && flipped < 260);
	bd_pixels_finish(&in);
}

/* Decoding only the crop gives what cropping the whole decoded picture gives, byte for byte. */
static void check_crops(const uint8_t *jpeg, size_t length, enum bd_channels channels)
{
	struct bd_pixels whole;
	assert_int_equal(bd_picture_decode_whole(decoder, jpeg, length, channels == BD_CHANNELS_GREY ? 1 : 3, &whole, NULL), 0);
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.crop = BD_CROP_RANDOM_RESIZED;
	options.crop_scale[0] = 0.001;
	options.resize_height = 9;
	options.resize_width = 11;
	options.flip = true;
	options.channels = channels;
	for (uint64_t record = 0; record < 150; record++) {
		static const enum bd_resize_method methods[] = { BD_RESIZE_BILINEAR, BD_RESIZE_ANTIALIAS, BD_RESIZE_NEAREST,
			                                         BD_RESIZE_BICUBIC };
		options.resize_method = methods[record % 4];
		struct bd_picture_key key = { .record = record };
		float part[9 * 11 * 3] = { 0 }, cut[9 * 11 * 3] = { 0 };
		options.encoding = BD_ENCODING_JPEG;
		options.raw_height = 0;
		struct bd_error error = { 0 };
		if (bd_picture_decode(decoder, &options, jpeg, length, key, part, &error))
			fail_msg("record %d: %s", (int)record, error.text);
		options.encoding = BD_ENCODING_RAW;
		options.raw_height = whole.height;
		options.raw_width = whole.width;
		options.raw_channels = whole.channels;
		assert_int_equal(bd_picture_decode(decoder, &options, whole.data, bd_pixels_bytes(&whole), key, cut, NULL), 0);
		assert_memory_equal(part, cut, sizeof part);
	}
	bd_pixels_finish(&whole);
}

static void a_decoded_part_equals_the_whole(void **state)
{
	(void)state;
	static const char *const files[] = {
		"golden/decode/files/17x31_422.jpg",
		"golden/decode/files/17x31_420.jpg",
		"golden/decode/files/noise_420.jpg",
		"golden/decode/files/cmyk.jpg",
		"golden/decode/files/grey.jpg",
		"golden/decode/files/progressive_420.jpg",
		"golden/decode/files/wide_1x70.jpg",
		"golden/decode/files/tall.jpg",
		"golden/decode/files/restart_markers.jpg",
		"golden/decode/files/3x5_420.jpg",
		"data/cats_vs_dogs/train/cats/cat.1.jpg",
		"data/photos/n01443537_goldfish.JPEG",
		"data/images_hostile/zune-test/non_interleaved_440_64x64.jpg",
		"data/images_hostile/jpeg-decoder-reftest/restarts.jpg",
	};
	for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
		char path[1024];
		if (!bd_shared_path(files[f], path, sizeof path)) {
			print_message("%s is missing\n", files[f]);
			skip();
		}
		size_t length;
		uint8_t *jpeg = bd_golden_file(path, &length);
		assert_non_null(jpeg);
		check_crops(jpeg, length, f % 2 ? BD_CHANNELS_BGR : BD_CHANNELS_RGB);
		free(jpeg);
	}
}

/* No output row needs the lowest lines here; the damage in them counts all the same, as for one who decodes it all. */
static void a_cut_below_the_last_line_wanted_is_found(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("data/cats_vs_dogs/train/cats/cat.1.jpg", path, sizeof path)) {
		print_message("data/cats_vs_dogs is missing\n");
		skip();
	}
	size_t length;
	uint8_t *jpeg = bd_golden_file(path, &length);
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = options.resize_width = 2;
	options.resize_method = BD_RESIZE_TF1_NEAREST;
	float row[12];
	assert_int_equal(bd_picture_decode(decoder, &options, jpeg, length, key0, row, NULL), 0);
	assert_int_equal(bd_picture_decode(decoder, &options, jpeg, length - 200, key0, row, NULL), -EBADMSG);
	options.crop = BD_CROP_RANDOM_RESIZED;
	assert_int_equal(bd_picture_decode(decoder, &options, jpeg, length - 200, key0, row, NULL), -EBADMSG);
	free(jpeg);
}

static void a_scaled_picture_looks_like_the_exact_one(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("data/cats_vs_dogs/train/cats/cat.1.jpg", path, sizeof path)) {
		print_message("data/cats_vs_dogs is missing\n");
		skip();
	}
	size_t length, count = 40 * 50 * 3;
	uint8_t *jpeg = bd_golden_file(path, &length);
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = 40;
	options.resize_width = 50;
	options.resize_method = BD_RESIZE_AREA;
	float *exact = malloc(count * sizeof *exact), *scaled = malloc(count * sizeof *scaled);
	for (int crop = 0; crop < 2; crop++) {
		options.crop = crop ? BD_CROP_CENTER : BD_CROP_NONE;
		options.decode = BD_DECODE_EXACT;
		assert_int_equal(bd_picture_decode(decoder, &options, jpeg, length, key0, exact, NULL), 0);
		options.decode = BD_DECODE_SCALED;
		assert_int_equal(bd_picture_decode(decoder, &options, jpeg, length, key0, scaled, NULL), 0);
		double sum = 0;
		for (size_t i = 0; i < count; i++)
			sum += __builtin_fabs((double)exact[i] - (double)scaled[i]);
		assert_true(sum / (double)count < 4);
	}
	free(exact);
	free(scaled);
	free(jpeg);
}

static void wrong_pictures_are_refused_with_a_reason(void **state)
{
	(void)state;
	struct bd_image_options options;
	struct bd_error error = { 0 };
	uint8_t bytes[12] = "some text..";
	float row[12];
	bd_image_options_init(&options);
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 12, key0, row, &error), -EINVAL);
	options.resize_height = options.resize_width = 2;
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 12, key0, row, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "neither JPEG nor PNG"));
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 0, key0, row, &error), -EBADMSG);
	options.encoding = BD_ENCODING_JPEG;
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 12, key0, row, &error), -EBADMSG);
	options.encoding = BD_ENCODING_RAW;
	options.raw_height = options.raw_width = 2;
	options.raw_channels = 3;
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 11, key0, row, &error), -EBADMSG);
	assert_string_equal(error.text, "a raw picture of 2 x 2 x 3 has 12 bytes, not 11");
	assert_int_equal(bd_picture_decode(decoder, &options, bytes, 12, key0, row, &error), 0);
}

static void memory_limit_is_kept(void **state)
{
	(void)state;
	struct bd_pixels in = make_pixels(300, 400, 3);
	uint8_t *png;
	size_t length;
	assert_int_equal(bd_png_encode(&in, &png, &length, NULL), 0);
	struct bd_picture_decoder *small;
	assert_int_equal(bd_picture_decoder_create(8 << 10, &small, NULL), 0);
	struct bd_pixels out;
	struct bd_error error;
	assert_int_equal(bd_picture_decode_whole(small, png, length, 3, &out, &error), -EFBIG);
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = options.resize_width = 20;
	float row[20 * 20 * 3];
	assert_int_equal(bd_picture_decode(small, &options, png, length, key0, row, &error), -EFBIG);
	bd_picture_decoder_destroy(small);
	free(png);
	bd_pixels_finish(&in);
}

/* ---- encode and show ---- */

static void png_comes_back_as_it_was(void **state)
{
	(void)state;
	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		struct bd_pixels in = make_pixels(13, 19, channels), out;
		uint8_t *bytes;
		size_t length;
		assert_int_equal(bd_png_encode(&in, &bytes, &length, NULL), 0);
		assert_int_equal(bd_picture_decode_whole(decoder, bytes, length, 0, &out, NULL), 0);
		assert_int_equal(out.channels, channels);
		assert_memory_equal(in.data, out.data, bd_pixels_bytes(&in));
		free(bytes);
		assert_int_equal(bd_jpeg_encode(&in, 100, &bytes, &length, NULL), 0);
		bd_pixels_finish(&out);
		assert_int_equal(bd_picture_decode_whole(decoder, bytes, length, 0, &out, NULL), 0);
		for (size_t i = 0; i < bd_pixels_bytes(&in); i++)
			assert_true(abs(in.data[i] - out.data[i]) <= 6);
		free(bytes);
		bd_pixels_finish(&out);
		bd_pixels_finish(&in);
	}
}

/* `bytes` of a PNG with a chunk behind its header (8 bytes of signature, 25 of IHDR). */
static uint8_t *with_chunk(const uint8_t *bytes, size_t length, const uint8_t *chunk, size_t chunk_length)
{
	uint8_t *made = malloc(length + chunk_length);
	memcpy(made, bytes, 33);
	memcpy(made + 33, chunk, chunk_length);
	memcpy(made + 33 + chunk_length, bytes + 33, length - 33);
	return made;
}

/* libpng's grey of a colour with gamma 0.45455, in its three steps: to linear light, the weighted sum of 15 bits, back. */
static uint8_t grey_of(const uint8_t *rgb)
{
	double sum = 0, weights[] = { 9797, 19234, 3737 };
	if (rgb[0] == rgb[1] && rgb[1] == rgb[2])
		return rgb[0];
	for (int i = 0; i < 3; i++)
		sum += weights[i] * floor(255 * pow(rgb[i] / 255.0, 2.19998) + 0.5);
	return (uint8_t)(255 * pow(floor((sum + 16384) / 32768) / 255, 0.45455) + 0.5);
}

static void colour_png_with_gamma_becomes_grey_in_linear_light(void **state)
{
	(void)state;
	static const uint8_t gama[] = { 0x00, 0x00, 0x00, 0x04, 'g', 'A', 'M', 'A', 0x00, 0x00, 0xb1, 0x8f, 0x0b, 0xfc, 'a', 0x05 };
	static const uint8_t srgb[] = { 0x00, 0x00, 0x00, 0x01, 's', 'R', 'G', 'B', 0x00, 0xae, 0xce, 0x1c, 0xe9 };
	struct bd_pixels in = make_pixels(23, 41, 3), plain, grey, rgb;
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_png_encode(&in, &bytes, &length, NULL), 0);
	assert_int_equal(bd_picture_decode_whole(decoder, bytes, length, 1, &plain, NULL), 0);
	for (int i = 0; i < 2; i++) {
		const uint8_t *chunk = i ? srgb : gama;
		size_t chunk_length = i ? sizeof srgb : sizeof gama;
		uint8_t *tagged = with_chunk(bytes, length, chunk, chunk_length);
		assert_int_equal(bd_picture_decode_whole(decoder, tagged, length + chunk_length, 1, &grey, NULL), 0);
		assert_int_equal(bd_picture_decode_whole(decoder, tagged, length + chunk_length, 3, &rgb, NULL), 0);
		for (size_t at = 0; at < (size_t)23 * 41; at++)
			assert_int_equal(grey.data[at], grey_of(in.data + 3 * at));
		assert_memory_not_equal(grey.data, plain.data, (size_t)23 * 41);
		assert_memory_equal(rgb.data, in.data, bd_pixels_bytes(&in));
		bd_pixels_finish(&grey);
		bd_pixels_finish(&rgb);
		free(tagged);
	}
	free(bytes);
	bd_pixels_finish(&plain);
	bd_pixels_finish(&in);
}

static void a_row_is_shown_as_it_was(void **state)
{
	(void)state;
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.raw_height = 4;
	options.raw_width = 6;
	options.raw_channels = 3;
	options.channels = BD_CHANNELS_BGR;
	options.has_mean = true;
	options.mean[0] = 12;
	options.mean[1] = 34;
	options.mean[2] = 56;
	options.scale = 0.01f;
	options.nchw = true;
	struct bd_pixels in = make_pixels(4, 6, 3), out;
	float row[4 * 6 * 3];
	assert_int_equal(bd_picture_decode(decoder, &options, in.data, sizeof row / 4, key0, row, NULL), 0);
	assert_int_equal(bd_pixels_of_row(row, BD_FLOAT32, &options, &out, NULL), 0);
	assert_memory_equal(in.data, out.data, sizeof row / 4);
	bd_pixels_finish(&in);
	bd_pixels_finish(&out);
}

/* ---- every level gives the same bits ---- */

static void levels_agree_bit_for_bit(void **state)
{
	(void)state;
	enum { WIDTH = 61, TAPS = 5, COUNT = WIDTH * 3 };
	uint8_t in[4 * COUNT + BD_LINE_SLACK];
	float mean[BD_MEAN_PERIOD], lines[TAPS][COUNT + BD_LINE_SLACK], weights[WIDTH * TAPS + 16];
	int32_t starts[WIDTH];
	for (size_t i = 0; i < sizeof in; i++)
		in[i] = noise();
	for (size_t i = 0; i < BD_MEAN_PERIOD; i++)
		mean[i] = (float)(i % 3) + 100.5f;
	for (int k = 0; k < TAPS; k++)
		for (size_t i = 0; i < COUNT + BD_LINE_SLACK; i++)
			lines[k][i] = (float)noise() + (float)noise() / 256;
	for (int i = 0; i < WIDTH * TAPS + 16; i++)
		weights[i] = (float)noise() / 255;
	for (int x = 0; x < WIDTH; x++)
		starts[x] = 3 * ((x * 3) + noise() % 3);
	const float *taps[TAPS] = { lines[0], lines[1], lines[2], lines[3], lines[4] };
	float want[6][COUNT + BD_LINE_SLACK] = { { 0 } };
	uint8_t want_bytes[2][COUNT];
	for (int level = 0; level <= (int)bd_simd_level(); level++) {
		const struct bd_pixel_kernels *kernels = bd_pixel_kernels_of(level);
		float got[6][COUNT + BD_LINE_SLACK] = { { 0 } };
		uint8_t got_bytes[2][COUNT];
		kernels->bytes_to_floats(got[0], in, COUNT, mean, 0.3f, false, true);
		kernels->bytes_to_floats(got[1], in, COUNT, mean, 0.3f, true, true);
		kernels->across_two(got[2], in, starts, weights, WIDTH);
		kernels->across_many(got[3], in, starts, weights, TAPS, WIDTH, 3);
		kernels->across_many(got[4], in, starts, weights, TAPS, WIDTH, 1);
		kernels->down(got[5], taps, weights, TAPS, COUNT, mean, 0.7f);
		kernels->swap_bytes(got_bytes[0], in, WIDTH);
		kernels->floats_to_bytes(got_bytes[1], lines[0], COUNT);
		for (int i = 0; i < 6; i++) {
			if (level == 0)
				memcpy(want[i], got[i], sizeof want[i]);
			assert_memory_equal(want[i], got[i], (i == 4 ? WIDTH : COUNT) * sizeof(float));
		}
		if (level == 0)
			memcpy(want_bytes, got_bytes, sizeof want_bytes);
		assert_memory_equal(want_bytes, got_bytes, sizeof want_bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tutorial_batch_is_bit_equal),
		cmocka_unit_test(raw_pictures_of_every_form_are_exact),
		cmocka_unit_test(flip_mirrors_half_of_the_records),
		cmocka_unit_test(a_decoded_part_equals_the_whole),
		cmocka_unit_test(a_cut_below_the_last_line_wanted_is_found),
		cmocka_unit_test(a_scaled_picture_looks_like_the_exact_one),
		cmocka_unit_test(wrong_pictures_are_refused_with_a_reason),
		cmocka_unit_test(memory_limit_is_kept),
		cmocka_unit_test(png_comes_back_as_it_was),
		cmocka_unit_test(colour_png_with_gamma_becomes_grey_in_linear_light),
		cmocka_unit_test(a_row_is_shown_as_it_was),
		cmocka_unit_test(levels_agree_bit_for_bit),
	};
	if (bd_picture_decoder_create(256u << 20, &decoder, NULL))
		return 1;
	int failed = cmocka_run_group_tests_name("picture", tests, NULL, NULL);
	bd_picture_decoder_destroy(decoder);
	return failed;
}
