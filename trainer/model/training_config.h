/*
 * training_config.h - the part of a model file that says how to train: loss, optimizer, schedule, metrics.
 *
 *   loss: binary_crossentropy                 or {name: …, from_logits: false, label_smoothing: 0.1, compatibility: keras2}
 *   optimizer: rmsprop                        or {name: …, learning_rate: …, schedule: {…}, and Keras' own options of that optimizer}
 *   metrics: [accuracy, auc]
 *
 * schedule: {name: step, boundaries: […], values: […]} | {name: exponential | inverse_time, decay_steps, decay_rate, staircase}
 *   | {name: cosine, decay_steps, alpha} | {name: constant}; each with warmup_steps and warmup_from. Keras' class names in snake case
 *   (cosine_decay, piecewise_constant_decay, exponential_decay, inverse_time_decay) and Keras' initial_learning_rate and
 *   warmup_target are taken too. clip_norm is global_clipnorm, as PyTorch and TensorFlow 1 mean it; clipnorm, as in Keras, is the
 *   norm of each parameter alone.
 * Defaults of an optimizer are those of the framework that `compatibility` names (optimizer.h).
 */
#ifndef BD_MODEL_TRAINING_CONFIG_H
#define BD_MODEL_TRAINING_CONFIG_H

#include "common/base/yaml.h"
#include "trainer/learning/loss.h"
#include "trainer/learning/optimizer.h"

#define BD_MAX_METRICS 16 /* there are fewer names than that */

struct bd_training_config {
	bool has_loss; /* a model without one can be summed up and asked, not trained */
	struct bd_loss loss; /* from_logits only as the file says it: the model decides in the end */
	struct bd_optimizer_config optimizer;
	const char *metrics[BD_MAX_METRICS]; /* names of bd_metric_names: static */
	size_t metric_count;
};

/* Reads `loss`, `optimizer` and `metrics` of the file's root. -EINVAL with line and nearest word. */
BD_MUST_CHECK int bd_training_config_parse(const struct bd_yaml_node *root, struct bd_training_config *ret_config,
                                           struct bd_error *error);

#endif
