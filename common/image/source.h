/*
 * source.h - the lines of one encoded picture, whatever its encoding.
 *
 * States: open (size known) -> start (which part, at which scale) -> lines in rising order -> end.
 * Lines come in the order of channels that the output has; only what bd_source_all gives is as it is stored.
 * Owned by the picture decoder; one thread at a time.
 */
#ifndef BD_IMAGE_SOURCE_H
#define BD_IMAGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/image/augment.h"
#include "common/image/image_options.h"

struct bd_jpeg;
struct bd_png;

struct bd_source {
	uint64_t memory_limit;
	struct bd_jpeg *jpeg; /* made when the first JPEG comes */
	struct bd_png *png;
	uint8_t *block, *buffer; /* one line, with slack behind it; `buffer` begins within `block` */
	size_t block_room;
	/* of the current picture */
	enum bd_image_encoding encoding; /* JPEG, PNG or RAW; never AUTO */
	const uint8_t *pixels; /* raw */
	uint32_t stored_channels;
	uint32_t height, width; /* as stored, or scaled after bd_source_start */
	uint32_t channels; /* of a line */
	bool swap; /* raw lines are RGB and the output is BGR */
	bool luma; /* raw lines are RGB and the output is grey */
	uint32_t next; /* the line that the decoder stands before */
	uint32_t skip_px; /* pixels of a decoded line before the part */
	struct bd_box box; /* the part, in pixels of the (scaled) picture */
};

void bd_source_init(struct bd_source *ret_source, uint64_t memory_limit_bytes);
void bd_source_finish(struct bd_source *source);

/* Finds the encoding and reads the header: height and width are valid then. -EBADMSG, -EFBIG, -ENOMEM. */
BD_MUST_CHECK int bd_source_open(struct bd_source *source, const struct bd_image_options *options, const uint8_t *bytes,
                                 size_t length, struct bd_error *error);

/* Chooses the part; with denominator above 1 (JPEG only) the picture and the box shrink by it, box rounded to whole pixels. */
BD_MUST_CHECK int bd_source_start(struct bd_source *source, const struct bd_image_options *options, struct bd_box box,
                                  uint32_t denominator, struct bd_error *error);

/*
 * Line y of the box (y rises from call to call); *ret_line has box.width pixels, is valid until the next call, and may be read
 * BD_LINE_SLACK bytes past its end.
 */
BD_MUST_CHECK int bd_source_line(struct bd_source *source, uint32_t y, const uint8_t **ret_line, struct bd_error *error);

/* Raw pixels that are the whole box and need no conversion but the swap: all of them at once; NULL otherwise. */
const uint8_t *bd_source_all(const struct bd_source *source);

/* After the last line wanted. */
BD_MUST_CHECK int bd_source_end(struct bd_source *source, struct bd_error *error);

/* JPEG or PNG by their first bytes, AUTO for anything else. */
enum bd_image_encoding bd_encoding_of(const uint8_t *bytes, size_t length);

#endif
