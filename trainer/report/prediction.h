/*
 * prediction.h - what a row of outputs says, in words: class, index, probability.
 */
#ifndef BD_REPORT_PREDICTION_H
#define BD_REPORT_PREDICTION_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/learning/network.h"

/* How a model's outputs are to be read. */
struct bd_answers {
	bool is_classifier; /* else numbers: a regression */
	bool is_several; /* each output is a class of its own, of which a picture may have none or many: no single class is the answer */
	bool sigmoid, softmax; /* what turns outputs into probabilities, where the loss is from logits */
	size_t width;
	const char *const *classes; /* names, borrowed; NULL: none */
	size_t class_count;
};

struct bd_prediction {
	size_t index;
	double probability;
};

/* Sigmoid and softmax outputs are classes unless the loss says otherwise. */
struct bd_answers bd_answers_of(const struct bd_model_file *file, const struct bd_network *network, const char *const *classes,
                                size_t class_count);

/* Of one row of outputs (width). One number p is class 1 with p where p > 0.5, else class 0 with 1 - p. */
struct bd_prediction bd_prediction_of(const struct bd_answers *answers, const float *row);

/* Whether class `index` is among the answers of a model whose pictures have several: its probability is above 0.5. */
bool bd_prediction_has(const struct bd_answers *answers, const float *row, size_t index, double *ret_probability);

/* "dogs", or "1" where classes have no names; `text` (size bytes) is used for the latter. */
const char *bd_class_name(const struct bd_answers *answers, size_t index, char *text, size_t size);

#endif
