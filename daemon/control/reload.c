#include "daemon/control/reload.h"

#include <string.h>

#include "daemon/control/log.h"
#include "daemon/control/server.h"
#include "daemon/control/service.h"

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static const char *find_fixed(const struct bd_config *config, const struct bd_config *fresh)
{
	if (!same_text(config->socket_path, fresh->socket_path) || config->socket_mode != fresh->socket_mode ||
	    config->socket_group_given != fresh->socket_group_given || config->socket_group != fresh->socket_group)
		return "socket";
	if (config->memory_bytes != fresh->memory_bytes)
		return "memory";
	if (config->threads != fresh->threads)
		return "threads";
	if (config->cache_bytes != fresh->cache_bytes)
		return "cache";
	if (!same_text(config->metrics_listen, fresh->metrics_listen))
		return "metrics";
	return NULL;
}

const char *bd_config_adopt(struct bd_config *config, struct bd_config *fresh)
{
	const char *fixed = find_fixed(config, fresh);
	struct bd_config_dataset *datasets = config->datasets;
	size_t count = config->dataset_count;
	config->datasets = fresh->datasets;
	config->dataset_count = fresh->dataset_count;
	config->quota_streams = fresh->quota_streams;
	config->quota_memory_bytes = fresh->quota_memory_bytes;
	fresh->datasets = datasets;
	fresh->dataset_count = count;
	return fixed;
}

void bd_server_reload(struct bd_server *server)
{
	struct bd_config fresh;
	struct bd_error error;
	if (!server->config_path) {
		bd_log(BD_LOG_WARN, "SIGHUP: this daemon was started without a configuration file");
		return;
	}
	bd_service_reloading();
	if (bd_config_load(server->config_path, &fresh, &error) < 0) {
		bd_log(BD_LOG_ERROR, "SIGHUP: the configuration stays as it was: %s", error.text);
	} else {
		const char *fixed = bd_config_adopt(&server->config, &fresh);
		bd_config_finish(&fresh);
		bd_log(BD_LOG_INFO, "SIGHUP: %zu datasets", server->config.dataset_count);
		bd_dataset_check_start(&server->dataset_check);
		if (fixed)
			bd_log(BD_LOG_WARN, "SIGHUP: '%s' has changed in %s and needs a restart", fixed, server->config_path);
	}
	bd_service_ready("configuration read again");
}
