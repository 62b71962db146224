/* shard_index_parts.h - the index itself, for the files that make, keep and read it; nobody else includes it. */
#ifndef BD_RECORD_SHARD_INDEX_PARTS_H
#define BD_RECORD_SHARD_INDEX_PARTS_H

#include <sys/stat.h>

#include "common/record/shard_index.h"
#include "common/record/shard_stream.h"

/* Of the stored form, in its magic's last byte: changes with the form, and where what was stored could be wrong (before 4: bits_value; before 6: files of other kinds). */
#define BD_SHARD_INDEX_VERSION 6

/* What tells that a file is the one that was indexed. An archive gives back size, time and often the inode; ctime no program can set. */
struct bd_shard_key {
	uint64_t device, inode, size;
	int64_t mtime_ns, ctime_ns;
};

struct bd_shard_index {
	uint64_t serial; /* no two indexes of a process have the same */
	struct bd_shard_key key;
	enum bd_compression compression;
	bool beside; /* it came from SHARD.idx or SHARD.index, not from the cache folder or the shard itself */
	uint64_t count;
	uint64_t *offsets; /* (count + 1): of headers, or damaged ranges; the last is the stream's end */
	uint64_t longest;
	struct bd_damaged_range *damage; /* ascending */
	size_t damage_count;
	struct bd_access_point *points; /* ascending by `out`; compressed shards only */
	size_t point_count;
};

struct bd_shard_key bd_shard_key_of(const struct stat *status);

/* Device, inode, size and mtime: another file, or the same one written to. ctime also changes with a file's mode or links. */
bool bd_shard_key_equal(const struct bd_shard_key *a, const struct bd_shard_key *b);

/* A zeroed index with its serial; NULL without memory. */
struct bd_shard_index *bd_shard_index_create(void);

/* Bytes that an index may take. */
uint64_t bd_shard_index_limit(const struct bd_index_options *options);

/* Was the index made with the compression that the options ask for, or with `auto` the file's first bytes show? */
bool bd_shard_index_same_compression(int fd, const struct bd_shard_index *index, const struct bd_index_options *options);

/* 1: records are where the index says; 0: they are not; -errno of looking. Compares some headers with the file: the first, the last, and some between; of a compressed shard
 * the first, and the one behind the last access point. */
BD_MUST_CHECK int bd_shard_index_fits(int fd, const struct bd_shard_index *index, struct bd_error *error);

/* Walks the shard. Fills everything but the key of a zeroed index. */
BD_MUST_CHECK int bd_shard_index_build(int fd, const struct bd_index_options *options, struct bd_shard_index *index,
                                       struct bd_error *error);

/* The cached form, as bytes: of an index to be written, and back. `key` NULL: the index travels with its shard, and device, inode
 * and times are not compared. Returns 0, -ENOMEM, -EBADMSG: not such a form, damaged, or of another file. */
BD_MUST_CHECK int bd_shard_index_encode(const struct bd_shard_index *index, uint8_t **ret_bytes, size_t *ret_length,
                                        struct bd_error *error);
BD_MUST_CHECK int bd_shard_index_decode(const uint8_t *bytes, size_t length, const struct bd_shard_key *key,
                                        struct bd_shard_index **ret_index, struct bd_error *error);

/* Loads from, and stores into, the cache folder. Both quietly: without the cache the index is made anew. NULL where it is not there. */
struct bd_shard_index *bd_shard_index_load_cached(const char *folder, const struct bd_shard_key *key);
void bd_shard_index_store_cached(const char *folder, const struct bd_shard_index *index);
void bd_shard_index_remove_cached(const char *folder, const struct bd_shard_key *key);

/* PATH.idx or PATH.index of the open shard, in either form, where it fits; NULL otherwise. */
struct bd_shard_index *bd_shard_index_load_beside(int fd, const char *path, const struct bd_shard_key *key,
                                                  const struct bd_index_options *options);

/* The text form alone, for tests and the fuzzer: checks the lines against `size` bytes of file, not against the headers. */
BD_MUST_CHECK int bd_shard_index_parse_text(const char *text, size_t length, uint64_t size, struct bd_shard_index **ret_index,
                                            struct bd_error *error);

#endif
