#include "trainer/model/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/sha256.h"
#include "tests/support/golden.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

static bool open_cases(struct bd_golden_cases *cases)
{
	char path[512];
	if (bd_shared_path("golden/safetensors/index.txt", path, sizeof path) && bd_golden_cases_open(path, cases))
		return true;
	print_message("missing: %s\n", path);
	return false;
}

static void golden_files_are_accepted_or_refused(void **state)
{
	(void)state;
	struct bd_golden_cases cases;
	if (!open_cases(&cases))
		skip();
	int checked = 0;
	for (; bd_golden_cases_next(&cases); checked++) {
		char name[64], relative[128], path[512], expect[16];
		struct bd_safetensors *file, *same = NULL;
		struct bd_error error = { 0 };
		assert_true(bd_golden_value(&cases, "name", name, sizeof name) &&
		            bd_golden_value(&cases, "expect", expect, sizeof expect));
		snprintf(relative, sizeof relative, "golden/safetensors/%s", name);
		assert_true(bd_shared_path(relative, path, sizeof path));
		int result = bd_safetensors_open(path, &file, &error);
		if (strcmp(expect, "accept") == 0 ? result != 0 : !strcmp(expect, "refuse") && result != -EBADMSG)
			fail_msg("%s: %s expected, result %d (%s)", name, expect, result, error.text);
		size_t bytes;
		void *memory = bd_golden_file(path, &bytes);
		assert_int_equal(bd_safetensors_open_memory(name, memory, bytes, &same, &error), result);
		if (result == 0) {
			assert_int_equal(bd_safetensors_count(file), bd_safetensors_count(same));
			assert_int_equal(bd_safetensors_verify(file, &error), 0);
			bd_safetensors_close(file);
			bd_safetensors_close(same);
		}
		free(memory);
	}
	bd_golden_cases_close(&cases);
	assert_int_equal(checked, 28);
}

static void golden_tensors_are_read(void **state)
{
	(void)state;
	char path[512], hex[BD_SHA256_HEX_BYTES];
	struct bd_safetensors *file;
	float values[12];
	if (!bd_shared_path("golden/safetensors/valid.safetensors", path, sizeof path))
		skip();
	assert_int_equal(bd_safetensors_open(path, &file, NULL), 0);
	assert_int_equal(bd_safetensors_count(file), 12);
	assert_string_equal(bd_safetensors_metadata(file, "note"), "größe");
	assert_null(bd_safetensors_metadata(file, "f32"));
	const struct bd_safetensors_entry *entry = bd_safetensors_find(file, "f32");
	assert_non_null(entry);
	assert_true(entry->rank == 2 && entry->shape[0] == 3 && entry->shape[1] == 4 && entry->count == 12);
	assert_int_equal(bd_safetensors_read(file, entry, values, NULL), 0);
	bd_sha256_hex(values, sizeof values, hex);
	assert_string_equal(hex, "06427e979968aeaf4832f78a44c1d6b30f782408a1d265fc524647b4f746fbe9");
	assert_int_equal(bd_safetensors_read(file, bd_safetensors_find(file, "f16"), values, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_true(isfinite(values[i]));
	assert_int_equal(bd_safetensors_read(file, bd_safetensors_find(file, "i64"), values, NULL), -EINVAL);
	assert_null(bd_safetensors_find(file, "none"));
	bd_safetensors_close(file);
}

static void narrow_numbers_become_floats(void **state)
{
	(void)state;
	const uint16_t half[8] = { 0x3c00, 0xc000, 0x0001, 0x0400, 0x7c00, 0xfbff, 0x8000, 0x3555 }, brain[2] = { 0x3f80, 0xc040 };
	const double wide[1] = { 0.1 };
	const float expected[11] = { 1, -2, 0x1p-24f, 0x1p-14f, INFINITY, -65504, -0.0f, 0.333251953125f, 1, -3, 0.1f };
	const char *header =
		"{\"h\":{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"BF16\",\"shape\":[2],"
		"\"data_offsets\":[16,20]},\"d\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[20,28]}}";
	uint8_t bytes[512] = { (uint8_t)strlen(header) };
	float values[11];
	memcpy(bytes + 8, header, strlen(header));
	memcpy(bytes + 8 + strlen(header), half, 16);
	memcpy(bytes + 24 + strlen(header), brain, 4);
	memcpy(bytes + 28 + strlen(header), wide, 8);
	struct bd_safetensors *file;
	assert_int_equal(bd_safetensors_open_memory("x", bytes, 36 + strlen(header), &file, NULL), 0);
	assert_int_equal(bd_safetensors_read(file, bd_safetensors_find(file, "h"), values, NULL), 0);
	assert_int_equal(bd_safetensors_read(file, bd_safetensors_find(file, "b"), values + 8, NULL), 0);
	assert_int_equal(bd_safetensors_read(file, bd_safetensors_find(file, "d"), values + 10, NULL), 0);
	assert_memory_equal(values, expected, sizeof expected);
	bd_safetensors_close(file);
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

static void written_file_is_read_back(void **state)
{
	(void)state;
	char path[128];
	float a[6] = { 1, 2, 3, 4, 5, NAN }, b[1] = { -0.0f }, got[6];
	const struct bd_tensor tensors[3] = { { .name = "conv/kernel", .rank = 2, .shape = { 2, 3 }, .count = 6, .data = a },
		                              { .name = "größe", .rank = 0, .count = 1, .data = b },
		                              { .name = "empty", .rank = 1, .shape = { 0 }, .count = 0, .data = b } };
	const struct bd_safetensors_text texts[] = { { "note", "\"quoted\"\n" } };
	snprintf(path, sizeof path, "%s/a.safetensors", folder);
	assert_int_equal(bd_safetensors_write(path, false, tensors, 3, texts, 1, NULL), 0);
	assert_int_equal(bd_safetensors_write(path, false, tensors, 3, texts, 1, NULL), -EEXIST);
	assert_int_equal(bd_safetensors_write(path, true, tensors, 3, texts, 1, NULL), 0);
	struct bd_safetensors *file;
	assert_int_equal(bd_safetensors_open(path, &file, NULL), 0);
	assert_int_equal(bd_safetensors_verify(file, NULL), 0);
	assert_string_equal(bd_safetensors_metadata(file, "note"), "\"quoted\"\n");
	const struct bd_safetensors_entry *entry = bd_safetensors_find(file, "conv/kernel");
	assert_true(entry->rank == 2 && entry->shape[1] == 3);
	assert_int_equal(bd_safetensors_read(file, entry, got, NULL), 0);
	assert_memory_equal(got, a, sizeof a);
	entry = bd_safetensors_find(file, "größe");
	assert_int_equal(entry->rank, 0);
	assert_int_equal(bd_safetensors_read(file, entry, got, NULL), 0);
	assert_memory_equal(got, b, sizeof b);
	assert_int_equal(bd_safetensors_find(file, "empty")->bytes, 0);
	bd_safetensors_close(file);
}

static void bad_names_are_refused(void **state)
{
	(void)state;
	char path[128];
	float a[1] = { 1 };
	struct bd_tensor tensors[2] = { { .name = "a", .count = 1, .data = a }, { .name = "a", .count = 1, .data = a } };
	snprintf(path, sizeof path, "%s/bad.safetensors", folder);
	assert_int_equal(bd_safetensors_write(path, true, tensors, 2, NULL, 0, NULL), -EINVAL);
	tensors[1].name = "\xff";
	assert_int_equal(bd_safetensors_write(path, true, tensors, 2, NULL, 0, NULL), -EINVAL);
	assert_int_equal(access(path, F_OK), -1);
}

static void folder_or_missing_file_is_refused(void **state)
{
	(void)state;
	struct bd_safetensors *file;
	struct bd_error error;
	assert_int_equal(bd_safetensors_open(folder, &file, &error), -EINVAL);
	assert_int_equal(bd_safetensors_open("/nonexistent/x", &file, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/x"));
	bd_safetensors_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_files_are_accepted_or_refused),
		cmocka_unit_test(golden_tensors_are_read),
		cmocka_unit_test(narrow_numbers_become_floats),
		cmocka_unit_test(written_file_is_read_back),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(folder_or_missing_file_is_refused),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
