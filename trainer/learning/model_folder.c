#include "trainer/learning/model_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/folder.h"
#include "common/base/yaml.h"
#include "trainer/model/keep_text.h"

static int lock(struct bd_model_folder *folder, struct bd_error *error)
{
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open the model directory: %s", folder->path, strerror(errno));
	if (flock(folder->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return bd_error_set(error, -EBUSY, "%s: another training is at work in this model directory", folder->path);
		return bd_error_set(error, -errno, "%s: cannot lock the model directory: %s", folder->path, strerror(errno));
	}
	return 0;
}

/*
 * What a run that was killed while it saved has left: a checkpoint's temporary name, which nobody else writes while the folder is locked.
 * Six small letters may be a person's word (.backup) and stay.
 */
static int remove_left_over(const struct bd_model_folder *folder, struct bd_error *error)
{
	char **names = NULL;
	size_t count = 0;
	int r = bd_folder_list(folder->path, &names, &count, error);
	for (size_t i = 0; i < count; i++) {
		const char *suffix = strrchr(names[i], '.');
		if (fnmatch("checkpoint-*.safetensors.??????", names[i], 0) == 0 &&
		    strspn(suffix + 1, "abcdefghijklmnopqrstuvwxyz") < strlen(suffix + 1))
			unlinkat(folder->fd, names[i], 0);
	}
	bd_folder_names_free(names, count);
	return r;
}

/* The length of a path's parent; 0: it has none. */
static size_t parent_bytes(const char *path, size_t length)
{
	while (length > 0 && path[length - 1] != '/')
		length--;
	while (length > 0 && path[length - 1] == '/')
		length--;
	return length;
}

static size_t existing_bytes(char *path)
{
	size_t length = strlen(path);
	while (length > 0) {
		char kept = path[length];
		path[length] = 0;
		bool is_there = access(path, F_OK) == 0;
		path[length] = kept;
		if (is_there)
			break;
		length = parent_bytes(path, length);
	}
	return length;
}

int bd_model_folder_open(const char *path, struct bd_model_folder *ret_folder, struct bd_error *error)
{
	struct bd_model_folder folder = { .path = path, .fd = -1, .is_new = access(path, F_OK) < 0 };
	folder.evaluation_path = bd_path_join(path, BD_EVALUATION_FOLDER_NAME);
	folder.kept_bytes = folder.evaluation_path ? existing_bytes(folder.evaluation_path) : 0;
	int r = folder.evaluation_path ? bd_make_folders(folder.evaluation_path, 0777, error)
	                               : bd_error_set(error, -ENOMEM, "no memory for a path");
	if (r == 0)
		r = lock(&folder, error);
	if (r == 0)
		r = remove_left_over(&folder, error);
	if (r < 0)
		bd_model_folder_finish(&folder);
	else
		*ret_folder = folder;
	return r;
}

void bd_model_folder_finish(struct bd_model_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	free(folder->evaluation_path);
	*folder = (struct bd_model_folder){ .fd = -1 };
}

/* ---- --fresh ---- */

static int clear_folder(const char *path, const char *const *patterns, struct bd_error *error)
{
	char **names = NULL;
	size_t count = 0;
	int r = bd_folder_list(path, &names, &count, error);
	for (size_t i = 0; r == 0 && i < count; i++) {
		bool matches = false;
		for (size_t k = 0; patterns[k]; k++)
			matches = matches || fnmatch(patterns[k], names[i], FNM_EXTMATCH) == 0;
		char *file = matches ? bd_path_join(path, names[i]) : NULL;
		if (matches && !file)
			r = bd_error_set(error, -ENOMEM, "no memory for a path");
		else if (matches && unlink(file) < 0)
			r = bd_error_set(error, -errno, "%s: cannot delete: %s", file, strerror(errno));
		free(file);
	}
	bd_folder_names_free(names, count);
	return r;
}

int bd_model_folder_clear(const struct bd_model_folder *folder, struct bd_error *error)
{
	static const char *const training[] = { "checkpoint-+([0-9]).safetensors", "best.json", "data.yaml",
		                                "events.out.tfevents.*", NULL };
	static const char *const evaluation[] = { "events.out.tfevents.*", "predictions.png", NULL };
	int r = clear_folder(folder->path, training, error);
	return r < 0 ? r : clear_folder(folder->evaluation_path, evaluation, error);
}

/* ---- a run that was refused ---- */

/* Also true where it cannot be known: then nothing is removed. */
static bool may_have_checkpoint(const char *path)
{
	char **names = NULL;
	size_t count = 0;
	struct bd_error ignored;
	bool found = bd_folder_list(path, &names, &count, &ignored) < 0;
	for (size_t i = 0; i < count; i++)
		found = found || fnmatch("checkpoint-*", names[i], 0) == 0;
	bd_folder_names_free(names, count);
	return found;
}

void bd_model_folder_abandon(struct bd_model_folder *folder)
{
	static const char *const model[] = { BD_MODEL_FILE_NAME, NULL };
	struct bd_error ignored;
	char *path = folder->evaluation_path;
	if (!path || may_have_checkpoint(folder->path))
		return;
	if (folder->is_new && bd_model_folder_clear(folder, &ignored) == 0 && clear_folder(folder->path, model, &ignored) < 0)
		return;
	for (size_t length = strlen(path); length > folder->kept_bytes; length = parent_bytes(path, length)) {
		path[length] = 0;
		if (rmdir(path) < 0)
			return;
	}
}

/* ---- model.yaml ---- */

int bd_model_folder_keep_model(const struct bd_model_folder *folder, const char *model_path, struct bd_error *error)
{
	char *path = bd_path_join(folder->path, BD_MODEL_FILE_NAME);
	char *from = realpath(model_path, NULL), *to = path ? realpath(path, NULL) : NULL;
	uint8_t *text = NULL;
	size_t length;
	int r = 0;
	if (!path)
		r = bd_error_set(error, -ENOMEM, "no memory for a path");
	else if (!from || !to || strcmp(from, to) != 0) {
		r = bd_file_read_all(model_path, BD_YAML_LIMIT_BYTES, &text, &length, error);
		if (r == 0)
			r = bd_keep_text(path, text, length, error);
	}
	free(text);
	free(from);
	free(to);
	free(path);
	return r;
}

int bd_model_folder_model_path(const char *path, char **ret_path, struct bd_error *error)
{
	char *file = bd_path_join(path, BD_MODEL_FILE_NAME);
	if (!file)
		return bd_error_set(error, -ENOMEM, "no memory for a path");
	if (access(file, R_OK) < 0) {
		int r = bd_error_set(error, -errno, "%s: this is no model directory: it has no " BD_MODEL_FILE_NAME " (%s)", path,
		                     strerror(errno));
		free(file);
		return r;
	}
	*ret_path = file;
	return 0;
}
