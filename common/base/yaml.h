/*
 * yaml.h - a YAML document as a tree with line numbers, behind libyaml.
 *
 * Why a tree and no schema library: feature names are free keys, and `shards`, `trainable` or `weights` may each be one of
 * several kinds; the reader of each file walks its tree and says what is wrong where:
 *
 *   cats.yaml: line 7: unknown key 'shufle' in the stream options; did you mean 'shuffle'?
 *
 * A value's line is that of its key, a list item's its own.
 *
 * Limits: a file of at most 8 MiB (a dataset file with a list of a hundred thousand shards fits), no aliases (a small file could
 * otherwise stand for a tree of any size), keys are scalars and stand once.
 * Ownership: nodes are borrowed from the document. Threads: a loaded document is read-only.
 */
#ifndef BD_BASE_YAML_H
#define BD_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#define BD_YAML_LIMIT_BYTES (8u << 20)

struct bd_yaml;
struct bd_yaml_node;

enum bd_yaml_kind { BD_YAML_SCALAR, BD_YAML_SEQUENCE, BD_YAML_MAPPING };

/* Return 0, -EINVAL with file and line, -ENOMEM, or what reading gives. `name` stands in errors. */
BD_MUST_CHECK int bd_yaml_load_file(const char *path, struct bd_yaml **ret_yaml, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_load_text(const char *name, const char *text, size_t length, struct bd_yaml **ret_yaml,
                                    struct bd_error *error);
void bd_yaml_destroy(struct bd_yaml *yaml);

const struct bd_yaml_node *bd_yaml_root(const struct bd_yaml *yaml);
enum bd_yaml_kind bd_yaml_kind(const struct bd_yaml_node *node);
const char *bd_yaml_text(const struct bd_yaml_node *node); /* a scalar's text; NULL for the other kinds */
bool bd_yaml_is_plain(const struct bd_yaml_node *node); /* a scalar without quotes: true, 3 and ~ mean what they say */
size_t bd_yaml_count(const struct bd_yaml_node *node); /* items of a sequence, pairs of a mapping */
const struct bd_yaml_node *bd_yaml_item(const struct bd_yaml_node *sequence, size_t index);
const char *bd_yaml_key(const struct bd_yaml_node *mapping, size_t index); /* pairs in the order of the file */
const struct bd_yaml_node *bd_yaml_value(const struct bd_yaml_node *mapping, size_t index);
const struct bd_yaml_node *bd_yaml_find(const struct bd_yaml_node *mapping, const char *key); /* NULL where absent */

/* "FILE: line N: <formatted>", -EINVAL */
int bd_yaml_error(const struct bd_yaml_node *node, struct bd_error *error, const char *format, ...) BD_PRINTF(3, 4);

/* The node is a mapping and each of its keys one of `keys` (NULL-terminated); `what` names the mapping in the error. */
BD_MUST_CHECK int bd_yaml_check_keys(const struct bd_yaml_node *mapping, const char *what, const char *const *keys,
                                     struct bd_error *error);

/* Typed scalars; `what` is the key. *ret untouched on failure. */
BD_MUST_CHECK int bd_yaml_get_text(const struct bd_yaml_node *node, const char *what, const char **ret_text,
                                   struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_u64(const struct bd_yaml_node *node, const char *what, uint64_t minimum, uint64_t maximum,
                                  uint64_t *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_i64(const struct bd_yaml_node *node, const char *what, int64_t minimum, int64_t maximum,
                                  int64_t *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_double(const struct bd_yaml_node *node, const char *what, double minimum, double maximum,
                                     double *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_bool(const struct bd_yaml_node *node, const char *what, bool *ret_value, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_size(const struct bd_yaml_node *node, const char *what, uint64_t *ret_bytes, struct bd_error *error);
BD_MUST_CHECK int bd_yaml_get_choice(const struct bd_yaml_node *node, const char *what, const char *const *names, int *ret_index,
                                     struct bd_error *error);

#endif
