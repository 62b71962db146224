#include "trainer/model/weights.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "tests/support/golden.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"
#include "trainer/model/hdf5_file.h"
#include "trainer/model/weight_file.h"

/* The net of golden/models_small. */
static const struct {
	const char *name, *file;
	int rank;
	int64_t shape[4];
} small[] = {
	{ "conv_a/kernel", "conv_a.kernel", 4, { 3, 3, 3, 8 } },
	{ "conv_a/bias", "conv_a.bias", 1, { 8 } },
	{ "dw_b/depthwise_kernel", "dw_b.kernel", 4, { 3, 3, 8, 1 } },
	{ "bn_b/gamma", "bn_b.gamma", 1, { 8 } },
	{ "bn_b/beta", "bn_b.beta", 1, { 8 } },
	{ "bn_b/moving_mean", "bn_b.moving_mean", 1, { 8 } },
	{ "bn_b/moving_variance", "bn_b.moving_variance", 1, { 8 } },
	{ "pw_b/kernel", "pw_b.kernel", 4, { 1, 1, 8, 16 } },
	{ "pw_b/bias", "pw_b.bias", 1, { 16 } },
	{ "fc/kernel", "fc.kernel", 2, { 256, 32 } },
	{ "fc/bias", "fc.bias", 1, { 32 } },
	{ "predictions/kernel", "predictions.kernel", 2, { 32, 10 } },
	{ "predictions/bias", "predictions.bias", 1, { 10 } },
};
#define SMALL BD_COUNT_OF(small)

struct model {
	struct bd_parameter parameters[SMALL], *all[SMALL];
};

static void build(struct model *model)
{
	for (size_t i = 0; i < SMALL; i++) {
		struct bd_parameter *parameter = &model->parameters[i];
		*parameter = (struct bd_parameter){ .name = strdup(small[i].name), .rank = small[i].rank, .count = 1 };
		for (int k = 0; k < small[i].rank; k++)
			parameter->count *= (size_t)(parameter->shape[k] = small[i].shape[k]);
		parameter->value = calloc(parameter->count, sizeof(float));
		model->all[i] = parameter;
	}
}

static void release(struct model *model)
{
	for (size_t i = 0; i < SMALL; i++) {
		free(model->parameters[i].name);
		free(model->parameters[i].value);
	}
}

static void rename_parameter(struct bd_parameter *parameter, const char *name)
{
	free(parameter->name);
	parameter->name = strdup(name);
}

static void assert_golden(const struct model *model)
{
	for (size_t i = 0; i < SMALL; i++) {
		char relative[128], path[512];
		struct bd_npy npy;
		snprintf(relative, sizeof relative, "golden/models_small/weights/%s.npy", small[i].file);
		assert_true(bd_shared_path(relative, path, sizeof path) && bd_npy_load(path, &npy));
		assert_int_equal(npy.count, model->parameters[i].count);
		if (memcmp(npy.data, model->parameters[i].value, npy.count * sizeof(float)) != 0)
			fail_msg("%s is not what was saved", small[i].name);
		bd_npy_free(&npy);
	}
}

static bool shared(const char *relative, char *path, size_t size)
{
	if (bd_shared_path(relative, path, size))
		return true;
	print_message("missing: %s\n", path);
	return false;
}

static char *folder;

static int make_folder(void **state)
{
	(void)state;
	folder = bd_test_folder();
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static void every_layout_of_keras_gives_the_same_weights(void **state)
{
	(void)state;
	static const char *const files[] = { "keras2_weights.h5", "keras2_model.h5", "keras3_model.h5", "keras3.weights.h5" };
	for (size_t i = 0; i < BD_COUNT_OF(files); i++) {
		char relative[128], path[512];
		struct model model;
		struct bd_weights_loaded loaded;
		struct bd_error error = { 0 };
		snprintf(relative, sizeof relative, "golden/models_small/%s", files[i]);
		if (!shared(relative, path, sizeof path))
			skip();
		build(&model);
		if (bd_weights_load(path, model.all, SMALL, true, &loaded, &error) != 0)
			fail_msg("%s", error.text);
		assert_golden(&model);
		assert_int_equal(loaded.layers, 6);
		assert_int_equal(loaded.left_out, 0);
		release(&model);
	}
}

static void model_with_optimizer_state_is_read(void **state)
{
	(void)state;
	char path[512];
	struct model model;
	struct bd_weights_loaded loaded;
	if (!shared("golden/models_small/keras2_model_with_optimizer.h5", path, sizeof path))
		skip();
	build(&model);
	assert_int_equal(bd_weights_load(path, model.all, SMALL, true, &loaded, NULL), 0);
	assert_int_equal(loaded.layers, 6);
	release(&model);
}

static void other_names_are_matched_by_order_only_when_all_are_asked_for(void **state)
{
	(void)state;
	static const char *const names[SMALL] = {
		"a/kernel", "a/bias", "b/depthwise_kernel", "c/gamma", "c/beta",   "c/moving_mean", "c/moving_variance",
		"d/kernel", "d/bias", "e/kernel",           "e/bias",  "f/kernel", "f/bias"
	};
	char path[512];
	struct model model;
	struct bd_weights_loaded loaded;
	struct bd_error error;
	if (!shared("golden/models_small/keras2_weights.h5", path, sizeof path))
		skip();
	build(&model);
	for (size_t i = 0; i < SMALL; i++)
		rename_parameter(&model.parameters[i], names[i]);
	assert_int_equal(bd_weights_load(path, model.all, SMALL, false, &loaded, &error), -EINVAL);
	assert_non_null(strstr(error.text, "conv_a"));
	assert_int_equal(bd_weights_load(path, model.all, SMALL, true, &loaded, &error), 0);
	assert_golden(&model);
	release(&model);
}

static void wrong_shape_names_the_layer_and_changes_nothing(void **state)
{
	(void)state;
	char path[512];
	struct model model;
	struct bd_weights_loaded loaded;
	struct bd_error error;
	if (!shared("golden/models_small/keras2_weights.h5", path, sizeof path))
		skip();
	build(&model);
	model.parameters[9].shape[0] = 512;
	model.parameters[9].shape[1] = 16;
	assert_int_equal(bd_weights_load(path, model.all, SMALL, true, &loaded, &error), -EINVAL);
	assert_non_null(strstr(error.text, "layer 'fc' expects kernel of shape 512x16, the file has 256x32"));
	for (size_t i = 0; i < model.parameters[0].count; i++)
		assert_true(model.parameters[0].value[i] == 0);
	release(&model);
}

static void missing_layer_is_einval_unless_some_will_do(void **state)
{
	(void)state;
	char path[512];
	struct model model;
	struct bd_weights_loaded loaded;
	struct bd_error error;
	if (!shared("golden/models_small/keras2_weights.h5", path, sizeof path))
		skip();
	build(&model);
	rename_parameter(&model.parameters[9], "head/kernel");
	rename_parameter(&model.parameters[10], "head/bias");
	assert_int_equal(bd_weights_load(path, model.all, SMALL, true, &loaded, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no layer 'head'; the model expects its kernel of shape 256x32"));
	assert_int_equal(bd_weights_load(path, model.all, SMALL, false, &loaded, &error), 0);
	assert_true(loaded.layers == 5 && loaded.left_out == 1);
	assert_int_equal(bd_weights_load(path, model.all, 3, true, &loaded, &error), 0);
	assert_true(loaded.layers == 2 && loaded.left_out == 4);
	release(&model);
}

static void keras1_names_are_matched_by_place(void **state)
{
	(void)state;
	char path[512];
	struct bd_weights_loaded loaded;
	struct bd_error error = { 0 };
	float kernel[3 * 3 * 16 * 64], bias[64] = { 0 };
	struct bd_parameter parameters[2] = {
		{ .name = (char *)(uintptr_t) "fire2/expand3x3/kernel",
		  .rank = 4,
		  .shape = { 3, 3, 16, 64 },
		  .count = 9216,
		  .value = kernel },
		{ .name = (char *)(uintptr_t) "fire2/expand3x3/bias", .rank = 1, .shape = { 64 }, .count = 64, .value = bias },
	};
	struct bd_parameter *all[2] = { &parameters[0], &parameters[1] };
	if (!shared("data/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5", path, sizeof path))
		skip();
	if (bd_weights_load(path, all, 2, true, &loaded, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(loaded.layers, 1);
	assert_true(bias[0] != 0 && kernel[0] != 0);
}

static void saved_weights_are_loaded(void **state)
{
	(void)state;
	char path[128], golden[512];
	struct model model, copy;
	struct bd_weights_loaded loaded;
	if (!shared("golden/models_small/keras2_weights.h5", golden, sizeof golden))
		skip();
	build(&model);
	build(&copy);
	assert_int_equal(bd_weights_load(golden, model.all, SMALL, true, &loaded, NULL), 0);
	snprintf(path, sizeof path, "%s/weights.safetensors", folder);
	assert_int_equal(bd_weights_save(path, false, model.all, SMALL, NULL), 0);
	assert_int_equal(bd_weights_save(path, false, model.all, SMALL, NULL), -EEXIST);
	assert_int_equal(bd_weights_load(path, copy.all, SMALL, true, &loaded, NULL), 0);
	assert_golden(&copy);
	release(&model);
	release(&copy);
}

/* Keras 3.0 wrote no names: /layers/dense/vars/0; and a base lies in /layers/functional/layers. */
static void nameless_keras3_file_is_matched_by_type_and_number(void **state)
{
	(void)state;
	char path[128];
	struct bd_hdf5 *file;
	const float values[4] = { 1, 2, 3, 4 };
	const int64_t two[2] = { 2, 2 };
	static const char *const datasets[] = { "/layers/dense/vars/0", "/layers/dense_1/vars/0", "/layers/dense_10/vars/0",
		                                "/layers/dense_2/vars/0" };
	assert_int_equal(bd_hdf5_create(&file, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		float mine[4];
		for (size_t k = 0; k < 4; k++)
			mine[k] = values[k] + 10 * (float)i;
		assert_int_equal(bd_hdf5_write(file, datasets[i], 2, two, mine, NULL), 0);
	}
	assert_int_equal(bd_hdf5_write(file, "/layers/functional/layers/conv2d/vars/0", 2, two, values, NULL), 0);
	snprintf(path, sizeof path, "%s/nameless.weights.h5", folder);
	assert_int_equal(bd_hdf5_save(file, path, false, NULL), 0);
	bd_hdf5_close(file);
	static const char *const names[4] = { "one/kernel", "two/kernel", "three/kernel", "four/kernel" };
	float got[4][4];
	struct bd_parameter parameters[4], *all[4];
	struct bd_weights_loaded loaded;
	struct bd_error error = { 0 };
	for (size_t i = 0; i < 4; i++) {
		parameters[i] = (struct bd_parameter){
			.name = (char *)(uintptr_t)names[i], .rank = 2, .shape = { 2, 2 }, .count = 4, .value = got[i]
		};
		all[i] = &parameters[i];
	}
	if (bd_weights_load(path, all, 4, true, &loaded, &error) != 0)
		fail_msg("%s", error.text);
	/* the numbers count, not the letters: dense_2 before dense_10 */
	assert_true(got[0][0] == 1 && got[1][0] == 11 && got[2][0] == 31 && got[3][0] == 21);
	assert_int_equal(loaded.left_out, 1);
}

static void damaged_or_foreign_file_is_refused(void **state)
{
	(void)state;
	char path[512], damaged[128];
	size_t bytes;
	struct bd_weight_file file;
	struct bd_error error;
	if (!shared("golden/models_small/keras2_weights.h5", path, sizeof path))
		skip();
	unsigned char *whole = bd_golden_file(path, &bytes);
	snprintf(damaged, sizeof damaged, "%s/damaged.h5", folder);
	for (size_t keep = 0; keep < bytes; keep += keep < 4096 ? 97 : 7919) {
		FILE *stream = fopen(damaged, "wb");
		fwrite(whole, 1, keep, stream);
		fclose(stream);
		assert_true(bd_weight_file_open(damaged, &file, &error) < 0);
	}
	assert_int_equal(bd_weight_file_open(folder, &file, &error), -EISDIR);
	assert_int_equal(bd_weight_file_open("/nonexistent.h5", &file, &error), -ENOENT);
	free(whole);
	FILE *text = fopen(damaged, "wb");
	fputs("weights: in words\n", text);
	fclose(text);
	assert_int_equal(bd_weight_file_open(damaged, &file, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "neither HDF5"));
	if (bd_shared_path("golden/models_small/keras3_model.keras", path, sizeof path)) {
		assert_int_equal(bd_weight_file_open(path, &file, &error), -EBADMSG);
		assert_non_null(strstr(error.text, "model.weights.h5"));
	}
}

/* Keras', NumPy's and PyTorch's archives all begin with PK: each is called what it is. */
static void archives_are_called_by_their_names(void **state)
{
	(void)state;
	static const struct {
		const char *members, *text;
		size_t padding; /* before the members: their list stands at the end */
	} archives[] = {
		{ "metadata.json config.json model.weights.h5", "a .keras archive", 0 },
		{ "arr_0.npy", "a NumPy archive (.npz)", 20000 },
		{ "archive/data.pkl", "a PyTorch file", 100 },
		{ "readme.txt", "a ZIP archive; weights are read from HDF5", 9000 },
	};
	char path[128];
	snprintf(path, sizeof path, "%s/archive", folder);
	for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
		struct bd_weight_file file;
		struct bd_error error = { 0 };
		FILE *stream = fopen(path, "wb");
		assert_non_null(stream);
		fwrite("PK\003\004", 1, 4, stream);
		for (size_t k = 0; k < archives[i].padding; k++)
			fputc(0, stream);
		fputs(archives[i].members, stream);
		fclose(stream);
		assert_int_equal(bd_weight_file_open(path, &file, &error), -EBADMSG);
		if (!strstr(error.text, archives[i].text))
			fail_msg("'%s' does not say '%s'", error.text, archives[i].text);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_of_keras_gives_the_same_weights),
		cmocka_unit_test(model_with_optimizer_state_is_read),
		cmocka_unit_test(other_names_are_matched_by_order_only_when_all_are_asked_for),
		cmocka_unit_test(wrong_shape_names_the_layer_and_changes_nothing),
		cmocka_unit_test(missing_layer_is_einval_unless_some_will_do),
		cmocka_unit_test(keras1_names_are_matched_by_place),
		cmocka_unit_test(saved_weights_are_loaded),
		cmocka_unit_test(nameless_keras3_file_is_matched_by_type_and_number),
		cmocka_unit_test(damaged_or_foreign_file_is_refused),
		cmocka_unit_test(archives_are_called_by_their_names),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
