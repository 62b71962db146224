#include "trainer/report/prediction.h"

#include <stdio.h>
#include <string.h>

#include "trainer/learning/metric.h"

struct bd_answers bd_answers_of(const struct bd_model_file *file, size_t width, const char *const *classes, size_t class_count)
{
	const struct bd_layer_config *last = &file->model.layers[file->model.layer_count - 1];
	bool ends_in_classes = strcmp(last->type, "softmax") == 0 || last->activation == BD_ACTIVATION_SIGMOID ||
	                       last->activation == BD_ACTIVATION_SOFTMAX;
	bool is_classifier = file->training.has_loss ? file->training.loss.kind != BD_MEAN_SQUARED_ERROR : ends_in_classes;
	return (struct bd_answers){
		.is_classifier = is_classifier, .width = width, .classes = classes, .class_count = class_count
	};
}

struct bd_prediction bd_prediction_of(const struct bd_answers *answers, const float *row)
{
	struct bd_prediction prediction = { .index = bd_predicted_class(row, answers->width, false) };
	if (answers->width == 1)
		prediction.probability = prediction.index == 1 ? (double)row[0] : 1 - (double)row[0];
	else
		prediction.probability = (double)row[prediction.index];
	return prediction;
}

const char *bd_class_name(const struct bd_answers *answers, size_t index, char *text, size_t size)
{
	if (index < answers->class_count)
		return answers->classes[index];
	snprintf(text, size, "%zu", index);
	return text;
}
