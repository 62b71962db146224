/*
 * events.h - writes what TensorBoard shows: scalars, histograms, pictures.
 *
 * An event file is TFRecords of Event messages (proto/event.proto), the first of which says "brain.Event:2". The file is only ever
 * appended to, a record with one write, so that a run killed at any moment leaves whole records (TensorBoard skips a torn last one).
 * A run that goes on opens a new file; its START mark makes TensorBoard drop what an earlier file has from that step on.
 * Threads: one at a time.
 */
#ifndef BD_REPORT_EVENTS_H
#define BD_REPORT_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_events;

/*
 * FOLDER/events.out.tfevents.SECONDS.HOST.PID.NUMBER, a new file; the folder is made. `step`: where this run begins or goes on.
 * Returns 0, -ENOMEM or -errno. A failed write returns -errno (a full disk) and leaves the file usable: training goes on without the record.
 */
BD_MUST_CHECK int bd_events_open(const char *folder, uint64_t step, struct bd_events **ret_events, struct bd_error *error);

/* Takes NULL. */
void bd_events_close(struct bd_events *events);

/* The file that is written, borrowed until close. */
const char *bd_events_path(const struct bd_events *events);

struct bd_event_scalar {
	const char *tag; /* "loss", "eval/accuracy", ...: UTF-8 */
	double value; /* as float32; NaN is shown as such */
};

/* Several scalars of one step as one record. */
BD_MUST_CHECK int bd_events_scalars(struct bd_events *events, uint64_t step, const struct bd_event_scalar *scalars, size_t count,
                                    struct bd_error *error);

/* Counts in TensorFlow's own buckets: limits grow by 1.1 from 1e-12 on both sides of zero. Values that are no finite number are left out. */
BD_MUST_CHECK int bd_events_histogram(struct bd_events *events, uint64_t step, const char *tag, const float *values, size_t count,
                                      struct bd_error *error);

/* A PNG file's bytes. channels: 1, 3 or 4. */
BD_MUST_CHECK int bd_events_image(struct bd_events *events, uint64_t step, const char *tag, const void *png, size_t length,
                                  uint32_t width, uint32_t height, uint32_t channels, struct bd_error *error);

#endif
