/*
 * config.h - what the daemon was told: batchd.yaml, or the command line.
 *
 *   socket: {path: /run/batchd/batchd.sock, mode: "0660", group: batchd}
 *   memory: 2GiB
 *   threads: 0
 *   cache: 512MiB
 *   datasets: {cats: {file: /srv/data/cats.yaml, allow: {users: [alice], groups: [ml]}}}
 *   quota: {streams: 8, memory: 1GiB}
 *   metrics: {listen: 127.0.0.1:9464}
 *
 * Every key may be left out. Users and groups are names or numbers of this host. A relative file is relative to the folder
 * of batchd.yaml. Errors name file, line and the nearest key.
 * Ownership: bd_config_init makes a valid, empty one; bd_config_finish frees.
 */
#ifndef BD_CONTROL_CONFIG_H
#define BD_CONTROL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <batchd/error.h>

#include "daemon/control/access.h"

/* One line of STREAMS and one of the metrics a dataset: the names stay short enough for both. */
#define BD_DATASET_NAME_MAX 128

struct bd_config_dataset {
	char *name;
	char *file; /* absolute */
	struct bd_access_list allow;
};

struct bd_config {
	char *socket_path; /* NULL: none given */
	mode_t socket_mode;
	bool socket_group_given;
	gid_t socket_group;
	uint64_t memory_bytes;
	uint64_t cache_bytes;
	unsigned threads; /* 0 = one per core */
	struct bd_config_dataset *datasets;
	size_t dataset_count;
	uint32_t quota_streams; /* per user; 0 = none */
	uint64_t quota_memory_bytes;
	char *metrics_listen; /* "127.0.0.1:9464"; NULL: none */
};

void bd_config_init(struct bd_config *ret_config);
void bd_config_finish(struct bd_config *config);

/* Reads a file into a fresh config. 0, -EINVAL with file and line, or what reading gives; *ret_config is written only on 0. */
BD_MUST_CHECK int bd_config_load(const char *path, struct bd_config *ret_config, struct bd_error *error);

/* The same from text; `folder` is what relative files are relative to. */
BD_MUST_CHECK int bd_config_parse(const char *name, const char *folder, const char *text, size_t length,
                                  struct bd_config *ret_config, struct bd_error *error);

/* Adds the command line's NAME=FILE. */
BD_MUST_CHECK int bd_config_add_dataset(struct bd_config *config, const char *argument, struct bd_error *error);

/* NULL where there is none of that name. */
const struct bd_config_dataset *bd_config_find_dataset(const struct bd_config *config, const char *name);

/* Loads every dataset file and lists its shards, as a stream would. The first error, with the dataset's name. */
BD_MUST_CHECK int bd_config_check_datasets(const struct bd_config *config, struct bd_error *error);

/* "HOST:PORT" of a loopback address (127.0.0.0/8, [::1], localhost): figures of all users are for this host's own eyes. */
BD_MUST_CHECK int bd_config_split_listen(const char *listen, char ret_host[64], uint16_t *ret_port, struct bd_error *error);

#endif
