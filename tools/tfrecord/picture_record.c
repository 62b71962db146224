#include "tools/tfrecord/picture_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/image/encode.h"
#include "common/image/picture.h"

struct bd_record_maker {
	const struct bd_picture_list *list;
	const struct bd_record_options *options;
	struct bd_picture_decoder *decoder;
};

int bd_record_maker_create(const struct bd_picture_list *list, const struct bd_record_options *options,
                           struct bd_record_maker **ret_maker, struct bd_error *error)
{
	struct bd_record_maker *maker = calloc(1, sizeof *maker);
	if (!maker)
		return bd_error_set(error, -ENOMEM, "no memory");
	*maker = (struct bd_record_maker){ .list = list, .options = options };
	int status = bd_picture_decoder_create(BD_PICTURE_MEMORY_LIMIT_BYTES, &maker->decoder, error);
	if (status) {
		free(maker);
		return status;
	}
	*ret_maker = maker;
	return 0;
}

void bd_record_maker_destroy(struct bd_record_maker *maker)
{
	if (!maker)
		return;
	bd_picture_decoder_destroy(maker->decoder);
	free(maker);
}

/*
 * Everything that is wrong with one picture is -EBADMSG here, so that --on-error skip can tell it from a full disk or from a
 * host without memory. Of decoding: broken, or larger than is allowed, or of a size that the new encoding cannot hold.
 */
static int fault_of(int status, bool of_picture, struct bd_error *error)
{
	int code = of_picture ? -EBADMSG : status;
	if (error)
		error->code = code;
	return code;
}

static int picture_error(const struct bd_picture_list *list, size_t index, int status, struct bd_error *error)
{
	if (list->paths)
		bd_error_prefix(error, "%s", list->paths[index]);
	else
		bd_error_prefix(error, "picture %zu", index);
	return fault_of(status, status == -EBADMSG || status == -EFBIG || status == -EINVAL, error);
}

/* A picture out of the IDX file; borrows its bytes. */
static struct bd_pixels idx_pixels(const struct bd_picture_list *list, size_t index)
{
	const struct bd_idx *images = &list->images;
	struct bd_pixels pixels = { .height = images->shape[1],
		                    .width = images->shape[2],
		                    .channels = images->rank == 4 ? images->shape[3] : 1 };
	pixels.data = (uint8_t *)(uintptr_t)images->values + index * bd_pixels_bytes(&pixels);
	return pixels;
}

static int resize(const struct bd_record_options *options, struct bd_pixels *pixels, struct bd_error *error)
{
	if (!options->height || (pixels->height == options->height && pixels->width == options->width))
		return 0;
	struct bd_pixels out = { 0 };
	int status = bd_pil_resize(pixels, options->height, options->width, options->filter, &out, error);
	if (status)
		return status;
	bd_pixels_finish(pixels);
	*pixels = out;
	return 0;
}

/* The bytes of the feature `image`: `encoded` is freed by the caller, and may stay NULL where they are the pixels themselves. */
static int encode(const struct bd_record_options *options, const struct bd_pixels *pixels, uint8_t **ret_encoded,
                  size_t *ret_length, struct bd_error *error)
{
	if (options->encoding == BD_RECORD_JPEG)
		return bd_jpeg_encode(pixels, BD_CONVERT_JPEG_QUALITY, ret_encoded, ret_length, error);
	if (options->encoding == BD_RECORD_PNG)
		return bd_png_encode(pixels, ret_encoded, ret_length, error);
	if (!options->height && options->raw_height &&
	    (pixels->height != options->raw_height || pixels->width != options->raw_width))
		return bd_error_set(error, -EBADMSG,
		                    "%u x %u pixels where the first picture has %u x %u; raw pictures need one size: --resize",
		                    pixels->height, pixels->width, options->raw_height, options->raw_width);
	*ret_encoded = NULL;
	*ret_length = bd_pixels_bytes(pixels);
	return 0;
}

static int write_example(const struct bd_record_maker *maker, size_t index, const uint8_t *image, size_t length,
                         struct bd_example_writer *writer, const uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	bd_example_writer_begin(writer);
	bd_example_writer_add_bytes(writer, maker->options->image_key, image, length);
	bd_example_writer_add_int64(writer, maker->options->label_key, &maker->list->labels[index], 1);
	return bd_example_writer_end(writer, ret_bytes, ret_length, error);
}

static int make_of_pixels(struct bd_record_maker *maker, size_t index, struct bd_pixels *pixels, struct bd_example_writer *writer,
                          const uint8_t **ret_bytes, size_t *ret_length, struct bd_record_shape *ret_shape, struct bd_error *error)
{
	uint8_t *encoded = NULL;
	size_t length = 0;
	int status = resize(maker->options, pixels, error);
	if (!status)
		status = encode(maker->options, pixels, &encoded, &length, error);
	if (status)
		return picture_error(maker->list, index, status, error);
	*ret_shape = (struct bd_record_shape){ pixels->height, pixels->width, pixels->channels };
	status = write_example(maker, index, encoded ? encoded : pixels->data, length, writer, ret_bytes, ret_length, error);
	free(encoded);
	return status;
}

static int make_of_idx(struct bd_record_maker *maker, size_t index, struct bd_example_writer *writer, const uint8_t **ret_bytes,
                       size_t *ret_length, struct bd_record_shape *ret_shape, struct bd_error *error)
{
	struct bd_pixels borrowed = idx_pixels(maker->list, index), pixels;
	int status = bd_pixels_init(&pixels, borrowed.height, borrowed.width, borrowed.channels, error);
	if (status)
		return status;
	memcpy(pixels.data, borrowed.data, bd_pixels_bytes(&pixels));
	status = make_of_pixels(maker, index, &pixels, writer, ret_bytes, ret_length, ret_shape, error);
	bd_pixels_finish(&pixels);
	return status;
}

static int make_of_file(struct bd_record_maker *maker, size_t index, const uint8_t *file, size_t file_length,
                        struct bd_example_writer *writer, const uint8_t **ret_bytes, size_t *ret_length,
                        struct bd_record_shape *ret_shape, struct bd_error *error)
{
	struct bd_pixels pixels = { 0 };
	uint32_t channels = maker->options->encoding == BD_RECORD_RAW ? 3 : 0;
	int status = bd_picture_decode_whole(maker->decoder, file, file_length, channels, &pixels, error);
	if (status)
		return picture_error(maker->list, index, status, error);
	if (maker->options->encoding == BD_RECORD_KEEP) {
		*ret_shape = (struct bd_record_shape){ pixels.height, pixels.width, pixels.channels };
		status = write_example(maker, index, file, file_length, writer, ret_bytes, ret_length, error);
	} else {
		status = make_of_pixels(maker, index, &pixels, writer, ret_bytes, ret_length, ret_shape, error);
	}
	bd_pixels_finish(&pixels);
	return status;
}

int bd_record_make(struct bd_record_maker *maker, size_t index, struct bd_example_writer *writer, const uint8_t **ret_bytes,
                   size_t *ret_length, struct bd_record_shape *ret_shape, struct bd_error *error)
{
	if (!maker->list->paths)
		return make_of_idx(maker, index, writer, ret_bytes, ret_length, ret_shape, error);
	uint8_t *file = NULL;
	size_t length = 0;
	int status = bd_file_read_all(maker->list->paths[index], BD_PICTURE_FILE_LIMIT_BYTES, &file, &length, error);
	if (status) /* the text has the path already */
		return fault_of(status, bd_code_is_of_path(status), error);
	status = make_of_file(maker, index, file, length, writer, ret_bytes, ret_length, ret_shape, error);
	free(file);
	return status;
}

int bd_picture_list_size(const struct bd_picture_list *list, size_t index, struct bd_record_shape *ret_shape,
                         struct bd_error *error)
{
	if (!list->paths) {
		struct bd_pixels pixels = idx_pixels(list, index);
		*ret_shape = (struct bd_record_shape){ pixels.height, pixels.width, pixels.channels };
		return 0;
	}
	uint8_t *file = NULL;
	size_t length = 0;
	int status = bd_file_read_all(list->paths[index], BD_PICTURE_FILE_LIMIT_BYTES, &file, &length, error);
	if (status)
		return fault_of(status, bd_code_is_of_path(status), error);
	status = bd_picture_size(file, length, &ret_shape->height, &ret_shape->width, &ret_shape->channels, error);
	free(file);
	return status ? picture_error(list, index, status, error) : 0;
}
