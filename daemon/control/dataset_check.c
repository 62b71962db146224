#include "daemon/control/dataset_check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control/config.h"
#include "daemon/control/log.h"

void bd_dataset_check_init(struct bd_dataset_check *check, uv_loop_t *loop, const struct bd_config *config)
{
	*check = (struct bd_dataset_check){ .loop = loop, .config = config };
}

static void end_round(struct bd_dataset_check *check)
{
	for (size_t i = 0; i < check->count; i++) {
		free(check->names[i]);
		free(check->files[i]);
	}
	free(check->names);
	free(check->files);
	check->names = check->files = NULL;
	check->count = check->at = 0;
	check->running = false;
}

static void look_at_next(struct bd_dataset_check *check);

static void on_access(uv_fs_t *request)
{
	struct bd_dataset_check *check = request->data;
	if (request->result < 0 && !check->stopped)
		bd_log(BD_LOG_WARN, "dataset '%s': %s: %s; it can be opened once the file is there", check->names[check->at],
		       check->files[check->at], uv_strerror((int)request->result));
	uv_fs_req_cleanup(request);
	check->at++;
	look_at_next(check);
}

static void look_at_next(struct bd_dataset_check *check)
{
	check->request.data = check;
	if (!check->stopped && check->at < check->count &&
	    uv_fs_access(check->loop, &check->request, check->files[check->at], R_OK, on_access) == 0)
		return;
	bool again = check->again && !check->stopped;
	check->again = false;
	end_round(check);
	if (again)
		bd_dataset_check_start(check);
}

static bool copy_list(struct bd_dataset_check *check)
{
	size_t count = check->config->dataset_count;
	check->names = calloc(count + 1, sizeof *check->names);
	check->files = calloc(count + 1, sizeof *check->files);
	for (size_t i = 0; check->names && check->files && i < count; i++) {
		check->names[i] = strdup(check->config->datasets[i].name);
		check->files[i] = strdup(check->config->datasets[i].file);
		check->count = i + 1;
		if (!check->names[i] || !check->files[i])
			return false;
	}
	return check->names && check->files;
}

void bd_dataset_check_start(struct bd_dataset_check *check)
{
	if (check->running) {
		check->again = true;
		return;
	}
	if (!copy_list(check)) {
		end_round(check);
		return;
	}
	check->running = true;
	look_at_next(check);
}

void bd_dataset_check_stop(struct bd_dataset_check *check)
{
	check->stopped = true;
}
