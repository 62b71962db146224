#include "common/image/png.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "common/base/arithmetic.h"
#include "common/image/encode.h"

/* TensorFlow's limits: a side below 2^27, all samples below 2^29. */
#define MAX_SIDE_PX ((1u << 27) - 1)
#define MAX_SAMPLES (1ull << 29)

#define ALIGNMENT 64u

struct extra {
	struct extra *next;
};

struct bd_png {
	png_structp png;
	png_infop info;
	char text[200];
	const uint8_t *next;
	size_t left;
	uint32_t height, width, channels, line;
	bool interlaced, too_much, no_memory;
	uint8_t *whole; /* the decoded picture, of an interlaced one */
	uint64_t memory_limit;
	struct {
		uint8_t *block;
		size_t room, used, wanted;
		struct extra *extras;
	} memory;
};

/* ---- memory: cut from the block, given back all at once ---- */

static void *take(struct bd_png *png, size_t bytes)
{
	uint64_t aligned = 0;
	if (!bd_align_up(bytes, ALIGNMENT, &aligned) || aligned > png->memory_limit ||
	    png->memory.wanted > png->memory_limit - aligned) {
		png->too_much = true;
		return NULL;
	}
	png->memory.wanted += aligned;
	if (png->memory.room - png->memory.used >= aligned) {
		void *result = png->memory.block + png->memory.used;
		png->memory.used += aligned;
		return result;
	}
	struct extra *extra = aligned_alloc(ALIGNMENT, aligned + ALIGNMENT);
	if (!extra) {
		png->no_memory = true;
		return NULL;
	}
	extra->next = png->memory.extras;
	png->memory.extras = extra;
	return (uint8_t *)extra + ALIGNMENT;
}

static void drop_extras(struct bd_png *png)
{
	while (png->memory.extras) {
		struct extra *next = png->memory.extras->next;
		free(png->memory.extras);
		png->memory.extras = next;
	}
}

static void reset_memory(struct bd_png *png)
{
	drop_extras(png);
	if (png->memory.wanted > png->memory.room) {
		free(png->memory.block);
		png->memory.block = aligned_alloc(ALIGNMENT, png->memory.wanted);
		png->memory.room = png->memory.block ? png->memory.wanted : 0;
	}
	png->memory.used = 0;
	png->memory.wanted = 0;
}

static png_voidp on_malloc(png_structp structure, png_alloc_size_t bytes)
{
	return take(png_get_mem_ptr(structure), bytes);
}

static void on_free(png_structp structure, png_voidp block)
{
	(void)structure;
	(void)block;
}

/* ---- errors and bytes ---- */

static void on_error(png_structp structure, png_const_charp message)
{
	struct bd_png *png = png_get_error_ptr(structure);
	snprintf(png->text, sizeof png->text, "%s", message);
	png_longjmp(structure, 1);
}

static void on_warning(png_structp structure, png_const_charp message)
{
	(void)structure;
	(void)message;
}

static void on_read(png_structp structure, png_bytep data, size_t length)
{
	struct bd_png *png = png_get_io_ptr(structure);
	if (png->left < length)
		png_error(structure, "the data ends early");
	memcpy(data, png->next, length);
	png->next += length;
	png->left -= length;
}

static void close_picture(struct bd_png *png)
{
	if (png->png)
		png_destroy_read_struct(&png->png, &png->info, NULL);
	png->png = NULL;
	png->info = NULL;
	png->whole = NULL;
	reset_memory(png);
}

static int failed(struct bd_png *png, struct bd_error *error)
{
	bool too_much = png->too_much, no_memory = png->no_memory;
	close_picture(png);
	png->too_much = png->no_memory = false;
	if (no_memory)
		return bd_error_set(error, -ENOMEM, "no memory to decode a PNG");
	if (too_much)
		return bd_error_set(error, -EFBIG, "the PNG needs more than the limit of %llu bytes of memory",
		                    (unsigned long long)png->memory_limit);
	return bd_error_set(error, -EBADMSG, "broken PNG: %s", png->text);
}

/* ---- life ---- */

int bd_png_create(uint64_t memory_limit_bytes, struct bd_png **ret_png, struct bd_error *error)
{
	struct bd_png *png = calloc(1, sizeof *png);
	if (!png)
		return bd_error_set(error, -ENOMEM, "no memory for a PNG decoder");
	png->memory_limit = memory_limit_bytes;
	*ret_png = png;
	return 0;
}

void bd_png_destroy(struct bd_png *png)
{
	if (!png)
		return;
	close_picture(png);
	free(png->memory.block);
	free(png);
}

/* ---- reading ---- */

static void choose_transforms(png_structp structure, png_infop info, enum bd_png_colour colour)
{
	int type = png_get_color_type(structure, info), depth = png_get_bit_depth(structure, info);
	bool is_grey = !(type & PNG_COLOR_MASK_COLOR);
	bool want_grey = colour == BD_PNG_GREY || (colour == BD_PNG_AS_STORED && is_grey);
	if (type & PNG_COLOR_MASK_ALPHA || png_get_valid(structure, info, PNG_INFO_tRNS))
		png_set_strip_alpha(structure);
	if (depth > 8)
		png_set_strip_16(structure);
	png_set_packing(structure);
	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(structure);
	if (is_grey && depth < 8)
		png_set_expand_gray_1_2_4_to_8(structure);
	if (want_grey && !is_grey)
		png_set_rgb_to_gray(structure, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
	if (!want_grey && is_grey)
		png_set_gray_to_rgb(structure);
	if (colour == BD_PNG_BGR)
		png_set_bgr(structure);
}

static void check_size(struct bd_png *png)
{
	uint64_t samples = (uint64_t)png->height * png->width * png_get_channels(png->png, png->info);
	if (png->height > MAX_SIDE_PX || png->width > MAX_SIDE_PX || samples >= MAX_SAMPLES)
		png_error(png->png, "too many pixels");
}

/* An interlaced picture has all its lines only at its end. */
static void read_interlaced(struct bd_png *png, int passes)
{
	size_t stride = png_get_rowbytes(png->png, png->info), bytes = 0;
	if (!bd_multiply_size(stride, png->height, &bytes) || !(png->whole = take(png, bytes)))
		png_error(png->png, "no memory");
	memset(png->whole, 0, bytes);
	for (int pass = 0; pass < passes; pass++)
		for (uint32_t y = 0; y < png->height; y++)
			png_read_row(png->png, png->whole + (size_t)y * stride, NULL);
}

/*
 * Text, profiles and the like are passed over: nothing here shows them, and a compressed one may be a bomb. What says how bright a
 * sample is counts where colours become grey: libpng weighs linear light where a chunk tells the gamma.
 */
static void choose_chunks(struct bd_png *png, enum bd_png_colour colour)
{
	static const png_byte of_brightness[] = "gAMA\0sRGB\0iCCP\0cHRM\0sBIT"; /* five bytes a name */
	png_set_keep_unknown_chunks(png->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	if (colour == BD_PNG_GREY)
		png_set_keep_unknown_chunks(png->png, PNG_HANDLE_CHUNK_AS_DEFAULT, of_brightness, sizeof of_brightness / 5);
}

int bd_png_open(struct bd_png *png, const uint8_t *bytes, size_t length, enum bd_png_colour colour,
                struct bd_png_header *ret_header, struct bd_error *error)
{
	close_picture(png);
	png->no_memory = false;
	png->next = bytes;
	png->left = length;
	png->line = 0;
	png->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, png, on_error, on_warning, png, on_malloc, on_free);
	png->info = png->png ? png_create_info_struct(png->png) : NULL;
	if (!png->info)
		return failed(png, error);
	if (setjmp(png_jmpbuf(png->png)))
		return failed(png, error);
	png_set_read_fn(png->png, png, on_read);
	png_set_user_limits(png->png, MAX_SIDE_PX, MAX_SIDE_PX);
	png_set_chunk_malloc_max(png->png, png->memory_limit > 8u << 20 ? 8u << 20 : (png_alloc_size_t)png->memory_limit);
	choose_chunks(png, colour);
	png_read_info(png->png, png->info);
	png->height = png_get_image_height(png->png, png->info);
	png->width = png_get_image_width(png->png, png->info);
	check_size(png);
	choose_transforms(png->png, png->info, colour);
	int passes = png_set_interlace_handling(png->png);
	png_read_update_info(png->png, png->info);
	png->channels = png_get_channels(png->png, png->info);
	png->interlaced = passes > 1;
	if (png->interlaced)
		read_interlaced(png, passes);
	*ret_header = (struct bd_png_header){ .height = png->height, .width = png->width, .channels = png->channels };
	return 0;
}

int bd_png_read(struct bd_png *png, uint8_t *ret_line, struct bd_error *error)
{
	if (setjmp(png_jmpbuf(png->png)))
		return failed(png, error);
	size_t stride = (size_t)png->width * png->channels;
	if (png->interlaced)
		memcpy(ret_line, png->whole + (size_t)png->line * stride, stride);
	else
		png_read_row(png->png, ret_line, NULL);
	png->line++;
	return 0;
}

int bd_png_end(struct bd_png *png, struct bd_error *error)
{
	if (setjmp(png_jmpbuf(png->png)))
		return failed(png, error);
	if (!png->interlaced)
		while (png->line < png->height) {
			png_read_row(png->png, NULL, NULL);
			png->line++;
		}
	png_read_end(png->png, NULL);
	close_picture(png);
	return 0;
}

/* ---- writing ---- */

struct written {
	uint8_t *bytes;
	size_t length, room;
};

static void on_write(png_structp structure, png_bytep data, size_t length)
{
	struct written *written = png_get_io_ptr(structure);
	if (written->room - written->length < length) {
		size_t room = (written->length + length) * 2;
		uint8_t *bytes = realloc(written->bytes, room);
		if (!bytes)
			png_error(structure, "no memory");
		written->bytes = bytes;
		written->room = room;
	}
	memcpy(written->bytes + written->length, data, length);
	written->length += length;
}

static void on_flush(png_structp structure)
{
	(void)structure;
}

static void on_write_error(png_structp structure, png_const_charp message)
{
	(void)message;
	png_longjmp(structure, 1);
}

int bd_png_encode(const struct bd_pixels *pixels, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	if (!pixels->height || !pixels->width || (pixels->channels != 1 && pixels->channels != 3))
		return bd_error_set(error, -EINVAL, "no PNG can be made of %u x %u x %u", pixels->height, pixels->width,
		                    pixels->channels);
	struct written written = { 0 };
	png_structp structure = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_write_error, on_warning);
	png_infop info = structure ? png_create_info_struct(structure) : NULL;
	if (!info || setjmp(png_jmpbuf(structure))) {
		png_destroy_write_struct(&structure, &info);
		free(written.bytes);
		return bd_error_set(error, -ENOMEM, "no memory to write a PNG");
	}
	png_set_write_fn(structure, &written, on_write, on_flush);
	png_set_IHDR(structure, info, pixels->width, pixels->height, 8,
	             pixels->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	             PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(structure, info);
	for (uint32_t y = 0; y < pixels->height; y++)
		png_write_row(structure, bd_pixels_line(pixels, y));
	png_write_end(structure, NULL);
	png_destroy_write_struct(&structure, &info);
	*ret_bytes = written.bytes;
	*ret_length = written.length;
	return 0;
}
