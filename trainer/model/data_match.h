/*
 * data_match.h - whether a dataset is made as the data that a model was trained on.
 *
 * Why: a model that learned RGB and is asked about BGR answers wrongly and says nothing; so does one whose classes have other numbers
 * in the data that it is asked about. What a model was trained on is its data.yaml (input_description.h).
 *
 * Compared is what reaches the model: the kind of the feature `image`, channels, mean, scale, dtype, layout, and the resize method
 * where both resize. The size is the model's own and is checked where the stream is opened. Where pictures were cut out or decoded
 * from is not compared: other pictures are the purpose of an evaluation.
 * Threads: no state.
 */
#ifndef BD_MODEL_DATA_MATCH_H
#define BD_MODEL_DATA_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/client.h>

struct bd_data_match;

/*
 * text: of a data.yaml; where: how errors name it. -EINVAL where it cannot be read, -ENOMEM. Destroy with bd_data_match_destroy, which
 * takes NULL.
 */
BD_MUST_CHECK int bd_data_match_create(const char *where, const char *text, struct bd_data_match **ret_match,
                                       struct bd_error *error);
void bd_data_match_destroy(struct bd_data_match *match);

/* That of FOLDER/data.yaml. *ret_match is NULL where there is no such file; else as above, or what reading gives. */
BD_MUST_CHECK int bd_data_match_load(const char *folder, struct bd_data_match **ret_match, struct bd_error *error);

/* The names of the classes that it was trained on; borrowed. None for NULL. */
const char *const *bd_data_match_classes(const struct bd_data_match *match, size_t *ret_count);

struct bd_image_options;
/* How it says that pictures are made; false: its input is no picture, or it cannot be read. */
bool bd_data_match_image(const struct bd_data_match *match, struct bd_image_options *ret_image);

/* 0, or -EINVAL naming what differs, both values, and --allow-other-preprocessing. dataset: how errors name the data. */
BD_MUST_CHECK int bd_data_match_check(const struct bd_data_match *match, const char *dataset, const struct bd_schema *schema,
                                      struct bd_error *error);

/*
 * The model's number of each class of the data, by name: (schema->class_count) numbers, malloc'd. NULL where nothing is to be
 * changed: the numbers are the same, or one of the two has no names. -EINVAL names a class that the model does not know; -ENOMEM.
 */
BD_MUST_CHECK int bd_data_match_numbers(const struct bd_data_match *match, const char *dataset, const struct bd_schema *schema,
                                        int64_t **ret_numbers, struct bd_error *error);

#endif
