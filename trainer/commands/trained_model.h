/*
 * trained_model.h - a model ready to be asked: from a model directory's checkpoint, or from a model file with its weight files.
 */
#ifndef BD_COMMANDS_TRAINED_MODEL_H
#define BD_COMMANDS_TRAINED_MODEL_H

#include "common/base/options.h"
#include "trainer/learning/network.h"
#include "trainer/model/data_match.h"

#define BD_TRAINED_MODEL_OPTION_COUNT 3

struct bd_trained_model {
	/* the command line */
	const char *folder; /* --model-dir, or NULL */
	const char *checkpoint; /* newest, best or a step */
	bool exact;
	struct bd_option options[BD_TRAINED_MODEL_OPTION_COUNT];
	/* what it becomes */
	char *path; /* of the model file */
	struct bd_model_file file;
	struct bd_network network;
	uint64_t step; /* of the checkpoint; 0 without one */
	struct bd_data_match *match; /* what it was trained on; NULL where nothing says it */
};

void bd_trained_model_init(struct bd_trained_model *model);

/* After parsing: --checkpoint is a word that it may be, and has a directory to look in. -EINVAL: wrong usage. */
BD_MUST_CHECK int bd_trained_model_check(const struct bd_trained_model *model, struct bd_error *error);

/* model_file: the word that stands for --model-dir, or NULL. batch, threads, keep: as of bd_network_options. */
BD_MUST_CHECK int bd_trained_model_load(struct bd_trained_model *model, const char *model_file, uint32_t batch, uint32_t threads,
                                        const char *keep, struct bd_error *error);
void bd_trained_model_finish(struct bd_trained_model *model);

#endif
