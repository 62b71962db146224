#include "trainer/model/keras_options.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

#define MAX_KEYS 64 /* own keys and fixed ones of one mapping */

/* Whose option it is, as words with a blank around each. */
#define CONVOLUTIONS " conv2d depthwise_conv2d "
#define POOLINGS " max_pooling2d average_pooling2d "
#define GLOBALS " global_average_pooling2d global_max_pooling2d "
#define NORM " batch_normalization "

struct fixed_option {
	const char *key;
	const char *of; /* NULL: of every layer */
	const char *value; /* NULL: only null */
	const char *hint;
};

static const struct fixed_option fixed_options[] = {
	{ "data_format", CONVOLUTIONS POOLINGS GLOBALS " zero_padding2d flatten ", "channels_last", "" },
	{ "dilation_rate", CONVOLUTIONS, "1", "" },
	{ "groups", " conv2d ", "1", " (depthwise_conv2d has one filter a channel)" },
	{ "keepdims", GLOBALS, "false", "" },
	{ "activity_regularizer", CONVOLUTIONS " dense ", NULL, "" },
	{ "bias_regularizer", CONVOLUTIONS " dense ", NULL, "" },
	{ "bias_constraint", CONVOLUTIONS " dense ", NULL, "" },
	{ "kernel_constraint", " conv2d dense ", NULL, "" },
	{ "depthwise_constraint", " depthwise_conv2d ", NULL, "" },
	{ "lora_rank", " dense ", NULL, "" },
	{ "beta_initializer", NORM, "zeros", "" },
	{ "gamma_initializer", NORM, "ones", "" },
	{ "moving_mean_initializer", NORM, "zeros", "" },
	{ "moving_variance_initializer", NORM, "ones", "" },
	{ "beta_regularizer", NORM, NULL, "" },
	{ "gamma_regularizer", NORM, NULL, "" },
	{ "beta_constraint", NORM, NULL, "" },
	{ "gamma_constraint", NORM, NULL, "" },
	{ "synchronized", NORM, "false", "" },
	{ "negative_slope", " relu ", "0", "" },
	{ "threshold", " relu ", "0", "" },
	{ "noise_shape", " dropout ", NULL, "" },
	{ "seed", " dropout ", NULL, "; what is dropped is drawn by 'batchtrain train --seed'" },
	{ "dtype", NULL, "float32", "" },
	{ "reduction", " loss ", "sum_over_batch_size", "" },
	{ "axis", " loss ", "-1", "" },
	{ "ignore_class", " loss ", NULL, "" },
	{ "use_ema", " optimizer ", "false", "" },
	{ "ema_momentum", " optimizer ", "0.99", "" },
	{ "ema_overwrite_frequency", " optimizer ", NULL, "" },
	{ "loss_scale_factor", " optimizer ", NULL, "" },
	{ "gradient_accumulation_steps", " optimizer ", NULL, "" },
	{ "include_top", " base ", "false", ": a base comes without its top, which 'layers:' adds" },
	{ "pooling", " base ", NULL, ": add {type: global_average_pooling2d} to 'layers:'" },
};

static bool is_null(const struct bd_yaml_node *node)
{
	const char *text = bd_yaml_text(node);
	return text && bd_yaml_is_plain(node) && (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

const struct bd_yaml_node *bd_keras_find(const struct bd_yaml_node *mapping, const char *key)
{
	const struct bd_yaml_node *node = bd_yaml_find(mapping, key);
	return node && !is_null(node) ? node : NULL;
}

static bool is_option_of(const struct fixed_option *option, const char *of)
{
	if (!option->of)
		return strcmp(of, "base") != 0;
	size_t length = strlen(of);
	for (const char *at = option->of; (at = strstr(at, of)); at++) {
		if (at[-1] == ' ' && at[length] == ' ')
			return true;
	}
	return false;
}

/* 1, 1.0 and [1, 1] are one value; false and False are. */
static bool says(const struct bd_yaml_node *node, const char *value)
{
	if (bd_yaml_kind(node) == BD_YAML_SEQUENCE && bd_yaml_count(node) == 2)
		return says(bd_yaml_item(node, 0), value) && says(bd_yaml_item(node, 1), value);
	const char *text = bd_yaml_text(node);
	char *end = NULL, *text_end = NULL;
	double number = strtod(value, &end);
	if (!text)
		return false;
	if (*end)
		return strcasecmp(text, value) == 0;
	double said = strtod(text, &text_end);
	return text_end > text && !*text_end && said >= number && said <= number;
}

static int check_fixed(const struct bd_yaml_node *mapping, const char *what, const struct fixed_option *option,
                       struct bd_error *error)
{
	const struct bd_yaml_node *node = bd_keras_find(mapping, option->key);
	if (!node || (option->value && says(node, option->value)))
		return 0;
	return bd_yaml_error(node, error, "%s: %s is always %s here%s", what, option->key, option->value ? option->value : "null",
	                     option->hint);
}

int bd_keras_check_keys(const struct bd_yaml_node *mapping, const char *what, const char *of, const char *const *keys,
                        struct bd_error *error)
{
	const char *all[MAX_KEYS + BD_COUNT_OF(fixed_options) + 1];
	size_t count = 0;
	while (keys[count] && count < MAX_KEYS) {
		all[count] = keys[count];
		count++;
	}
	for (size_t i = 0; i < BD_COUNT_OF(fixed_options); i++) {
		if (is_option_of(&fixed_options[i], of))
			all[count++] = fixed_options[i].key;
	}
	all[count] = NULL;
	int r = bd_yaml_check_keys(mapping, what, all, error);
	for (size_t i = 0; r == 0 && i < BD_COUNT_OF(fixed_options); i++) {
		if (is_option_of(&fixed_options[i], of))
			r = check_fixed(mapping, what, &fixed_options[i], error);
	}
	return r;
}
