#include "trainer/report/prediction.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/learning/metric.h"

struct bd_answers bd_answers_of(const struct bd_model_file *file, const struct bd_network *network, const char *const *classes,
                                size_t class_count)
{
	const struct bd_layer_config *last = &file->model.layers[file->model.layer_count - 1];
	bool ends_in_classes = strcmp(last->type, "softmax") == 0 || last->activation == BD_ACTIVATION_SIGMOID ||
	                       last->activation == BD_ACTIVATION_SOFTMAX;
	/* One answer a record; a class for each pixel is a picture of numbers. */
	bool is_classifier = network->places > 1       ? false
	                     : file->training.has_loss ? file->training.loss.kind != BD_MEAN_SQUARED_ERROR
	                                               : ends_in_classes;
	bool from_logits = file->training.has_loss && is_classifier && file->training.loss.from_logits;
	bool sigmoid = from_logits && (network->width == 1 || file->training.loss.kind == BD_BINARY_CROSSENTROPY);
	bool sigmoids = file->training.has_loss ? file->training.loss.kind == BD_BINARY_CROSSENTROPY
	                                        : last->activation == BD_ACTIVATION_SIGMOID;
	return (struct bd_answers){ .is_classifier = is_classifier && !(sigmoids && network->width > 1),
		                    .is_several = is_classifier && sigmoids && network->width > 1,
		                    .sigmoid = sigmoid,
		                    .softmax = from_logits && !sigmoid,
		                    .width = network->width,
		                    .classes = classes,
		                    .class_count = class_count };
}

static double probability_of(const struct bd_answers *answers, const float *row, size_t index)
{
	double sum = 0;
	if (answers->sigmoid)
		return 1 / (1 + exp(-(double)row[index]));
	if (!answers->softmax)
		return (double)row[index];
	for (size_t i = 0; i < answers->width; i++)
		sum += exp((double)row[i] - (double)row[index]);
	return 1 / sum;
}

struct bd_prediction bd_prediction_of(const struct bd_answers *answers, const float *row)
{
	struct bd_prediction prediction = { .index = bd_predicted_class(row, answers->width, answers->sigmoid) };
	if (answers->width > 1) {
		prediction.probability = probability_of(answers, row, prediction.index);
		return prediction;
	}
	double p = probability_of(answers, row, 0);
	prediction.probability = prediction.index == 1 ? p : 1 - p;
	return prediction;
}

bool bd_prediction_has(const struct bd_answers *answers, const float *row, size_t index, double *ret_probability)
{
	*ret_probability = probability_of(answers, row, index);
	return *ret_probability > 0.5;
}

const char *bd_class_name(const struct bd_answers *answers, size_t index, char *text, size_t size)
{
	if (index < answers->class_count)
		return answers->classes[index];
	snprintf(text, size, "%zu", index);
	return text;
}
