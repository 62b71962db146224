#include "tools/tfrecord/dataset_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/image/image_options.h"

/* A JSON string is a YAML string, whatever is in it. */
static int print_text(FILE *stream, const char *text, struct bd_error *error)
{
	char *quoted = bd_json_dump(bd_json_text(text, strlen(text)), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	if (!quoted)
		return bd_error_set(error, -ENOMEM, "no memory");
	fputs(quoted, stream);
	free(quoted);
	return 0;
}

static const char *encoding_word(enum bd_record_encoding encoding)
{
	static const char *const words[] = {
		[BD_RECORD_RAW] = "raw", [BD_RECORD_JPEG] = "jpeg", [BD_RECORD_PNG] = "png", [BD_RECORD_KEEP] = "auto"
	};
	return words[encoding];
}

static int print_features(const struct bd_dataset_text *text, FILE *stream, struct bd_error *error)
{
	fputs("features:\n  ", stream);
	int status = print_text(stream, text->record->image_key, error);
	if (status)
		return status;
	fprintf(stream, ":\n    type: image\n    encoding: %s\n", encoding_word(text->record->encoding));
	if (text->shape.height)
		fprintf(stream, "    shape: [%u, %u, %u]    # height, width, channels\n", text->shape.height, text->shape.width,
		        text->shape.channels);
	else
		fprintf(stream,
		        "    resize: {height: %u, width: %u, method: bilinear}    # the pictures are of mixed sizes: set the size "
		        "that the model takes\n",
		        BD_CONVERT_DEFAULT_SIDE_PX, BD_CONVERT_DEFAULT_SIDE_PX);
	if (text->record->height)
		fprintf(stream, "    converted: {height: %u, width: %u, filter: %s}    # how the pictures got this size\n",
		        text->record->height, text->record->width, bd_pil_filter_name(text->record->filter));
	fprintf(stream, "    channels: %s\n    dtype: float32\n", text->channels);
	if (text->mean)
		fprintf(stream, "    mean: [%s]    # subtracted, in the order red, green, blue\n", text->mean);
	if (text->scale != 1)
		fprintf(stream, "    scale: %.17g\n", text->scale);
	fputs("  ", stream);
	status = print_text(stream, text->record->label_key, error);
	fputs(": {type: int64}\n", stream);
	return status;
}

int bd_dataset_text_write(const struct bd_dataset_text *text, FILE *stream, struct bd_error *error)
{
	char glob[64];
	snprintf(glob, sizeof glob, "-*-of-%05" PRIu32 ".tfrecord", text->shards);
	size_t room = strlen(text->name) + sizeof glob;
	char *pattern = malloc(room);
	if (!pattern)
		return bd_error_set(error, -ENOMEM, "no memory");
	snprintf(pattern, room, "%s%s", text->name, glob);
	fprintf(stream, "# %" PRIu64 " records in %" PRIu32 " shards, written by tfrecord convert\nshards: ", text->records,
	        text->shards);
	int status = print_text(stream, pattern, error);
	free(pattern);
	fputs("\ncompression: auto\n", stream);
	if (!status)
		status = print_features(text, stream, error);
	fputs("classes: [", stream);
	for (size_t i = 0; !status && i < text->list->class_count; i++) {
		fputs(i ? ", " : "", stream);
		status = print_text(stream, text->list->classes[i], error);
	}
	fputs("]\n", stream);
	if (!status && (fflush(stream) != 0 || ferror(stream)))
		status = bd_error_set(error, -EIO, "cannot write the dataset file: %s", strerror(errno));
	return status;
}
