/*
 * input_description.h - how pictures become a model's input: the dataset file's features, kept with the model.
 *
 * Why: a model that was trained on pictures minus a mean, in BGR, must see new pictures in the same way. Training therefore writes
 * `data.yaml` into the model directory (the features of the training data and the names of the classes, without the shards), and
 * predict makes a dataset of single files from it: the pictures go through the same daemon and decoder as the training data.
 * What is random in training (crops and flips) is left out there; the training data's raw pixels become `encoding: auto`.
 * Threads: no state.
 */
#ifndef BD_MODEL_INPUT_DESCRIPTION_H
#define BD_MODEL_INPUT_DESCRIPTION_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/client.h>

#define BD_INPUT_DESCRIPTION_NAME "data.yaml"

/*
 * What data.yaml says about a stream's schema; *ret_text is the caller's. classes: the names in the order of the model's outputs (the
 * schema's own for a new model). -EINVAL or -ENOMEM.
 */
BD_MUST_CHECK int bd_input_description_of(const struct bd_schema *schema, const char *const *classes, size_t class_count,
                                          char **ret_text, struct bd_error *error);

/* Writes that text as FOLDER/data.yaml, over an older one. -errno where it cannot be written. */
BD_MUST_CHECK int bd_input_description_save(const char *text, const char *folder, struct bd_error *error);

/*
 * The text of a dataset of these picture files (absolute paths), described by `path`: a data.yaml or a dataset file, or NULL for
 * plain RGB as float32. Pictures are resized to height x width by the description's own method, else as `convert` does by default.
 * channels: 1 or 3, the model's. *ret_text is the caller's. Returns 0, -EINVAL (no feature `image`), or what reading gives.
 */
BD_MUST_CHECK int bd_input_description_files(const char *path, const char *const *files, size_t file_count, uint32_t height,
                                             uint32_t width, uint32_t channels, char **ret_text, struct bd_error *error);

/* The class names of a data.yaml or dataset file; none where it has none. Strings and array are the caller's. */
BD_MUST_CHECK int bd_input_description_classes(const char *path, char ***ret_classes, size_t *ret_count, struct bd_error *error);
struct bd_yaml_node;
BD_MUST_CHECK int bd_input_description_classes_of(const struct bd_yaml_node *root, char ***ret_classes, size_t *ret_count,
                                                  struct bd_error *error);
void bd_classes_free(char **classes, size_t count);

#endif
