/*
 * jpeg.h - JPEG line by line, the whole picture or a part of it. The only user of libjpeg(-turbo) with encode.h's JPEG half.
 *
 * Why not a picture at a time: the caller resizes lines as they come, and with a crop most of the work can be left out.
 * States: OPEN (bd_jpeg_open) -> READING (bd_jpeg_start) -> done (bd_jpeg_end); an error in any call, or another open, leads
 * back to the start. What is refused is what TensorFlow refuses: broken headers, colour spaces that libjpeg cannot turn to
 * RGB or grey, pictures of 2^29 samples and more, data that ends early. The library's warnings are no errors.
 * Exact: accurate DCT, fancy upsampling; a part of a picture equals the same part of the whole, byte for byte.
 * Memory: one decompressor, reused; its tables and lines come out of one block that is kept from picture to picture.
 * Threads: one at a time.
 */
#ifndef BD_IMAGE_JPEG_H
#define BD_IMAGE_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

/* As TensorFlow: height x width x components of a picture stay below this. */
#define BD_PICTURE_MAX_SAMPLES (1ull << 29)

/* Progressive files have about ten scans; a file of thousands of empty ones would cost a pass over the picture for each. */
#define BD_JPEG_MAX_SCANS 100

struct bd_jpeg;

enum bd_jpeg_colour { BD_JPEG_AS_STORED /* grey or RGB */, BD_JPEG_GREY, BD_JPEG_RGB, BD_JPEG_BGR };

struct bd_jpeg_header {
	uint32_t height, width;
	uint32_t channels; /* of the picture as stored: 1 or 3; CMYK counts as 3 */
};

struct bd_jpeg_request {
	enum bd_jpeg_colour colour;
	uint32_t denominator; /* decode at 1/1, 1/2, 1/4, 1/8; the sizes are rounded up */
	bool fast; /* without fancy upsampling */
	bool part; /* only columns left .. left + width (of the scaled picture), and the rows that are read */
	uint32_t left, width;
};

struct bd_jpeg_output {
	uint32_t height, width; /* lines of the scaled picture, pixels of a decoded line */
	uint32_t left; /* the column that a decoded line begins with */
	uint32_t channels;
};

/* memory_limit_bytes: what one picture may make the library allocate. -ENOMEM. Free with bd_jpeg_destroy, which takes NULL. */
BD_MUST_CHECK int bd_jpeg_create(uint64_t memory_limit_bytes, struct bd_jpeg **ret_jpeg, struct bd_error *error);
void bd_jpeg_destroy(struct bd_jpeg *jpeg);

/* Reads the header; `bytes` are borrowed until bd_jpeg_end or the next open. -EBADMSG, -EFBIG. */
BD_MUST_CHECK int bd_jpeg_open(struct bd_jpeg *jpeg, const uint8_t *bytes, size_t length, struct bd_jpeg_header *ret_header,
                               struct bd_error *error);

/* Begins decoding as asked; *ret_output says what the lines will be. -EBADMSG, -EFBIG, -ENOMEM. */
BD_MUST_CHECK int bd_jpeg_start(struct bd_jpeg *jpeg, const struct bd_jpeg_request *request, struct bd_jpeg_output *ret_output,
                                struct bd_error *error);

/* The next line: width x channels bytes. */
BD_MUST_CHECK int bd_jpeg_read(struct bd_jpeg *jpeg, uint8_t *ret_line, struct bd_error *error);

/* Passes over lines, with as little work as the library can; `scratch` has room for a line. */
BD_MUST_CHECK int bd_jpeg_skip(struct bd_jpeg *jpeg, uint32_t lines, uint8_t *scratch, struct bd_error *error);

/*
 * After the last line that is wanted. A whole picture is read to its end, so that damage below is found; of a part it is
 * checked only that the file has an end. `scratch` has room for a line.
 */
BD_MUST_CHECK int bd_jpeg_end(struct bd_jpeg *jpeg, uint8_t *scratch, struct bd_error *error);

#endif
