/*
 * quarantine.h - the damaged records that `on_error: skip` has left out: each once, in the order in which their batches came.
 *
 * The list is in memory, and where there is a folder also a file of JSON lines beside the others of its datasets:
 *   {"time":1790000000,"dataset":"/srv/cats.yaml","record":17,"file":"/srv/cats-00000-of-00008.tfrecord","offset":81920,"reason":"..."}
 * Lines are appended: the file tells what was wrong over the days. Past BD_QUARANTINE_LOG_BYTES it becomes FILE.1, in place of the one before.
 * Names that are no UTF-8 have U+FFFD for what is none. It is a log for people: when it cannot be written, the stream goes on.
 * Threads: none of its own; the caller holds a lock around all but write.
 */
#ifndef BD_DATA_QUARANTINE_H
#define BD_DATA_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/client.h>

/* A list that long says "wrong dataset", and skip_limit would have ended most of them; beyond it records are counted, not listed. */
#define BD_QUARANTINE_MAX_ENTRIES (1u << 20)

#define BD_QUARANTINE_LOG_BYTES (16 << 20)

struct bd_quarantine {
	struct bd_quarantine_entry *entries;
	size_t count, room;
	uint64_t *seen; /* open addressing over record + 1; 0 = free */
	size_t seen_room; /* a power of two */
	uint64_t records; /* different damaged records, listed or not */
	size_t written; /* entries that are in the file */
	char *path; /* of the file; NULL: none */
	char *dataset;
};

/* `folder` NULL: only in memory. The file's name is made of the dataset's. -ENOMEM. */
BD_MUST_CHECK int bd_quarantine_init(struct bd_quarantine *ret_quarantine, const char *folder, const char *dataset,
                                     struct bd_error *error);
void bd_quarantine_finish(struct bd_quarantine *quarantine);

/* `file` is borrowed for the life of the list. Returns 1: new, 0: known already, -ENOMEM. */
BD_MUST_CHECK int bd_quarantine_add(struct bd_quarantine *quarantine, uint64_t record, const char *file, uint64_t offset,
                                    const char *reason, struct bd_error *error);

/* What is not in the file yet, as text to append to it: taken with the lock, NULL where there is none; written and freed without. */
char *bd_quarantine_take_text(struct bd_quarantine *quarantine);
void bd_quarantine_write(const struct bd_quarantine *quarantine, char *text_take);

#endif
