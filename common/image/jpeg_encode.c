#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#include "common/image/encode.h"

/* The library's own memory destination forgets its buffer when an error cuts it short; this one is ours to free. */
struct encoder {
	struct jpeg_compress_struct info;
	struct jpeg_error_mgr errors;
	struct jpeg_destination_mgr destination;
	jmp_buf jump;
	uint8_t *bytes;
	size_t room;
};

#define FIRST_ROOM_BYTES 16384u

static void on_error(j_common_ptr info)
{
	struct encoder *encoder = info->client_data;
	longjmp(encoder->jump, 1);
}

static void on_output(j_common_ptr info)
{
	(void)info;
}

static boolean grow(j_compress_ptr info)
{
	struct encoder *encoder = info->client_data;
	size_t used = encoder->room, room = encoder->room ? encoder->room * 2 : FIRST_ROOM_BYTES;
	uint8_t *bytes = realloc(encoder->bytes, room);
	if (!bytes)
		longjmp(encoder->jump, 1);
	encoder->bytes = bytes;
	encoder->room = room;
	encoder->destination.next_output_byte = bytes + used;
	encoder->destination.free_in_buffer = room - used;
	return TRUE;
}

static void begin(j_compress_ptr info)
{
	grow(info);
}

static void end(j_compress_ptr info)
{
	(void)info;
}

static void choose(struct jpeg_compress_struct *info, const struct bd_pixels *pixels, int quality)
{
	info->image_height = pixels->height;
	info->image_width = pixels->width;
	info->input_components = (int)pixels->channels;
	info->in_color_space = pixels->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(info);
	jpeg_set_quality(info, quality, TRUE);
	if (quality >= 90 && pixels->channels == 3)
		info->comp_info[0].h_samp_factor = info->comp_info[0].v_samp_factor = 1;
}

int bd_jpeg_encode(const struct bd_pixels *pixels, int quality, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	if (!pixels->height || !pixels->width || pixels->height > JPEG_MAX_DIMENSION || pixels->width > JPEG_MAX_DIMENSION ||
	    (pixels->channels != 1 && pixels->channels != 3))
		return bd_error_set(error, -EINVAL, "no JPEG can be made of %u x %u x %u", pixels->height, pixels->width,
		                    pixels->channels);
	struct encoder encoder = { 0 };
	encoder.info.err = jpeg_std_error(&encoder.errors);
	encoder.errors.error_exit = on_error;
	encoder.errors.output_message = on_output;
	encoder.info.client_data = &encoder;
	if (setjmp(encoder.jump)) {
		jpeg_destroy_compress(&encoder.info);
		free(encoder.bytes);
		return bd_error_set(error, -ENOMEM, "no memory to write a JPEG");
	}
	jpeg_create_compress(&encoder.info);
	encoder.info.client_data = &encoder;
	encoder.destination = (struct jpeg_destination_mgr){ .init_destination = begin,
		                                             .empty_output_buffer = grow,
		                                             .term_destination = end };
	encoder.info.dest = &encoder.destination;
	choose(&encoder.info, pixels, quality < 1 ? 1 : quality > 100 ? 100 : quality);
	jpeg_start_compress(&encoder.info, TRUE);
	for (uint32_t y = 0; y < pixels->height; y++) {
		JSAMPROW line = bd_pixels_line(pixels, y);
		jpeg_write_scanlines(&encoder.info, &line, 1);
	}
	jpeg_finish_compress(&encoder.info);
	jpeg_destroy_compress(&encoder.info);
	*ret_bytes = encoder.bytes;
	*ret_length = encoder.room - encoder.destination.free_in_buffer;
	return 0;
}
