#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "common/base/yaml.h"
#include "common/image/picture.h"
#include "common/image/sheet.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/npy.h"
#include "tools/batchctl/target.h"

/* A sheet for a person: more pictures are no preview. */
#define MAX_SIDE 100
#define CAPTION_BYTES 64

struct preview {
	struct bd_target target;
	struct bd_stream_spec spec;
	const char *output;
	uint64_t rows, columns;
	bool force, json, quiet;
};

/* The picture's options as numbers again: what was done to the pixels and has to be undone. */
static int options_of(const struct bd_array_schema *array, struct bd_image_options *ret_options, struct bd_error *error)
{
	struct bd_yaml *yaml;
	int result = bd_yaml_load_text(array->name, array->image, strlen(array->image), &yaml, error);
	if (result < 0)
		return result;
	result = bd_image_options_parse(bd_yaml_root(yaml), ret_options, error);
	bd_yaml_destroy(yaml);
	return result;
}

static size_t find_picture(const struct bd_schema *schema)
{
	size_t i = 0;
	while (i < schema->array_count && !schema->arrays[i].image)
		i++;
	return i;
}

static bool is_label(const struct bd_array *array, uint32_t rows)
{
	return array->dtype == BD_INT64 && array->rank == 1 && array->shape[0] == (int64_t)rows;
}

/* The array "label", else the first whole number of each row; NULL: none. */
static const int64_t *find_labels(const struct bd_batch *batch)
{
	const int64_t *first = NULL;
	for (size_t i = 0; i < batch->array_count; i++) {
		const struct bd_array *array = &batch->arrays[i];
		if (!is_label(array, batch->rows))
			continue;
		if (strcmp(array->name, "label") == 0)
			return array->data;
		if (!first)
			first = array->data;
	}
	return first;
}

static void make_caption(const struct bd_schema *schema, const int64_t *labels, const struct bd_batch *batch, uint32_t row,
                         char ret_caption[CAPTION_BYTES])
{
	if (!labels)
		snprintf(ret_caption, CAPTION_BYTES, "record %" PRIu64, batch->records[row]);
	else if (labels[row] >= 0 && (uint64_t)labels[row] < schema->class_count)
		snprintf(ret_caption, CAPTION_BYTES, "%s", schema->classes[labels[row]]);
	else
		snprintf(ret_caption, CAPTION_BYTES, "%" PRId64, labels[row]);
}

/* All tiles of one batch, and what they point at. */
struct tiles {
	struct bd_pixels *pixels;
	struct bd_sheet_tile *tiles;
	char (*captions)[CAPTION_BYTES];
	uint32_t count;
};

static void tiles_finish(struct tiles *tiles)
{
	for (uint32_t i = 0; i < tiles->count; i++)
		bd_pixels_finish(&tiles->pixels[i]);
	free(tiles->pixels);
	free(tiles->tiles);
	free(tiles->captions);
}

static int make_tiles(const struct bd_schema *schema, size_t picture, const struct bd_batch *batch, struct tiles *tiles,
                      struct bd_error *error)
{
	const struct bd_array *array = &batch->arrays[picture];
	const int64_t *labels = find_labels(batch);
	struct bd_image_options options;
	int result = options_of(&schema->arrays[picture], &options, error);
	if (result < 0 || batch->rows == 0)
		return result;
	tiles->pixels = calloc(batch->rows, sizeof *tiles->pixels);
	tiles->tiles = calloc(batch->rows, sizeof *tiles->tiles);
	tiles->captions = calloc(batch->rows, sizeof *tiles->captions);
	if (!tiles->pixels || !tiles->tiles || !tiles->captions)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (uint32_t row = 0; result == 0 && row < batch->rows; row++) {
		const uint8_t *data = (const uint8_t *)array->data + row * (size_t)array->strides_bytes[0];
		result = bd_pixels_of_row(data, array->dtype, &options, &tiles->pixels[row], error);
		if (result < 0)
			break;
		make_caption(schema, labels, batch, row, tiles->captions[row]);
		tiles->tiles[row] = (struct bd_sheet_tile){ .pixels = &tiles->pixels[row], .caption = tiles->captions[row] };
		tiles->count++;
	}
	return result;
}

static int write_sheet(const struct preview *preview, struct bd_stream *stream, struct bd_error *error)
{
	const struct bd_schema *schema = bd_stream_schema(stream);
	size_t picture = find_picture(schema);
	struct tiles tiles = { .count = 0 };
	struct bd_batch batch;
	if (picture == schema->array_count)
		return bd_error_set(error, -EINVAL, "the dataset has no feature of type image");
	int result = bd_stream_next(stream, -1, &batch, error);
	if (result == -ENODATA)
		return bd_error_set(error, result, "the dataset has no records from there on");
	if (result < 0)
		return result;
	result = make_tiles(schema, picture, &batch, &tiles, error);
	if (result == 0 && tiles.count == 0)
		result = bd_error_set(error, -ENODATA, "no picture of the batch could be decoded");
	if (result == 0)
		result = bd_sheet_write(preview->output, preview->force, tiles.tiles, tiles.count, (uint32_t)preview->columns,
		                        error);
	if (result == 0 && preview->json)
		result = bd_json_print_line(stdout, json_pack("{s:s, s:i}", "file", preview->output, "pictures", (int)tiles.count),
		                            error);
	else if (result == 0) /* not into the sheet */
		fprintf(strcmp(preview->output, "-") ? stdout : stderr, "%s: %u pictures\n", preview->output, tiles.count);
	tiles_finish(&tiles);
	bd_stream_release(stream, &batch);
	return result;
}

static int check(void *context, struct bd_error *error)
{
	struct preview *preview = context;
	preview->spec.batch = (uint32_t)(preview->rows * preview->columns);
	return preview->output ? 0 : bd_error_set(error, -EINVAL, "--output FILE.png is needed");
}

static int run(void *context, const struct bd_arguments *arguments, struct bd_error *error)
{
	struct preview *preview = context;
	struct bd_stream *stream = NULL;
	preview->json = arguments->json;
	preview->quiet = arguments->quiet;
	int result = bd_target_open(&preview->target, arguments->words[0], &preview->spec, preview->quiet, &stream, error);
	if (result == 0)
		result = write_sheet(preview, stream, error);
	bd_target_close(&preview->target, stream);
	return result;
}

int bd_command_preview(int argc, char **argv)
{
	struct preview preview = { .rows = 4, .columns = 8 };
	const struct bd_option own[] = {
		{ .name = "output",
		  .kind = BD_OPTION_TEXT,
		  .value = &preview.output,
		  .argument = "FILE.png",
		  .help = "the sheet (needed)" },
		{ .name = "rows",
		  .kind = BD_OPTION_U64,
		  .value = &preview.rows,
		  .argument = "N",
		  .help = "of pictures (4)",
		  .minimum = 1,
		  .maximum = MAX_SIDE },
		{ .name = "columns",
		  .kind = BD_OPTION_U64,
		  .value = &preview.columns,
		  .argument = "N",
		  .help = "of pictures (8)",
		  .minimum = 1,
		  .maximum = MAX_SIDE },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &preview.force, .help = "replace a file that is there" },
	};
	struct bd_stream_command command = {
		.command = {
			.program = BD_BATCHCTL,
			.name = "preview",
			.usage = "DATASET --output sheet.png [options]",
			.summary = "A contact sheet of decoded pictures with their labels, as a trainer would get them.",
			.groups = { { .options = own, .count = BD_COUNT_OF(own) } },
			.minimum_words = 1,
			.maximum_words = 1,
		},
		.target = &preview.target,
		.spec = &preview.spec,
		.without = (const char *const[]){ "batch", NULL },
		.check = check,
		.run = run,
		.context = &preview,
	};
	bd_stream_spec_init(&preview.spec);
	preview.spec.slots = BD_MIN_SLOTS;
	return bd_stream_command_run(&command, argc, argv);
}
