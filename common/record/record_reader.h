/*
 * record_reader.h - the records of one shard one after the other, damaged ones told and passed.
 *
 * For the tools, which read from the beginning, and for making an index, which wants no bodies. Plain, gzip with any number of
 * members, zlib. What damage is and where reading goes on after it: damage.h.
 * Limits: memory is one window, as large as the largest record that is really there, at most `limit_bytes`.
 * Threads: one at a time.
 */
#ifndef BD_RECORD_RECORD_READER_H
#define BD_RECORD_RECORD_READER_H

#include <stdbool.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/damage.h"
#include "common/record/shard_stream.h"

/* The largest record that TensorFlow's readers take is limited by int64; protobuf's by 2 GiB. */
#define BD_RECORD_LIMIT_BYTES ((uint64_t)2 << 30)

struct bd_record {
	uint64_t number;
	uint64_t offset; /* of the header in the uncompressed stream */
	uint64_t end; /* where the next record begins */
	const uint8_t *data; /* borrowed until the next call; NULL without bodies, and of a damaged record but for DATA_CRC */
	uint64_t length; /* of the data */
	enum bd_damage damage;
	char reason[BD_DAMAGE_REASON_BYTES]; /* written for damaged ones */
};

struct bd_record_reader {
	struct bd_shard_stream stream;
	bool bodies;
	uint64_t limit_bytes;
	uint64_t number, offset; /* of the next record */
	bool ended;
	uint32_t damaged_ranges;
};

/*
 * `fd` is borrowed. `bodies`: read the data and check its CRC. `limit_bytes` 0: BD_RECORD_LIMIT_BYTES.
 * Returns what bd_shard_stream_init does.
 */
BD_MUST_CHECK int bd_record_reader_init(struct bd_record_reader *ret_reader, int fd, enum bd_compression compression, bool bodies,
                                        uint64_t limit_bytes, struct bd_error *error);
void bd_record_reader_finish(struct bd_record_reader *reader);

/*
 * The next record: 1, also for a damaged one (look at `damage`); 0 at the end. -EFBIG: a record larger than the limit;
 * -ENOMEM; -errno of reading.
 */
BD_MUST_CHECK int bd_record_reader_next(struct bd_record_reader *reader, struct bd_record *ret_record, struct bd_error *error);

/* Sets "record N at byte B: <reason>" for a damaged record; returns -EBADMSG. */
int bd_record_damage_error(const struct bd_record *record, struct bd_error *error);

#endif
