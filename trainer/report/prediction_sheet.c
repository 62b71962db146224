#include "trainer/report/prediction_sheet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/yaml.h"
#include "common/image/picture.h"
#include "common/image/sheet.h"
#include "trainer/learning/metric.h"

#define CAPTION_BYTES 96

struct bd_prediction_sheet {
	const struct bd_answers *answers;
	bool has_pictures;
	struct bd_image_options options;
	size_t capacity, count;
	struct bd_pixels *pixels; /* (capacity) */
	char (*captions)[CAPTION_BYTES];
	int *marks;
};

static int read_options(const struct bd_schema *schema, struct bd_prediction_sheet *sheet, struct bd_error *error)
{
	for (size_t i = 0; i < schema->array_count; i++) {
		const struct bd_array_schema *array = &schema->arrays[i];
		struct bd_yaml *yaml = NULL;
		if (strcmp(array->name, "image") != 0 || !array->image)
			continue;
		int r = bd_yaml_load_text("image", array->image, strlen(array->image), &yaml, error);
		if (r == 0)
			r = bd_image_options_parse(bd_yaml_root(yaml), &sheet->options, error);
		bd_yaml_destroy(yaml);
		sheet->has_pictures = r == 0;
		return r;
	}
	return 0;
}

int bd_prediction_sheet_create(const struct bd_schema *schema, const struct bd_answers *answers, size_t capacity,
                               struct bd_prediction_sheet **ret_sheet, struct bd_error *error)
{
	struct bd_prediction_sheet *sheet = calloc(1, sizeof *sheet);
	if (!sheet)
		return bd_error_set(error, -ENOMEM, "no memory for a sheet of pictures");
	sheet->answers = answers;
	sheet->capacity = capacity;
	sheet->pixels = calloc(capacity, sizeof *sheet->pixels);
	sheet->captions = calloc(capacity, sizeof *sheet->captions);
	sheet->marks = calloc(capacity, sizeof *sheet->marks);
	int r = sheet->pixels && sheet->captions && sheet->marks
	                ? read_options(schema, sheet, error)
	                : bd_error_set(error, -ENOMEM, "no memory for a sheet of pictures");
	if (r < 0)
		bd_prediction_sheet_destroy(sheet);
	else
		*ret_sheet = sheet;
	return r;
}

void bd_prediction_sheet_destroy(struct bd_prediction_sheet *sheet)
{
	if (!sheet)
		return;
	for (size_t i = 0; i < sheet->count; i++)
		bd_pixels_finish(&sheet->pixels[i]);
	free(sheet->pixels);
	free(sheet->captions);
	free(sheet->marks);
	free(sheet);
}

size_t bd_prediction_sheet_count(const struct bd_prediction_sheet *sheet)
{
	return sheet->count;
}

bool bd_prediction_sheet_is_full(const struct bd_prediction_sheet *sheet)
{
	return !sheet->has_pictures || sheet->count == sheet->capacity;
}

/* The class that a row's target means; false where it has none. */
static bool find_truth(const struct bd_prediction_sheet *sheet, const struct bd_targets *targets, uint32_t row, size_t *ret_truth)
{
	if (targets->classes && targets->classes[row] >= 0) {
		*ret_truth = (size_t)targets->classes[row];
		return true;
	}
	if (targets->values) {
		*ret_truth = bd_predicted_class(targets->values + row * sheet->answers->width, sheet->answers->width, false);
		return true;
	}
	return false;
}

/* "cat 0.98, dog 0.77"; what does not fit is left out. */
static void write_several(const struct bd_prediction_sheet *sheet, const float *row, char *caption)
{
	char text[32];
	double probability;
	size_t length = (size_t)snprintf(caption, CAPTION_BYTES, "none");
	for (size_t i = 0, found = 0; i < sheet->answers->width; i++) {
		if (!bd_prediction_has(sheet->answers, row, i, &probability))
			continue;
		length = found++ ? length : 0;
		length += (size_t)snprintf(caption + length, CAPTION_BYTES - length, "%s%s %.2f", found > 1 ? ", " : "",
		                           bd_class_name(sheet->answers, i, text, sizeof text), probability);
		if (length >= CAPTION_BYTES)
			return;
	}
}

static void write_caption(struct bd_prediction_sheet *sheet, const struct bd_feed_batch *batch, uint32_t row,
                          const float *probabilities)
{
	char said[32], meant[32];
	char *caption = sheet->captions[sheet->count];
	size_t truth;
	if (sheet->answers->is_several) {
		write_several(sheet, probabilities, caption);
		return;
	}
	if (!sheet->answers->is_classifier) {
		snprintf(caption, CAPTION_BYTES, "%.4g", (double)probabilities[0]);
		return;
	}
	struct bd_prediction prediction = bd_prediction_of(sheet->answers, probabilities);
	const char *name = bd_class_name(sheet->answers, prediction.index, said, sizeof said);
	bool known = find_truth(sheet, &batch->targets, row, &truth);
	bool right = known && truth == prediction.index;
	sheet->marks[sheet->count] = !known ? BD_SHEET_PLAIN : right ? BD_SHEET_RIGHT : BD_SHEET_WRONG;
	if (known && !right)
		snprintf(caption, CAPTION_BYTES, "%s %.2f, not %s", name, prediction.probability,
		         bd_class_name(sheet->answers, truth, meant, sizeof meant));
	else
		snprintf(caption, CAPTION_BYTES, "%s %.2f", name, prediction.probability);
}

int bd_prediction_sheet_add(struct bd_prediction_sheet *sheet, const struct bd_feed_batch *batch, uint32_t row,
                            const float *probabilities, struct bd_error *error)
{
	if (bd_prediction_sheet_is_full(sheet) || batch->features)
		return 0;
	enum bd_dtype dtype = batch->input.dtype == BD_GRAPH_UINT8 ? BD_UINT8 : BD_FLOAT32;
	const char *pixels = (const char *)batch->input.data + row * batch->input.row_bytes;
	int r = bd_pixels_of_row(pixels, dtype, &sheet->options, &sheet->pixels[sheet->count], error);
	if (r < 0)
		return r;
	write_caption(sheet, batch, row, probabilities);
	sheet->count++;
	return 0;
}

int bd_prediction_sheet_write(const struct bd_prediction_sheet *sheet, const char *path, struct bd_error *error)
{
	if (sheet->count == 0)
		return bd_error_set(error, -ENODATA, "%s: there is no picture to show", path);
	struct bd_sheet_tile *tiles = calloc(sheet->count, sizeof *tiles);
	if (!tiles)
		return bd_error_set(error, -ENOMEM, "no memory for a sheet of %zu pictures", sheet->count);
	for (size_t i = 0; i < sheet->count; i++)
		tiles[i] = (struct bd_sheet_tile){ .pixels = &sheet->pixels[i],
			                           .caption = sheet->captions[i],
			                           .mark = sheet->marks[i] };
	int r = bd_sheet_write(path, true, tiles, sheet->count, 0, error);
	free(tiles);
	return r;
}
