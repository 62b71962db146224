/* dataset_parts.h - the parts of reading a dataset file that dataset.c puts together; nobody else includes it. */
#ifndef BD_RECORD_DATASET_PARTS_H
#define BD_RECORD_DATASET_PARTS_H

#include "common/base/yaml.h"
#include "common/record/dataset.h"

/* Fills features from the mappings `features` and `sequence_features` (either may be NULL). */
BD_MUST_CHECK int bd_dataset_parse_features(const struct bd_yaml_node *features, const struct bd_yaml_node *sequence_features,
                                            struct bd_dataset *dataset, struct bd_error *error);

/* Fills source, paths, labels and, of a folder without the key, classes from the value of `shards`. */
BD_MUST_CHECK int bd_dataset_parse_shards(const struct bd_yaml_node *shards, const char *folder, struct bd_dataset *dataset,
                                          struct bd_error *error);

#endif
