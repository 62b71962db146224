#include "trainer/report/events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/record/tfrecord.h"
#include "proto/event.pb-c.h"

/* tensorflow/core/lib/histogram/histogram.cc: from 1e-12 in steps of 10 % to 1e20, and the largest double. */
#define FIRST_LIMIT 1.0e-12
#define LAST_LIMIT 1.0e20
#define GROWTH 1.1
#define SIDE_LIMITS 774
#define LIMITS (2 * SIDE_LIMITS + 3)

/* Floats by sign, exponent and 3 bits of the fraction: cells at most 12.5 % wide, so that at most two limits lie in one. */
#define CELL_SHIFT 20
#define CELLS (1u << (32 - CELL_SHIFT))

struct bd_events {
	char *path;
	int fd;
	uint64_t length; /* of whole records: a torn one is cut off */
	uint8_t *buffer; /* a framed record */
	size_t room;
	double *limits; /* (LIMITS), rising */
	double *counts; /* (LIMITS) */
	double *packed_limits, *packed_counts;
	uint16_t first_bucket[CELLS]; /* of the lowest float of each cell */
};

static double wall_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int append(struct bd_events *events, Batchd__Event__Event *event, struct bd_error *error)
{
	event->wall_time = wall_time();
	size_t length = batchd__event__event__get_packed_size(event), whole = length + BD_TFRECORD_FRAMING_BYTES;
	if (whole > events->room) {
		uint8_t *buffer = realloc(events->buffer, whole);
		if (!buffer)
			return bd_error_set(error, -ENOMEM, "%s: no memory for a record of %zu bytes", events->path, whole);
		events->buffer = buffer;
		events->room = whole;
	}
	bd_tfrecord_header(length, events->buffer);
	batchd__event__event__pack(event, events->buffer + BD_TFRECORD_HEADER_BYTES);
	bd_tfrecord_footer(events->buffer + BD_TFRECORD_HEADER_BYTES, length, events->buffer + BD_TFRECORD_HEADER_BYTES + length);
	int result = bd_write_full(events->fd, events->buffer, whole, error);
	if (result == 0) {
		events->length += whole;
		return 0;
	}
	/* a record written in part would hide all that follow it */
	if (ftruncate(events->fd, (off_t)events->length) != 0 && error)
		bd_error_prefix(error, "and it could not be cut off");
	if (error)
		bd_error_prefix(error, "%s", events->path);
	return result;
}

static int write_start(struct bd_events *events, uint64_t step, struct bd_error *error)
{
	char version[] = "brain.Event:2", writer[] = "batchtrain";
	Batchd__Event__SourceMetadata source = BATCHD__EVENT__SOURCE_METADATA__INIT;
	Batchd__Event__SessionLog session = BATCHD__EVENT__SESSION_LOG__INIT;
	Batchd__Event__Event event = BATCHD__EVENT__EVENT__INIT;
	event.what_case = BATCHD__EVENT__EVENT__WHAT_FILE_VERSION;
	event.file_version = version;
	int result = append(events, &event, error);
	source.writer = writer;
	event.what_case = BATCHD__EVENT__EVENT__WHAT_SOURCE_METADATA;
	event.source_metadata = &source;
	if (result == 0)
		result = append(events, &event, error);
	session.status = BATCHD__EVENT__SESSION_LOG__SESSION_STATUS__START;
	event.step = (int64_t)step;
	event.what_case = BATCHD__EVENT__EVENT__WHAT_SESSION_LOG;
	event.session_log = &session;
	return result < 0 ? result : append(events, &event, error);
}

static void fill_limits(double *limits)
{
	size_t zero = SIDE_LIMITS + 1;
	double limit = FIRST_LIMIT;
	for (size_t i = 0; i < SIDE_LIMITS; i++, limit *= GROWTH) {
		limits[zero + 1 + i] = limit;
		limits[zero - 1 - i] = -limit;
	}
	limits[zero] = 0;
	limits[0] = -HUGE_VAL;
	limits[LIMITS - 1] = HUGE_VAL;
}

static float lowest_of_cell(uint32_t cell)
{
	bool negative = cell >= CELLS / 2;
	uint32_t bits = cell << CELL_SHIFT | (negative ? (1u << CELL_SHIFT) - 1 : 0);
	float lowest;
	memcpy(&lowest, &bits, sizeof lowest);
	return lowest;
}

/* Cells of NaN and infinities keep 0: such values are left out. */
static void fill_cells(struct bd_events *events)
{
	for (uint32_t cell = 0; cell < CELLS; cell++) {
		double lowest = (double)lowest_of_cell(cell);
		size_t bucket = 0;
		while (isfinite(lowest) && events->limits[bucket] <= lowest)
			bucket++;
		events->first_bucket[cell] = (uint16_t)bucket;
	}
}

/* TensorBoard reads files of a folder in the order of their names: seconds first, then a number for files of the same second. */
static char *new_name(const char *folder)
{
	static atomic_uint number;
	char host[128] = "localhost", *path;
	gethostname(host, sizeof host - 1);
	for (char *c = host; *c; c++)
		*c = *c == '/' ? '_' : *c;
	int length = asprintf(&path, "%s/events.out.tfevents.%010lld.%s.%ld.%u", folder, (long long)time(NULL), host,
	                      (long)getpid(),
	                      atomic_fetch_add_explicit(&number, 1, memory_order_relaxed)); /* pairs with nothing: a counter */
	return length < 0 ? NULL : path;
}

int bd_events_open(const char *folder, uint64_t step, struct bd_events **ret_events, struct bd_error *error)
{
	int result = bd_make_folders(folder, 0777, error);
	if (result < 0)
		return result;
	struct bd_events *events = calloc(1, sizeof *events);
	if (!events)
		return bd_error_set(error, -ENOMEM, "no memory for an event file");
	events->fd = -1;
	events->path = new_name(folder);
	events->limits = calloc(4 * LIMITS, sizeof *events->limits);
	if (!events->path || !events->limits) {
		bd_events_close(events);
		return bd_error_set(error, -ENOMEM, "no memory for an event file");
	}
	events->counts = events->limits + LIMITS;
	events->packed_limits = events->limits + 2 * (size_t)LIMITS;
	events->packed_counts = events->limits + 3 * (size_t)LIMITS;
	fill_limits(events->limits);
	fill_cells(events);
	events->fd = open(events->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
	if (events->fd < 0)
		result = bd_error_set(error, -errno, "%s: cannot create: %s", events->path, strerror(errno));
	if (result == 0)
		result = write_start(events, step, error);
	if (result < 0) {
		bd_events_close(events);
		return result;
	}
	*ret_events = events;
	return 0;
}

void bd_events_close(struct bd_events *events)
{
	if (!events)
		return;
	if (events->fd >= 0)
		close(events->fd);
	free(events->path);
	free(events->buffer);
	free(events->limits);
	free(events);
}

const char *bd_events_path(const struct bd_events *events)
{
	return events->path;
}

static int append_values(struct bd_events *events, uint64_t step, Batchd__Event__Summary__Value **values, size_t count,
                         struct bd_error *error)
{
	Batchd__Event__Summary summary = BATCHD__EVENT__SUMMARY__INIT;
	Batchd__Event__Event event = BATCHD__EVENT__EVENT__INIT;
	summary.n_value = count;
	summary.value = values;
	event.step = (int64_t)step;
	event.what_case = BATCHD__EVENT__EVENT__WHAT_SUMMARY;
	event.summary = &summary;
	return append(events, &event, error);
}

int bd_events_scalars(struct bd_events *events, uint64_t step, const struct bd_event_scalar *scalars, size_t count,
                      struct bd_error *error)
{
	Batchd__Event__Summary__Value *values = calloc(count + 1, sizeof *values), **pointers = calloc(count + 1, sizeof *pointers);
	int result = values && pointers ? 0 : bd_error_set(error, -ENOMEM, "%s: no memory for %zu scalars", events->path, count);
	for (size_t i = 0; result == 0 && i < count; i++) {
		batchd__event__summary__value__init(&values[i]);
		values[i].tag = (char *)(uintptr_t)scalars[i].tag;
		values[i].value_case = BATCHD__EVENT__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
		values[i].simple_value = (float)scalars[i].value;
		pointers[i] = &values[i];
	}
	if (result == 0)
		result = append_values(events, step, pointers, count, error);
	free(values);
	free(pointers);
	return result;
}

/* Index of the first limit above the value: a model's weights are many, and a search in all limits would cost more than their step. */
static size_t bucket_of(const struct bd_events *events, float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	size_t bucket = events->first_bucket[bits >> CELL_SHIFT];
	/* added, not branched upon: which way it goes is chance */
	bucket += events->limits[bucket] <= (double)value;
	bucket += events->limits[bucket] <= (double)value;
	return bucket;
}

/* As TensorFlow writes it: a run of empty buckets is one, with the last limit of the run. */
static void pack_buckets(struct bd_events *events, Batchd__Event__HistogramProto *histogram)
{
	size_t count = 0;
	for (size_t i = 0; i < LIMITS;) {
		double filled = events->counts[i], limit = events->limits[i];
		i++;
		while (filled <= 0 && i < LIMITS && events->counts[i] <= 0)
			limit = events->limits[i++];
		events->packed_limits[count] = isinf(limit) ? copysign(1.7976931348623157e308, limit) : limit;
		events->packed_counts[count++] = filled;
	}
	histogram->bucket_limit = events->packed_limits;
	histogram->bucket = events->packed_counts;
	histogram->n_bucket_limit = histogram->n_bucket = count;
}

static void count_values(struct bd_events *events, const float *values, size_t count, Batchd__Event__HistogramProto *ret_histogram)
{
	/* in registers: the message is known outside, and every value would go through its memory */
	double sum = 0, squares = 0, least = HUGE_VAL, largest = -HUGE_VAL;
	size_t finite = 0;
	memset(events->counts, 0, LIMITS * sizeof *events->counts);
	for (size_t i = 0; i < count; i++) {
		double x = (double)values[i];
		if (!isfinite(x))
			continue;
		least = x < least ? x : least;
		largest = x > largest ? x : largest;
		finite++;
		sum += x;
		squares += x * x;
		events->counts[bucket_of(events, values[i])] += 1;
	}
	ret_histogram->min = finite ? least : 0;
	ret_histogram->max = finite ? largest : 0;
	ret_histogram->num = (double)finite;
	ret_histogram->sum = sum;
	ret_histogram->sum_squares = squares;
}

int bd_events_histogram(struct bd_events *events, uint64_t step, const char *tag, const float *values, size_t count,
                        struct bd_error *error)
{
	Batchd__Event__HistogramProto histogram = BATCHD__EVENT__HISTOGRAM_PROTO__INIT;
	Batchd__Event__Summary__Value value = BATCHD__EVENT__SUMMARY__VALUE__INIT, *pointer = &value;
	count_values(events, values, count, &histogram);
	pack_buckets(events, &histogram);
	value.tag = (char *)(uintptr_t)tag;
	value.value_case = BATCHD__EVENT__SUMMARY__VALUE__VALUE_HISTO;
	value.histo = &histogram;
	return append_values(events, step, &pointer, 1, error);
}

int bd_events_image(struct bd_events *events, uint64_t step, const char *tag, const void *png, size_t length, uint32_t width,
                    uint32_t height, uint32_t channels, struct bd_error *error)
{
	Batchd__Event__Summary__Image image = BATCHD__EVENT__SUMMARY__IMAGE__INIT;
	Batchd__Event__Summary__Value value = BATCHD__EVENT__SUMMARY__VALUE__INIT, *pointer = &value;
	image.width = (int32_t)width;
	image.height = (int32_t)height;
	image.colorspace = (int32_t)channels;
	image.encoded_image_string = (ProtobufCBinaryData){ .len = length, .data = (uint8_t *)(uintptr_t)png };
	value.tag = (char *)(uintptr_t)tag;
	value.value_case = BATCHD__EVENT__SUMMARY__VALUE__VALUE_IMAGE;
	value.image = &image;
	return append_values(events, step, &pointer, 1, error);
}
