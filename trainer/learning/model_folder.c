#include "trainer/learning/model_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/file.h"
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
static void remove_left_over(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		const char *suffix = strrchr(entry->d_name, '.');
		if (fnmatch("checkpoint-*.safetensors.??????", entry->d_name, 0) == 0 &&
		    strspn(suffix + 1, "abcdefghijklmnopqrstuvwxyz") < strlen(suffix + 1))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
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
		remove_left_over(path);
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
	DIR *dir = opendir(path);
	if (!dir)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	struct dirent *entry;
	int r = 0;
	while (r == 0 && (entry = readdir(dir))) {
		bool matches = false;
		for (size_t i = 0; patterns[i]; i++)
			matches = matches || fnmatch(patterns[i], entry->d_name, 0) == 0;
		if (matches && unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			r = bd_error_set(error, -errno, "%s/%s: cannot delete: %s", path, entry->d_name, strerror(errno));
	}
	closedir(dir);
	return r;
}

int bd_model_folder_clear(const struct bd_model_folder *folder, struct bd_error *error)
{
	static const char *const training[] = { "checkpoint-*.safetensors", "best.json", "data.yaml", "events.out.tfevents.*",
		                                NULL };
	static const char *const evaluation[] = { "events.out.tfevents.*", "predictions.png", NULL };
	int r = clear_folder(folder->path, training, error);
	return r < 0 ? r : clear_folder(folder->evaluation_path, evaluation, error);
}

/* ---- a run that was refused ---- */

static bool has_checkpoint(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;
	while (dir && !found && (entry = readdir(dir)))
		found = fnmatch("checkpoint-*", entry->d_name, 0) == 0;
	if (dir)
		closedir(dir);
	return found;
}

void bd_model_folder_abandon(struct bd_model_folder *folder)
{
	static const char *const model[] = { BD_MODEL_FILE_NAME, NULL };
	struct bd_error ignored;
	char *path = folder->evaluation_path;
	if (!path || has_checkpoint(folder->path))
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
