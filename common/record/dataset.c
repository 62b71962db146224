#include "common/record/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/record/dataset_parts.h"

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the dataset file");
}

static int parse_classes(const struct bd_yaml_node *node, struct bd_dataset *dataset, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return bd_yaml_error(node, error, "'classes' is a list of names: [cats, dogs]");
	size_t count = bd_yaml_count(node);
	if (count > BD_DATASET_MAX_CLASSES)
		return bd_yaml_error(node, error, "more than %u classes", BD_DATASET_MAX_CLASSES);
	dataset->classes = calloc(count ? count : 1, sizeof *dataset->classes);
	if (!dataset->classes)
		return no_memory(error);
	for (size_t i = 0; i < count; i++) {
		const char *name;
		int result = bd_yaml_get_text(bd_yaml_item(node, i), "classes", &name, error);
		if (result < 0)
			return result;
		dataset->classes[i] = strdup(name);
		if (!dataset->classes[i])
			return no_memory(error);
		dataset->class_count = i + 1;
	}
	return 0;
}

static int parse_options(const struct bd_yaml_node *root, struct bd_dataset *dataset, struct bd_error *error)
{
	static const char *const on_error_names[] = { "fail", "skip", NULL };
	const struct bd_yaml_node *node;
	int choice, result = 0;
	if ((node = bd_yaml_find(root, "compression"))) {
		result = bd_yaml_get_choice(node, "compression", bd_compression_names, &choice, error);
		if (result < 0)
			return result;
		dataset->compression = (enum bd_compression)choice;
	}
	if ((node = bd_yaml_find(root, "on_error"))) {
		result = bd_yaml_get_choice(node, "on_error", on_error_names, &choice, error);
		if (result < 0)
			return result;
		dataset->on_error = (enum bd_on_error)choice;
	}
	if ((node = bd_yaml_find(root, "skip_limit")))
		result = bd_yaml_get_double(node, "skip_limit", 0, 1, &dataset->skip_limit, error);
	if (result == 0 && (node = bd_yaml_find(root, "partial")))
		result = bd_yaml_get_bool(node, "partial", &dataset->partial, error);
	if (result == 0 && (node = bd_yaml_find(root, "classes")))
		result = parse_classes(node, dataset, error);
	return result;
}

/* A key that would do nothing is a misunderstanding. */
static int check_effects(const struct bd_yaml_node *root, const struct bd_dataset *dataset, struct bd_error *error)
{
	const struct bd_yaml_node *limit = bd_yaml_find(root, "skip_limit");
	bool packed = dataset->compression == BD_COMPRESSION_GZIP || dataset->compression == BD_COMPRESSION_ZLIB;
	if (limit && !bd_yaml_find(root, "on_error"))
		return bd_yaml_error(limit, error, "'skip_limit' does nothing without 'on_error: skip'");
	if (dataset->partial && dataset->source != BD_SOURCE_TFRECORD)
		return bd_yaml_error(bd_yaml_find(root, "partial"), error,
		                     "'partial' is for sets of TFRecord shards that a glob finds");
	if (packed && dataset->source != BD_SOURCE_TFRECORD)
		return bd_yaml_error(bd_yaml_find(root, "compression"), error,
		                     "'compression: %s' is that of TFRecord shards; pictures are read as they are",
		                     bd_compression_names[dataset->compression]);
	return 0;
}

static int parse_document(const struct bd_yaml_node *root, const char *folder, struct bd_dataset *dataset, struct bd_error *error)
{
	static const char *const keys[] = { "shards",  "compression", "features", "sequence_features", "on_error", "skip_limit",
		                            "partial", "classes",     NULL };
	int result = bd_yaml_check_keys(root, "the dataset file", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *shards = bd_yaml_find(root, "shards"), *features = bd_yaml_find(root, "features");
	const struct bd_yaml_node *sequence = bd_yaml_find(root, "sequence_features");
	if (!shards)
		return bd_yaml_error(root, error, "'shards' is missing: the files, as a glob or a list");
	if (!features && !sequence)
		return bd_yaml_error(root, error, "'features' is missing: what to read of each record");
	if ((result = parse_options(root, dataset, error)) < 0)
		return result;
	if ((result = bd_dataset_parse_shards(shards, folder, dataset, error)) < 0)
		return result;
	result = bd_dataset_parse_features(features, sequence, dataset, error);
	return result < 0 ? result : check_effects(root, dataset, error);
}

static int parse_yaml(struct bd_yaml *yaml, const char *name, const char *folder, const struct bd_dataset_guard *guard,
                      struct bd_dataset **ret_dataset, struct bd_error *error)
{
	struct bd_dataset *dataset = calloc(1, sizeof *dataset);
	if (!dataset)
		return no_memory(error);
	dataset->skip_limit = 0.01;
	dataset->guard = guard;
	dataset->name = strdup(name);
	int result = dataset->name ? parse_document(bd_yaml_root(yaml), folder, dataset, error) : no_memory(error);
	if (result < 0) {
		bd_dataset_destroy(dataset);
		return result;
	}
	dataset->guard = NULL;
	*ret_dataset = dataset;
	return 0;
}

/* The folder as an absolute path, so that the paths stay right in another process. NULL without memory. */
static char *absolute_folder(const char *folder)
{
	if (folder[0] == '/')
		return strdup(folder);
	char *here = getcwd(NULL, 0);
	if (!here || !strcmp(folder, "."))
		return here;
	char *joined = bd_path_join(here, folder);
	free(here);
	return joined;
}

static int parse_in_folder(struct bd_yaml *yaml, const char *name, const char *folder, const struct bd_dataset_guard *guard,
                           struct bd_dataset **ret_dataset, struct bd_error *error)
{
	char *absolute = folder ? absolute_folder(folder) : NULL;
	int result = absolute ? parse_yaml(yaml, name, absolute, guard, ret_dataset, error) : no_memory(error);
	free(absolute);
	return result;
}

int bd_dataset_load(const char *path, struct bd_dataset **ret_dataset, struct bd_error *error)
{
	struct bd_yaml *yaml;
	int result = bd_yaml_load_file(path, &yaml, error);
	if (result < 0)
		return result;
	char *folder = bd_path_folder(path);
	result = parse_in_folder(yaml, path, folder, NULL, ret_dataset, error);
	free(folder);
	bd_yaml_destroy(yaml);
	return result;
}

int bd_dataset_parse(const char *name, const char *folder, const char *text, size_t length, struct bd_dataset **ret_dataset,
                     struct bd_error *error)
{
	return bd_dataset_parse_guarded(name, folder, text, length, NULL, ret_dataset, error);
}

int bd_dataset_parse_guarded(const char *name, const char *folder, const char *text, size_t length,
                             const struct bd_dataset_guard *guard, struct bd_dataset **ret_dataset, struct bd_error *error)
{
	struct bd_yaml *yaml;
	int result = bd_yaml_load_text(name, text, length, &yaml, error);
	if (result < 0)
		return result;
	result = parse_in_folder(yaml, name, folder, guard, ret_dataset, error);
	bd_yaml_destroy(yaml);
	return result;
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; texts && i < count; i++)
		free(texts[i]);
	free(texts);
}

static void feature_finish(struct bd_feature *feature)
{
	free(feature->name);
	free(feature->default_floats);
	free(feature->default_integers);
	free_texts(feature->default_texts, feature->default_count);
}

void bd_dataset_destroy(struct bd_dataset *dataset)
{
	if (!dataset)
		return;
	for (size_t i = 0; dataset->features && i < dataset->feature_count; i++)
		feature_finish(&dataset->features[i]);
	free(dataset->features);
	free_texts(dataset->paths, dataset->path_count);
	free_texts(dataset->classes, dataset->class_count);
	free_texts(dataset->notes, dataset->note_count);
	free(dataset->labels);
	free(dataset->name);
	free(dataset);
}
