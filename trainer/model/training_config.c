#include "trainer/model/training_config.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "trainer/learning/metric.h"
#include "trainer/model/keras_options.h"
#include "trainer/model/model.h"

/* Weights are float32: a larger number has no meaning for them. */
#define LARGEST_OPTION 1e38

/* One key of a mapping with a number or a yes/no behind it. */
struct option {
	const char *key;
	double *number;
	bool *flag;
	double minimum, maximum;
	unsigned optimizers; /* bit set of enum bd_optimizer_kind; 0 = all */
};

static int read_option(const struct bd_yaml_node *node, const struct option *option, struct bd_error *error)
{
	if (strcmp(option->key, "learning_rate") == 0 && bd_yaml_kind(node) == BD_YAML_MAPPING)
		return bd_yaml_error(node, error, "learning_rate is a number; what changes it stands in 'schedule:'");
	if (option->flag)
		return bd_yaml_get_bool(node, option->key, option->flag, error);
	return bd_yaml_get_double(node, option->key, option->minimum, option->maximum, option->number, error);
}

static const struct bd_yaml_node *find_name(const struct bd_yaml_node *node)
{
	return bd_yaml_kind(node) == BD_YAML_MAPPING ? bd_yaml_find(node, "name") : node;
}

static const struct bd_yaml_node *find_in_mapping(const struct bd_yaml_node *node, const char *key)
{
	return bd_yaml_kind(node) == BD_YAML_MAPPING ? bd_keras_find(node, key) : NULL;
}

static int get_compatibility(const struct bd_yaml_node *node, enum bd_compatibility *ret_compatibility, struct bd_error *error)
{
	const struct bd_yaml_node *value = find_in_mapping(node, "compatibility");
	int index;
	if (!value)
		return 0;
	int r = bd_yaml_get_choice(value, "compatibility", bd_compatibility_names, &index, error);
	if (r == 0)
		*ret_compatibility = (enum bd_compatibility)index;
	return r;
}

/* ---- loss ---- */

static int parse_loss(const struct bd_yaml_node *node, struct bd_loss *ret_loss, struct bd_error *error)
{
	static const char *const keys[] = { "name", "from_logits", "label_smoothing", "compatibility", NULL };
	struct bd_loss loss = { .compatibility = BD_KERAS3 };
	const struct bd_yaml_node *name = find_name(node);
	if (bd_yaml_kind(node) == BD_YAML_MAPPING) {
		int r = bd_keras_check_keys(node, "loss", "loss", keys, error);
		if (r < 0)
			return r;
	}
	if (!name || !bd_yaml_text(name))
		return bd_yaml_error(node, error, "loss needs a name, such as %s", bd_loss_names[0]);
	struct bd_error reason = { 0 };
	if (bd_loss_kind_parse(bd_yaml_text(name), &loss.kind, &reason) < 0)
		return bd_yaml_error(name, error, "%s", reason.text);
	const struct bd_yaml_node *value;
	int r = 0;
	if ((value = find_in_mapping(node, "from_logits")))
		r = bd_yaml_get_bool(value, "from_logits", &loss.from_logits, error);
	double smoothing = 0;
	if (r == 0 && (value = find_in_mapping(node, "label_smoothing")))
		r = bd_yaml_get_double(value, "label_smoothing", 0, 1, &smoothing, error);
	loss.label_smoothing = (float)smoothing;
	if (r == 0)
		r = get_compatibility(node, &loss.compatibility, error);
	if (r == 0)
		*ret_loss = loss;
	return r;
}

/* ---- schedule ---- */

static int read_boundaries(const struct bd_yaml_node *node, struct bd_schedule *schedule, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || bd_yaml_count(node) == 0 || bd_yaml_count(node) > BD_SCHEDULE_MAX_BOUNDARIES)
		return bd_yaml_error(node, error, "boundaries is a list of 1 to %d steps", BD_SCHEDULE_MAX_BOUNDARIES);
	schedule->boundary_count = bd_yaml_count(node);
	for (size_t i = 0; i < schedule->boundary_count; i++) {
		int r = bd_yaml_get_u64(bd_yaml_item(node, i), "boundaries", 0, UINT64_MAX, &schedule->boundaries[i], error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_values(const struct bd_yaml_node *node, struct bd_schedule *schedule, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || bd_yaml_count(node) != schedule->boundary_count + 1)
		return bd_yaml_error(node, error, "values is a list of %zu rates, one more than boundaries",
		                     schedule->boundary_count + 1);
	for (size_t i = 0; i <= schedule->boundary_count; i++) {
		int r = bd_yaml_get_double(bd_yaml_item(node, i), "values", 0, LARGEST_OPTION, &schedule->values[i], error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_step_schedule(const struct bd_yaml_node *node, struct bd_schedule *schedule, struct bd_error *error)
{
	const struct bd_yaml_node *boundaries = bd_yaml_find(node, "boundaries"), *values = bd_yaml_find(node, "values");
	if (!boundaries || !values)
		return bd_yaml_error(node, error, "a step schedule needs boundaries: [STEP, …] and values: [RATE, …]");
	int r = read_boundaries(boundaries, schedule, error);
	return r < 0 ? r : read_values(values, schedule, error);
}

static int get_schedule_kind(const struct bd_yaml_node *node, enum bd_compatibility compatibility, enum bd_schedule_kind *ret_kind,
                             struct bd_error *error)
{
	static const char *const names[] = { "constant",
		                             "step",
		                             "exponential",
		                             "inverse_time",
		                             "cosine",
		                             "piecewise_constant_decay",
		                             "exponential_decay",
		                             "inverse_time_decay",
		                             "cosine_decay",
		                             NULL };
	static const enum bd_schedule_kind kinds[] = { BD_SCHEDULE_CONSTANT,     BD_SCHEDULE_STEP,         BD_SCHEDULE_EXPONENTIAL,
		                                       BD_SCHEDULE_INVERSE_TIME, BD_SCHEDULE_COSINE,       BD_SCHEDULE_STEP,
		                                       BD_SCHEDULE_EXPONENTIAL,  BD_SCHEDULE_INVERSE_TIME, BD_SCHEDULE_COSINE };
	const struct bd_yaml_node *name = find_name(node);
	int index;
	if (!name)
		return bd_yaml_error(node, error, "schedule needs a name: constant, step, exponential, inverse_time or cosine");
	int r = bd_yaml_get_choice(name, "schedule", names, &index, error);
	if (r < 0)
		return r;
	*ret_kind = kinds[index];
	if (*ret_kind == BD_SCHEDULE_COSINE && compatibility == BD_TORCH)
		*ret_kind = BD_SCHEDULE_COSINE_TORCH;
	return 0;
}

/* Keras' CosineDecay warms up from initial_learning_rate to warmup_target; everywhere else the warm-up ends at learning_rate. */
static int read_warmup(const struct bd_yaml_node *node, struct bd_schedule *schedule, struct bd_error *error)
{
	const struct bd_yaml_node *value;
	int r = 0;
	if ((value = bd_keras_find(node, "initial_learning_rate")))
		r = bd_yaml_get_double(value, "initial_learning_rate", 0, LARGEST_OPTION, &schedule->learning_rate, error);
	if (r == 0 && (value = bd_keras_find(node, "warmup_steps")))
		r = bd_yaml_get_u64(value, "warmup_steps", 0, UINT64_MAX, &schedule->warmup_steps, error);
	if (r == 0 && (value = bd_keras_find(node, "warmup_target"))) {
		schedule->warmup_from = schedule->learning_rate;
		r = bd_yaml_get_double(value, "warmup_target", 0, LARGEST_OPTION, &schedule->learning_rate, error);
	}
	if (r == 0 && (value = bd_keras_find(node, "warmup_from")))
		r = bd_yaml_get_double(value, "warmup_from", 0, LARGEST_OPTION, &schedule->warmup_from, error);
	return r;
}

/* What a schedule of this kind takes; the warm-up is every schedule's. */
static int check_schedule_keys(const struct bd_yaml_node *node, enum bd_schedule_kind kind, struct bd_error *error)
{
#define WARMUP "name", "initial_learning_rate", "warmup_steps", "warmup_from", "warmup_target", NULL
	static const char *const constant[] = { WARMUP };
	static const char *const step[] = { "boundaries", "values", WARMUP };
	static const char *const decay[] = { "decay_steps", "decay_rate", "staircase", WARMUP };
	static const char *const cosine[] = { "decay_steps", "alpha", WARMUP };
#undef WARMUP
	switch (kind) {
	case BD_SCHEDULE_CONSTANT:
		return bd_yaml_check_keys(node, "a constant schedule", constant, error);
	case BD_SCHEDULE_STEP:
		return bd_yaml_check_keys(node, "a step schedule", step, error);
	case BD_SCHEDULE_EXPONENTIAL:
		return bd_yaml_check_keys(node, "an exponential schedule", decay, error);
	case BD_SCHEDULE_INVERSE_TIME:
		return bd_yaml_check_keys(node, "an inverse_time schedule", decay, error);
	case BD_SCHEDULE_COSINE:
	case BD_SCHEDULE_COSINE_TORCH:
		break;
	}
	return bd_yaml_check_keys(node, "a cosine schedule", cosine, error);
}

static int parse_schedule(const struct bd_yaml_node *node, enum bd_compatibility compatibility, struct bd_schedule *schedule,
                          struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_MAPPING)
		return bd_yaml_error(node, error, "schedule is a mapping: {name: cosine, decay_steps: 10000}");
	int r = get_schedule_kind(node, compatibility, &schedule->kind, error);
	if (r == 0)
		r = check_schedule_keys(node, schedule->kind, error);
	if (r == 0)
		r = read_warmup(node, schedule, error);
	if (r == 0 && schedule->kind == BD_SCHEDULE_STEP)
		r = parse_step_schedule(node, schedule, error);
	const struct option options[] = {
		{ "decay_steps", &schedule->decay_steps, NULL, 1, LARGEST_OPTION, 0 },
		{ "decay_rate", &schedule->decay_rate, NULL, 0, LARGEST_OPTION, 0 },
		{ "staircase", NULL, &schedule->staircase, 0, 0, 0 },
		{ "alpha", &schedule->alpha, NULL, 0, 1, 0 },
	};
	for (size_t i = 0; r == 0 && i < BD_COUNT_OF(options); i++) {
		const struct bd_yaml_node *value = bd_keras_find(node, options[i].key);
		if (value)
			r = read_option(value, &options[i], error);
	}
	if (r < 0)
		return r;
	struct bd_error reason = { 0 };
	if (bd_schedule_check(schedule, &reason) < 0)
		return bd_yaml_error(node, error, "%s", reason.text);
	return 0;
}

/* ---- optimizer ---- */

static int read_excluded(const struct bd_yaml_node *node, struct bd_optimizer_config *config, struct bd_error *error)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE || bd_yaml_count(node) > BD_OPTIMIZER_MAX_EXCLUDED)
		return bd_yaml_error(node, error, "exclude_from_weight_decay is a list of at most %d words",
		                     BD_OPTIMIZER_MAX_EXCLUDED);
	for (size_t i = 0; i < bd_yaml_count(node); i++) {
		const char *word = bd_yaml_text(bd_yaml_item(node, i));
		if (!word || !*word || strlen(word) >= BD_OPTIMIZER_NAME_BYTES)
			return bd_yaml_error(bd_yaml_item(node, i), error,
			                     "exclude_from_weight_decay takes words of 1 to %d letters",
			                     BD_OPTIMIZER_NAME_BYTES - 1);
		memcpy(config->excluded[i], word, strlen(word) + 1);
	}
	config->excluded_count = bd_yaml_count(node);
	return 0;
}

#define ONLY(kind) (1u << (kind))
#define ADAMS (ONLY(BD_ADAM) | ONLY(BD_ADAMW))

/* The options of `config`'s optimizer into keys (NULL-terminated) and options. */
static size_t list_options(struct bd_optimizer_config *config, struct option *options, const char **keys)
{
	const struct option all[] = {
		{ "learning_rate", &config->schedule.learning_rate, NULL, 0, LARGEST_OPTION, 0 },
		{ "momentum", &config->momentum, NULL, 0, 1, ONLY(BD_SGD) | ONLY(BD_RMSPROP) },
		{ "nesterov", NULL, &config->nesterov, 0, 0, ONLY(BD_SGD) },
		{ "rho", &config->rho, NULL, 0, 1, ONLY(BD_RMSPROP) },
		{ "centered", NULL, &config->centered, 0, 0, ONLY(BD_RMSPROP) },
		{ "beta_1", &config->beta_1, NULL, 0, 1, ADAMS },
		{ "beta_2", &config->beta_2, NULL, 0, 1, ADAMS },
		{ "amsgrad", NULL, &config->amsgrad, 0, 0, ADAMS },
		{ "epsilon", &config->epsilon, NULL, 0, LARGEST_OPTION, ADAMS | ONLY(BD_RMSPROP) },
		{ "weight_decay", &config->weight_decay, NULL, 0, LARGEST_OPTION, 0 },
		{ "clipnorm", &config->clipnorm, NULL, 0, LARGEST_OPTION, 0 },
		{ "global_clipnorm", &config->global_clipnorm, NULL, 0, LARGEST_OPTION, 0 },
		{ "clip_norm", &config->global_clipnorm, NULL, 0, LARGEST_OPTION, 0 },
		{ "clipvalue", &config->clipvalue, NULL, 0, LARGEST_OPTION, 0 },
		{ "clip_value", &config->clipvalue, NULL, 0, LARGEST_OPTION, 0 },
	};
	static const char *const others[] = { "name", "compatibility", "schedule", "exclude_from_weight_decay" };
	size_t count = 0, key_count = 0;
	for (size_t i = 0; i < BD_COUNT_OF(all); i++) {
		if (all[i].optimizers != 0 && !(all[i].optimizers & ONLY(config->kind)))
			continue;
		options[count++] = all[i];
		keys[key_count++] = all[i].key;
	}
	for (size_t i = 0; i < BD_COUNT_OF(others); i++)
		keys[key_count++] = others[i];
	keys[key_count] = NULL;
	return count;
}

#define MAX_OPTIONS 24 /* more than list_options has */

static int read_optimizer_options(const struct bd_yaml_node *node, struct bd_optimizer_config *config, struct bd_error *error)
{
	struct option options[MAX_OPTIONS];
	const char *keys[MAX_OPTIONS];
	const struct bd_yaml_node *value;
	size_t count = list_options(config, options, keys);
	char what[64];
	snprintf(what, sizeof what, "optimizer %s", bd_optimizer_names[config->kind]);
	int r = bd_keras_check_keys(node, what, "optimizer", keys, error);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if ((value = bd_keras_find(node, options[i].key)))
			r = read_option(value, &options[i], error);
	}
	if (r == 0 && (value = bd_keras_find(node, "exclude_from_weight_decay")))
		r = read_excluded(value, config, error);
	if (r == 0 && (value = bd_keras_find(node, "schedule")))
		r = parse_schedule(value, config->compatibility, &config->schedule, error);
	if (r == 0 && (config->clipnorm > 0) + (config->global_clipnorm > 0) + (config->clipvalue > 0) > 1)
		r = bd_yaml_error(node, error, "only one of clipnorm, global_clipnorm and clipvalue can be given");
	return r;
}

static int parse_optimizer(const struct bd_yaml_node *node, struct bd_optimizer_config *ret_config, struct bd_error *error)
{
	const struct bd_yaml_node *name = find_name(node);
	int kind;
	if (!name || !bd_yaml_text(name))
		return bd_yaml_error(node, error, "optimizer needs a name: sgd, rmsprop, adam or adamw");
	int r = bd_yaml_get_choice(name, "optimizer", bd_optimizer_names, &kind, error);
	enum bd_compatibility compatibility = BD_KERAS3;
	if (r == 0)
		r = get_compatibility(node, &compatibility, error);
	if (r < 0)
		return r;
	struct bd_optimizer_config config = bd_optimizer_defaults((enum bd_optimizer_kind)kind, compatibility);
	if (bd_yaml_kind(node) == BD_YAML_MAPPING)
		r = read_optimizer_options(node, &config, error);
	if (r == 0)
		*ret_config = config;
	return r;
}

/* ---- metrics ---- */

static int add_metric(const struct bd_yaml_node *node, struct bd_training_config *config, struct bd_error *error)
{
	int index;
	int r = bd_yaml_get_choice(node, "metrics", bd_metric_names, &index, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < config->metric_count; i++) {
		if (config->metrics[i] == bd_metric_names[index])
			return bd_yaml_error(node, error, "metric %s stands there twice", bd_metric_names[index]);
	}
	if (config->metric_count == BD_MAX_METRICS)
		return bd_yaml_error(node, error, "at most %d metrics", BD_MAX_METRICS);
	config->metrics[config->metric_count++] = bd_metric_names[index];
	return 0;
}

static int parse_metrics(const struct bd_yaml_node *node, struct bd_training_config *config, struct bd_error *error)
{
	if (bd_yaml_kind(node) == BD_YAML_SCALAR)
		return add_metric(node, config, error);
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE)
		return bd_yaml_error(node, error, "metrics is a list, such as [accuracy]");
	int r = 0;
	for (size_t i = 0; r == 0 && i < bd_yaml_count(node); i++)
		r = add_metric(bd_yaml_item(node, i), config, error);
	return r;
}

int bd_training_config_parse(const struct bd_yaml_node *root, struct bd_training_config *ret_config, struct bd_error *error)
{
	struct bd_training_config config = { .optimizer = bd_optimizer_defaults(BD_RMSPROP, BD_KERAS3) };
	const struct bd_yaml_node *node = bd_yaml_find(root, "loss");
	config.has_loss = node;
	int r = node ? parse_loss(node, &config.loss, error) : 0;
	if (r == 0 && (node = bd_yaml_find(root, "optimizer")))
		r = parse_optimizer(node, &config.optimizer, error);
	if (r == 0 && (node = bd_yaml_find(root, "metrics")))
		r = parse_metrics(node, &config, error);
	if (r == 0)
		*ret_config = config;
	return r;
}
