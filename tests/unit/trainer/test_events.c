#include "trainer/report/events.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/record/tfrecord.h"
#include "proto/event.pb-c.h"
#include "tests/support/golden.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"

#define MAX_EVENTS 4096

/* All events of a file, framing checked. */
struct read {
	Batchd__Event__Event *events[MAX_EVENTS];
	size_t count;
};

static struct read read_events(const char *path)
{
	struct read read = { 0 };
	size_t size;
	uint8_t *bytes = bd_golden_file(path, &size);
	struct bd_error error = { 0 };
	assert_non_null(bytes);
	for (size_t at = 0; at < size;) {
		uint64_t length;
		assert_true(size - at >= BD_TFRECORD_FRAMING_BYTES);
		assert_int_equal(bd_tfrecord_parse_header(bytes + at, &length, &error), 0);
		assert_true(length <= size - at - BD_TFRECORD_FRAMING_BYTES);
		const uint8_t *data = bytes + at + BD_TFRECORD_HEADER_BYTES;
		assert_int_equal(bd_tfrecord_check_data(data, length, data + length, &error), 0);
		assert_true(read.count < MAX_EVENTS);
		read.events[read.count] = batchd__event__event__unpack(NULL, (size_t)length, data);
		assert_non_null(read.events[read.count++]);
		at += BD_TFRECORD_FRAMING_BYTES + (size_t)length;
	}
	free(bytes);
	return read;
}

static void release(struct read *read)
{
	for (size_t i = 0; i < read->count; i++)
		batchd__event__event__free_unpacked(read->events[i], NULL);
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

static void file_begins_with_version_and_start(void **state)
{
	(void)state;
	struct bd_events *events;
	char inside[128];
	snprintf(inside, sizeof inside, "%s/new/folder", folder);
	assert_int_equal(bd_events_open(inside, 500, &events, NULL), 0);
	struct read read = read_events(bd_events_path(events));
	assert_non_null(strstr(bd_events_path(events), "/events.out.tfevents."));
	assert_int_equal(read.count, 3);
	assert_string_equal(read.events[0]->file_version, "brain.Event:2");
	assert_string_equal(read.events[1]->source_metadata->writer, "batchtrain");
	assert_int_equal(read.events[2]->session_log->status, BATCHD__EVENT__SESSION_LOG__SESSION_STATUS__START);
	assert_int_equal(read.events[2]->step, 500);
	release(&read);
	bd_events_close(events);
	bd_events_close(NULL);
}

static void scalars_are_read_back(void **state)
{
	(void)state;
	struct bd_events *events;
	assert_int_equal(bd_events_open(folder, 0, &events, NULL), 0);
	const struct bd_event_scalar scalars[3] = { { "loss", 0.25 }, { "eval/accuracy", 0 }, { "odd", NAN } };
	assert_int_equal(bd_events_scalars(events, 7, scalars, 3, NULL), 0);
	struct read read = read_events(bd_events_path(events));
	assert_int_equal(read.count, 4);
	const Batchd__Event__Event *event = read.events[3];
	assert_int_equal(event->step, 7);
	assert_true(event->wall_time > 1.5e9);
	assert_int_equal(event->summary->n_value, 3);
	assert_string_equal(event->summary->value[1]->tag, "eval/accuracy");
	assert_int_equal(event->summary->value[1]->value_case, BATCHD__EVENT__SUMMARY__VALUE__VALUE_SIMPLE_VALUE);
	assert_true(event->summary->value[0]->simple_value == 0.25f && event->summary->value[1]->simple_value == 0.0f);
	assert_true(isnan(event->summary->value[2]->simple_value));
	release(&read);
	bd_events_close(events);
}

/* Through all exponents, both signs: the bucket is the one whose limit is the first above the value. */
static void histogram_puts_each_float_between_its_limits(void **state)
{
	(void)state;
	enum { VALUES = 3000 };
	struct bd_events *events;
	float values[VALUES];
	assert_int_equal(bd_events_open(folder, 0, &events, NULL), 0);
	for (uint32_t i = 0; i < VALUES; i++) {
		uint32_t bits = (i % 2) << 31 | (i / 2 * 254 / (VALUES / 2)) << 23 | (i * 2654435761u) >> 9;
		memcpy(&values[i], &bits, sizeof bits);
		assert_int_equal(bd_events_histogram(events, i, "w", &values[i], 1, NULL), 0);
	}
	struct read read = read_events(bd_events_path(events));
	for (size_t i = 0; i < VALUES; i++) {
		const Batchd__Event__HistogramProto *histogram = read.events[3 + i]->summary->value[0]->histo;
		size_t bucket = 0;
		while (histogram->bucket[bucket] <= 0)
			bucket++;
		assert_true(histogram->bucket_limit[bucket] > (double)values[i]);
		assert_true(bucket == 0 || histogram->bucket_limit[bucket - 1] <= (double)values[i]);
	}
	release(&read);
	bd_events_close(events);
}

static void histogram_counts_every_finite_value(void **state)
{
	(void)state;
	struct bd_events *events;
	const float values[9] = { 0, -1, 1, 1e-20f, 3e30f, -3e30f, NAN, INFINITY, 1 };
	assert_int_equal(bd_events_open(folder, 0, &events, NULL), 0);
	assert_int_equal(bd_events_histogram(events, 1, "fc/kernel", values, 9, NULL), 0);
	assert_int_equal(bd_events_histogram(events, 2, "empty", values, 0, NULL), 0);
	struct read read = read_events(bd_events_path(events));
	const Batchd__Event__HistogramProto *histogram = read.events[3]->summary->value[0]->histo;
	assert_true(histogram->num == 7 && histogram->min == (double)-3e30f && histogram->max == (double)3e30f);
	double total = 0, below_one = 0;
	for (size_t i = 0; i < histogram->n_bucket; i++) {
		total += histogram->bucket[i];
		if (histogram->bucket_limit[i] <= 0.9)
			below_one += histogram->bucket[i];
		assert_true(i == 0 || histogram->bucket_limit[i] > histogram->bucket_limit[i - 1]);
		assert_true(isfinite(histogram->bucket_limit[i]));
	}
	assert_true(total == 7 && below_one == 4);
	assert_int_equal(histogram->n_bucket, histogram->n_bucket_limit);
	assert_true(read.events[4]->summary->value[0]->histo->num == 0);
	release(&read);
	bd_events_close(events);
}

static void picture_is_read_back(void **state)
{
	(void)state;
	struct bd_events *events;
	const uint8_t png[5] = { 1, 2, 3, 0, 255 };
	assert_int_equal(bd_events_open(folder, 0, &events, NULL), 0);
	assert_int_equal(bd_events_image(events, 3, "predictions", png, 5, 20, 12, 3, NULL), 0);
	struct read read = read_events(bd_events_path(events));
	const Batchd__Event__Summary__Image *image = read.events[3]->summary->value[0]->image;
	assert_true(image->width == 20 && image->height == 12 && image->colorspace == 3 && image->encoded_image_string.len == 5);
	assert_memory_equal(image->encoded_image_string.data, png, 5);
	release(&read);
	bd_events_close(events);
}

static void full_disk_leaves_whole_records(void **state)
{
	(void)state;
	struct bd_events *events;
	struct bd_error error;
	struct rlimit before, small = { .rlim_cur = 200 };
	const struct bd_event_scalar scalar = { "a tag of some length, so that the limit falls inside the second record of them",
		                                1 };
	assert_int_equal(bd_events_open(folder, 0, &events, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int result = 0, written = 0;
	while (result == 0 && written++ < 10)
		result = bd_events_scalars(events, 1, &scalar, 1, &error);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(result, -EFBIG);
	assert_int_equal(bd_events_scalars(events, 9, &scalar, 1, &error), 0);
	struct read read = read_events(bd_events_path(events));
	assert_int_equal(read.events[read.count - 1]->step, 9);
	assert_int_equal(read.count, 3 + (size_t)written);
	release(&read);
	bd_events_close(events);
}

static void tensorflows_own_file_is_understood(void **state)
{
	(void)state;
	char path[512];
	if (!bd_shared_path("golden/tensorboard/tf1/events.out.tfevents.1541548800.host", path, sizeof path)) {
		print_message("missing: %s\n", path);
		skip();
	}
	struct read read = read_events(path);
	assert_int_equal(read.count, 19);
	assert_string_equal(read.events[0]->file_version, "brain.Event:2");
	assert_true(read.events[3]->summary->value[0]->simple_value == 0.7009670734405518f);
	const Batchd__Event__Summary__Image *image = read.events[16]->summary->value[0]->image;
	assert_true(image->width == 20 && image->height == 12 && image->encoded_image_string.len == 734);
	const Batchd__Event__HistogramProto *histogram = read.events[17]->summary->value[0]->histo;
	assert_true(histogram->num == 500 && histogram->n_bucket == 6 && histogram->bucket[1] == 55 &&
	            histogram->bucket_limit[1] == -1);
	assert_int_equal(read.events[18]->session_log->status, BATCHD__EVENT__SESSION_LOG__SESSION_STATUS__STOP);
	release(&read);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_begins_with_version_and_start),
		cmocka_unit_test(scalars_are_read_back),
		cmocka_unit_test(histogram_counts_every_finite_value),
		cmocka_unit_test(histogram_puts_each_float_between_its_limits),
		cmocka_unit_test(picture_is_read_back),
		cmocka_unit_test(full_disk_leaves_whole_records),
		cmocka_unit_test(tensorflows_own_file_is_understood),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
