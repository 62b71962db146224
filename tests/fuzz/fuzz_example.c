/* fuzz_example - a record as Example and as SequenceExample; what is found one by one equals what is read whole. */
#include <stdint.h>
#include <stdlib.h>

#include "common/record/example.h"
#include "common/record/sequence_example.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_values(const struct bd_feature_view *view)
{
	int64_t numbers[8];
	float floats[8];
	struct bd_bytes_view strings[8];
	size_t count, again;
	if (bd_feature_count(view, &count, NULL) < 0)
		abort(); /* a whole read has checked it */
	int result = 0;
	if (view->kind == BD_VALUE_INT64)
		result = bd_feature_read_int64(view, numbers, 8, &again, NULL);
	else if (view->kind == BD_VALUE_FLOAT)
		result = bd_feature_read_float(view, floats, 8, &again, NULL);
	else if (view->kind == BD_VALUE_BYTES)
		result = bd_feature_read_bytes(view, strings, 8, &again, NULL);
	else
		again = count;
	if (result < 0 || again != count)
		abort();
	for (size_t i = 0; view->kind == BD_VALUE_BYTES && i < count && i < 8; i++)
		for (size_t b = 0; b < strings[i].length; b += 64)
			(void)*(volatile const uint8_t *)(strings[i].bytes + b);
}

static void find_again(const uint8_t *data, size_t size, const struct bd_feature_view *view)
{
	struct bd_feature_name name = { view->name, view->name_length };
	struct bd_feature_view found;
	size_t a, b;
	if (bd_example_find(data, size, &name, 1, &found, NULL) < 0 || !found.present || found.kind != view->kind)
		abort();
	if (bd_feature_count(view, &a, NULL) < 0 || bd_feature_count(&found, &b, NULL) < 0 || a != b)
		abort();
}

static void read_lists(const struct bd_sequence_example *example)
{
	for (size_t i = 0; i < example->list_count; i++) {
		struct bd_step_cursor cursor;
		struct bd_feature_view step;
		size_t steps = 0;
		bd_step_cursor_begin(&example->lists[i], &cursor);
		for (; bd_step_cursor_next(&cursor, &step, NULL) > 0; steps++)
			read_values(&step);
		if (steps != example->lists[i].steps)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bd_example example = { 0 };
	struct bd_sequence_example sequence = { 0 };
	const struct bd_feature_name names[] = { { "image", 5 }, { "label", 5 }, { "", 0 } };
	struct bd_feature_view views[3];
	if (bd_example_read(&example, data, size, NULL) == 0)
		for (size_t i = 0; i < example.count; i++) {
			read_values(&example.features[i]);
			find_again(data, size, &example.features[i]);
		}
	if (bd_example_find(data, size, names, 3, views, NULL) == 0)
		for (size_t i = 0; i < 3; i++) {
			size_t count;
			(void)!bd_feature_count(&views[i], &count, NULL);
		}
	if (bd_sequence_example_read(&sequence, data, size, NULL) == 0)
		read_lists(&sequence);
	bd_sequence_example_finish(&sequence);
	bd_example_finish(&example);
	return 0;
}
