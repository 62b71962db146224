/*
 * keras_options.h - options that Keras writes into every configuration and that have one value here.
 *
 * Why: a model that is written down from Keras' get_config() has data_format, dilation_rate, use_ema, … at their defaults. They are taken
 * at the value that is computed; any other is refused with that value, not as an unknown key. null is Keras' None: as if left out.
 */
#ifndef BD_MODEL_KERAS_OPTIONS_H
#define BD_MODEL_KERAS_OPTIONS_H

#include "common/base/yaml.h"

/* As bd_yaml_find; also NULL where the value is null. */
const struct bd_yaml_node *bd_keras_find(const struct bd_yaml_node *mapping, const char *key);

/*
 * As bd_yaml_check_keys, and options of `of` (a layer's type, `loss`, `optimizer` or `base`) that have one value here may stand there too,
 * with that value. `what` names the mapping in errors.
 */
BD_MUST_CHECK int bd_keras_check_keys(const struct bd_yaml_node *mapping, const char *what, const char *of, const char *const *keys,
                                      struct bd_error *error);

#endif
