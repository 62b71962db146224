#include "trainer/report/prediction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/yaml.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "trainer/commands/picture_files.h"
#include "trainer/model/input_description.h"
#include "trainer/report/npy.h"

/* ---- prediction ---- */

static void one_number_stands_for_two_classes(void **state)
{
	(void)state;
	static const char *const names[] = { "cats", "dogs" };
	const struct bd_answers answers = { .is_classifier = true, .width = 1, .classes = names, .class_count = 2 };
	const float dog = 0.75f, cat = 0.25f, half = 0.5f;
	struct bd_prediction prediction = bd_prediction_of(&answers, &dog);
	assert_int_equal(prediction.index, 1);
	assert_string_equal(bd_class_name(&answers, prediction.index, NULL, 0), "dogs");
	assert_float_equal(prediction.probability, 0.75, 0);
	prediction = bd_prediction_of(&answers, &cat);
	assert_string_equal(bd_class_name(&answers, prediction.index, NULL, 0), "cats");
	assert_float_equal(prediction.probability, 0.75, 0);
	assert_int_equal(bd_prediction_of(&answers, &half).index, 0);
}

static void classes_without_names_are_numbers(void **state)
{
	(void)state;
	const struct bd_answers answers = { .is_classifier = true, .width = 3 };
	const float row[] = { 0.2f, 0.5f, 0.3f };
	char text[16];
	struct bd_prediction prediction = bd_prediction_of(&answers, row);
	assert_int_equal(prediction.index, 1);
	assert_string_equal(bd_class_name(&answers, 1, text, sizeof text), "1");
}

static void logits_become_probabilities(void **state)
{
	(void)state;
	const struct bd_answers one = { .is_classifier = true, .sigmoid = true, .width = 1 };
	const struct bd_answers three = { .is_classifier = true, .softmax = true, .width = 3 };
	const float yes = 0.25f, no = -2, row[] = { 1, 3, 2 };
	assert_int_equal(bd_prediction_of(&one, &yes).index, 1);
	assert_float_equal(bd_prediction_of(&one, &yes).probability, 0.5621765, 1e-7);
	assert_int_equal(bd_prediction_of(&one, &no).index, 0);
	assert_float_equal(bd_prediction_of(&one, &no).probability, 0.8807971, 1e-7);
	assert_int_equal(bd_prediction_of(&three, row).index, 1);
	assert_float_equal(bd_prediction_of(&three, row).probability, 0.6652410, 1e-7);
}

/* ---- npy ---- */

static void rows_are_read_back_as_written(void **state)
{
	(void)state;
	char path[] = "/tmp/bd-npy-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	const struct bd_shape shape = bd_shape_picture(2, 1, 3);
	const float rows[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18 };
	struct bd_npy_writer writer;
	struct bd_error error = { 0 };
	assert_int_equal(bd_npy_writer_open(&writer, path, false, &shape, &error), -EEXIST);
	assert_int_equal(bd_npy_writer_open(&writer, path, true, &shape, &error), 0);
	assert_int_equal(bd_npy_writer_add(&writer, rows, 2, &error), 0);
	assert_int_equal(bd_npy_writer_add(&writer, rows + 12, 1, &error), 0);
	assert_int_equal(bd_npy_writer_commit(&writer, &error), 0);
	struct bd_npy npy;
	assert_true(bd_npy_load(path, &npy));
	assert_string_equal(npy.dtype, "<f4");
	assert_int_equal(npy.rank, 4);
	assert_int_equal(npy.shape[0], 3);
	assert_int_equal(npy.shape[1], 2);
	assert_int_equal(npy.shape[3], 3);
	assert_memory_equal(npy.data, rows, sizeof rows);
	bd_npy_free(&npy);
	unlink(path);
}

/* ---- data.yaml ---- */

static char *make_folder(char *name)
{
	assert_non_null(mkdtemp(name));
	return name;
}

static void save_description(const struct bd_schema *schema, const char *folder)
{
	struct bd_error error = { 0 };
	char *text = NULL;
	assert_int_equal(bd_input_description_of(schema, schema->classes, schema->class_count, &text, &error), 0);
	assert_int_equal(bd_input_description_save(text, folder, &error), 0);
	free(text);
}

static void description_leaves_out_what_is_random_or_raw(void **state)
{
	(void)state;
	char folder[] = "/tmp/bd-description-XXXXXX", path[128];
	static const char *const classes[] = { "a \"quoted\" one", "plain" };
	static const char *const files[] = { "/pictures/x.jpg", "/pictures/with \"quotes\".png" };
	const struct bd_array_schema arrays[] = {
		{ .name = "image",
		  .dtype = BD_FLOAT32,
		  .rank = 4,
		  .shape = { 20, 8, 9, 3 },
		  .image = "{type: image, encoding: raw, shape: [8, 9, 3], crop: {kind: random_resized}, flip: horizontal, "
		           "channels: bgr, mean: [1, 2, 3], scale: 0.5}" },
		{ .name = "label", .dtype = BD_INT64, .rank = 1, .shape = { 20 } },
	};
	const struct bd_schema schema = { .array_count = 2, .arrays = arrays, .classes = classes, .class_count = 2 };
	struct bd_error error = { 0 };
	make_folder(folder);
	save_description(&schema, folder);
	snprintf(path, sizeof path, "%s/data.yaml", folder);
	char *text = NULL;
	if (bd_input_description_files(path, files, 2, 8, 9, 3, &text, &error) < 0)
		fail_msg("%s", error.text);
	struct bd_yaml *yaml;
	if (bd_yaml_load_text("text", text, strlen(text), &yaml, &error) < 0)
		fail_msg("%s in %s", error.text, text);
	const struct bd_yaml_node *root = bd_yaml_root(yaml);
	const struct bd_yaml_node *list = bd_yaml_find(bd_yaml_find(root, "shards"), "files");
	assert_int_equal(bd_yaml_count(list), 2);
	assert_string_equal(bd_yaml_text(bd_yaml_item(list, 1)), files[1]);
	const struct bd_yaml_node *image = bd_yaml_find(bd_yaml_find(root, "features"), "image");
	assert_string_equal(bd_yaml_text(bd_yaml_find(image, "encoding")), "auto");
	assert_string_equal(bd_yaml_text(bd_yaml_find(image, "channels")), "bgr");
	assert_string_equal(bd_yaml_text(bd_yaml_find(bd_yaml_find(image, "resize"), "height")), "8");
	assert_int_equal(bd_yaml_count(bd_yaml_find(image, "mean")), 3);
	assert_null(bd_yaml_find(image, "flip"));
	assert_null(bd_yaml_find(image, "crop"));
	assert_null(bd_yaml_find(image, "shape"));
	bd_yaml_destroy(yaml);
	free(text);
	char **names;
	size_t count;
	assert_int_equal(bd_input_description_classes(path, &names, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_string_equal(names[0], classes[0]);
	bd_classes_free(names, count);
	unlink(path);
	rmdir(folder);
}

static void input_that_is_no_picture_cannot_come_from_files(void **state)
{
	(void)state;
	char folder[] = "/tmp/bd-description-XXXXXX", path[128];
	static const char *const files[] = { "/x.jpg" };
	const struct bd_array_schema arrays[] = { { .name = "image", .dtype = BD_FLOAT32, .rank = 4, .shape = { 20, 8, 9, 3 } } };
	const struct bd_schema schema = { .array_count = 1, .arrays = arrays };
	struct bd_error error = { 0 };
	char *text = NULL;
	make_folder(folder);
	save_description(&schema, folder);
	snprintf(path, sizeof path, "%s/data.yaml", folder);
	assert_int_equal(bd_input_description_files(path, files, 1, 8, 9, 3, &text, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no picture"));
	unlink(path);
	rmdir(folder);
}

/* ---- picture files ---- */

static void folders_give_their_files_in_byte_order(void **state)
{
	(void)state;
	char folder[] = "/tmp/bd-pictures-XXXXXX", command[256];
	make_folder(folder);
	snprintf(command, sizeof command, "cd %s && mkdir b && touch b/2.jpg b/10.jpg a.jpg .hidden", folder);
	assert_int_equal(system(command), 0);
	const char *const words[] = { folder };
	struct bd_picture_files files;
	struct bd_error error = { 0 };
	assert_int_equal(bd_picture_files_find(words, 1, &files, &error), 0);
	assert_int_equal(files.count, 3);
	assert_non_null(strstr(files.shown[0], "/a.jpg"));
	assert_non_null(strstr(files.shown[1], "/b/10.jpg"));
	assert_non_null(strstr(files.shown[2], "/b/2.jpg"));
	bd_picture_files_finish(&files);
	const char *const missing[] = { "/nowhere.jpg" };
	assert_int_equal(bd_picture_files_find(missing, 1, &files, &error), -ENODATA);
	assert_non_null(strstr(error.text, "none of the 1 paths can be read"));
	snprintf(command, sizeof command, "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_number_stands_for_two_classes),
		cmocka_unit_test(classes_without_names_are_numbers),
		cmocka_unit_test(logits_become_probabilities),
		cmocka_unit_test(rows_are_read_back_as_written),
		cmocka_unit_test(description_leaves_out_what_is_random_or_raw),
		cmocka_unit_test(input_that_is_no_picture_cannot_come_from_files),
		cmocka_unit_test(folders_give_their_files_in_byte_order),
	};
	return cmocka_run_group_tests_name("prediction", tests, NULL, NULL);
}
