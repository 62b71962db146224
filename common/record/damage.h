/*
 * damage.h - what can be wrong with a record of a shard.
 *
 * Where a length's CRC is wrong, or a length leads past the end, records cannot be told apart until the next header whose CRC is
 * right; reading goes on there. What lies between is one damaged record: it has a number, and the records after it are
 * counted from it. In a compressed shard a length past the end, or damage of the compression itself, ends the shard.
 */
#ifndef BD_RECORD_DAMAGE_H
#define BD_RECORD_DAMAGE_H

#include <stdint.h>

/* Ranges of one shard that are told apart; past that the rest of the shard is one. A file of rubbish must not fill memory. */
#define BD_SHARD_MAX_DAMAGE 4096u

enum bd_damage {
	BD_DAMAGE_NONE,
	BD_DAMAGE_LENGTH_CRC,
	BD_DAMAGE_DATA_CRC, /* found when a record is read, not by the index */
	BD_DAMAGE_TRUNCATED, /* the stream ends inside the record, or its length leads past the end */
	BD_DAMAGE_COMPRESSION, /* the compressed data is damaged or cut off */
	BD_DAMAGE_FOREIGN, /* the file is of another kind: its first bytes are no record, and it is one damaged range to its end */
};

/* "length CRC", "data CRC", "truncated", "compression", "no TFRecord" */
const char *bd_damage_name(enum bd_damage damage);

#define BD_DAMAGE_REASON_BYTES 160

struct bd_damaged_range {
	uint64_t record; /* its number within the shard */
	uint64_t offset, end; /* the range of the uncompressed stream, from the header on */
	enum bd_damage kind;
	char reason[BD_DAMAGE_REASON_BYTES]; /* "length CRC mismatch (stored 0x..., computed 0x...)" */
};

#endif
