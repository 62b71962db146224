/*
 * layer_options.h - the types of layers a model file may name, and each type's options, as Keras names them.
 *
 * A table: type, its options, the options that must be there. An option is read by one small function from its YAML value into
 * struct bd_layer_config. A new layer is one more line of the table (and its own file under trainer/layers).
 */
#ifndef BD_MODEL_LAYER_OPTIONS_H
#define BD_MODEL_LAYER_OPTIONS_H

#include "common/base/yaml.h"
#include "trainer/model/model.h"

/* Appends the layer that one item of `layers:` describes; its inputs are checked against the layers above. -EINVAL with line and nearest word, -ENOMEM. */
BD_MUST_CHECK int bd_layer_options_parse(const struct bd_yaml_node *node, struct bd_model *model, struct bd_error *error);

#endif
