/*
 * reading.h - a stream of a real daemon read to its end, as text: what a trainer would get of a dataset, and how it is told of the end.
 */
#ifndef BD_TESTS_SUPPORT_READING_H
#define BD_TESTS_SUPPORT_READING_H

#include <stdint.h>

#include <batchd/client.h>

#include "tests/support/daemon.h"

struct bd_test_reading {
	/*
	 * "0=7 2=9": record numbers and what the dataset's first array has there. Of numbers all, with commas; of a picture its first pixel,
	 * a sign for each channel: '#' at 128 and above, '.' below.
	 */
	char rows[2048];
	int result; /* what ended it: -ENODATA is the stream's own end */
	struct bd_error error; /* why, otherwise */
	uint64_t skipped;
	char quarantine[512]; /* "record 3 of shard.tfrecord: reason" of the first record that was left out; "": none was */
};

/* Opens, reads and closes on a connection of its own; `yaml` is the dataset, its paths are relative to `folder`. */
void bd_test_read(const struct bd_test_daemon *daemon, const char *folder, const char *yaml, uint32_t batch,
                  struct bd_test_reading *ret_reading);

/* Opens a stream of that dataset; bd_stream_open's result. */
int bd_test_open(struct bd_client *client, const char *folder, const char *yaml, const struct bd_stream_spec *spec,
                 struct bd_stream **ret_stream, struct bd_error *ret_error);

/* The same for the daemon's own dataset, where every record is as it should be: ends the program with a message if it is not. */
void bd_test_read_numbers(const struct bd_test_daemon *daemon);

#endif
