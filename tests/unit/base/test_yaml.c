#include "common/base/yaml.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/test.h"

static int load(const char *text, struct bd_yaml **ret_yaml, struct bd_error *error)
{
	return bd_yaml_load_text("t.yaml", text, strlen(text), ret_yaml, error);
}

static void nested_document_is_read_in_order(void **state)
{
	(void)state;
	struct bd_yaml *yaml;
	assert_int_equal(load("a: 1\nb: [x, 'y z']\nc/d: {e: 256MiB}\n", &yaml, NULL), 0);
	const struct bd_yaml_node *root = bd_yaml_root(yaml), *b = bd_yaml_find(root, "b");
	assert_int_equal(bd_yaml_count(root), 3);
	assert_string_equal(bd_yaml_key(root, 2), "c/d");
	assert_int_equal(bd_yaml_count(b), 2);
	assert_string_equal(bd_yaml_text(bd_yaml_item(b, 1)), "y z");
	uint64_t bytes;
	assert_int_equal(bd_yaml_get_size(bd_yaml_find(bd_yaml_find(root, "c/d"), "e"), "e", &bytes, NULL), 0);
	assert_int_equal(bytes, 256u << 20);
	bd_yaml_destroy(yaml);
}

static void typo_names_line_and_nearest_key(void **state)
{
	(void)state;
	struct bd_yaml *yaml;
	struct bd_error error;
	static const char *const keys[] = { "batch", "shuffle", NULL };
	assert_int_equal(load("batch: 2\nshufle: none\n", &yaml, NULL), 0);
	assert_int_equal(bd_yaml_check_keys(bd_yaml_root(yaml), "the stream", keys, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 2: unknown key 'shufle' in the stream; did you mean 'shuffle'?");
	bd_yaml_destroy(yaml);
}

static void wrong_values_are_refused_with_their_line(void **state)
{
	(void)state;
	struct bd_yaml *yaml;
	struct bd_error error;
	uint64_t number = 7;
	bool flag;
	int choice;
	static const char *const names[] = { "none", "window", "global", NULL };
	assert_int_equal(load("a: -1\nb: 99999999999999999999\nc: maybe\nd: golbal\n", &yaml, NULL), 0);
	const struct bd_yaml_node *root = bd_yaml_root(yaml);
	assert_int_equal(bd_yaml_get_u64(bd_yaml_find(root, "a"), "a", 0, 9, &number, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 1: a: '-1' is no whole number");
	assert_int_equal(bd_yaml_get_u64(bd_yaml_find(root, "b"), "b", 0, UINT64_MAX, &number, &error), -EINVAL);
	assert_int_equal(number, 7);
	assert_int_equal(bd_yaml_get_bool(bd_yaml_find(root, "c"), "c", &flag, &error), -EINVAL);
	assert_int_equal(bd_yaml_get_choice(bd_yaml_find(root, "d"), "shuffle", names, &choice, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 4: shuffle cannot be 'golbal'; did you mean 'global'?");
	bd_yaml_destroy(yaml);
}

static void key_is_named_with_its_own_line(void **state)
{
	(void)state;
	struct bd_yaml *yaml;
	struct bd_error error;
	static const char *const keys[] = { "batch", NULL }, *const names[] = { "none", "window", NULL };
	int choice;
	assert_int_equal(load("batch: 2\n\nshufle:\n\n  kind: none\n  list:\n    - 1\n    - 2\n", &yaml, NULL), 0);
	const struct bd_yaml_node *root = bd_yaml_root(yaml), *mapping = bd_yaml_find(root, "shufle");
	assert_int_equal(bd_yaml_check_keys(root, "the stream", keys, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 3: unknown key 'shufle' in the stream; known are batch");
	assert_int_equal(bd_yaml_get_choice(mapping, "shuffle", names, &choice, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 3: shuffle must be one of none, window");
	bd_yaml_error(bd_yaml_find(mapping, "list"), &error, "x");
	assert_string_equal(error.text, "t.yaml: line 6: x");
	bd_yaml_error(bd_yaml_item(bd_yaml_find(mapping, "list"), 1), &error, "x");
	assert_string_equal(error.text, "t.yaml: line 8: x");
	bd_yaml_destroy(yaml);
	assert_int_equal(load("a:\n  x: 1\nb: 2\na: 3\n", &yaml, &error), -EINVAL);
	assert_string_equal(error.text, "t.yaml: line 4: duplicate key 'a'; it is in line 1 already");
}

static void broken_documents_are_refused(void **state)
{
	(void)state;
	static const char *const broken[] = {
		"", "a: [1, 2", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "? [k]\n: v\n", "a: 1\n---\nb: 2\n", "a: \"x\\0y\"\n", "\x01"
	};
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		struct bd_yaml *yaml = NULL;
		struct bd_error error = { 0 };
		assert_int_equal(load(broken[i], &yaml, &error), -EINVAL);
		assert_null(yaml);
		assert_true(strncmp(error.text, "t.yaml: ", 8) == 0);
	}
	char deep[200];
	memset(deep, '[', sizeof deep - 1);
	deep[sizeof deep - 1] = 0;
	struct bd_yaml *yaml;
	assert_int_equal(load(deep, &yaml, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nested_document_is_read_in_order), cmocka_unit_test(typo_names_line_and_nearest_key),
		cmocka_unit_test(key_is_named_with_its_own_line),   cmocka_unit_test(wrong_values_are_refused_with_their_line),
		cmocka_unit_test(broken_documents_are_refused),
	};
	return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
