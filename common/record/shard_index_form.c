/* The stored form of an index. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/record/crc32c.h"
#include "common/record/shard_index_parts.h"
#include "common/record/tfrecord.h"

/*
 * All numbers are u64, little-endian:
 *   magic, device, inode, size, mtime_ns, ctime_ns, compression, count, damage_count, point_count, length of the whole, CRC-32C
 *   offsets (count + 1)
 *   damage: record, offset, end, kind, reason (BD_DAMAGE_REASON_BYTES bytes)
 *   points: out, in, member_out, member_crc, bits, bits_value, window_bytes, packed_bytes, the window
 * The CRC covers everything but itself.
 */
static const uint8_t magic[8] = { 'B', 'D', 'I', 'N', 'D', 'E', 'X', BD_SHARD_INDEX_VERSION };
enum {
	HEAD_MAGIC,
	HEAD_DEVICE,
	HEAD_INODE,
	HEAD_SIZE,
	HEAD_MTIME,
	HEAD_CTIME,
	HEAD_COMPRESSION,
	HEAD_COUNT,
	HEAD_DAMAGE,
	HEAD_POINTS,
	HEAD_LENGTH,
	HEAD_CRC,
	HEAD_WORDS
};
#define HEAD_BYTES (HEAD_WORDS * 8u)
#define DAMAGE_BYTES (4u * 8 + BD_DAMAGE_REASON_BYTES)
#define POINT_BYTES (8u * 8)

/* ---- writing ---- */

static uint8_t *put(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof value);
	return at + sizeof value;
}

static size_t stored_bytes(const struct bd_access_point *point)
{
	return point->packed_bytes ? point->packed_bytes : point->window_bytes;
}

static uint8_t *put_point(uint8_t *at, const struct bd_access_point *point)
{
	const uint64_t words[] = { point->out,  point->in,         point->member_out,   point->member_crc,
		                   point->bits, point->bits_value, point->window_bytes, point->packed_bytes };
	for (size_t i = 0; i < BD_COUNT_OF(words); i++)
		at = put(at, words[i]);
	memcpy(at, point->window, stored_bytes(point));
	return at + stored_bytes(point);
}

static uint8_t *put_damage(uint8_t *at, const struct bd_damaged_range *range)
{
	at = put(put(put(put(at, range->record), range->offset), range->end), range->kind);
	memcpy(at, range->reason, sizeof range->reason);
	return at + sizeof range->reason;
}

static uint32_t form_crc(const uint8_t *bytes, size_t length)
{
	uint32_t crc = bd_crc32c(0, bytes, HEAD_CRC * 8);
	return bd_crc32c(crc, bytes + HEAD_BYTES, length - HEAD_BYTES);
}

int bd_shard_index_encode(const struct bd_shard_index *index, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	size_t length = HEAD_BYTES + (index->count + 1) * 8 + index->damage_count * DAMAGE_BYTES;
	for (size_t i = 0; i < index->point_count; i++)
		length += POINT_BYTES + stored_bytes(&index->points[i]);
	uint8_t *bytes = malloc(length), *at = bytes;
	if (!bytes)
		return bd_error_set(error, -ENOMEM, "no memory to store an index");
	const uint64_t head[HEAD_WORDS] = { 0,
		                            index->key.device,
		                            index->key.inode,
		                            index->key.size,
		                            (uint64_t)index->key.mtime_ns,
		                            (uint64_t)index->key.ctime_ns,
		                            index->compression,
		                            index->count,
		                            index->damage_count,
		                            index->point_count,
		                            length,
		                            0 };
	for (size_t i = 0; i < HEAD_WORDS; i++)
		at = put(at, head[i]);
	memcpy(bytes, magic, sizeof magic);
	for (uint64_t i = 0; i <= index->count; i++)
		at = put(at, index->offsets[i]);
	for (size_t i = 0; i < index->damage_count; i++)
		at = put_damage(at, &index->damage[i]);
	for (size_t i = 0; i < index->point_count; i++)
		at = put_point(at, &index->points[i]);
	put(bytes + HEAD_CRC * 8, form_crc(bytes, length));
	*ret_bytes = bytes;
	*ret_length = length;
	return 0;
}

/* ---- reading; nothing in the bytes is believed ---- */

struct reader {
	const uint8_t *at;
	size_t left;
	uint64_t head[HEAD_WORDS];
};

static uint64_t take(struct reader *reader)
{
	uint64_t value;
	memcpy(&value, reader->at, sizeof value);
	reader->at += sizeof value;
	reader->left -= sizeof value;
	return le64toh(value);
}

static bool read_head(struct reader *reader, const uint8_t *bytes, size_t length)
{
	if (length < HEAD_BYTES || memcmp(bytes, magic, sizeof magic) != 0)
		return false;
	for (size_t i = 0; i < HEAD_WORDS; i++)
		reader->head[i] = take(reader);
	if (reader->head[HEAD_LENGTH] != length || reader->head[HEAD_CRC] != form_crc(bytes, length))
		return false;
	uint64_t compression = reader->head[HEAD_COMPRESSION];
	return compression >= BD_COMPRESSION_NONE && compression <= BD_COMPRESSION_ZLIB &&
	       reader->head[HEAD_DAMAGE] <= BD_SHARD_MAX_DAMAGE && reader->head[HEAD_POINTS] <= BD_SHARD_MAX_POINTS;
}

/* Returns 0, -EBADMSG, -ENOMEM. */
static int read_offsets(struct reader *reader, struct bd_shard_index *index)
{
	uint64_t count = reader->head[HEAD_COUNT];
	if (count >= reader->left / 8)
		return -EBADMSG;
	index->offsets = malloc((count + 1) * sizeof *index->offsets);
	if (!index->offsets)
		return -ENOMEM;
	for (uint64_t i = 0; i <= count; i++)
		index->offsets[i] = take(reader);
	index->count = count;
	bool good = index->offsets[0] == 0 &&
	            (index->compression != BD_COMPRESSION_NONE || index->offsets[count] == index->key.size);
	return good ? 0 : -EBADMSG;
}

static int read_damage(struct reader *reader, struct bd_shard_index *index)
{
	size_t count = reader->head[HEAD_DAMAGE];
	if (count > reader->left / DAMAGE_BYTES)
		return -EBADMSG;
	index->damage = calloc(count ? count : 1, sizeof *index->damage);
	if (!index->damage)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct bd_damaged_range *range = &index->damage[i];
		range->record = take(reader);
		range->offset = take(reader);
		range->end = take(reader);
		uint64_t kind = take(reader);
		memcpy(range->reason, reader->at, sizeof range->reason);
		range->reason[sizeof range->reason - 1] = 0;
		reader->at += sizeof range->reason;
		reader->left -= sizeof range->reason;
		if (range->record >= index->count || (i && range->record <= range[-1].record) || kind < BD_DAMAGE_LENGTH_CRC ||
		    kind > BD_DAMAGE_FOREIGN || range->offset != index->offsets[range->record] ||
		    range->end != index->offsets[range->record + 1])
			return -EBADMSG;
		range->kind = (enum bd_damage)kind;
	}
	index->damage_count = count;
	return 0;
}

/* Every good record is long enough for its framing, and no offset goes backwards. */
static int check_offsets(struct bd_shard_index *index)
{
	size_t damage = 0;
	for (uint64_t i = 0; i < index->count; i++) {
		bool damaged = damage < index->damage_count && index->damage[damage].record == i;
		damage += damaged;
		if (index->offsets[i + 1] < index->offsets[i])
			return -EBADMSG;
		uint64_t whole = index->offsets[i + 1] - index->offsets[i];
		if (damaged)
			continue;
		if (whole < BD_TFRECORD_FRAMING_BYTES)
			return -EBADMSG;
		index->longest = bd_max_u64(index->longest, whole - BD_TFRECORD_FRAMING_BYTES);
	}
	return 0;
}

static int read_point(struct reader *reader, const struct bd_shard_index *index, struct bd_access_point *point)
{
	if (reader->left < POINT_BYTES)
		return -EBADMSG;
	point->out = take(reader);
	point->in = take(reader);
	point->member_out = take(reader);
	uint64_t crc = take(reader), bits = take(reader), value = take(reader), window = take(reader), packed = take(reader);
	uint64_t stored = packed ? packed : window;
	if (point->out > index->offsets[index->count] || point->in > index->key.size || crc > UINT32_MAX || bits > 7 ||
	    value > UINT8_MAX || window > BD_INFLATE_WINDOW_BYTES || packed > window || stored > reader->left)
		return -EBADMSG;
	point->member_crc = (uint32_t)crc;
	point->bits = (uint8_t)bits;
	point->bits_value = (uint8_t)(value & ((1u << bits) - 1));
	point->window_bytes = (uint32_t)window;
	point->packed_bytes = (uint32_t)packed;
	point->window = malloc(stored ? stored : 1);
	if (!point->window)
		return -ENOMEM;
	memcpy(point->window, reader->at, stored);
	reader->at += stored;
	reader->left -= stored;
	return 0;
}

static int read_points(struct reader *reader, struct bd_shard_index *index)
{
	size_t count = reader->head[HEAD_POINTS];
	if (!count)
		return 0;
	if (index->compression == BD_COMPRESSION_NONE)
		return -EBADMSG;
	index->points = calloc(count, sizeof *index->points);
	if (!index->points)
		return -ENOMEM;
	index->point_count = count;
	for (size_t i = 0; i < count; i++) {
		int result = read_point(reader, index, &index->points[i]);
		if (result == 0 && i && index->points[i].out <= index->points[i - 1].out)
			result = -EBADMSG;
		if (result < 0)
			return result;
	}
	return 0;
}

static int read_index(struct reader *reader, const struct bd_shard_key *key, struct bd_shard_index *index)
{
	index->key = (struct bd_shard_key){ .device = reader->head[HEAD_DEVICE],
		                            .inode = reader->head[HEAD_INODE],
		                            .size = reader->head[HEAD_SIZE],
		                            .mtime_ns = (int64_t)reader->head[HEAD_MTIME],
		                            .ctime_ns = (int64_t)reader->head[HEAD_CTIME] };
	index->compression = (enum bd_compression)reader->head[HEAD_COMPRESSION];
	if (key && (!bd_shard_key_equal(key, &index->key) || key->ctime_ns != index->key.ctime_ns))
		return -EBADMSG;
	int result = read_offsets(reader, index);
	if (result == 0)
		result = read_damage(reader, index);
	if (result == 0)
		result = check_offsets(index);
	if (result == 0)
		result = read_points(reader, index);
	return result == 0 && reader->left ? -EBADMSG : result;
}

int bd_shard_index_decode(const uint8_t *bytes, size_t length, const struct bd_shard_key *key, struct bd_shard_index **ret_index,
                          struct bd_error *error)
{
	struct reader reader = { .at = bytes, .left = length };
	if (!read_head(&reader, bytes, length))
		return bd_error_set(error, -EBADMSG, "no index, or a damaged one");
	struct bd_shard_index *index = bd_shard_index_create();
	int result = index ? read_index(&reader, key, index) : -ENOMEM;
	if (result == 0) {
		*ret_index = index;
		return 0;
	}
	bd_shard_index_destroy(index);
	return bd_error_set(error, result,
	                    result == -ENOMEM ? "no memory for an index" : "an index of another file, or a forged one");
}
