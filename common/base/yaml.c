#include "common/base/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/base/file.h"
#include "common/base/units.h"

/* Deeper than any file of ours by far; bounds the recursion that builds the tree. */
#define DEPTH_LIMIT 32

struct bd_yaml_node {
	const struct bd_yaml *yaml;
	enum bd_yaml_kind kind;
	bool plain;
	unsigned line;
	char *text; /* scalar */
	size_t count; /* sequence, mapping */
	char **keys; /* mapping */
	struct bd_yaml_node **children; /* items, or values */
};

struct bd_yaml {
	char *name;
	struct bd_yaml_node *root;
};

static void node_destroy(struct bd_yaml_node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++) {
		if (node->keys)
			free(node->keys[i]);
		if (node->children)
			node_destroy(node->children[i]);
	}
	free(node->keys);
	free(node->children);
	free(node->text);
	free(node);
}

/* What a build of the tree carries along. */
struct build {
	struct bd_yaml *yaml;
	yaml_parser_t *parser;
	struct bd_error *error;
};

static int out_of_memory(struct build *build)
{
	return bd_error_set(build->error, -ENOMEM, "%s: no memory", build->yaml->name);
}

static int next_event(struct build *build, yaml_event_t *ret_event)
{
	if (yaml_parser_parse(build->parser, ret_event))
		return 0;
	if (build->parser->error == YAML_MEMORY_ERROR)
		return out_of_memory(build);
	const yaml_mark_t *mark = &build->parser->problem_mark;
	return bd_error_set(build->error, -EINVAL, "%s: line %zu: %s%s%s", build->yaml->name, mark->line + 1,
	                    build->parser->problem, build->parser->context ? " " : "",
	                    build->parser->context ? build->parser->context : "");
}

static bool append_child(struct bd_yaml_node *node, char *key_take, struct bd_yaml_node *child)
{
	if ((node->count & (node->count - 1)) == 0) { /* full at each power of two */
		size_t room = node->count ? 2 * node->count : 1;
		struct bd_yaml_node **children = realloc(node->children, room * sizeof *children);
		if (!children)
			return false;
		node->children = children;
		if (node->kind == BD_YAML_MAPPING) {
			char **keys = realloc(node->keys, room * sizeof *keys);
			if (!keys)
				return false;
			node->keys = keys;
		}
	}
	if (node->kind == BD_YAML_MAPPING)
		node->keys[node->count] = key_take;
	node->children[node->count++] = child;
	return true;
}

static int build_node(struct build *build, const yaml_event_t *event, unsigned depth, struct bd_yaml_node **ret_node);

/* Takes a mapping's next key, or finds its end. */
static int take_key(struct build *build, const struct bd_yaml_node *mapping, const yaml_event_t *event, char **ret_key)
{
	size_t line = event->start_mark.line + 1;
	if (event->type != YAML_SCALAR_EVENT)
		return bd_error_set(build->error, -EINVAL, "%s: line %zu: a key must be a word", build->yaml->name, line);
	const char *key = (const char *)event->data.scalar.value;
	if (strlen(key) != event->data.scalar.length)
		return bd_error_set(build->error, -EINVAL, "%s: line %zu: a key holds a NUL byte", build->yaml->name, line);
	const struct bd_yaml_node *earlier = bd_yaml_find(mapping, key);
	if (earlier)
		return bd_error_set(build->error, -EINVAL, "%s: line %zu: duplicate key '%s'; it is in line %u already",
		                    build->yaml->name, line, key, earlier->line);
	*ret_key = strdup(key);
	return *ret_key ? 0 : out_of_memory(build);
}

static int build_children(struct build *build, struct bd_yaml_node *node, unsigned depth)
{
	yaml_event_type_t end = node->kind == BD_YAML_MAPPING ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	for (;;) {
		yaml_event_t event;
		int result = next_event(build, &event);
		if (result)
			return result;
		char *key = NULL;
		unsigned key_line = (unsigned)event.start_mark.line + 1;
		struct bd_yaml_node *child = NULL;
		bool ended = event.type == end;
		if (!ended && node->kind == BD_YAML_MAPPING) {
			result = take_key(build, node, &event, &key);
			yaml_event_delete(&event);
			if (!result)
				result = next_event(build, &event);
			else
				event = (yaml_event_t){ 0 };
		}
		if (!ended && !result)
			result = build_node(build, &event, depth + 1, &child);
		yaml_event_delete(&event);
		if (ended)
			return 0;
		if (child && node->kind == BD_YAML_MAPPING)
			child->line = key_line; /* where a person looks for it; a value may begin lines below its key */
		if (!result && !append_child(node, key, child))
			result = out_of_memory(build);
		if (result) {
			free(key);
			node_destroy(child);
			return result;
		}
	}
}

static int build_node(struct build *build, const yaml_event_t *event, unsigned depth, struct bd_yaml_node **ret_node)
{
	size_t line = event->start_mark.line + 1;
	if (event->type == YAML_ALIAS_EVENT)
		return bd_error_set(build->error, -EINVAL, "%s: line %zu: aliases are not supported", build->yaml->name, line);
	if (depth > DEPTH_LIMIT)
		return bd_error_set(build->error, -EINVAL, "%s: line %zu: nested deeper than %d levels", build->yaml->name, line,
		                    DEPTH_LIMIT);
	struct bd_yaml_node *node = calloc(1, sizeof *node);
	if (!node)
		return out_of_memory(build);
	node->yaml = build->yaml;
	node->line = (unsigned)line;
	int result = 0;
	if (event->type == YAML_SCALAR_EVENT) {
		node->kind = BD_YAML_SCALAR;
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
		node->text = strdup((const char *)event->data.scalar.value);
		if (!node->text)
			result = out_of_memory(build);
		else if (strlen(node->text) != event->data.scalar.length)
			result = bd_error_set(build->error, -EINVAL, "%s: line %zu: a value holds a NUL byte", build->yaml->name,
			                      line);
	} else {
		node->kind = event->type == YAML_MAPPING_START_EVENT ? BD_YAML_MAPPING : BD_YAML_SEQUENCE;
		result = build_children(build, node, depth);
	}
	if (result) {
		node_destroy(node);
		return result;
	}
	*ret_node = node;
	return 0;
}

/* Stream start, document start, the root, document end, stream end: one document and no second. */
static int build_document(struct build *build)
{
	for (;;) {
		yaml_event_t event;
		int result = next_event(build, &event);
		if (result)
			return result;
		yaml_event_type_t type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && build->yaml->root)
			result = bd_error_set(build->error, -EINVAL, "%s: line %zu: a second document", build->yaml->name,
			                      event.start_mark.line + 1);
		else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
		         type != YAML_STREAM_END_EVENT)
			result = build_node(build, &event, 0, &build->yaml->root);
		yaml_event_delete(&event);
		if (result)
			return result;
		if (type == YAML_STREAM_END_EVENT)
			break;
	}
	if (!build->yaml->root)
		return bd_error_set(build->error, -EINVAL, "%s: the file is empty", build->yaml->name);
	return 0;
}

int bd_yaml_load_text(const char *name, const char *text, size_t length, struct bd_yaml **ret_yaml, struct bd_error *error)
{
	if (length > BD_YAML_LIMIT_BYTES)
		return bd_error_set(error, -EFBIG, "%s: larger than %u bytes", name, BD_YAML_LIMIT_BYTES);
	struct bd_yaml *yaml = calloc(1, sizeof *yaml);
	yaml_parser_t parser;
	if (!yaml || !(yaml->name = strdup(name)) || !yaml_parser_initialize(&parser)) {
		bd_yaml_destroy(yaml);
		return bd_error_set(error, -ENOMEM, "%s: no memory", name);
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
	struct build build = { .yaml = yaml, .parser = &parser, .error = error };
	int result = build_document(&build);
	yaml_parser_delete(&parser);
	if (result) {
		bd_yaml_destroy(yaml);
		return result;
	}
	*ret_yaml = yaml;
	return 0;
}

int bd_yaml_load_file(const char *path, struct bd_yaml **ret_yaml, struct bd_error *error)
{
	uint8_t *text;
	size_t length;
	int result = bd_file_read_all(path, BD_YAML_LIMIT_BYTES, &text, &length, error);
	if (result)
		return result;
	result = bd_yaml_load_text(path, (const char *)text, length, ret_yaml, error);
	free(text);
	return result;
}

void bd_yaml_destroy(struct bd_yaml *yaml)
{
	if (!yaml)
		return;
	node_destroy(yaml->root);
	free(yaml->name);
	free(yaml);
}

const struct bd_yaml_node *bd_yaml_root(const struct bd_yaml *yaml)
{
	return yaml->root;
}

enum bd_yaml_kind bd_yaml_kind(const struct bd_yaml_node *node)
{
	return node->kind;
}

const char *bd_yaml_text(const struct bd_yaml_node *node)
{
	return node->text;
}

bool bd_yaml_is_plain(const struct bd_yaml_node *node)
{
	return node->plain;
}

size_t bd_yaml_count(const struct bd_yaml_node *node)
{
	return node->count;
}

const struct bd_yaml_node *bd_yaml_item(const struct bd_yaml_node *sequence, size_t index)
{
	return sequence->children[index];
}

const char *bd_yaml_key(const struct bd_yaml_node *mapping, size_t index)
{
	return mapping->keys[index];
}

const struct bd_yaml_node *bd_yaml_value(const struct bd_yaml_node *mapping, size_t index)
{
	return mapping->children[index];
}

const struct bd_yaml_node *bd_yaml_find(const struct bd_yaml_node *mapping, const char *key)
{
	for (size_t i = 0; mapping->kind == BD_YAML_MAPPING && i < mapping->count; i++)
		if (!strcmp(mapping->keys[i], key))
			return mapping->children[i];
	return NULL;
}

int bd_yaml_error(const struct bd_yaml_node *node, struct bd_error *error, const char *format, ...)
{
	char text[BD_ERROR_TEXT_BYTES];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	return bd_error_set(error, -EINVAL, "%s: line %u: %s", node->yaml->name, node->line, text);
}

/* "a, b, c"; false and "" where they are too many for a line. */
static bool list_words(const char *const *words, char *text, size_t size)
{
	size_t length = 0;
	for (size_t i = 0; words[i] && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%s", i ? ", " : "", words[i]);
	if (length >= size)
		*text = 0;
	return length > 0 && length < size;
}

int bd_yaml_check_keys(const struct bd_yaml_node *mapping, const char *what, const char *const *keys, struct bd_error *error)
{
	if (mapping->kind != BD_YAML_MAPPING)
		return bd_yaml_error(mapping, error, "%s must be a mapping of keys", what);
	for (size_t i = 0; i < mapping->count; i++) {
		const char *const *key = keys;
		while (*key && strcmp(*key, mapping->keys[i]) != 0)
			key++;
		if (*key)
			continue;
		const char *nearest = bd_nearest_word(mapping->keys[i], keys);
		if (nearest)
			return bd_yaml_error(mapping->children[i], error, "unknown key '%s' in %s; did you mean '%s'?",
			                     mapping->keys[i], what, nearest);
		char list[256];
		return bd_yaml_error(mapping->children[i], error, "unknown key '%s' in %s%s%s", mapping->keys[i], what,
		                     list_words(keys, list, sizeof list) ? "; known are " : "", list);
	}
	return 0;
}

int bd_yaml_get_text(const struct bd_yaml_node *node, const char *what, const char **ret_text, struct bd_error *error)
{
	if (node->kind != BD_YAML_SCALAR || !node->text[0])
		return bd_yaml_error(node, error, "%s must be a word", what);
	*ret_text = node->text;
	return 0;
}

/* Puts file, line and key in front of what a parser of units.h said. */
static int value_error(const struct bd_yaml_node *node, const char *what, struct bd_error *error)
{
	bd_error_prefix(error, "%s: line %u: %s", node->yaml->name, node->line, what);
	return -EINVAL;
}

int bd_yaml_get_u64(const struct bd_yaml_node *node, const char *what, uint64_t minimum, uint64_t maximum, uint64_t *ret_value,
                    struct bd_error *error)
{
	if (node->kind != BD_YAML_SCALAR)
		return bd_yaml_error(node, error, "%s must be a whole number", what);
	return bd_parse_u64(node->text, minimum, maximum, ret_value, error) ? value_error(node, what, error) : 0;
}

int bd_yaml_get_i64(const struct bd_yaml_node *node, const char *what, int64_t minimum, int64_t maximum, int64_t *ret_value,
                    struct bd_error *error)
{
	if (node->kind != BD_YAML_SCALAR)
		return bd_yaml_error(node, error, "%s must be a whole number", what);
	return bd_parse_i64(node->text, minimum, maximum, ret_value, error) ? value_error(node, what, error) : 0;
}

int bd_yaml_get_double(const struct bd_yaml_node *node, const char *what, double minimum, double maximum, double *ret_value,
                       struct bd_error *error)
{
	double value;
	if (node->kind != BD_YAML_SCALAR)
		return bd_yaml_error(node, error, "%s must be a number", what);
	if (bd_parse_double(node->text, &value, error))
		return value_error(node, what, error);
	if (value < minimum || value > maximum)
		return bd_yaml_error(node, error, "%s: %s is outside of %g to %g", what, node->text, minimum, maximum);
	*ret_value = value;
	return 0;
}

int bd_yaml_get_bool(const struct bd_yaml_node *node, const char *what, bool *ret_value, struct bd_error *error)
{
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "on", NULL }, *const no[] = { "false", "False", "FALSE",
		                                                                                        "no",    "off",   NULL };
	if (node->kind == BD_YAML_SCALAR) {
		for (size_t i = 0; yes[i]; i++) {
			if (!strcmp(node->text, yes[i]) || !strcmp(node->text, no[i])) {
				*ret_value = !strcmp(node->text, yes[i]);
				return 0;
			}
		}
	}
	return bd_yaml_error(node, error, "%s must be true or false", what);
}

int bd_yaml_get_size(const struct bd_yaml_node *node, const char *what, uint64_t *ret_bytes, struct bd_error *error)
{
	if (node->kind != BD_YAML_SCALAR)
		return bd_yaml_error(node, error, "%s must be a size, 256MiB", what);
	return bd_parse_size(node->text, ret_bytes, error) ? value_error(node, what, error) : 0;
}

static int choice_error(const struct bd_yaml_node *node, const char *what, const char *verb, const char *const *names,
                        struct bd_error *error)
{
	char list[BD_ERROR_TEXT_BYTES / 2];
	return bd_yaml_error(node, error, "%s %s one of %s", what, verb,
	                     list_words(names, list, sizeof list) ? list : "those that the manual lists");
}

int bd_yaml_get_choice(const struct bd_yaml_node *node, const char *what, const char *const *names, int *ret_index,
                       struct bd_error *error)
{
	if (node->kind != BD_YAML_SCALAR || !node->text[0])
		return choice_error(node, what, "must be", names, error);
	const char *text = node->text;
	for (int i = 0; names[i]; i++) {
		if (!strcmp(names[i], text)) {
			*ret_index = i;
			return 0;
		}
	}
	const char *nearest = bd_nearest_word(text, names);
	if (nearest)
		return bd_yaml_error(node, error, "%s cannot be '%s'; did you mean '%s'?", what, text, nearest);
	char refused[128];
	snprintf(refused, sizeof refused, "cannot be '%s'; it is", text);
	return choice_error(node, what, refused, names, error);
}
