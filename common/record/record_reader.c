#include "common/record/record_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/arithmetic.h"
#include "common/record/foreign_file.h"
#include "common/record/tfrecord.h"

/* The search for the next header looks at this much at a time. */
#define SEARCH_BYTES (64u << 10)
/* No record of a compressed stream, whose length is not known, is believed to be larger when a header is searched. */
#define SEARCH_LIMIT_BYTES ((uint64_t)1 << 40)

int bd_record_reader_init(struct bd_record_reader *ret_reader, int fd, enum bd_compression compression, bool bodies,
                          uint64_t limit_bytes, struct bd_error *error)
{
	struct bd_record_reader reader = { .bodies = bodies, .limit_bytes = limit_bytes ? limit_bytes : BD_RECORD_LIMIT_BYTES };
	int result = bd_shard_stream_init(&reader.stream, fd, compression, error);
	if (result == 0)
		*ret_reader = reader;
	return result;
}

void bd_record_reader_finish(struct bd_record_reader *reader)
{
	bd_shard_stream_finish(&reader->stream);
}

static bool is_plain(const struct bd_record_reader *reader)
{
	return reader->stream.compression == BD_COMPRESSION_NONE;
}

/* How far the stream was seen; of a plain one its end. */
static uint64_t known_end(const struct bd_record_reader *reader)
{
	return is_plain(reader) ? reader->stream.size : reader->stream.start + reader->stream.length;
}

/* ---- damage ---- */

/* Whether a record at `position` begins with these bytes: a right CRC, and a length that the file can hold. */
static bool is_believable(const struct bd_record_reader *reader, const uint8_t *bytes, uint64_t position)
{
	uint64_t length;
	/* lengths of 2^48 and more are none: the cheap test first, since this runs for every byte */
	if (bytes[6] | bytes[7] || !bd_tfrecord_is_header(bytes, &length))
		return false;
	if (!is_plain(reader))
		return length < SEARCH_LIMIT_BYTES;
	uint64_t left = reader->stream.size - position;
	return left >= BD_TFRECORD_FRAMING_BYTES && length <= left - BD_TFRECORD_FRAMING_BYTES;
}

/* The next believable header from `from` on: 1 and its offset; 0 and the stream's end; a negative errno. */
static int search_header(struct bd_record_reader *reader, uint64_t from, uint64_t *ret_offset, struct bd_error *error)
{
	for (uint64_t at = from;;) {
		const uint8_t *bytes;
		size_t length;
		int result = bd_shard_stream_peek(&reader->stream, at, SEARCH_BYTES, &bytes, &length, error);
		if (result < 0)
			return result;
		for (size_t i = 0; i + BD_TFRECORD_HEADER_BYTES <= length; i++)
			if (is_believable(reader, bytes + i, at + i)) {
				*ret_offset = at + i;
				return 1;
			}
		if (length < SEARCH_BYTES) {
			*ret_offset = at + length;
			return 0;
		}
		at += length - BD_TFRECORD_HEADER_BYTES + 1;
	}
}

/* Ends the damaged record where reading can go on; without `search` that is the end. */
static int pass_damage(struct bd_record_reader *reader, struct bd_record *record, bool search, struct bd_error *error)
{
	uint64_t next = known_end(reader);
	int found = 0;
	reader->damaged_ranges++;
	if (search && reader->damaged_ranges < BD_SHARD_MAX_DAMAGE) {
		found = search_header(reader, record->offset + 1, &next, error);
		if (found < 0)
			return found;
	}
	record->end = bd_max_u64(next, record->offset);
	reader->ended = !found;
	return 0;
}

static int judge_cut(struct bd_record_reader *reader, struct bd_record *record, const char *what, uint64_t have, uint64_t need,
                     bool search, struct bd_error *error)
{
	struct bd_error failure;
	if (bd_shard_stream_failure(&reader->stream, &failure) < 0) {
		record->damage = BD_DAMAGE_COMPRESSION;
		snprintf(record->reason, sizeof record->reason, "%.150s", failure.text);
	} else {
		record->damage = BD_DAMAGE_TRUNCATED;
		snprintf(record->reason, sizeof record->reason,
		         "the file ends inside the %s: %" PRIu64 " of %" PRIu64 " bytes are there", what, have, need);
	}
	return pass_damage(reader, record, search, error);
}

/* ---- good records ---- */

static int too_large(const struct bd_record_reader *reader, const struct bd_record *record, struct bd_error *error)
{
	return bd_error_set(error, -EFBIG,
	                    "record %" PRIu64 " at byte %" PRIu64 ": its %" PRIu64 " bytes are more than the limit of %" PRIu64,
	                    record->number, record->offset, record->length, reader->limit_bytes);
}

static int read_body(struct bd_record_reader *reader, struct bd_record *record, struct bd_error *error)
{
	const uint8_t *bytes;
	size_t length, whole = (size_t)record->length + BD_TFRECORD_FRAMING_BYTES;
	struct bd_error reason;
	int result = bd_shard_stream_peek(&reader->stream, record->offset, whole, &bytes, &length, error);
	if (result < 0)
		return result;
	if (length < whole)
		return judge_cut(reader, record, "record", length, whole, false, error);
	record->data = bytes + BD_TFRECORD_HEADER_BYTES;
	if (bd_tfrecord_check_data(record->data, record->length, record->data + record->length, &reason) == 0)
		return 0;
	record->damage = BD_DAMAGE_DATA_CRC;
	snprintf(record->reason, sizeof record->reason, "%.150s", reason.text);
	return 0;
}

/* The footer's bytes are there; of a plain shard the size says so without reading. */
static int check_end(struct bd_record_reader *reader, struct bd_record *record, uint64_t whole, struct bd_error *error)
{
	const uint8_t *bytes;
	size_t length;
	if (is_plain(reader))
		return 0;
	int result = bd_shard_stream_peek(&reader->stream, record->end - BD_TFRECORD_FOOTER_BYTES, BD_TFRECORD_FOOTER_BYTES, &bytes,
	                                  &length, error);
	if (result < 0 || length >= BD_TFRECORD_FOOTER_BYTES)
		return result;
	return judge_cut(reader, record, "record", known_end(reader) - record->offset, whole, false, error);
}

static int judge_length(struct bd_record_reader *reader, struct bd_record *record, struct bd_error *error)
{
	uint64_t whole, left = is_plain(reader) ? reader->stream.size - record->offset : SEARCH_LIMIT_BYTES;
	if (!bd_add_u64(record->length, BD_TFRECORD_FRAMING_BYTES, &whole))
		whole = UINT64_MAX;
	record->end = record->offset + whole;
	if (whole > left) {
		record->damage = BD_DAMAGE_TRUNCATED;
		snprintf(record->reason, sizeof record->reason,
		         "the length says %" PRIu64 " bytes, past the end of the file: cut off, or the length is damaged",
		         record->length);
		return pass_damage(reader, record, is_plain(reader), error);
	}
	if (!reader->bodies)
		return check_end(reader, record, whole, error);
	return record->length > reader->limit_bytes ? too_large(reader, record, error) : read_body(reader, record, error);
}

/* The first header is none. Is it a file of another kind, or a shard whose first record is damaged? */
static int judge_beginning(struct bd_record_reader *reader, struct bd_record *record, struct bd_error *error)
{
	const uint8_t *bytes;
	size_t length;
	int result = bd_shard_stream_peek(&reader->stream, 0, BD_FOREIGN_FILE_BYTES, &bytes, &length, error);
	if (result < 0)
		return result;
	const char *kind = bd_foreign_file_kind(bytes, length);
	result = pass_damage(reader, record, !kind, error);
	if (result < 0 || !reader->ended)
		return result;
	record->damage = BD_DAMAGE_FOREIGN;
	if (kind)
		snprintf(record->reason, sizeof record->reason, "no TFRecord shard but %s", kind);
	return 0;
}

static int judge_header(struct bd_record_reader *reader, const uint8_t *bytes, size_t length, struct bd_record *record,
                        struct bd_error *error)
{
	struct bd_error reason;
	if (length < BD_TFRECORD_HEADER_BYTES && !record->offset && bd_foreign_file_kind(bytes, length))
		return judge_beginning(reader, record, error);
	if (length < BD_TFRECORD_HEADER_BYTES)
		return judge_cut(reader, record, "header", length, BD_TFRECORD_HEADER_BYTES, false, error);
	if (bd_tfrecord_parse_header(bytes, &record->length, &reason) == 0)
		return judge_length(reader, record, error);
	record->damage = BD_DAMAGE_LENGTH_CRC;
	snprintf(record->reason, sizeof record->reason, "%.110s%s", reason.text,
	         record->offset ? "" : "; is this a TFRecord file?");
	return record->offset ? pass_damage(reader, record, true, error) : judge_beginning(reader, record, error);
}

int bd_record_reader_next(struct bd_record_reader *reader, struct bd_record *ret_record, struct bd_error *error)
{
	const uint8_t *bytes;
	size_t length;
	if (reader->ended)
		return 0;
	int result = bd_shard_stream_peek(&reader->stream, reader->offset, BD_TFRECORD_HEADER_BYTES, &bytes, &length, error);
	if (result < 0)
		return result;
	if (length == 0 && bd_shard_stream_failure(&reader->stream, NULL) == 0) {
		reader->ended = true;
		return 0;
	}
	ret_record->number = reader->number;
	ret_record->offset = reader->offset;
	ret_record->end = reader->offset;
	ret_record->data = NULL;
	ret_record->length = 0;
	ret_record->damage = BD_DAMAGE_NONE;
	result = judge_header(reader, bytes, length, ret_record, error);
	if (result < 0)
		return result;
	reader->number++;
	reader->offset = ret_record->end;
	return 1;
}

int bd_record_damage_error(const struct bd_record *record, struct bd_error *error)
{
	return bd_error_set(error, -EBADMSG, "record %" PRIu64 " at byte %" PRIu64 ": %s", record->number, record->offset,
	                    record->reason);
}
