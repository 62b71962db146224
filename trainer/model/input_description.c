#include "trainer/model/input_description.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/yaml.h"
#include "trainer/model/keep_text.h"

/* What `tfrecord convert` uses when nobody says otherwise is Pillow's bicubic: this is the nearest in a dataset file. */
#define DEFAULT_METHOD "bicubic_antialias"

/* ---- YAML out ---- */

static bool is_plain_word(const char *text)
{
	if (!isalnum((unsigned char)*text) && *text != '.' && *text != '-')
		return false;
	for (; *text; text++) {
		if (!isalnum((unsigned char)*text) && !strchr("_.+-/", *text))
			return false;
	}
	return true;
}

static void emit_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

/* In flow style, on one line. A scalar that was plain stays plain where it can. */
static void emit_node(FILE *out, const struct bd_yaml_node *node)
{
	switch (bd_yaml_kind(node)) {
	case BD_YAML_SCALAR:
		if (bd_yaml_is_plain(node) && is_plain_word(bd_yaml_text(node)))
			fputs(bd_yaml_text(node), out);
		else
			emit_text(out, bd_yaml_text(node));
		break;
	case BD_YAML_SEQUENCE:
		fputc('[', out);
		for (size_t i = 0; i < bd_yaml_count(node); i++) {
			fputs(i ? ", " : "", out);
			emit_node(out, bd_yaml_item(node, i));
		}
		fputc(']', out);
		break;
	case BD_YAML_MAPPING:
		fputc('{', out);
		for (size_t i = 0; i < bd_yaml_count(node); i++) {
			fputs(i ? ", " : "", out);
			emit_text(out, bd_yaml_key(node, i));
			fputs(": ", out);
			emit_node(out, bd_yaml_value(node, i));
		}
		fputc('}', out);
		break;
	}
}

static int find_features(const struct bd_yaml *yaml, const struct bd_yaml_node **ret_features, struct bd_error *error)
{
	const struct bd_yaml_node *root = bd_yaml_root(yaml);
	if (bd_yaml_kind(root) != BD_YAML_MAPPING)
		return bd_yaml_error(root, error, "a dataset file is a mapping");
	const struct bd_yaml_node *features = bd_yaml_find(root, "features");
	if (features && bd_yaml_kind(features) != BD_YAML_MAPPING)
		return bd_yaml_error(features, error, "features is a mapping");
	*ret_features = features;
	return 0;
}

/* ---- data.yaml ---- */

static void emit_feature(FILE *out, const struct bd_array_schema *array, const struct bd_yaml *yaml)
{
	const struct bd_yaml_node *root = yaml ? bd_yaml_root(yaml) : NULL;
	fputs("  ", out);
	emit_text(out, array->name);
	fprintf(out, ": {type: %s",
	        root                         ? "image"
	        : array->dtype == BD_INT64   ? "int64"
	        : array->dtype == BD_FLOAT32 ? "float"
	                                     : "bytes");
	for (size_t i = 0; root && bd_yaml_kind(root) == BD_YAML_MAPPING && i < bd_yaml_count(root); i++) {
		if (strcmp(bd_yaml_key(root, i), "type") == 0)
			continue;
		fputs(", ", out);
		emit_text(out, bd_yaml_key(root, i));
		fputs(": ", out);
		emit_node(out, bd_yaml_value(root, i));
	}
	fputs("}\n", out);
}

static int emit_features(FILE *out, const struct bd_schema *schema, struct bd_error *error)
{
	fputs("# How this model's training data became its input; predict reads new pictures in the same way.\nfeatures:\n", out);
	for (size_t i = 0; i < schema->array_count; i++) {
		const struct bd_array_schema *array = &schema->arrays[i];
		struct bd_yaml *yaml = NULL;
		int r = array->image ? bd_yaml_load_text(array->name, array->image, strlen(array->image), &yaml, error) : 0;
		if (r < 0)
			return r;
		emit_feature(out, array, yaml);
		bd_yaml_destroy(yaml);
	}
	return 0;
}

static void emit_classes(FILE *out, const char *const *classes, size_t count)
{
	if (count == 0)
		return;
	fputs("classes: [", out);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ", " : "", out);
		emit_text(out, classes[i]);
	}
	fputs("]\n", out);
}

int bd_input_description_of(const struct bd_schema *schema, const char *const *classes, size_t class_count, char **ret_text,
                            struct bd_error *error)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	int r = out ? emit_features(out, schema, error) : bd_error_set(error, -ENOMEM, "no memory for the input's description");
	if (r == 0)
		emit_classes(out, classes, class_count);
	if (out && fclose(out) != 0 && r == 0)
		r = bd_error_set(error, -ENOMEM, "no memory for the input's description");
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	return 0;
}

int bd_input_description_save(const char *text, const char *folder, struct bd_error *error)
{
	char *path = bd_path_join(folder, BD_INPUT_DESCRIPTION_NAME);
	int r = path ? bd_keep_text(path, text, strlen(text), error) : bd_error_set(error, -ENOMEM, "no memory for a path");
	free(path);
	return r;
}

/* ---- a dataset of files ---- */

static bool is_replaced(const char *key)
{
	static const char *const keys[] = { "type", "encoding", "decode", "shape", "resize", "crop", "flip" };
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (strcmp(key, keys[i]) == 0)
			return true;
	}
	return false;
}

static void emit_method(FILE *out, const struct bd_yaml_node *image)
{
	const struct bd_yaml_node *resize = image ? bd_yaml_find(image, "resize") : NULL;
	const struct bd_yaml_node *method = resize && bd_yaml_kind(resize) == BD_YAML_MAPPING ? bd_yaml_find(resize, "method")
	                                                                                      : NULL;
	if (method)
		emit_node(out, method);
	else if (resize)
		fputs("bilinear", out);
	else
		fputs(DEFAULT_METHOD, out);
}

/* crop: center belongs to the picture, a random box to training. */
static void emit_crop(FILE *out, const struct bd_yaml_node *image)
{
	const struct bd_yaml_node *crop = image ? bd_yaml_find(image, "crop") : NULL;
	const struct bd_yaml_node *kind = crop && bd_yaml_kind(crop) == BD_YAML_MAPPING ? bd_yaml_find(crop, "kind") : crop;
	if (kind && bd_yaml_text(kind) && strcmp(bd_yaml_text(kind), "center") == 0)
		fputs(", crop: {kind: center}", out);
}

static void emit_image(FILE *out, const struct bd_yaml_node *image, uint32_t height, uint32_t width, uint32_t channels)
{
	fprintf(out, "features:\n  image: {type: image, encoding: auto, resize: {height: %" PRIu32 ", width: %" PRIu32 ", method: ",
	        height, width);
	emit_method(out, image);
	fputc('}', out);
	emit_crop(out, image);
	bool has_channels = false;
	for (size_t i = 0; image && i < bd_yaml_count(image); i++) {
		const char *key = bd_yaml_key(image, i);
		if (is_replaced(key))
			continue;
		has_channels = has_channels || strcmp(key, "channels") == 0;
		fprintf(out, ", %s: ", key);
		emit_node(out, bd_yaml_value(image, i));
	}
	if (!has_channels && channels == 1)
		fputs(", channels: grey", out);
	fputs("}\n", out);
}

static int find_image(const struct bd_yaml *yaml, const struct bd_yaml_node **ret_image, struct bd_error *error)
{
	const struct bd_yaml_node *features = NULL;
	int r = find_features(yaml, &features, error);
	if (r < 0)
		return r;
	const struct bd_yaml_node *image = features ? bd_yaml_find(features, "image") : NULL;
	if (!image)
		return bd_yaml_error(bd_yaml_root(yaml), error, "there is no feature 'image' that pictures could become");
	const struct bd_yaml_node *type = bd_yaml_kind(image) == BD_YAML_MAPPING ? bd_yaml_find(image, "type") : NULL;
	if (!type || !bd_yaml_text(type) || strcmp(bd_yaml_text(type), "image") != 0)
		return bd_yaml_error(image, error,
		                     "the model's input is no picture: it cannot be predicted from image files, only from --data");
	*ret_image = image;
	return 0;
}

int bd_input_description_files(const char *path, const char *const *files, size_t file_count, uint32_t height, uint32_t width,
                               uint32_t channels, char **ret_text, struct bd_error *error)
{
	struct bd_yaml *yaml = NULL;
	const struct bd_yaml_node *image = NULL;
	int r = path ? bd_yaml_load_file(path, &yaml, error) : 0;
	if (r == 0 && path)
		r = find_image(yaml, &image, error);
	if (r < 0) {
		bd_yaml_destroy(yaml);
		return r;
	}
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	if (out) {
		fputs("shards: {files: [", out);
		for (size_t i = 0; i < file_count; i++) {
			fputs(i ? ",\n  " : "", out);
			emit_text(out, files[i]);
		}
		/* A picture that cannot be read is told and left out; the others are answered. */
		fputs("]}\non_error: skip\nskip_limit: 1.0\n", out);
		emit_image(out, image, height, width, channels);
	}
	bd_yaml_destroy(yaml);
	if (!out || fclose(out) != 0) {
		free(text);
		return bd_error_set(error, -ENOMEM, "no memory for a list of %zu files", file_count);
	}
	*ret_text = text;
	return 0;
}

/* ---- classes ---- */

void bd_classes_free(char **classes, size_t count)
{
	for (size_t i = 0; classes && i < count; i++)
		free(classes[i]);
	free(classes);
}

static int copy_classes(const struct bd_yaml_node *node, char ***ret_classes, size_t *ret_count, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return bd_yaml_error(node, error, "classes is a list of names");
	size_t count = bd_yaml_count(node);
	char **classes = calloc(count + 1, sizeof *classes);
	bool complete = classes;
	for (size_t i = 0; complete && i < count; i++) {
		const char *name = bd_yaml_text(bd_yaml_item(node, i));
		classes[i] = strdup(name ? name : "?");
		complete = classes[i];
	}
	if (!complete) {
		bd_classes_free(classes, count);
		return bd_error_set(error, -ENOMEM, "no memory for %zu class names", count);
	}
	*ret_classes = classes;
	*ret_count = count;
	return 0;
}

int bd_input_description_classes_of(const struct bd_yaml_node *root, char ***ret_classes, size_t *ret_count, struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_yaml_kind(root) == BD_YAML_MAPPING ? bd_yaml_find(root, "classes") : NULL;
	if (node)
		return copy_classes(node, ret_classes, ret_count, error);
	*ret_classes = NULL;
	*ret_count = 0;
	return 0;
}

int bd_input_description_classes(const char *path, char ***ret_classes, size_t *ret_count, struct bd_error *error)
{
	struct bd_yaml *yaml = NULL;
	int r = bd_yaml_load_file(path, &yaml, error);
	if (r == 0)
		r = bd_input_description_classes_of(bd_yaml_root(yaml), ret_classes, ret_count, error);
	bd_yaml_destroy(yaml);
	return r;
}
