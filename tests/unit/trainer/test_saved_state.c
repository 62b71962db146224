/* Which of a checkpoint's tensors a training takes. */
#include "trainer/learning/saved_state.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

/* Names of other programs with fewer parts than ours, behind each other: each is a layer of an empty name. */
static void names_of_few_parts_are_told_and_read_within_their_bounds(void **state)
{
	(void)state;
	static const char header[] = "{\"optimizer/x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
				     "\"optimizer/y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
				     "\"optimizer/a/b/kernel/momentum\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}";
	char bytes[8 + sizeof header - 1 + 12] = { 0 };
	bytes[0] = (char)((sizeof header - 1) & 0xff);
	bytes[1] = (char)((sizeof header - 1) >> 8);
	memcpy(bytes + 8, header, sizeof header - 1);
	struct bd_error error = { 0 };
	struct bd_safetensors *file;
	struct bd_notes notes;
	size_t count;
	bd_notes_init(&notes);
	assert_int_equal(bd_safetensors_open_memory("foreign", bytes, sizeof bytes, &file, &error), 0);
	assert_int_equal(bd_saved_state_choose(file, NULL, 0, 0, NULL, &count, &notes, &error), 0);
	assert_int_equal(count, 0);
	bd_notes_close(&notes);
	assert_int_equal(notes.count, 2);
	assert_non_null(strstr(notes.texts[0], "layer ''"));
	assert_non_null(strstr(notes.texts[1], "layer 'a/b'"));
	bd_notes_finish(&notes);
	bd_safetensors_close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_few_parts_are_told_and_read_within_their_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
