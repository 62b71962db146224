/*
 * Models whose output is a picture: labels of the output's own shape, and a class for each pixel. The numbers are known because the
 * last layer's weights and biases are zeros: every logit is 0.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/records.h"
#include "tests/unit/test.h"

#define SIDE 4
#define CLASSES 3
#define PIXELS (SIDE * SIDE)
#define RECORDS 10

static float value_of(uint64_t record, size_t i)
{
	return (float)((record + i) % 5) / 4;
}

static void make(struct bd_example_writer *writer, uint64_t number, void *context)
{
	bool has_classes = *(const bool *)context;
	float image[PIXELS * 2], values[PIXELS * CLASSES];
	int64_t classes[PIXELS];
	for (size_t i = 0; i < PIXELS * 2; i++)
		image[i] = value_of(number, 3 * i);
	for (size_t i = 0; i < PIXELS * CLASSES; i++)
		values[i] = value_of(number, i);
	for (size_t i = 0; i < PIXELS; i++)
		classes[i] = i == 0; /* class 1 in one pixel, class 0 in the others */
	bd_example_writer_add_float(writer, "image", image, PIXELS * 2);
	if (has_classes)
		bd_example_writer_add_int64(writer, "label", classes, PIXELS);
	else
		bd_example_writer_add_float(writer, "label", values, PIXELS * CLASSES);
}

static void write_text(const char *folder, const char *name, const char *text)
{
	char *path = bd_test_path(folder, name);
	bd_test_write_file(path, text, strlen(text));
	free(path);
}

/* Runs batchtrain with `arguments` in the folder; its output lies in FOLDER/out. Returns the exit status. */
static int batchtrain(const char *folder, const char *arguments)
{
	char command[2000], *build = realpath(getenv("BUILD"), NULL);
	assert_non_null(build);
	snprintf(command, sizeof command, "cd %s && env -u BATCHD_SOCKET %s/bin/batchtrain %s >out 2>err", folder, build,
	         arguments);
	free(build);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double number_in(const char *folder, const char *key)
{
	char text[8192], *path = bd_test_path(folder, "out");
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	size_t length = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	free(path);
	text[length] = 0;
	char quoted[64];
	snprintf(quoted, sizeof quoted, "\"%s\":", key);
	const char *at = strstr(text, quoted);
	if (!at)
		fail_msg("no %s in %s", quoted, text);
	return atof(at + strlen(quoted));
}

static void write_model(const char *folder, const char *last, const char *loss)
{
	char text[1000];
	snprintf(text, sizeof text,
	         "input: {height: %d, width: %d, channels: 2}\n"
	         "layers:\n"
	         "  - {type: dense, units: 5, activation: tanh}\n"
	         "  - {type: dense, units: %d, kernel_initializer: zeros, %s}\n"
	         "loss: %s\n"
	         "optimizer: {name: sgd, learning_rate: 0.0}\n"
	         "metrics: [%s]\n",
	         SIDE, SIDE, CLASSES, last, loss, strstr(loss, "squared") ? "mean_absolute_error" : "accuracy");
	write_text(folder, "m.yaml", text);
}

static char *dataset(const char *label)
{
	char *folder = bd_test_folder(), *shard = bd_test_path(folder, "d.tfrecord"), text[600];
	bd_test_shard(shard, BD_COMPRESSION_NONE, 0, RECORDS, make, &(bool){ strstr(label, "int64") != NULL });
	free(shard);
	snprintf(text, sizeof text, "shards: [d.tfrecord]\nfeatures:\n  image: {type: float, shape: [%d, %d, 2]}\n  label: {%s}\n",
	         SIDE, SIDE, label);
	write_text(folder, "d.yaml", text);
	return folder;
}

static void train_and_evaluate(const char *folder)
{
	if (batchtrain(folder, "train m.yaml --data d.yaml --model-dir m --batch 4 --steps 3 --json") != 0 ||
	    batchtrain(folder, "evaluate --model-dir m --data d.yaml --batch 3 --json") != 0)
		fail_msg("batchtrain failed: see %s/err", folder);
}

static void a_class_for_each_pixel_is_a_loss_for_each_pixel(void **state)
{
	(void)state;
	char label[100];
	snprintf(label, sizeof label, "type: int64, shape: [%d, %d]", SIDE, SIDE);
	char *folder = dataset(label);
	write_model(folder, "activation: softmax", "sparse_categorical_crossentropy");
	train_and_evaluate(folder);
	assert_float_equal(number_in(folder, "loss"), log(CLASSES), 1e-6);
	assert_float_equal(number_in(folder, "accuracy"), (PIXELS - 1.0) / PIXELS, 1e-6);
	bd_test_folder_remove(folder);
}

static void numbers_of_the_outputs_shape_are_compared_one_by_one(void **state)
{
	(void)state;
	char label[100];
	snprintf(label, sizeof label, "type: float, shape: [%d, %d, %d]", SIDE, SIDE, CLASSES);
	char *folder = dataset(label);
	write_model(folder, "activation: linear", "mean_squared_error");
	train_and_evaluate(folder);
	double squares = 0, sum = 0;
	for (uint64_t record = 0; record < RECORDS; record++)
		for (size_t i = 0; i < PIXELS * CLASSES; i++) {
			squares += (double)value_of(record, i) * (double)value_of(record, i);
			sum += (double)value_of(record, i);
		}
	assert_float_equal(number_in(folder, "loss"), squares / (RECORDS * PIXELS * CLASSES), 1e-6);
	assert_float_equal(number_in(folder, "mean_absolute_error"), sum / (RECORDS * PIXELS * CLASSES), 1e-6);
	assert_int_equal(batchtrain(folder, "predict --model-dir m --data d.yaml --json"), 0);
	bd_test_folder_remove(folder);
}

static void labels_of_another_shape_are_refused(void **state)
{
	(void)state;
	char *folder = dataset("type: int64, shape: [16]");
	write_model(folder, "activation: softmax", "sparse_categorical_crossentropy");
	assert_int_equal(batchtrain(folder, "train m.yaml --data d.yaml --model-dir m --batch 4 --steps 3"), 1);
	char *path = bd_test_path(folder, "err"), text[2000];
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = 0;
	fclose(file);
	free(path);
	assert_non_null(strstr(text, "the model's output is 4x4x3; it takes class numbers (int64, one for each pixel)"));
	bd_test_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_for_each_pixel_is_a_loss_for_each_pixel),
		cmocka_unit_test(numbers_of_the_outputs_shape_are_compared_one_by_one),
		cmocka_unit_test(labels_of_another_shape_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
