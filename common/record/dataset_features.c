/* The mappings `features` and `sequence_features` of a dataset file. */
#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/units.h"
#include "common/record/dataset_parts.h"

static const char *const type_names[] = { "image", "int64", "float", "bytes", NULL };

static int parse_shape(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || bd_yaml_count(node) > BD_DATASET_MAX_RANK)
		return bd_yaml_error(node, error, "'shape' is a list of at most %d numbers: [4] or [2, 3]; [] for a single value",
		                     BD_DATASET_MAX_RANK);
	feature->rank = (uint32_t)bd_yaml_count(node);
	for (uint32_t i = 0; i < feature->rank; i++) {
		uint64_t size;
		int result = bd_yaml_get_u64(bd_yaml_item(node, i), "shape", 1, BD_DATASET_MAX_ELEMENTS, &size, error);
		if (result < 0)
			return result;
		feature->shape[i] = (int64_t)size;
		if (!bd_multiply_u64(feature->elements, size, &feature->elements) || feature->elements > BD_DATASET_MAX_ELEMENTS)
			return bd_yaml_error(node, error, "a shape of more than %u values", BD_DATASET_MAX_ELEMENTS);
	}
	return 0;
}

static int parse_default(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	const char *text;
	double number;
	int result = 0;
	feature->has_default = true;
	switch (feature->type) {
	case BD_FEATURE_INT64:
		return bd_yaml_get_i64(node, "default", INT64_MIN, INT64_MAX, &feature->default_int64, error);
	case BD_FEATURE_FLOAT:
		result = bd_yaml_get_double(node, "default", -FLT_MAX, FLT_MAX, &number, error);
		if (result == 0)
			feature->default_float = (float)number;
		return result;
	case BD_FEATURE_BYTES:
		result = bd_yaml_get_text(node, "default", &text, error);
		if (result < 0)
			return result;
		feature->default_bytes = strdup(text);
		feature->default_bytes_length = strlen(text);
		return feature->default_bytes ? 0 : bd_error_set(error, -ENOMEM, "no memory for a default");
	case BD_FEATURE_IMAGE:
		break;
	}
	return bd_yaml_error(node, error, "an image has no default");
}

/* int64, float, bytes */
static int parse_values(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	static const char *const keys[] = { "type", "shape", "default", "varlen", NULL };
	const struct bd_yaml_node *shape = bd_yaml_find(node, "shape"), *given = bd_yaml_find(node, "default");
	const struct bd_yaml_node *varlen = bd_yaml_find(node, "varlen");
	int result = bd_yaml_check_keys(node, "a feature of numbers or bytes", keys, error);
	if (result < 0)
		return result;
	feature->elements = 1;
	if (varlen && (result = bd_yaml_get_bool(varlen, "varlen", &feature->varlen, error)) < 0)
		return result;
	if (feature->varlen && shape)
		return bd_yaml_error(shape, error, "'shape' and 'varlen: true' exclude each other");
	if (feature->varlen && given)
		return bd_yaml_error(given, error,
		                     "'default' and 'varlen: true' exclude each other: an absent key gives no values");
	if (feature->sequence && given)
		return bd_yaml_error(given, error, "a sequence feature has no default: an absent list gives no steps");
	if (shape && (result = parse_shape(shape, feature, error)) < 0)
		return result;
	return given ? parse_default(given, feature, error) : 0;
}

static int parse_image(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	if (feature->sequence)
		return bd_yaml_error(node, error, "a sequence feature is int64, float or bytes, not an image");
	int result = bd_image_options_parse(node, &feature->image, error);
	if (result < 0)
		return result;
	/* pictures of any size pass here: preview and predict may resize them by themselves */
	if (bd_image_output_shape(&feature->image, feature->shape, NULL) == 0) {
		feature->rank = 3;
		feature->elements = (uint64_t)(feature->shape[0] * feature->shape[1] * feature->shape[2]);
	}
	return 0;
}

/* Where a key of `node` looks like 'type', the error names it. */
static bool is_type_misspelt(const struct bd_yaml_node *node, struct bd_error *error)
{
	static const char *const keys[] = { "type", NULL };
	for (size_t i = 0; i < bd_yaml_count(node); i++)
		if (bd_nearest_word(bd_yaml_key(node, i), keys)) {
			bd_yaml_error(bd_yaml_value(node, i), error, "unknown key '%s' in a feature; did you mean 'type'?",
			              bd_yaml_key(node, i));
			return true;
		}
	return false;
}

static int parse_feature(const char *name, const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_MAPPING)
		return bd_yaml_error(node, error, "feature '%s' is a mapping: {type: int64}", name);
	const struct bd_yaml_node *type = bd_yaml_find(node, "type");
	if (!type && is_type_misspelt(node, error))
		return -EINVAL;
	if (!type)
		return bd_yaml_error(node, error, "feature '%s' has no 'type': image, int64, float or bytes", name);
	int choice, result = bd_yaml_get_choice(type, "type", type_names, &choice, error);
	if (result < 0)
		return result;
	feature->type = (enum bd_feature_type)choice;
	feature->name = strdup(name);
	feature->name_length = strlen(name);
	if (!feature->name)
		return bd_error_set(error, -ENOMEM, "no memory for a feature");
	return feature->type == BD_FEATURE_IMAGE ? parse_image(node, feature, error) : parse_values(node, feature, error);
}

static int parse_mapping(const struct bd_yaml_node *mapping, bool sequence, struct bd_dataset *dataset, struct bd_error *error)
{
	if (!mapping)
		return 0;
	if (bd_yaml_kind(mapping) != BD_YAML_MAPPING)
		return bd_yaml_error(mapping, error, "'%s' is a mapping from a feature's name to what it is",
		                     sequence ? "sequence_features" : "features");
	for (size_t i = 0; i < bd_yaml_count(mapping); i++) {
		struct bd_feature *feature = &dataset->features[dataset->feature_count++];
		feature->sequence = sequence;
		int result = parse_feature(bd_yaml_key(mapping, i), bd_yaml_value(mapping, i), feature, error);
		if (result < 0)
			return result;
	}
	return 0;
}

/* An image folder has nothing but pictures and their classes, a list of pictures not even these. */
static int check_source(const struct bd_yaml_node *mapping, const struct bd_dataset *dataset, struct bd_error *error)
{
	for (size_t i = 0; dataset->source != BD_SOURCE_TFRECORD && i < dataset->feature_count; i++) {
		const struct bd_feature *feature = &dataset->features[i];
		bool label = feature->type == BD_FEATURE_INT64 && !strcmp(feature->name, "label") && !feature->rank &&
		             !feature->varlen;
		if (feature->sequence || (feature->type != BD_FEATURE_IMAGE && !(label && dataset->source == BD_SOURCE_FOLDER)))
			return bd_yaml_error(mapping, error, "%s has no feature '%s'; it has %s",
			                     dataset->source == BD_SOURCE_FOLDER ? "an image folder" : "a list of pictures",
			                     feature->name,
			                     dataset->source == BD_SOURCE_FOLDER ? "images and 'label: {type: int64}'" : "images");
	}
	return 0;
}

int bd_dataset_parse_features(const struct bd_yaml_node *features, const struct bd_yaml_node *sequence_features,
                              struct bd_dataset *dataset, struct bd_error *error)
{
	const struct bd_yaml_node *any = features ? features : sequence_features;
	size_t count = (features ? bd_yaml_count(features) : 0) + (sequence_features ? bd_yaml_count(sequence_features) : 0);
	if (!count)
		return bd_yaml_error(any, error, "no feature is named: nothing would be read");
	if (count > BD_DATASET_MAX_FEATURES)
		return bd_yaml_error(any, error, "more than %u features", BD_DATASET_MAX_FEATURES);
	dataset->features = calloc(count, sizeof *dataset->features);
	if (!dataset->features)
		return bd_error_set(error, -ENOMEM, "no memory for %zu features", count);
	int result = parse_mapping(features, false, dataset, error);
	if (result == 0)
		result = parse_mapping(sequence_features, true, dataset, error);
	return result < 0 ? result : check_source(any, dataset, error);
}
