/*
 * picture_record.h - one picture of a list to one serialized Example.
 *
 * A maker belongs to one thread; the options are read only. The same picture and options give the same bytes.
 */
#ifndef BD_TOOLS_TFRECORD_PICTURE_RECORD_H
#define BD_TOOLS_TFRECORD_PICTURE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/image/pil_resize.h"
#include "common/record/example_writer.h"
#include "tools/tfrecord/picture_list.h"

/* The longest picture file that is read, and what decoding one may take: larger than any photograph, smaller than a host. */
#define BD_PICTURE_FILE_LIMIT_BYTES (1ull << 30)
#define BD_PICTURE_MEMORY_LIMIT_BYTES (2ull << 30)

/* Of --encoding jpeg: no difference that one sees, a third of quality 100's size. */
#define BD_CONVERT_JPEG_QUALITY 95

enum bd_record_encoding { BD_RECORD_RAW, BD_RECORD_JPEG, BD_RECORD_PNG, BD_RECORD_KEEP };

struct bd_record_options {
	enum bd_record_encoding encoding;
	uint32_t height, width; /* resize to this; 0: as it is */
	uint32_t raw_height, raw_width; /* what every raw picture must have where nothing is resized */
	enum bd_pil_filter filter;
	const char *image_key, *label_key;
};

struct bd_record_shape {
	uint32_t height, width, channels;
};

struct bd_record_maker;

/* One a thread; list and options are borrowed until it is destroyed. -ENOMEM. */
BD_MUST_CHECK int bd_record_maker_create(const struct bd_picture_list *list, const struct bd_record_options *options,
                                         struct bd_record_maker **ret_maker, struct bd_error *error);
void bd_record_maker_destroy(struct bd_record_maker *maker);

/* Picture `index` into the writer, which lends the bytes. -EBADMSG: the picture is at fault, and the text names it; else -errno. */
BD_MUST_CHECK int bd_record_make(struct bd_record_maker *maker, size_t index, struct bd_example_writer *writer,
                                 const uint8_t **ret_bytes, size_t *ret_length, struct bd_record_shape *ret_shape,
                                 struct bd_error *error);

/* The size of a picture without decoding it; same errors. */
BD_MUST_CHECK int bd_picture_list_size(const struct bd_picture_list *list, size_t index, struct bd_record_shape *ret_shape,
                                       struct bd_error *error);

#endif
