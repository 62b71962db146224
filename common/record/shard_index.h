/*
 * shard_index.h - where each record of one shard lies, so that any of them can be read at once.
 *
 * Made by walking from header to header, checked by the length's CRC: of a plain shard no body is read; a compressed one is
 * inflated once and gets access points (inflate.h) every few MiB. Kept in a cache folder, one file a shard, named after the
 * shard's device and inode, valid for its size, its modification and its status change time, and where some headers that it names
 * are there; written atomically, with a version and a checksum, and
 * every number in it is checked before use: a cache file that is damaged or forged is made anew. The folder is kept bounded
 * (shard_index_sweep.h). A text index beside a plain
 * shard (SHARD.idx or SHARD.index, the lines `offset size` of DALI and others, where size counts the framing) is used where it
 * covers the file exactly and the headers it names are there; it is used for this path alone and not kept in the cache folder, which may
 * serve users who do not trust whoever wrote it.
 *
 * Damage: where a length's CRC is wrong, or a length leads past the end, records cannot be told apart until the next header
 * whose CRC is right (damage.h, record_reader.h).
 *
 * Threads: an index is immutable; any number of threads use it. bd_shard_index_open may run for many shards at once.
 */
#ifndef BD_RECORD_SHARD_INDEX_H
#define BD_RECORD_SHARD_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/base/notes.h"
#include "common/record/damage.h"
#include "common/record/inflate.h"

/* Memory that one index may take where the options say nothing: 250 million records. */
#define BD_SHARD_INDEX_MEMORY_BYTES (2ull << 30)

/* Access points: at first one a MiB of output; when there are more than this, every other one goes and the distance doubles. Each
 * costs at most 32 KiB, and finding a record inflates half a distance on average. */
#define BD_SHARD_POINT_DISTANCE_BYTES (1u << 20)
#define BD_SHARD_MAX_POINTS 128u

struct bd_shard_index;

/* Positions count the uncompressed stream. */
struct bd_index_entry {
	uint64_t offset; /* of the data, behind the header */
	uint64_t length; /* of the data; the footer follows */
	bool damaged; /* length is 0, offset that of the damage: see bd_shard_index_damage */
};

struct bd_index_options {
	enum bd_compression compression;
	const char *cache_folder; /* NULL: no cache. Made where it is not there; failing to write is no error */
	bool ignore_text; /* do not look for SHARD.idx */
	uint64_t memory_limit_bytes; /* 0: BD_SHARD_INDEX_MEMORY_BYTES */
	uint64_t point_distance_bytes; /* between access points, at first; 0: BD_SHARD_POINT_DISTANCE_BYTES */
	struct bd_notes *notes; /* told of an index that did not fit its shard. May be NULL */
	const _Atomic bool *stop; /* looked at before each read: once it is true the work ends with -ECANCELED. May be NULL */
	/* Called now and then with bytes of the file done and its size; false ends the work with -ECANCELED. May be NULL. */
	bool (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;
};

/*
 * Where indexes of this user are kept: $BATCHD_CACHE_DIR, systemd's CacheDirectory=, $XDG_CACHE_HOME/batchd, ~/.cache/batchd. malloc'd; NULL
 * without any of them, or without memory: no index is kept then.
 */
char *bd_shard_index_cache_folder(void);

/*
 * The index of a shard: from the cache, a text index, or made anew. Damage inside the shard is no error here, not even of a file
 * that is no TFRecord at all: that is one damaged record, whose reason says so.
 * Returns 0; -errno of opening or reading; -EISDIR, -ESPIPE: no regular file; -ENOMEM: the limit or the host's; -ECANCELED.
 */
BD_MUST_CHECK int bd_shard_index_open(const char *path, const struct bd_index_options *options, struct bd_shard_index **ret_index,
                                      struct bd_error *error);

/* The same for a descriptor (borrowed) of the shard; `path` names it in errors and for the text index. */
BD_MUST_CHECK int bd_shard_index_open_fd(int fd, const char *path, const struct bd_index_options *options,
                                         struct bd_shard_index **ret_index, struct bd_error *error);
void bd_shard_index_destroy(struct bd_shard_index *index);

/* Records, damaged ones included. */
uint64_t bd_shard_index_count(const struct bd_shard_index *index);
/* record < count. O(1), with damage O(log damage). */
struct bd_index_entry bd_shard_index_entry(const struct bd_shard_index *index, uint64_t record);
enum bd_compression bd_shard_index_compression(const struct bd_shard_index *index);
/* Length of the uncompressed stream. */
uint64_t bd_shard_index_bytes(const struct bd_shard_index *index);
/* Length of the longest record's data. */
uint64_t bd_shard_index_longest(const struct bd_shard_index *index);
size_t bd_shard_index_memory(const struct bd_shard_index *index);

/* All damaged ranges in the order of the records; *ret_count of them. */
const struct bd_damaged_range *bd_shard_index_damage(const struct bd_shard_index *index, size_t *ret_count);
/*
 * Whether the file is no TFRecord shard, or read with a wrong compression: its first bytes are no record, and less than half of it is in good ones (a file of
 * another kind may hold some by chance). *ret_reason is borrowed.
 */
bool bd_shard_index_is_foreign(const struct bd_shard_index *index, const char **ret_reason);

/* Sets "record N at byte B: <reason>" for a damaged record and returns -EBADMSG. */
int bd_shard_index_damage_error(const struct bd_shard_index *index, uint64_t record, struct bd_error *error);

/*
 * Data at `record` (a good one) had a wrong CRC: does the shard have the record's header where the index says? Of a compressed shard this is not looked
 * at. 0; -ESTALE: no, with the way out; what the cache folder has of it is removed, so that the next one is made anew.
 */
BD_MUST_CHECK int bd_shard_index_check_entry(const struct bd_shard_index *index, int fd, const char *path, const char *cache_folder,
                                             uint64_t record, struct bd_error *error);

/* Whether the open file still is the one that was indexed: device, inode, size, modification time. One that cannot be looked at has not changed. */
bool bd_shard_index_is_current(const struct bd_shard_index *index, int fd);

/* How many records an index beside the shard names, whether it fits the shard or not; 0: there is none. */
uint64_t bd_shard_index_count_beside(const char *path);

/* Writes the `offset size` lines: offset of the header, size of the whole record. -EBADMSG where the shard has damage. */
BD_MUST_CHECK int bd_shard_index_write_text(const struct bd_shard_index *index, const char *path, bool force,
                                            struct bd_error *error);

/* Writes the index in the cache's form beside its shard. */
BD_MUST_CHECK int bd_shard_index_write(const struct bd_shard_index *index, const char *path, bool force, struct bd_error *error);

/*
 * A reader of ranges of the uncompressed stream, one a thread. Going forward in a compressed shard is cheap; going back, or far
 * ahead, starts at the nearest access point before the range.
 */
struct bd_shard_cursor;
BD_MUST_CHECK int bd_shard_cursor_create(struct bd_shard_cursor **ret_cursor, struct bd_error *error);
void bd_shard_cursor_destroy(struct bd_shard_cursor *cursor);

/*
 * Reads `bytes` bytes from `offset` on of the shard that is open as `fd` and has `index`; both are borrowed for the call, and a
 * cursor may be used for one shard after the other (they are told apart by the index). Returns 0; -EBADMSG: the stream ends before
 * or is damaged; -ESTALE: the file changed since it was indexed; -errno of reading.
 */
BD_MUST_CHECK int bd_shard_cursor_read(struct bd_shard_cursor *cursor, const struct bd_shard_index *index, int fd, uint64_t offset,
                                       void *buffer, size_t bytes, struct bd_error *error);

#endif
