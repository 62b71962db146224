/* Damaged, odd and hostile pictures through the real daemon: damaged_file.h. */
#include "tests/integration/damaged_file.h"

#include <jpeglib.h>

#include "common/image/encode.h"

/* ---- pictures: each replaces the second of three, which are green, red and blue ---- */

#define SIDE 16

static void put_png(struct bytes *file, uint8_t red, uint8_t green, uint8_t blue)
{
	uint8_t data[SIDE * SIDE * 3], *png;
	size_t length;
	for (size_t i = 0; i < SIDE * SIDE; i++)
		memcpy(data + 3 * i, (const uint8_t[]){ red, green, blue }, 3);
	struct bd_pixels pixels = { .height = SIDE, .width = SIDE, .channels = 3, .data = data };
	assert_int_equal(bd_png_encode(&pixels, &png, &length, NULL), 0);
	put(file, png, length, NULL);
	free(png);
}

/* A JPEG whose left and right half are one colour each, as many components as `space` has. */
struct picture {
	J_COLOR_SPACE space, stored;
	const uint8_t *left, *right;
	const char *exif; /* EXIF_BYTES of it, or NULL */
	bool progressive;
};

#define EXIF_BYTES (6 + 8 + 2 + 12 + 4) /* with one entry */

static void put_jpeg(struct bytes *file, const struct picture *picture)
{
	struct jpeg_compress_struct info;
	struct jpeg_error_mgr errors;
	unsigned char *out = NULL;
	unsigned long length = 0;
	info.err = jpeg_std_error(&errors);
	jpeg_create_compress(&info);
	jpeg_mem_dest(&info, &out, &length);
	info.image_width = info.image_height = SIDE;
	info.in_color_space = picture->space;
	info.input_components = picture->space == JCS_GRAYSCALE ? 1 : picture->space == JCS_CMYK ? 4 : 3;
	jpeg_set_defaults(&info);
	jpeg_set_colorspace(&info, picture->stored);
	if (picture->progressive)
		jpeg_simple_progression(&info);
	jpeg_start_compress(&info, TRUE);
	if (picture->exif)
		jpeg_write_marker(&info, JPEG_APP0 + 1, (const JOCTET *)picture->exif, EXIF_BYTES);
	uint8_t line[SIDE * 4];
	size_t channels = (size_t)info.input_components;
	for (size_t x = 0; x < SIDE; x++)
		memcpy(line + x * channels, x < SIDE / 2 ? picture->left : picture->right, channels);
	for (JSAMPROW row = line; info.next_scanline < info.image_height;)
		jpeg_write_scanlines(&info, &row, 1);
	jpeg_finish_compress(&info);
	jpeg_destroy_compress(&info);
	put(file, out, length, NULL);
	free(out);
}

static const uint8_t red[] = { 255, 0, 0 }, blue[] = { 0, 0, 255 };

static void put_red_jpeg(struct bytes *file)
{
	put_jpeg(file, &(struct picture){ JCS_RGB, JCS_YCbCr, red, red, NULL, false });
}

/* The bytes behind the marker's length: precision, height, width. */
static uint8_t *frame_header(struct bytes *file)
{
	uint8_t *found = memmem(file->data, file->length, "\xff\xc0\x00\x11", 4);
	assert_non_null(found);
	return found + 4;
}

static void jpeg_of_65535x65535(struct bytes *file)
{
	put_red_jpeg(file);
	memset(frame_header(file) + 1, 0xff, 4);
}

/* The most that libjpeg itself lets pass: 12 gigabytes of pixels. */
static void jpeg_of_65500x65500(struct bytes *file)
{
	put_red_jpeg(file);
	memcpy(frame_header(file) + 1, "\xff\xdc\xff\xdc", 4);
}

/* Its last scan a thousand times: few bytes, and each of them the work of the whole picture. */
static void jpeg_of_a_thousand_scans(struct bytes *file)
{
	struct bytes whole = { 0 };
	put_jpeg(&whole, &(struct picture){ JCS_RGB, JCS_YCbCr, red, blue, NULL, true });
	size_t scan = whole.length - 2; /* of the marker at the end */
	while (memcmp(whole.data + scan, "\xff\xda", 2) != 0)
		scan--;
	put(file, whole.data, scan, NULL);
	for (int i = 0; i < 1000; i++)
		put(file, whole.data + scan, whole.length - 2 - scan, NULL);
	put(file, whole.data + whole.length - 2, 2, NULL);
	free(whole.data);
}

static void jpeg_of_zero_size(struct bytes *file)
{
	put_red_jpeg(file);
	memset(frame_header(file) + 1, 0, 4);
}

static void picture_of_no_bytes(struct bytes *file)
{
	put(file, (const uint8_t *)"", 0, NULL);
}

static void jpeg_truncated(struct bytes *file)
{
	put_red_jpeg(file);
	file->length -= 10;
}

static void png_truncated(struct bytes *file)
{
	put_png(file, 255, 0, 0);
	file->length -= 20;
}

/* Inks are stored inverted: what is not there is 255. */
static void jpeg_in_cmyk(struct bytes *file)
{
	static const uint8_t ink[] = { 255, 0, 0, 255 };
	put_jpeg(file, &(struct picture){ JCS_CMYK, JCS_CMYK, ink, ink, NULL, false });
}

static void jpeg_in_ycck(struct bytes *file)
{
	static const uint8_t ink[] = { 255, 0, 0, 255 };
	put_jpeg(file, &(struct picture){ JCS_CMYK, JCS_YCCK, ink, ink, NULL, false });
}

static void jpeg_of_12_bits(struct bytes *file)
{
	put_red_jpeg(file);
	*frame_header(file) = 12;
}

static void jpeg_in_grey(struct bytes *file)
{
	static const uint8_t light[] = { 200 };
	put_jpeg(file, &(struct picture){ JCS_GRAYSCALE, JCS_GRAYSCALE, light, light, NULL, false });
}

/* Orientation 3 asks for half a turn; the pixels stay as they are stored, as in TensorFlow. */
static void jpeg_rotated_by_exif(struct bytes *file)
{
	static const char exif[] = "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
	put_jpeg(file, &(struct picture){ JCS_RGB, JCS_YCbCr, red, blue, exif, false });
}

static void png_named_jpg(struct bytes *file)
{
	put_png(file, 255, 0, 0);
}

/* ---- the table ---- */

#define BEFORE "0=.#."
#define LEFT "0=.#. 2=..#"
#define RED "0=.#. 1=#.. 2=..#"

static const struct file_case cases[] = {
	CASE(jpeg_of_65535x65535, BEFORE, "65500", LEFT),
	CASE(jpeg_of_65500x65500, BEFORE, "too many", LEFT),
	CASE(jpeg_of_a_thousand_scans, BEFORE, "more than 100 scans", LEFT),
	CASE(jpeg_of_zero_size, BEFORE, "mpty", LEFT),
	CASE(picture_of_no_bytes, BEFORE, "neither", LEFT),
	CASE(jpeg_truncated, BEFORE, "the data ends early", LEFT),
	CASE(png_truncated, BEFORE, "PNG", LEFT),
	CASE(jpeg_in_cmyk, RED, NULL, RED),
	CASE(jpeg_in_ycck, RED, NULL, RED),
	CASE(jpeg_of_12_bits, BEFORE, "precision 12", LEFT),
	CASE(jpeg_in_grey, "0=.#. 1=### 2=..#", NULL, "0=.#. 1=### 2=..#"),
	CASE(jpeg_rotated_by_exif, RED, NULL, RED),
	CASE(png_named_jpg, RED, NULL, RED),
};

static void damaged_picture(void **state)
{
	const struct file_case *tried = *state;
	struct bytes file = { 0 };
	put_png(&file, 0, 255, 0);
	write_in_folder("0.png", &file);
	tried->make(&file);
	write_in_folder("1.jpg", &file);
	put_png(&file, 0, 0, 255);
	write_in_folder("2.png", &file);
	check(tried,
	      "shards: {files: ['0.png', '1.jpg', '2.png']}\n"
	      "features: {image: {type: image, dtype: uint8, resize: {height: 4, width: 4, method: nearest}}}\n",
	      "1.jpg: record 1");
	expect_unharmed();
}

int main(void)
{
	return run_cases("damaged_pictures", cases, COUNT(cases), damaged_picture);
}
