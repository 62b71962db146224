#include "trainer/commands/trained_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/units.h"
#include "trainer/learning/model_folder.h"
#include "trainer/learning/saving.h"

void bd_trained_model_init(struct bd_trained_model *model)
{
	*model = (struct bd_trained_model){ 0 };
	const struct bd_option table[BD_TRAINED_MODEL_OPTION_COUNT] = {
		{ .name = "model-dir",
		  .kind = BD_OPTION_TEXT,
		  .value = &model->folder,
		  .argument = "DIR",
		  .help = "a directory that 'train' has filled" },
		{ .name = "checkpoint",
		  .kind = BD_OPTION_TEXT,
		  .value = &model->checkpoint,
		  .argument = "newest|best|STEP",
		  .help = "which of its checkpoints (default newest)" },
		{ .name = "exact-convolutions",
		  .kind = BD_OPTION_FLAG,
		  .value = &model->exact,
		  .help = "no Winograd: slower, rounding errors a few times smaller" },
	};
	memcpy(model->options, table, sizeof table);
}

int bd_trained_model_check(const struct bd_trained_model *model, struct bd_error *error)
{
	uint64_t step;
	struct bd_error ignored;
	const char *which = model->checkpoint;
	if (!which)
		return 0;
	if (!model->folder)
		return bd_error_set(error, -EINVAL, "--checkpoint needs --model-dir DIR, where checkpoints lie");
	if (strcmp(which, "newest") != 0 && strcmp(which, "best") != 0 && bd_parse_u64(which, 0, UINT64_MAX, &step, &ignored) < 0)
		return bd_error_set(error, -EINVAL, "--checkpoint is newest, best or the number of a step, not '%s'", which);
	return 0;
}

static int load_checkpoint(struct bd_trained_model *model, struct bd_error *error)
{
	struct bd_saving saving = { 0 };
	int r = bd_saving_init(model->folder, &model->network, NULL, 1, &saving, error);
	if (r == 0)
		r = bd_saving_load_weights(&saving, model->checkpoint, &model->step, error);
	bd_saving_finish(&saving);
	if (r == 0)
		bd_graph_weights_changed(model->network.graph);
	return r;
}

static int find_model_file(struct bd_trained_model *model, const char *model_file, struct bd_error *error)
{
	if (model->folder)
		return bd_model_folder_model_path(model->folder, &model->path, error);
	model->path = strdup(model_file);
	return model->path ? 0 : bd_error_set(error, -ENOMEM, "no memory for a path");
}

static int check_layer(const struct bd_model *model, const char *layer, struct bd_error *error)
{
	const char *names[BD_MODEL_MAX_LAYERS + 1];
	for (size_t i = 0; i < model->layer_count; i++) {
		names[i] = model->layers[i].name;
		if (strcmp(names[i], layer) == 0)
			return 0;
	}
	names[model->layer_count] = NULL;
	const char *near = bd_nearest_word(layer, names);
	if (near)
		return bd_error_set(error, -EINVAL, "the model has no layer '%s'; did you mean '%s'?", layer, near);
	return bd_error_set(error, -EINVAL, "the model has no layer '%s'; 'batchtrain summary' lists them", layer);
}

int bd_trained_model_load(struct bd_trained_model *model, const char *model_file, uint32_t batch, uint32_t threads,
                          const char *keep, struct bd_error *error)
{
	const struct bd_network_options options = { .batch = batch, .threads = threads, .exact = model->exact, .keep = keep };
	int r = find_model_file(model, model_file, error);
	if (r == 0)
		r = bd_model_file_load(model->path, &model->file, error);
	if (r == 0 && keep)
		r = check_layer(&model->file.model, keep, error);
	if (r == 0)
		r = bd_network_init(&model->file, &options, &model->network, error);
	if (r < 0)
		return r;
	if (model->folder) {
		r = load_checkpoint(model, error);
		return r < 0 ? r : bd_data_match_load(model->folder, &model->match, error);
	}
	r = bd_network_load_weights(&model->network, &model->file, error);
	if (r == 0 && model->network.random_layers > 0)
		fprintf(stderr, "batchtrain: %s: %zu of its layers have random weights; --model-dir DIR takes trained ones\n",
		        model->path, model->network.random_layers);
	return r;
}

void bd_trained_model_finish(struct bd_trained_model *model)
{
	bd_network_finish(&model->network);
	bd_model_file_finish(&model->file);
	bd_data_match_destroy(model->match);
	free(model->path);
	*model = (struct bd_trained_model){ 0 };
}
