/*
 * records.h - the files of a dataset as one row of records, numbered from 0 through all of them.
 *
 * Shards have an index each (common/record/shard_index.h); of an image folder or a list of files each file is a record. Files are
 * looked at one by one, in any order and by any thread (bd_records_open_file), then put together (bd_records_settle).
 * A file that changes while it is read is noticed: its identity, size and time of change are compared at most every
 * BD_RECORDS_CHECK_NS of use, and whenever something in it does not fit.
 * Threads: read-only after settle, but for the atomics.
 */
#ifndef BD_DATA_RECORDS_H
#define BD_DATA_RECORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/record/dataset.h"
#include "common/record/shard_index.h"
#include "daemon/data/losses.h"
#include "daemon/data/pipeline.h"

/* Rare enough to cost nothing, often enough that little is trained on mixed data. */
#define BD_RECORDS_CHECK_NS (200 * BD_NS_PER_MS)

/* Shards beyond this number, or beyond `descriptors`, are opened for each use: descriptors are for sessions too. */
#define BD_RECORDS_OPEN_FILES 512

struct bd_records_file {
	struct bd_shard_index *index; /* NULL: the file is a record */
	uint64_t first; /* number of its first record; set by settle */
	int fd; /* -1: opened for each use */
	uint8_t *inflated; /* the uncompressed shard as far as it can be, where it is kept; NULL: it is not */
	struct stat key; /* as it was when it was looked at: identity, size and times */
	_Atomic uint64_t checked_ns;
};

struct bd_records {
	const struct bd_dataset *dataset;
	const struct bd_file_identity *identities;
	const char *cache_folder;
	uint64_t index_limit_bytes; /* memory that the index of one shard may take; 0: BD_SHARD_INDEX_MEMORY_BYTES */
	struct bd_notes notes; /* what a person should know: first the dataset's own; closed by settle */
	_Atomic int64_t *descriptors; /* how many files all streams together may still keep open; set after init, NULL: no bound */
	size_t file_count;
	struct bd_records_file *files;
	_Atomic uint64_t bytes_done, bytes_total;
	_Atomic bool stop; /* set by the owner: files that are looked at are given up with -ECANCELED */
	/* since settle */
	uint64_t records;
	uint64_t bytes; /* of all files */
	uint64_t largest, largest_record; /* bytes and number of the largest record */
	uint64_t index_bytes; /* memory */
	bool compressed; /* any of the shards is */
	struct bd_losses losses; /* zero unless damaged records are skipped */
	uint64_t inflated_bytes; /* of all compressed shards, uncompressed */
};

/* Where a record lies. */
struct bd_place {
	uint32_t file;
	uint64_t index; /* number within the file */
	uint64_t offset, length; /* of the data, in the uncompressed shard; of a file of its own 0 and its size */
	const char *damage; /* NULL, or why it cannot be read: found by the index */
};

/* Everything is borrowed for the life of the source. -ENOMEM. */
BD_MUST_CHECK int bd_records_init(struct bd_records *ret_records, const struct bd_dataset *dataset,
                                  const struct bd_file_identity *identities, const char *cache_folder, struct bd_error *error);
void bd_records_finish(struct bd_records *source);

/* Looks at file `number`: opens or builds its index, or takes its size. Errors name the file. */
BD_MUST_CHECK int bd_records_open_file(struct bd_records *source, size_t number, struct bd_error *error);

/* After all files. -ENODATA: no records. */
BD_MUST_CHECK int bd_records_settle(struct bd_records *source, struct bd_error *error);

/*
 * Keeps a compressed shard uncompressed in memory, of one with a damaged end what comes before; does nothing for other files.
 * -ENOMEM, -ESTALE, -errno of reading.
 */
BD_MUST_CHECK int bd_records_inflate_file(struct bd_records *source, size_t number, struct bd_shard_cursor *cursor,
                                          struct bd_error *error);

/* Where the record, counted through all shards or files, lies. */
struct bd_place bd_records_place(const struct bd_records *source, uint64_t record);

/* "FILE: record 17 at byte 81920", the beginning of an error. */
void bd_records_name_record(const struct bd_records *source, uint64_t record, char *ret_text, size_t size);

/* Of the record's header; 0 for a file of its own. */
uint64_t bd_records_header_offset(const struct bd_records *source, const struct bd_place *place);

/* The file is a compressed shard: positions are not those of its bytes. */
bool bd_records_is_compressed(const struct bd_records *source, uint32_t file);

/* The sum of the lengths of the `count` largest records. */
uint64_t bd_records_largest_sum(const struct bd_records *source, uint64_t count);

/*
 * A descriptor of the file; *ret_close: the caller closes it. Compares the file with what was indexed when the last look is too
 * long ago. -ESTALE: it has changed; -errno of opening.
 */
BD_MUST_CHECK int bd_records_borrow(struct bd_records *source, uint32_t file, uint64_t now_ns, int *ret_fd, bool *ret_close,
                                    struct bd_error *error);

/* The data of the record at `place` has a wrong CRC: -ESTALE where the index is to blame (shard_index.h), -errno of opening, else 0. */
BD_MUST_CHECK int bd_records_check_entry(struct bd_records *source, const struct bd_place *place, struct bd_error *error);

/* Something in the file did not fit (a CRC, a short read): -ESTALE with the reason where it has changed, else 0. */
BD_MUST_CHECK int bd_records_check(struct bd_records *source, uint32_t file, int fd, struct bd_error *error);

#endif
