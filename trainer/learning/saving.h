/*
 * saving.h - a training run's checkpoints: what is in them beside the weights, and whether one fits this run.
 *
 * Weights and optimizer state are tensors of the checkpoint (model/checkpoint.h); the loop's state and what the order of the data
 * depends on (records, batch, shuffle, window, seed, remainder) are its notes, a line of JSON. A run goes on only from a checkpoint whose order is
 * its own: a position means nothing in another.
 * The best checkpoint is named in FOLDER/best.json and spared when old ones are deleted.
 */
#ifndef BD_LEARNING_SAVING_H
#define BD_LEARNING_SAVING_H

#include <batchd/client.h>

#include "trainer/learning/loop.h"
#include "trainer/model/checkpoint.h"

#define BD_BEST_NAME "best.json"

struct bd_saving {
	const char *folder; /* borrowed */
	size_t keep;
	char fingerprint[BD_SHA256_HEX_BYTES];
	struct bd_tensor *tensors; /* parameters, then the optimizer's state */
	size_t tensor_count, parameter_count;
	const char *optimizer; /* its name; NULL: weights only */
	struct bd_stream_spec spec;
	uint64_t records;
	uint64_t seed;
	bool has_records; /* records is known */
	/* what the best evaluation is the best in: `loss` or a metric; set by the caller, borrowed; NULL: this run evaluates nothing... */
	const char *best_metric;
	char *kept_metric; /* ...and keeps what the checkpoint said */
	char files[BD_SHA256_HEX_BYTES]; /* of the data's file names in their order; "": not known. Set by the caller */
	struct bd_notes *notes; /* what a person should know of a checkpoint that was loaded; NULL: nobody asks */
};

/* `optimizer` NULL: weights only (evaluate, predict, export). Parameters and state are borrowed until finish, which takes zeroed. */
BD_MUST_CHECK int bd_saving_init(const char *folder, const struct bd_network *network, const struct bd_optimizer *optimizer,
                                 size_t keep, struct bd_saving *ret_saving, struct bd_error *error);
void bd_saving_finish(struct bd_saving *saving);

/* What the checkpoint's position counts in; before the first save or load of a run. */
void bd_saving_set_order(struct bd_saving *saving, const struct bd_stream_spec *spec, uint64_t seed);

/* Writes checkpoint-STEP, then best.json where is_best, then deletes old ones. */
BD_MUST_CHECK int bd_saving_save(const struct bd_saving *saving, const struct bd_loop *loop, bool is_best, struct bd_error *error);

/*
 * The newest checkpoint into tensors, state and the window's metrics; best.json is written anew where a killed run left an older one;
 * the value of a best in another metric than this run's is forgotten.
 * -ENOENT: the folder has none (no error text). -EINVAL: of another order or optimizer, with what differs. Damaged ones:
 * bd_checkpoint_newest. The caller tells graph and optimizer (iterations).
 */
BD_MUST_CHECK int bd_saving_load_newest(struct bd_saving *saving, struct bd_loop_state *ret_state, struct bd_metric_set *window,
                                        struct bd_error *error);

/* -EINVAL where the checkpoint that was loaded counted other records than the data has now. */
BD_MUST_CHECK int bd_saving_check_records(struct bd_saving *saving, uint64_t records, struct bd_error *error);

/*
 * Weights alone. `which`: NULL or "newest", "best", or a step's number. *ret_step may be NULL. -ENOENT with the reason.
 */
BD_MUST_CHECK int bd_saving_load_weights(struct bd_saving *saving, const char *which, uint64_t *ret_step, struct bd_error *error);

#endif
