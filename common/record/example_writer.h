/*
 * example_writer.h - builds a serialized tensorflow.Example in a buffer that is used again.
 *
 * The same calls give the same bytes: features stand in the order in which they are added, numbers are packed, which is what
 * protobuf's own writers do. Add each key once.
 * Ownership: the buffer belongs to the writer; bd_example_writer_end lends it until the next begin or finish.
 * Threads: one writer, one thread.
 */
#ifndef BD_RECORD_EXAMPLE_WRITER_H
#define BD_RECORD_EXAMPLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_example_writer {
	uint8_t *bytes; /* room for the two outermost headers in front, then the map entries */
	size_t length, room;
	int failed; /* the first -ENOMEM or -EMSGSIZE; the calls after it do nothing */
};

/* Zero-initialise once; begin starts the next Example. */
void bd_example_writer_begin(struct bd_example_writer *writer);
void bd_example_writer_add_bytes(struct bd_example_writer *writer, const char *name, const void *bytes, size_t length);
void bd_example_writer_add_int64(struct bd_example_writer *writer, const char *name, const int64_t *values, size_t count);
void bd_example_writer_add_float(struct bd_example_writer *writer, const char *name, const float *values, size_t count);

/* Returns 0, -ENOMEM, or -EMSGSIZE: protobuf's limit of 2 GiB. */
BD_MUST_CHECK int bd_example_writer_end(struct bd_example_writer *writer, const uint8_t **ret_bytes, size_t *ret_length,
                                        struct bd_error *error);
void bd_example_writer_finish(struct bd_example_writer *writer);

#endif
