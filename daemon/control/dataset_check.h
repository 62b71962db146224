/*
 * dataset_check.h - are the configured dataset files there? Asked at the start and after a reload, told in the log, one line a file.
 *
 * Why a warning and no refusal: a service starts also while a disk is not mounted yet, and datasets may appear later; who looks for his
 * dataset shall find the reason in the log. The files are looked at one after the other on libuv's threads: a disk that
 * does not answer costs one of those, not the start of the daemon.
 * Threads: the loop.
 */
#ifndef BD_CONTROL_DATASET_CHECK_H
#define BD_CONTROL_DATASET_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

struct bd_config;

struct bd_dataset_check {
	uv_loop_t *loop;
	const struct bd_config *config;
	uv_fs_t request;
	char **names, **files; /* of the round under way: a reload may take those of the configuration away */
	size_t count, at;
	bool running, again, stopped;
};

/* `config` is looked at whenever a round begins. */
void bd_dataset_check_init(struct bd_dataset_check *check, uv_loop_t *loop, const struct bd_config *config);

/* Begins a round, or one more after the one under way. Without memory there is none. */
void bd_dataset_check_start(struct bd_dataset_check *check);

/* No further file is looked at; the loop has to turn until the one under way has come back. */
void bd_dataset_check_stop(struct bd_dataset_check *check);

#endif
