#include "common/base/notes.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

static void notes_are_kept_in_their_order_as_clean_lines(void **state)
{
	(void)state;
	struct bd_notes notes;
	bd_notes_init(&notes);
	bd_notes_add(&notes, "%s: no records", "a\nb");
	bd_notes_add(&notes, "second");
	bd_notes_add(NULL, "nobody wants it");
	bd_notes_close(&notes);
	assert_int_equal(notes.count, 2);
	assert_string_equal(notes.texts[0], "a?b: no records");
	assert_string_equal(notes.texts[1], "second");
	bd_notes_finish(&notes);
}

static void notes_past_the_bound_are_counted(void **state)
{
	(void)state;
	struct bd_notes notes;
	bd_notes_init(&notes);
	for (unsigned i = 0; i < BD_NOTES_MAX + 7; i++)
		bd_notes_add(&notes, "note %u", i);
	bd_notes_close(&notes);
	assert_int_equal(notes.count, BD_NOTES_MAX + 1);
	assert_string_equal(notes.texts[BD_NOTES_MAX], "and 7 more notes like these");
	bd_notes_finish(&notes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_are_kept_in_their_order_as_clean_lines),
		cmocka_unit_test(notes_past_the_bound_are_counted),
	};
	return cmocka_run_group_tests_name("notes", tests, NULL, NULL);
}
