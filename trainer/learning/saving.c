#include "trainer/learning/saving.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/notes.h"
#include "common/base/units.h"
#include "common/stream/spec.h"
#include "trainer/learning/saved_state.h"

/* best.json holds three numbers. */
#define BEST_LIMIT_BYTES 4096

int bd_saving_init(const char *folder, const struct bd_network *network, const struct bd_optimizer *optimizer, size_t keep,
                   struct bd_saving *ret_saving, struct bd_error *error)
{
	struct bd_saving saving = { .folder = folder, .keep = keep, .optimizer = optimizer ? bd_optimizer_name(optimizer) : NULL };
	saving.parameter_count = network->parameter_count;
	size_t states = optimizer ? bd_optimizer_state_count(optimizer) : 0;
	saving.tensors = calloc(network->parameter_count + states + 1, sizeof *saving.tensors);
	if (!saving.tensors)
		return bd_error_set(error, -ENOMEM, "no memory for a list of weights");
	for (size_t i = 0; i < network->parameter_count; i++)
		saving.tensors[saving.tensor_count++] = bd_checkpoint_tensor(network->parameters[i]);
	for (size_t i = 0; i < states; i++)
		saving.tensors[saving.tensor_count++] = bd_optimizer_state(optimizer, i);
	bd_checkpoint_fingerprint(network->parameters, network->parameter_count, NULL, saving.fingerprint);
	*ret_saving = saving;
	return 0;
}

void bd_saving_finish(struct bd_saving *saving)
{
	free(saving->tensors);
	free(saving->kept_metric);
	*saving = (struct bd_saving){ 0 };
}

void bd_saving_set_order(struct bd_saving *saving, const struct bd_stream_spec *spec, uint64_t seed)
{
	saving->spec = *spec;
	saving->seed = seed;
}

/* ---- notes ---- */

static json_t *window_metrics(const struct bd_metric_set *set)
{
	json_t *all = json_array();
	for (size_t i = 0; i < set->count; i++) {
		double values[BD_METRIC_STATE_MAX];
		size_t count = bd_metric_state(set->metrics[i], values);
		json_t *one = json_array();
		for (size_t k = 0; k < count; k++)
			json_array_append_new(one, bd_json_real(values[k]));
		json_array_append_new(all, one);
	}
	return all;
}

static json_t *notes_of(const struct bd_saving *saving, const struct bd_loop *loop, bool with_window)
{
	const struct bd_loop_state *state = &loop->state;
	const struct bd_stream_spec *spec = &saving->spec;
	json_t *notes = json_pack("{s:I, s:I, s:s, s:I, s:s, s:I}", "records", (json_int_t)saving->records, "batch",
	                          (json_int_t)spec->batch, "shuffle", bd_shuffle_name(spec->shuffle), "window",
	                          (json_int_t)spec->window, "remainder", bd_remainder_name(spec->remainder), "data_seed",
	                          (json_int_t)spec->seed);
	if (!notes)
		return NULL;
	if (saving->optimizer)
		json_object_set_new(notes, "optimizer", json_string(saving->optimizer));
	if (saving->files[0])
		json_object_set_new(notes, "files", json_string(saving->files));
	json_object_set_new(notes, "evaluated_step", json_integer((json_int_t)state->evaluated_step));
	json_object_set_new(notes, "last_loss", bd_json_real(state->last_loss));
	if (saving->best_metric || saving->kept_metric)
		json_object_set_new(notes, "best_metric",
		                    json_string(saving->best_metric ? saving->best_metric : saving->kept_metric));
	if (state->has_best)
		json_object_set_new(notes, "best_value", bd_json_real(state->best_value));
	if (state->best_step > 0)
		json_object_set_new(notes, "best_step", json_integer((json_int_t)state->best_step));
	json_object_set_new(notes, "evaluations_since_best", json_integer((json_int_t)state->evaluations_since_best));
	if (with_window) {
		json_object_set_new(notes, "window_loss_sum", bd_json_real(state->window.loss_sum));
		json_object_set_new(notes, "window_rows", json_integer((json_int_t)state->window.rows));
		json_object_set_new(notes, "window_metrics", window_metrics(loop->window_metrics));
	}
	return notes;
}

/* A report's window that does not fit (several AUCs) is left out: the next report then begins at this checkpoint. */
static int write_notes(const struct bd_saving *saving, const struct bd_loop *loop, char *ret_text, size_t size)
{
	for (int with_window = 1; with_window >= 0; with_window--) {
		json_t *notes = notes_of(saving, loop, with_window);
		char *text = bd_json_dump(notes, JSON_COMPACT);
		if (!text)
			return -ENOMEM;
		bool fits = strlen(text) < size;
		if (fits)
			memcpy(ret_text, text, strlen(text) + 1);
		free(text);
		if (fits)
			return 0;
	}
	return -EOVERFLOW;
}

static uint64_t get_u64(const json_t *notes, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(notes, key));
}

static double get_real(const json_t *notes, const char *key)
{
	return json_number_value(json_object_get(notes, key));
}

static int restore_window(const json_t *notes, struct bd_loop_state *state, struct bd_metric_set *set)
{
	const json_t *all = json_object_get(notes, "window_metrics");
	if (!all || json_array_size(all) != set->count)
		return -ENOENT;
	for (size_t i = 0; i < set->count; i++) {
		const json_t *one = json_array_get(all, i);
		double values[BD_METRIC_STATE_MAX];
		size_t count = json_array_size(one);
		if (count > BD_METRIC_STATE_MAX)
			return -ENOENT;
		for (size_t k = 0; k < count; k++)
			values[k] = json_number_value(json_array_get(one, k));
		if (!bd_metric_restore(set->metrics[i], values, count))
			return -ENOENT;
	}
	state->window.loss_sum = get_real(notes, "window_loss_sum");
	state->window.rows = get_u64(notes, "window_rows");
	return 0;
}

/*
 * A loss and an accuracy cannot be compared: with another --best the next evaluation is the first. The checkpoint that best.json names
 * stays until then.
 */
static void restore_best(struct bd_saving *saving, const json_t *notes, struct bd_loop_state *state)
{
	const char *theirs = json_string_value(json_object_get(notes, "best_metric"));
	state->best_step = get_u64(notes, "best_step");
	if (theirs && saving->best_metric && strcmp(theirs, saving->best_metric) != 0)
		return;
	if (theirs && !saving->best_metric)
		saving->kept_metric = strdup(theirs);
	state->has_best = json_object_get(notes, "best_value") != NULL;
	state->best_value = get_real(notes, "best_value");
	state->evaluations_since_best = get_u64(notes, "evaluations_since_best");
}

/* Metrics that were added to the model file since begin a new window. */
static void restore_state(struct bd_saving *saving, const json_t *notes, struct bd_loop_state *state, struct bd_metric_set *window)
{
	state->evaluated_step = get_u64(notes, "evaluated_step");
	state->last_loss = json_is_number(json_object_get(notes, "last_loss")) ? get_real(notes, "last_loss") : NAN;
	restore_best(saving, notes, state);
	if (restore_window(notes, state, window) < 0)
		bd_metric_set_reset(window);
}

static int differs(struct bd_error *error, const char *what, const char *theirs, const char *ours)
{
	return bd_error_set(
		error, -EINVAL,
		"was made with %s %s, this run has %s: the position in the data would mean something else; give the same, or "
		"--fresh to begin anew",
		what, theirs, ours);
}

static int check_number(const json_t *notes, const char *key, const char *what, uint64_t ours, struct bd_error *error)
{
	char a[32], b[32];
	uint64_t theirs = get_u64(notes, key);
	if (theirs == ours)
		return 0;
	snprintf(a, sizeof a, "%" PRIu64, theirs);
	snprintf(b, sizeof b, "%" PRIu64, ours);
	return differs(error, what, a, b);
}

static int check_word(const json_t *notes, const char *key, const char *ours, struct bd_error *error)
{
	const char *theirs = json_string_value(json_object_get(notes, key));
	if (theirs && strcmp(theirs, ours) == 0)
		return 0;
	return differs(error, key, theirs ? theirs : "?", ours);
}

static int check_order(const struct bd_saving *saving, const json_t *notes, struct bd_error *error)
{
	const struct bd_stream_spec *spec = &saving->spec;
	int r = check_number(notes, "batch", "--batch", spec->batch, error);
	if (r == 0)
		r = check_number(notes, "data_seed", "--seed", spec->seed, error);
	if (r == 0)
		r = check_word(notes, "shuffle", bd_shuffle_name(spec->shuffle), error);
	if (r == 0 && spec->shuffle == BD_SHUFFLE_WINDOW)
		r = check_number(notes, "window", "--window", spec->window, error);
	if (r == 0)
		r = check_word(notes, "remainder", bd_remainder_name(spec->remainder), error);
	return r;
}

/* Two rules may keep states of one name that mean different things. */
static int check_optimizer(const struct bd_saving *saving, const json_t *notes, struct bd_error *error)
{
	const char *theirs = json_string_value(json_object_get(notes, "optimizer"));
	if (!theirs || !saving->optimizer || strcmp(theirs, saving->optimizer) == 0)
		return 0;
	return bd_error_set(error, -EINVAL,
	                    "was made with the optimizer %s, this run has %s: its state would mean something else; --fresh begins "
	                    "anew, and 'weights: FILE' in the model file begins from the trained weights",
	                    theirs, saving->optimizer);
}

/* Other files, or another order of them, may be meant: records that are left are then others than those that were left. */
static void compare_files(const struct bd_saving *saving, const json_t *notes)
{
	const char *theirs = json_string_value(json_object_get(notes, "files"));
	if (theirs && saving->files[0] && strcmp(theirs, saving->files) != 0)
		bd_notes_add(
			saving->notes,
			"the data's files have other names or another order than those that the checkpoint was made with: what is "
			"left of its epoch are other records");
}

/* ---- save ---- */

/* `best_take` is the callee's. */
static int write_best_json(const struct bd_saving *saving, json_t *best_take, struct bd_error *error)
{
	char *path = bd_path_join(saving->folder, BD_BEST_NAME);
	struct bd_output output;
	int r = path ? bd_output_open(&output, path, true, error) : bd_error_set(error, -ENOMEM, "no memory for a path");
	free(path);
	if (r < 0) {
		json_decref(best_take);
		return r;
	}
	r = bd_json_print_line(output.stream, best_take, error);
	if (r < 0) {
		bd_output_abandon(&output);
		return r;
	}
	return bd_output_commit(&output, error);
}

static int write_best(const struct bd_saving *saving, const struct bd_loop *loop, struct bd_error *error)
{
	json_t *best = json_object();
	json_object_set_new(best, "step", json_integer((json_int_t)loop->state.step));
	json_object_set_new(best, "loss", bd_json_real(loop->evaluation.loss));
	for (size_t i = 0; i < loop->evaluation_metrics->count; i++)
		json_object_set_new(best, bd_metric_name(loop->evaluation_metrics->metrics[i]),
		                    bd_json_real(loop->evaluation.metrics[i]));
	return write_best_json(saving, best, error);
}

int bd_saving_save(const struct bd_saving *saving, const struct bd_loop *loop, bool is_best, struct bd_error *error)
{
	struct bd_checkpoint_info info = {
		.step = loop->state.step,
		.epoch = loop->state.epoch,
		.batch = loop->state.batch,
		.seed = saving->seed,
	};
	int r = bd_network_check_finite(loop->network, error);
	if (r < 0)
		return r;
	memcpy(info.fingerprint, saving->fingerprint, sizeof info.fingerprint);
	if (write_notes(saving, loop, info.notes, sizeof info.notes) < 0)
		return bd_error_set(error, -ENOMEM, "no memory for a checkpoint's notes");
	r = bd_checkpoint_save(saving->folder, &info, saving->tensors, saving->tensor_count, error);
	if (r == 0 && is_best)
		r = write_best(saving, loop, error);
	if (r < 0)
		return r;
	uint64_t spared[2];
	size_t count = 0;
	if (loop->state.best_step > 0)
		spared[count++] = loop->state.best_step;
	if (loop->proof != BD_PROOF_GOOD && loop->good_step != UINT64_MAX)
		spared[count++] = loop->good_step;
	return bd_checkpoint_prune(saving->folder, saving->keep, spared, count, error);
}

/* ---- load ---- */

static int restore(struct bd_saving *saving, const struct bd_checkpoint_info *info, const char *path,
                   struct bd_loop_state *ret_state, struct bd_metric_set *window, struct bd_error *error)
{
	json_t *notes = NULL;
	int r = bd_json_parse(path, info->notes, strlen(info->notes), &notes, error);
	if (r < 0)
		return r;
	r = check_order(saving, notes, error);
	if (r == 0)
		r = check_optimizer(saving, notes, error);
	if (r == 0 && info->seed != saving->seed) {
		char a[32], b[32];
		snprintf(a, sizeof a, "%" PRIu64, info->seed);
		snprintf(b, sizeof b, "%" PRIu64, saving->seed);
		r = differs(error, "--seed", a, b);
	}
	if (r == 0) {
		compare_files(saving, notes);
		saving->records = get_u64(notes, "records");
		saving->has_records = true;
		*ret_state = (struct bd_loop_state){ .step = info->step, .epoch = info->epoch, .batch = info->batch };
		restore_state(saving, notes, ret_state, window);
	} else {
		bd_error_prefix(error, "%s", path);
	}
	json_decref(notes);
	return r;
}

static int read_best_step(const char *folder, uint64_t *ret_step, struct bd_error *error)
{
	char *path = bd_path_join(folder, BD_BEST_NAME);
	uint8_t *text = NULL;
	size_t length;
	json_t *best = NULL;
	int r = path ? bd_file_read_all(path, BEST_LIMIT_BYTES, &text, &length, error)
	             : bd_error_set(error, -ENOMEM, "no memory for a path");
	if (r == 0)
		r = bd_json_parse(path, (const char *)text, length, &best, error);
	if (r == 0)
		*ret_step = get_u64(best, "step");
	json_decref(best);
	free(text);
	free(path);
	return r;
}

/* A run killed between a best checkpoint and BD_BEST_NAME left the name of an older one, which is deleted in time. */
static void mend_best(const struct bd_saving *saving, const struct bd_loop_state *state)
{
	struct bd_error ignored;
	uint64_t step;
	if (!state->has_best || (read_best_step(saving->folder, &step, &ignored) == 0 && step == state->best_step))
		return;
	json_t *best = json_object();
	json_object_set_new(best, "step", json_integer((json_int_t)state->best_step));
	json_object_set_new(best, "value", bd_json_real(state->best_value));
	int r = write_best_json(saving, best, &ignored);
	(void)r; /* a full disk: the next best one is written anew */
}

/* A newest checkpoint of another model: which weight it is that does not fit. The error stays as it is where all do. */
static void explain_other_model(const struct bd_saving *saving, struct bd_error *error)
{
	struct bd_checkpoint_list list = { 0 };
	struct bd_error reason = { 0 }, ignored;
	if (error && bd_checkpoint_list(saving->folder, &list, &ignored) == 0 && list.count > 0 &&
	    bd_checkpoint_compare(list.entries[0].path, saving->tensors, saving->parameter_count, &reason) == -ESTALE)
		*error = reason;
	bd_checkpoint_list_finish(&list);
}

static int load_tensors(const struct bd_saving *saving, const char *path, struct bd_checkpoint_info *info, struct bd_error *error)
{
	struct bd_safetensors *file = NULL;
	struct bd_tensor *wanted = calloc(saving->tensor_count + 1, sizeof *wanted);
	size_t count = 0;
	int r = wanted ? bd_safetensors_open(path, &file, error) : bd_error_set(error, -ENOMEM, "no memory for a list of weights");
	if (r == 0)
		r = bd_saved_state_choose(file, saving->tensors, saving->parameter_count, saving->tensor_count, wanted, &count,
		                          saving->notes, error);
	if (r == 0)
		r = bd_checkpoint_load_from(file, saving->fingerprint, wanted, count, info, error);
	bd_safetensors_close(file);
	free(wanted);
	return r;
}

int bd_saving_load_newest(struct bd_saving *saving, struct bd_loop_state *ret_state, struct bd_metric_set *window,
                          struct bd_error *error)
{
	struct bd_checkpoint_info *info = calloc(1, sizeof *info);
	char *path = NULL;
	int r = info ? bd_checkpoint_newest(saving->folder, saving->fingerprint, &path, info, error)
	             : bd_error_set(error, -ENOMEM, "no memory for a checkpoint");
	if (r == -ESTALE)
		explain_other_model(saving, error);
	if (r == 0 && path)
		r = restore(saving, info, path, ret_state, window, error);
	if (r == 0)
		r = load_tensors(saving, path, info, error);
	if (r == 0)
		mend_best(saving, ret_state);
	free(path);
	free(info);
	return r;
}

int bd_saving_check_records(struct bd_saving *saving, uint64_t records, struct bd_error *error)
{
	if (saving->has_records && saving->records != records)
		return bd_error_set(error, -EINVAL,
		                    "%s: the checkpoint was made with data of %" PRIu64 " records, this data has %" PRIu64
		                    "; --fresh begins anew",
		                    saving->folder, saving->records, records);
	saving->records = records;
	saving->has_records = true;
	return 0;
}

static int find_step(const struct bd_saving *saving, uint64_t step, char **ret_path, struct bd_error *error)
{
	struct bd_checkpoint_list list = { 0 };
	int r = bd_checkpoint_list(saving->folder, &list, error);
	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; r < 0 && i < list.count; i++) {
		if (list.entries[i].step == step)
			r = (*ret_path = strdup(list.entries[i].path)) ? 0 : -ENOMEM;
	}
	bd_checkpoint_list_finish(&list);
	return r < 0 ? bd_error_set(error, r, "%s has no checkpoint of step %" PRIu64, saving->folder, step) : 0;
}

int bd_saving_load_weights(struct bd_saving *saving, const char *which, uint64_t *ret_step, struct bd_error *error)
{
	struct bd_checkpoint_info *info = calloc(1, sizeof *info);
	char *path = NULL;
	uint64_t step = 0;
	int r;
	if (!info)
		return bd_error_set(error, -ENOMEM, "no memory for a checkpoint");
	if (!which || strcmp(which, "newest") == 0) {
		r = bd_checkpoint_newest(saving->folder, saving->fingerprint, &path, info, error);
		if (r == -ENOENT)
			bd_error_set(error, r, "%s: there is no checkpoint; 'batchtrain train' makes one", saving->folder);
		if (r == -ESTALE)
			explain_other_model(saving, error);
	} else {
		r = strcmp(which, "best") == 0 ? read_best_step(saving->folder, &step, error)
		                               : bd_parse_u64(which, 0, UINT64_MAX, &step, error);
		if (r == -ENOENT)
			bd_error_set(error, r, "%s: there is no best checkpoint; 'batchtrain train --eval-data' finds it",
			             saving->folder);
		if (r == 0)
			r = find_step(saving, step, &path, error);
	}
	if (r == 0)
		r = bd_checkpoint_load(path, saving->fingerprint, saving->tensors, saving->tensor_count, info, error);
	if (r == 0 && ret_step)
		*ret_step = info->step;
	free(path);
	free(info);
	return r;
}
