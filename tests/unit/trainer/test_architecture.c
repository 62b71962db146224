/* What differs between two models, in words. */
#include "trainer/model/architecture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* Three layers of which the last adds up `inputs`. */
static void make(struct bd_model *model, const char *const *inputs, size_t count)
{
	bd_model_init(model);
	model->height = model->width = 4;
	model->channels = 1;
	assert_non_null(bd_model_append(model, "relu", "a"));
	assert_non_null(bd_model_append(model, "relu", "b"));
	struct bd_layer_config *add = bd_model_append(model, "add", "sum");
	assert_non_null(add);
	add->inputs = calloc(count ? count : 1, sizeof *add->inputs);
	assert_non_null(add->inputs);
	for (size_t i = 0; i < count; i++)
		assert_non_null(add->inputs[i] = strdup(inputs[i]));
	add->input_count = count;
}

static void other_wiring_is_told_with_both_lists(void **state)
{
	(void)state;
	static const char *const was_inputs[] = { "a", "b" }, *const is_inputs[] = { "b", "input" };
	struct bd_model was, is;
	char text[400];
	make(&was, was_inputs, 2);
	make(&is, is_inputs, 2);
	assert_true(bd_architecture_differs(&was, &is, text, sizeof text));
	assert_string_equal(text, "layer 'sum': inputs is [b, input], and was [a, b]");
	assert_false(bd_architecture_differs(&was, &was, text, sizeof text));
	bd_model_finish(&is);
	make(&is, NULL, 0);
	assert_true(bd_architecture_differs(&is, &was, text, sizeof text));
	assert_string_equal(text, "layer 'sum': inputs is [a, b], and was [the layer before it]");
	bd_model_finish(&is);

	char name[200] = { 0 };
	memset(name, 'n', sizeof name - 1);
	const char *const long_inputs[] = { name, "a" };
	make(&is, long_inputs, 2);
	assert_true(bd_architecture_differs(&was, &is, text, sizeof text));
	assert_non_null(strstr(text, "nnn...], and was [a, b]"));
	bd_model_finish(&is);
	bd_model_finish(&was);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_wiring_is_told_with_both_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
