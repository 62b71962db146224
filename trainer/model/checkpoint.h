/*
 * checkpoint.h - the state of a training run in one file, checkpoint-STEP.safetensors.
 *
 * Why safetensors: other tools read the weights. A checkpoint holds every parameter (LAYER/VARIABLE), the optimizer's state
 * (optimizer/LAYER/VARIABLE/SLOT) and, as metadata, the position in the data, the seed (all random draws are functions of seed and
 * position: there is no other generator state), a fingerprint of the model, and checksums of all of it.
 *
 * A file appears whole or not at all; what was there stays when writing fails. A checkpoint that is truncated, flipped or of another
 * model is refused before a single weight is changed.
 */
#ifndef BD_MODEL_CHECKPOINT_H
#define BD_MODEL_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/base/sha256.h"
#include "trainer/model/parameter.h"
#include "trainer/model/safetensors.h"
#include "trainer/model/tensor.h"

/* Text that the training loop keeps for itself: best value so far, early stopping, ... */
#define BD_CHECKPOINT_NOTES_BYTES 16384

struct bd_checkpoint_info {
	uint64_t step; /* optimizer steps done */
	uint64_t epoch, batch; /* position of the next batch in the data */
	uint64_t seed;
	char fingerprint[BD_SHA256_HEX_BYTES]; /* bd_checkpoint_fingerprint */
	char notes[BD_CHECKPOINT_NOTES_BYTES]; /* "" = none; UTF-8 */
};

/* SHA-256 of names and shapes of all parameters and of `architecture`, any text that says what else must be equal; may be NULL. */
void bd_checkpoint_fingerprint(struct bd_parameter *const *parameters, size_t count, const char *architecture,
                               char ret_hex[BD_SHA256_HEX_BYTES]);

/* A parameter as a tensor, borrowed. */
struct bd_tensor bd_checkpoint_tensor(const struct bd_parameter *parameter);

/* Writes FOLDER/checkpoint-STEP.safetensors, replacing one of the same step. Errors as bd_safetensors_write. */
BD_MUST_CHECK int bd_checkpoint_save(const char *folder, const struct bd_checkpoint_info *info, const struct bd_tensor *tensors,
                                     size_t count, struct bd_error *error);

/*
 * Checks the file (checksum, fingerprint, shapes of all tensors asked for) and then reads them: on failure no tensor was touched but for
 * a disk error in the middle. `fingerprint` NULL: any model. Tensors of the file that are not asked for are left out.
 * -EBADMSG damaged; -ESTALE of another model; -ENOENT; -errno.
 */
BD_MUST_CHECK int bd_checkpoint_load(const char *path, const char *fingerprint, struct bd_tensor *tensors, size_t count,
                                     struct bd_checkpoint_info *ret_info, struct bd_error *error);
BD_MUST_CHECK int bd_checkpoint_load_from(struct bd_safetensors *file, const char *fingerprint, struct bd_tensor *tensors,
                                          size_t count, struct bd_checkpoint_info *ret_info, struct bd_error *error);

/* Whether the file has these tensors in these shapes: 0, -ESTALE naming the first that it has not, or as load. */
BD_MUST_CHECK int bd_checkpoint_compare(const char *path, const struct bd_tensor *tensors, size_t count, struct bd_error *error);

/* The same checks without reading the tensors. */
BD_MUST_CHECK int bd_checkpoint_verify(const char *path, const char *fingerprint, struct bd_checkpoint_info *ret_info,
                                       struct bd_error *error);

struct bd_checkpoint_list {
	struct bd_checkpoint_entry {
		uint64_t step;
		char *path;
	} * entries; /* newest (largest step) first */
	size_t count;
};

/* Checkpoints of a folder, by their names. No folder: an empty list. Finish takes a zeroed list. */
BD_MUST_CHECK int bd_checkpoint_list(const char *folder, struct bd_checkpoint_list *ret_list, struct bd_error *error);
void bd_checkpoint_list_finish(struct bd_checkpoint_list *list);

/*
 * The newest checkpoint, verified; *ret_path is the caller's. -ENOENT: the folder has none. Where the newest is refused the result is its
 * error, and the text says which older one is good and what to do: nothing is skipped silently.
 */
BD_MUST_CHECK int bd_checkpoint_newest(const char *folder, const char *fingerprint, char **ret_path,
                                       struct bd_checkpoint_info *ret_info, struct bd_error *error);

/* Deletes all but the newest `keep` (at least 1) and those of the steps in `spared` (the best, ...). */
BD_MUST_CHECK int bd_checkpoint_prune(const char *folder, size_t keep, const uint64_t *spared, size_t spared_count,
                                      struct bd_error *error);

#endif
