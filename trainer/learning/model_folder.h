/*
 * model_folder.h - the folder of one model: model.yaml, data.yaml, checkpoints, best.json, events, eval/.
 *
 * One training at a time: bd_model_folder_open locks the folder for the life of the process. The names that training writes are the
 * only ones that bd_model_folder_clear deletes.
 */
#ifndef BD_LEARNING_MODEL_FOLDER_H
#define BD_LEARNING_MODEL_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#define BD_MODEL_FILE_NAME "model.yaml"
#define BD_EVALUATION_FOLDER_NAME "eval"

struct bd_model_folder {
	const char *path; /* borrowed */
	char *evaluation_path; /* PATH/eval */
	size_t kept_bytes; /* how much of evaluation_path was there before */
	bool is_new; /* PATH itself was not there before */
	int fd; /* the lock */
};

/* Makes PATH and PATH/eval where they are not there, locks, and removes what a killed run was saving. -EBUSY: another training works in it. Finish takes a zeroed struct with fd -1. */
BD_MUST_CHECK int bd_model_folder_open(const char *path, struct bd_model_folder *ret_folder, struct bd_error *error);
void bd_model_folder_finish(struct bd_model_folder *folder);

/* For a run that was refused before its first step: the folders that open made and what it wrote into them are gone; what was there before, and any checkpoint, stays. Then only finish. */
void bd_model_folder_abandon(struct bd_model_folder *folder);

/* --fresh: deletes checkpoints, best.json, data.yaml and events of earlier runs. */
BD_MUST_CHECK int bd_model_folder_clear(const struct bd_model_folder *folder, struct bd_error *error);

/* Copies the model file to PATH/model.yaml (nothing to do where it is that file). */
BD_MUST_CHECK int bd_model_folder_keep_model(const struct bd_model_folder *folder, const char *model_path, struct bd_error *error);

/* PATH/model.yaml, the caller's; -ENOENT with the reason where it is not there. */
BD_MUST_CHECK int bd_model_folder_model_path(const char *path, char **ret_path, struct bd_error *error);

#endif
