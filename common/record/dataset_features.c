/* The mappings `features` and `sequence_features` of a dataset file. */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
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

/* ---- defaults ---- */

/* A float as YAML writes it: 1.5, .nan, -.inf */
static int get_float(const struct bd_yaml_node *node, float *ret_value, struct bd_error *error)
{
	static const struct {
		const char *word;
		float value;
	} words[] = { { ".nan", NAN },        { ".NaN", NAN },       { ".NAN", NAN },       { ".inf", INFINITY },
		      { ".Inf", INFINITY },   { ".INF", INFINITY },  { "+.inf", INFINITY }, { "-.inf", -INFINITY },
		      { "-.Inf", -INFINITY }, { "-.INF", -INFINITY } };
	const char *text = bd_yaml_text(node);
	double number = 0;
	for (size_t i = 0; text && bd_yaml_is_plain(node) && i < BD_COUNT_OF(words); i++) {
		if (!strcmp(text, words[i].word)) {
			*ret_value = words[i].value;
			return 0;
		}
	}
	int result = bd_yaml_get_double(node, "default", -FLT_MAX, FLT_MAX, &number, error);
	if (result == 0)
		*ret_value = (float)number;
	return result;
}

/* A string, also the empty one in quotes. */
static int get_string(const struct bd_yaml_node *node, char **ret_text, struct bd_error *error)
{
	const char *text = bd_yaml_text(node);
	if (!text || (!text[0] && bd_yaml_is_plain(node)))
		return bd_yaml_error(node, error, "'default' has no value; \"\" is the empty one");
	*ret_text = strdup(text);
	return *ret_text ? 0 : bd_error_set(error, -ENOMEM, "no memory for a default");
}

static int add_default(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	uint64_t at = feature->default_count;
	int result = 0;
	if (at == feature->elements)
		return bd_yaml_error(node, error, "'default' has more values than the shape's %" PRIu64, feature->elements);
	if (feature->type == BD_FEATURE_INT64)
		result = bd_yaml_get_i64(node, "default", INT64_MIN, INT64_MAX, &feature->default_integers[at], error);
	else if (feature->type == BD_FEATURE_FLOAT)
		result = get_float(node, &feature->default_floats[at], error);
	else
		result = get_string(node, &feature->default_texts[at], error);
	if (result == 0)
		feature->default_count++;
	return result;
}

/* Lists in lists are as deep and as long as the shape says; one flat list is taken in C order, as TensorFlow does. */
static int add_defaults(const struct bd_yaml_node *list, struct bd_feature *feature, uint32_t depth, struct bd_error *error)
{
	size_t count = bd_yaml_count(list);
	bool nested = count && bd_yaml_kind(bd_yaml_item(list, 0)) == BD_YAML_SEQUENCE;
	bool fits = depth < feature->rank && count == (uint64_t)feature->shape[depth];
	if ((nested || depth) && (!fits || nested != (depth + 1 < feature->rank)))
		return bd_yaml_error(list, error, "the lists of 'default' are not those of its shape");
	for (size_t i = 0; i < count; i++) {
		const struct bd_yaml_node *item = bd_yaml_item(list, i);
		int result = nested && bd_yaml_kind(item) == BD_YAML_SEQUENCE ? add_defaults(item, feature, depth + 1, error)
		                                                              : add_default(item, feature, error);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Scalars below the node. */
static uint64_t count_scalars(const struct bd_yaml_node *node)
{
	uint64_t sum = 0;
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return 1;
	for (size_t i = 0; i < bd_yaml_count(node); i++)
		sum += count_scalars(bd_yaml_item(node, i));
	return sum;
}

static int reserve_defaults(struct bd_feature *feature, uint64_t count, struct bd_error *error)
{
	void *room = NULL;
	if (feature->type == BD_FEATURE_INT64)
		room = feature->default_integers = calloc(count + 1, sizeof(int64_t));
	else if (feature->type == BD_FEATURE_FLOAT)
		room = feature->default_floats = calloc(count + 1, sizeof(float));
	else
		room = feature->default_texts = calloc(count + 1, sizeof(char *));
	return room ? 0 : bd_error_set(error, -ENOMEM, "no memory for a default");
}

static int parse_default(const struct bd_yaml_node *node, struct bd_feature *feature, struct bd_error *error)
{
	int result = reserve_defaults(feature, count_scalars(node), error);
	if (result < 0)
		return result;
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return add_default(node, feature, error);
	result = add_defaults(node, feature, 0, error);
	if (result == 0 && feature->default_count != feature->elements)
		return bd_yaml_error(node, error, "'default' has %" PRIu64 " values, its shape %" PRIu64, feature->default_count,
		                     feature->elements);
	return result;
}

uint64_t bd_feature_default_bytes(const struct bd_feature *feature)
{
	uint64_t bytes = 0;
	for (uint64_t i = 0; feature->default_texts && i < feature->default_count; i++)
		bytes += strlen(feature->default_texts[i]);
	return feature->default_count == 1 ? bytes * feature->elements : bytes;
}

/* ---- a feature ---- */

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
