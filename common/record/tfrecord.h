/*
 * tfrecord.h - TFRecord framing of one record, both ways; no I/O.
 *
 * A record is: length (u64, little-endian), masked CRC-32C of these 8 bytes (u32), the data, masked CRC-32C of the
 * data (u32); records follow one another without padding. Source: tensorflow/core/lib/io/record_writer.h.
 * Threads: no state.
 */
#ifndef BD_RECORD_TFRECORD_H
#define BD_RECORD_TFRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#define BD_TFRECORD_HEADER_BYTES 12
#define BD_TFRECORD_FOOTER_BYTES 4
#define BD_TFRECORD_FRAMING_BYTES (BD_TFRECORD_HEADER_BYTES + BD_TFRECORD_FOOTER_BYTES)

/* The length of the data. Returns 0 or -EBADMSG ("length CRC mismatch (stored 0x…, computed 0x…)"). The length itself is
 * not bounded here: compare it with the file before allocating anything. */
BD_MUST_CHECK int bd_tfrecord_parse_header(const uint8_t header[BD_TFRECORD_HEADER_BYTES], uint64_t *ret_length,
                                           struct bd_error *error);

/* Whether the length's CRC fits; no error text, for searching. */
bool bd_tfrecord_is_header(const uint8_t header[BD_TFRECORD_HEADER_BYTES], uint64_t *ret_length);

/* Returns 0 or -EBADMSG ("data CRC mismatch (stored 0x…, computed 0x…)"). */
BD_MUST_CHECK int bd_tfrecord_check_data(const uint8_t *data, uint64_t length, const uint8_t footer[BD_TFRECORD_FOOTER_BYTES],
                                         struct bd_error *error);

/* What stands before and behind the data. */
void bd_tfrecord_header(uint64_t length, uint8_t ret_header[BD_TFRECORD_HEADER_BYTES]);
void bd_tfrecord_footer(const void *data, size_t length, uint8_t ret_footer[BD_TFRECORD_FOOTER_BYTES]);

#endif
