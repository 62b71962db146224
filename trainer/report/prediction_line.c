#include "trainer/report/prediction_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool bd_prediction_line_is_answer(const struct bd_prediction_line *line)
{
	for (size_t i = 0; i < line->answers->width; i++)
		if (!isfinite(line->output[i]))
			return false;
	return true;
}

json_t *bd_prediction_line_json(const struct bd_prediction_line *line)
{
	const char *name = line->name;
	char text[32];
	json_t *object = json_object(), *numbers = json_array();
	json_object_set_new(object, "file", name ? bd_json_text(name, strlen(name)) : json_null());
	json_object_set_new(object, "record", json_integer((json_int_t)line->record));
	if (line->answers->is_classifier) {
		struct bd_prediction prediction = bd_prediction_of(line->answers, line->output);
		const char *class = bd_class_name(line->answers, prediction.index, text, sizeof text);
		bool known = bd_prediction_line_is_answer(line);
		json_object_set_new(object, "class", known ? bd_json_text(class, strlen(class)) : json_null());
		json_object_set_new(object, "index", known ? json_integer((json_int_t)prediction.index) : json_null());
		json_object_set_new(object, "probability", bd_json_float((float)prediction.probability));
	}
	if (line->answers->is_several) {
		json_t *classes = json_array();
		double ignored;
		for (size_t i = 0; i < line->answers->width; i++) {
			const char *class = bd_class_name(line->answers, i, text, sizeof text);
			if (bd_prediction_has(line->answers, line->output, i, &ignored))
				json_array_append_new(classes, bd_json_text(class, strlen(class)));
		}
		json_object_set_new(object, "classes",
		                    bd_prediction_line_is_answer(line) ? classes : (json_decref(classes), json_null()));
	}
	for (size_t i = 0; i < line->answers->width; i++)
		json_array_append_new(numbers, bd_json_float(line->output[i]));
	json_object_set_new(object, "output", numbers);
	if (line->label)
		json_object_set_new(object, "label", json_integer((json_int_t)*line->label));
	return object;
}

/* Between the quotes of a CSV field. */
static void print_escaped(const char *text)
{
	for (; *text; text++)
		printf(*text == '"' ? "\"\"" : "%c", *text);
}

static void print_quoted(const char *text)
{
	putchar('"');
	print_escaped(text);
	putchar('"');
}

/* The classes of a picture that may have several: those above 0.5, or "none". */
static void print_several(const struct bd_prediction_line *line, const char *between, bool with_probabilities)
{
	char text[32];
	double probability;
	size_t found = 0;
	for (size_t i = 0; i < line->answers->width; i++) {
		if (!bd_prediction_has(line->answers, line->output, i, &probability))
			continue;
		const char *name = bd_class_name(line->answers, i, text, sizeof text);
		printf("%s", found++ ? between : "");
		if (with_probabilities)
			printf("%s %.4f", name, probability);
		else
			print_escaped(name);
	}
	if (!found && with_probabilities)
		printf("none");
}

void bd_prediction_line_print_csv(const struct bd_prediction_line *line)
{
	struct bd_prediction prediction = bd_prediction_of(line->answers, line->output);
	const char *name = line->name;
	char text[32];
	print_quoted(name ? name : "");
	printf(",%" PRIu64 ",", line->record);
	if (line->answers->is_classifier && bd_prediction_line_is_answer(line)) {
		print_quoted(bd_class_name(line->answers, prediction.index, text, sizeof text));
		printf(",%zu,%.9g", prediction.index, prediction.probability);
	} else if (line->answers->is_several && bd_prediction_line_is_answer(line)) {
		putchar('"');
		print_several(line, ";", false);
		printf("\",,");
	} else {
		printf(",,");
	}
	for (size_t i = 0; i < line->answers->width; i++)
		printf(",%.9g", (double)line->output[i]);
	printf("\n");
}

void bd_prediction_line_print(const struct bd_prediction_line *line)
{
	const char *name = line->name;
	char text[32];
	if (name)
		printf("%s: ", name);
	else
		printf("record %" PRIu64 ": ", line->record);
	if (!bd_prediction_line_is_answer(line)) {
		printf("no answer: the model's output is no finite number\n");
		return;
	}
	if (line->answers->is_several) {
		print_several(line, ", ", true);
		printf("\n");
		return;
	}
	if (line->answers->is_classifier) {
		struct bd_prediction prediction = bd_prediction_of(line->answers, line->output);
		printf("%s %.4f\n", bd_class_name(line->answers, prediction.index, text, sizeof text), prediction.probability);
		return;
	}
	for (size_t i = 0; i < line->answers->width; i++)
		printf("%s%.9g", i ? " " : "", (double)line->output[i]);
	printf("\n");
}

void bd_prediction_print_heading(const struct bd_answers *answers)
{
	printf("file,record,class,index,probability");
	for (size_t i = 0; i < answers->width; i++)
		printf(",output_%zu", i);
	printf("\n");
}
