#include "trainer/model/data_match.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/yaml.h"
#include "common/image/image_options.h"
#include "trainer/model/input_description.h"

#define ALLOW "; make the dataset file say the same, or give --allow-other-preprocessing"

struct bd_data_match {
	char *where;
	struct bd_yaml *yaml;
	char **classes;
	size_t class_count;
};

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory to compare data with the model's");
}

int bd_data_match_create(const char *where, const char *text, struct bd_data_match **ret_match, struct bd_error *error)
{
	struct bd_data_match *match = calloc(1, sizeof *match);
	if (!match)
		return no_memory(error);
	match->where = strdup(where);
	int r = match->where ? bd_yaml_load_text(where, text, strlen(text), &match->yaml, error) : no_memory(error);
	if (r == 0)
		r = bd_input_description_classes_of(bd_yaml_root(match->yaml), &match->classes, &match->class_count, error);
	if (r < 0) {
		bd_data_match_destroy(match);
		return r;
	}
	*ret_match = match;
	return 0;
}

void bd_data_match_destroy(struct bd_data_match *match)
{
	if (!match)
		return;
	bd_classes_free(match->classes, match->class_count);
	bd_yaml_destroy(match->yaml);
	free(match->where);
	free(match);
}

int bd_data_match_load(const char *folder, struct bd_data_match **ret_match, struct bd_error *error)
{
	char *path = bd_path_join(folder, BD_INPUT_DESCRIPTION_NAME);
	uint8_t *text = NULL;
	size_t length;
	if (!path)
		return no_memory(error);
	struct bd_data_match *match = NULL;
	int r = bd_file_read_all(path, BD_YAML_LIMIT_BYTES, &text, &length, error);
	if (r == 0)
		r = bd_data_match_create(path, (const char *)text, &match, error);
	else if (r == -ENOENT)
		r = 0;
	free(text);
	free(path);
	if (r == 0)
		*ret_match = match;
	return r;
}

const char *const *bd_data_match_classes(const struct bd_data_match *match, size_t *ret_count)
{
	*ret_count = match ? match->class_count : 0;
	return match ? (const char *const *)match->classes : NULL;
}

/* ---- preprocessing ---- */

static int differs(const struct bd_data_match *match, const char *dataset, const char *what, const char *is, const char *was,
                   struct bd_error *error)
{
	return bd_error_set(error, -EINVAL, "%s: %s is %s, and %s in %s, which the model was trained with" ALLOW, dataset, what, is,
	                    was, match->where);
}

static void format_mean(const struct bd_image_options *options, char *text, size_t size)
{
	const float *mean = options->mean;
	if (!options->has_mean)
		snprintf(text, size, "none");
	else if (options->channels == BD_CHANNELS_GREY)
		snprintf(text, size, "%g", (double)mean[0]);
	else
		snprintf(text, size, "[%g, %g, %g]", (double)mean[0], (double)mean[1], (double)mean[2]);
}

/* No mean is a mean of zeros. */
static bool same_mean(const struct bd_image_options *a, const struct bd_image_options *b)
{
	size_t count = a->channels == BD_CHANNELS_GREY ? 1 : 3;
	for (size_t i = 0; i < count; i++)
		if ((a->has_mean ? a->mean[i] : 0) != (b->has_mean ? b->mean[i] : 0))
			return false;
	return true;
}

static int compare_images(const struct bd_data_match *match, const char *dataset, const struct bd_image_options *is,
                          const struct bd_image_options *was, struct bd_error *error)
{
	char now[96], then[96];
	if (is->channels != was->channels)
		return differs(match, dataset, "channels", bd_channels_name(is->channels), bd_channels_name(was->channels), error);
	if (!same_mean(is, was)) {
		format_mean(is, now, sizeof now);
		format_mean(was, then, sizeof then);
		return differs(match, dataset, "mean", now, then, error);
	}
	if (is->scale != was->scale) {
		int digits = fabs((double)is->scale - (double)was->scale) > 1e-5 * fabs((double)was->scale) ? 6 : 9;
		snprintf(now, sizeof now, "%.*g", digits, (double)is->scale);
		snprintf(then, sizeof then, "%.*g", digits, (double)was->scale);
		return differs(match, dataset, "scale", now, then, error);
	}
	if (is->dtype != was->dtype)
		return differs(match, dataset, "dtype", is->dtype == BD_UINT8 ? "uint8" : "float32",
		               was->dtype == BD_UINT8 ? "uint8" : "float32", error);
	if (is->nchw != was->nchw)
		return differs(match, dataset, "layout", is->nchw ? "nchw" : "nhwc", was->nchw ? "nchw" : "nhwc", error);
	if (is->resize_height && was->resize_height && is->resize_method != was->resize_method)
		return differs(match, dataset, "the resize method", bd_resize_method_name(is->resize_method),
		               bd_resize_method_name(was->resize_method), error);
	return 0;
}

static const struct bd_yaml_node *find_image(const struct bd_data_match *match)
{
	const struct bd_yaml_node *root = bd_yaml_root(match->yaml);
	const struct bd_yaml_node *features = bd_yaml_kind(root) == BD_YAML_MAPPING ? bd_yaml_find(root, "features") : NULL;
	const struct bd_yaml_node *image = features && bd_yaml_kind(features) == BD_YAML_MAPPING ? bd_yaml_find(features, "image")
	                                                                                         : NULL;
	return image && bd_yaml_kind(image) == BD_YAML_MAPPING ? image : NULL;
}

bool bd_data_match_image(const struct bd_data_match *match, struct bd_image_options *ret_image)
{
	struct bd_error ignored;
	const struct bd_yaml_node *image = match ? find_image(match) : NULL;
	const struct bd_yaml_node *type = image ? bd_yaml_find(image, "type") : NULL;
	return type && bd_yaml_text(type) && strcmp(bd_yaml_text(type), "image") == 0 &&
	       bd_image_options_parse(image, ret_image, &ignored) == 0;
}

int bd_data_match_check(const struct bd_data_match *match, const char *dataset, const struct bd_schema *schema,
                        struct bd_error *error)
{
	const struct bd_yaml_node *was = find_image(match);
	const struct bd_yaml_node *type = was ? bd_yaml_find(was, "type") : NULL;
	const char *word = type ? bd_yaml_text(type) : NULL;
	size_t i = 0;
	while (i < schema->array_count && strcmp(schema->arrays[i].name, "image") != 0)
		i++;
	if (!word || i == schema->array_count)
		return 0;
	const struct bd_array_schema *array = &schema->arrays[i];
	bool was_image = strcmp(word, "image") == 0;
	if (was_image != (array->image != NULL))
		return differs(match, dataset, "the type of feature 'image'", array->image ? "image" : "float", word, error);
	if (!was_image)
		return 0;
	struct bd_image_options now = { 0 }, then = { 0 };
	struct bd_yaml *yaml = NULL;
	int r = bd_yaml_load_text(dataset, array->image, strlen(array->image), &yaml, error);
	if (r == 0)
		r = bd_image_options_parse(bd_yaml_root(yaml), &now, error);
	if (r == 0)
		r = bd_image_options_parse(was, &then, error);
	bd_yaml_destroy(yaml);
	return r < 0 ? r : compare_images(match, dataset, &now, &then, error);
}

/* ---- classes ---- */

static int refuse_class(const struct bd_data_match *match, const char *dataset, const char *class, struct bd_error *error)
{
	char known[256];
	size_t length = 0;
	for (size_t i = 0; i < match->class_count && length < sizeof known; i++)
		length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", match->classes[i]);
	return bd_error_set(
		error, -EINVAL,
		"%s: class '%s' is none of the model's (%s: %s%s); a model with more classes is another model: give another "
		"--model-dir",
		dataset, class, match->where, known, length >= sizeof known ? " ..." : "");
}

int bd_data_match_numbers(const struct bd_data_match *match, const char *dataset, const struct bd_schema *schema,
                          int64_t **ret_numbers, struct bd_error *error)
{
	bool same = true;
	if (schema->class_count == 0 || match->class_count == 0) {
		*ret_numbers = NULL;
		return 0;
	}
	int64_t *numbers = calloc(schema->class_count, sizeof *numbers);
	if (!numbers)
		return no_memory(error);
	for (size_t i = 0; i < schema->class_count; i++) {
		size_t number = 0;
		while (number < match->class_count && strcmp(match->classes[number], schema->classes[i]) != 0)
			number++;
		if (number == match->class_count) {
			free(numbers);
			return refuse_class(match, dataset, schema->classes[i], error);
		}
		numbers[i] = (int64_t)number;
		same = same && number == i;
	}
	if (same) {
		free(numbers);
		numbers = NULL;
	}
	*ret_numbers = numbers;
	return 0;
}
