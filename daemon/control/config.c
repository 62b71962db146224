#include "daemon/control/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/units.h"
#include "common/base/yaml.h"
#include "common/record/dataset.h"

/* The engine's own default: 1 GiB, less on a host (or in a memory group) that has not twice as much. */
#define DEFAULT_MEMORY_BYTES 0
#define DEFAULT_SOCKET_MODE 0660

/* More is a typing error: no host has that many cores. */
#define THREADS_MAX 1024

void bd_config_init(struct bd_config *ret_config)
{
	*ret_config = (struct bd_config){ .socket_mode = DEFAULT_SOCKET_MODE, .memory_bytes = DEFAULT_MEMORY_BYTES };
}

void bd_config_finish(struct bd_config *config)
{
	for (size_t i = 0; i < config->dataset_count; i++) {
		free(config->datasets[i].name);
		free(config->datasets[i].file);
		bd_access_list_finish(&config->datasets[i].allow);
	}
	free(config->datasets);
	free(config->socket_path);
	free(config->metrics_listen);
	bd_config_init(config);
}

static int no_memory(struct bd_error *error)
{
	return bd_error_set(error, -ENOMEM, "no memory for the configuration");
}

/* ---- users and groups ---- */

static int find_user(const struct bd_yaml_node *node, uid_t *ret_user, struct bd_error *error)
{
	const char *name;
	int result = bd_yaml_get_text(node, "user", &name, error);
	if (result < 0)
		return result;
	uint64_t number;
	if (bd_parse_u64(name, 0, UINT32_MAX - 1, &number, NULL) == 0) {
		*ret_user = (uid_t)number;
		return 0;
	}
	struct passwd *entry = getpwnam(name);
	if (!entry)
		return bd_yaml_error(node, error, "this host has no user '%s'", name);
	*ret_user = entry->pw_uid;
	return 0;
}

static int find_group(const struct bd_yaml_node *node, gid_t *ret_group, struct bd_error *error)
{
	const char *name;
	int result = bd_yaml_get_text(node, "group", &name, error);
	if (result < 0)
		return result;
	uint64_t number;
	if (bd_parse_u64(name, 0, UINT32_MAX - 1, &number, NULL) == 0) {
		*ret_group = (gid_t)number;
		return 0;
	}
	struct group *entry = getgrnam(name);
	if (!entry)
		return bd_yaml_error(node, error, "this host has no group '%s'", name);
	*ret_group = entry->gr_gid;
	return 0;
}

static int expect_list(const struct bd_yaml_node *node, const char *what, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return bd_yaml_error(node, error, "'%s' is a list: [NAME, ...]", what);
	return 0;
}

static int read_users(const struct bd_yaml_node *node, struct bd_access_list *list, struct bd_error *error)
{
	int result = expect_list(node, "users", error);
	if (result < 0)
		return result;
	list->users = calloc(bd_yaml_count(node) + 1, sizeof *list->users);
	if (!list->users)
		return no_memory(error);
	for (size_t i = 0; i < bd_yaml_count(node); i++) {
		result = find_user(bd_yaml_item(node, i), &list->users[list->user_count], error);
		if (result < 0)
			return result;
		list->user_count++;
	}
	return 0;
}

static int read_groups(const struct bd_yaml_node *node, struct bd_access_list *list, struct bd_error *error)
{
	int result = expect_list(node, "groups", error);
	if (result < 0)
		return result;
	list->groups = calloc(bd_yaml_count(node) + 1, sizeof *list->groups);
	if (!list->groups)
		return no_memory(error);
	for (size_t i = 0; i < bd_yaml_count(node); i++) {
		result = find_group(bd_yaml_item(node, i), &list->groups[list->group_count], error);
		if (result < 0)
			return result;
		list->group_count++;
	}
	return 0;
}

static int read_allow(const struct bd_yaml_node *node, struct bd_access_list *list, struct bd_error *error)
{
	static const char *const keys[] = { "users", "groups", NULL };
	int result = bd_yaml_check_keys(node, "allow", keys, error);
	if (result < 0)
		return result;
	list->restricted = true;
	const struct bd_yaml_node *users = bd_yaml_find(node, "users"), *groups = bd_yaml_find(node, "groups");
	if (users)
		result = read_users(users, list, error);
	if (result == 0 && groups)
		result = read_groups(groups, list, error);
	return result;
}

/* ---- datasets ---- */

/* Makes room for one more and returns it zeroed; it counts once dataset_count is raised. */
static struct bd_config_dataset *new_dataset(struct bd_config *config)
{
	struct bd_config_dataset *datasets = reallocarray(config->datasets, config->dataset_count + 1, sizeof *datasets);
	if (!datasets)
		return NULL;
	config->datasets = datasets;
	datasets[config->dataset_count] = (struct bd_config_dataset){ 0 };
	return &datasets[config->dataset_count++];
}

static bool good_name(const char *name)
{
	size_t length = strlen(name);
	if (!length || length > BD_DATASET_NAME_MAX || strchr(name, '/'))
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	return true;
}

static int read_dataset(const char *folder, const char *name, const struct bd_yaml_node *node, struct bd_config *config,
                        struct bd_error *error)
{
	static const char *const keys[] = { "file", "allow", NULL };
	if (!good_name(name))
		return bd_yaml_error(node, error, "a dataset's name has 1 to %d characters and no '/'", BD_DATASET_NAME_MAX);
	if (bd_yaml_kind(node) != BD_YAML_MAPPING)
		return bd_yaml_error(node, error, "dataset '%s' is a mapping: {file: FILE.yaml}", name);
	int result = bd_yaml_check_keys(node, "the dataset", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *file = bd_yaml_find(node, "file"), *allow = bd_yaml_find(node, "allow");
	const char *path;
	if (!file)
		return bd_yaml_error(node, error, "dataset '%s' has no 'file'", name);
	result = bd_yaml_get_text(file, "file", &path, error);
	if (result < 0)
		return result;
	struct bd_config_dataset *dataset = new_dataset(config);
	if (!dataset)
		return no_memory(error);
	dataset->name = strdup(name);
	dataset->file = bd_path_join(folder, path);
	if (!dataset->name || !dataset->file)
		return no_memory(error);
	return allow ? read_allow(allow, &dataset->allow, error) : 0;
}

static int read_datasets(const char *folder, const struct bd_yaml_node *node, struct bd_config *config, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_MAPPING)
		return bd_yaml_error(node, error, "'datasets' is a mapping: {NAME: {file: FILE.yaml}}");
	for (size_t i = 0; i < bd_yaml_count(node); i++) {
		int result = read_dataset(folder, bd_yaml_key(node, i), bd_yaml_value(node, i), config, error);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Relative to the working directory, and it stays so when that changes. */
static char *absolute_path(const char *path)
{
	char *here = path[0] == '/' ? strdup("/") : realpath(".", NULL);
	char *absolute = here ? bd_path_join(here, path) : NULL;
	free(here);
	return absolute;
}

int bd_config_add_dataset(struct bd_config *config, const char *argument, struct bd_error *error)
{
	const char *equals = strchr(argument, '=');
	if (!equals || !equals[1])
		return bd_error_set(error, -EINVAL, "--dataset %s: write it as NAME=FILE.yaml", argument);
	char *name = strndup(argument, (size_t)(equals - argument)), *path = absolute_path(equals + 1);
	int result = 0;
	if (!name || !path)
		result = no_memory(error);
	else if (!good_name(name))
		result = bd_error_set(error, -EINVAL, "--dataset %s: a dataset's name has 1 to %d characters and no '/'", argument,
		                      BD_DATASET_NAME_MAX);
	else if (bd_config_find_dataset(config, name))
		result = bd_error_set(error, -EINVAL, "--dataset %s: there is a dataset of that name already", argument);
	struct bd_config_dataset *dataset = result == 0 ? new_dataset(config) : NULL;
	if (dataset) {
		*dataset = (struct bd_config_dataset){ .name = name, .file = path };
		return 0;
	}
	free(name);
	free(path);
	return result < 0 ? result : no_memory(error);
}

const struct bd_config_dataset *bd_config_find_dataset(const struct bd_config *config, const char *name)
{
	for (size_t i = 0; i < config->dataset_count; i++)
		if (!strcmp(config->datasets[i].name, name))
			return &config->datasets[i];
	return NULL;
}

int bd_config_check_datasets(const struct bd_config *config, struct bd_error *error)
{
	for (size_t i = 0; i < config->dataset_count; i++) {
		struct bd_dataset *dataset;
		int result = bd_dataset_load(config->datasets[i].file, &dataset, error);
		if (result < 0) {
			bd_error_prefix(error, "dataset '%s'", config->datasets[i].name);
			return result;
		}
		bd_dataset_destroy(dataset);
	}
	return 0;
}

/* ---- the other keys ---- */

static int read_socket(const char *folder, const struct bd_yaml_node *node, struct bd_config *config, struct bd_error *error)
{
	static const char *const keys[] = { "path", "mode", "group", NULL };
	int result = bd_yaml_check_keys(node, "socket", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *path = bd_yaml_find(node, "path"), *mode = bd_yaml_find(node, "mode"),
				  *group = bd_yaml_find(node, "group");
	const char *text;
	if (path) {
		result = bd_yaml_get_text(path, "path", &text, error);
		if (result < 0)
			return result;
		if (!*text)
			return bd_yaml_error(path, error, "'path' is empty");
		config->socket_path = bd_path_join(folder, text);
		if (!config->socket_path)
			return no_memory(error);
	}
	if (mode) {
		result = bd_yaml_get_text(mode, "mode", &text, error);
		if (result < 0)
			return result;
		char *end;
		unsigned long bits = strtoul(text, &end, 8);
		if (!*text || *end || bits > 0777)
			return bd_yaml_error(mode, error, "'mode' is written in octal: \"0660\"");
		config->socket_mode = (mode_t)bits;
	}
	config->socket_group_given = group != NULL;
	return group ? find_group(group, &config->socket_group, error) : 0;
}

static int read_quota(const struct bd_yaml_node *node, struct bd_config *config, struct bd_error *error)
{
	static const char *const keys[] = { "streams", "memory", NULL };
	int result = bd_yaml_check_keys(node, "quota", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *streams = bd_yaml_find(node, "streams"), *memory = bd_yaml_find(node, "memory");
	uint64_t count = 0;
	if (streams)
		result = bd_yaml_get_u64(streams, "streams", 1, UINT32_MAX, &count, error);
	if (result == 0 && memory)
		result = bd_yaml_get_size(memory, "memory", &config->quota_memory_bytes, error);
	config->quota_streams = (uint32_t)count;
	return result;
}

int bd_config_split_listen(const char *listen, char ret_host[64], uint16_t *ret_port, struct bd_error *error)
{
	const char *colon = strrchr(listen, ':');
	size_t length = colon ? (size_t)(colon - listen) : 0;
	uint64_t port;
	if (!length || length >= 64 || bd_parse_u64(colon + 1, 0, UINT16_MAX, &port, NULL) < 0)
		return bd_error_set(error, -EINVAL, "'%s' is no address: write 127.0.0.1:9464", listen);
	char host[64] = { 0 };
	memcpy(host, listen, length);
	if (!strcmp(host, "localhost"))
		snprintf(host, sizeof host, "127.0.0.1");
	if (!strcmp(host, "[::1]"))
		snprintf(host, sizeof host, "::1");
	struct in_addr address;
	if (strcmp(host, "::1") != 0 && (inet_pton(AF_INET, host, &address) != 1 || ntohl(address.s_addr) >> 24 != 127))
		return bd_error_set(
			error, -EINVAL,
			"'%s' is not on loopback: metrics tell of all users, let a local collector fetch them (127.0.0.1:9464)",
			listen);
	memcpy(ret_host, host, sizeof host);
	*ret_port = (uint16_t)port;
	return 0;
}

static int read_metrics(const struct bd_yaml_node *node, struct bd_config *config, struct bd_error *error)
{
	static const char *const keys[] = { "listen", NULL };
	int result = bd_yaml_check_keys(node, "metrics", keys, error);
	const struct bd_yaml_node *listen = result == 0 ? bd_yaml_find(node, "listen") : NULL;
	if (!listen)
		return result;
	const char *text;
	result = bd_yaml_get_text(listen, "listen", &text, error);
	if (result < 0)
		return result;
	char host[64];
	uint16_t port;
	struct bd_error reason;
	if (bd_config_split_listen(text, host, &port, &reason) < 0)
		return bd_yaml_error(listen, error, "%s", reason.text);
	config->metrics_listen = strdup(text);
	return config->metrics_listen ? 0 : no_memory(error);
}

static int read_sizes(const struct bd_yaml_node *root, struct bd_config *config, struct bd_error *error)
{
	const struct bd_yaml_node *memory = bd_yaml_find(root, "memory"), *cache = bd_yaml_find(root, "cache"),
				  *threads = bd_yaml_find(root, "threads");
	int result = 0;
	uint64_t count = 0;
	if (memory)
		result = bd_yaml_get_size(memory, "memory", &config->memory_bytes, error);
	if (result == 0 && cache)
		result = bd_yaml_get_size(cache, "cache", &config->cache_bytes, error);
	if (result == 0 && threads)
		result = bd_yaml_get_u64(threads, "threads", 0, THREADS_MAX, &count, error);
	if (result == 0 && config->memory_bytes && config->cache_bytes > config->memory_bytes)
		result = bd_yaml_error(cache, error, "'cache' is a part of 'memory' and cannot be larger");
	config->threads = (unsigned)count;
	return result;
}

static int read_root(const char *folder, const struct bd_yaml_node *root, struct bd_config *config, struct bd_error *error)
{
	static const char *const keys[] = { "socket", "memory", "threads", "cache", "datasets", "quota", "metrics", NULL };
	int result = bd_yaml_check_keys(root, "the configuration", keys, error);
	if (result < 0)
		return result;
	const struct bd_yaml_node *socket = bd_yaml_find(root, "socket"), *datasets = bd_yaml_find(root, "datasets"),
				  *quota = bd_yaml_find(root, "quota"), *metrics = bd_yaml_find(root, "metrics");
	result = read_sizes(root, config, error);
	if (result == 0 && socket)
		result = read_socket(folder, socket, config, error);
	if (result == 0 && datasets)
		result = read_datasets(folder, datasets, config, error);
	if (result == 0 && quota)
		result = read_quota(quota, config, error);
	if (result == 0 && metrics)
		result = read_metrics(metrics, config, error);
	return result;
}

static int read_document(const struct bd_yaml *yaml, const char *folder, struct bd_config *ret_config, struct bd_error *error)
{
	struct bd_config config;
	bd_config_init(&config);
	int result = read_root(folder, bd_yaml_root(yaml), &config, error);
	if (result < 0)
		bd_config_finish(&config);
	else
		*ret_config = config;
	return result;
}

int bd_config_parse(const char *name, const char *folder, const char *text, size_t length, struct bd_config *ret_config,
                    struct bd_error *error)
{
	struct bd_yaml *yaml;
	int result = bd_yaml_load_text(name, text, length, &yaml, error);
	if (result < 0)
		return result;
	result = read_document(yaml, folder, ret_config, error);
	bd_yaml_destroy(yaml);
	return result;
}

int bd_config_load(const char *path, struct bd_config *ret_config, struct bd_error *error)
{
	struct bd_yaml *yaml;
	int result = bd_yaml_load_file(path, &yaml, error);
	if (result < 0)
		return result;
	char *absolute = realpath(path, NULL), *folder = absolute ? bd_path_folder(absolute) : NULL;
	result = folder ? read_document(yaml, folder, ret_config, error) : no_memory(error);
	free(folder);
	free(absolute);
	bd_yaml_destroy(yaml);
	return result;
}
