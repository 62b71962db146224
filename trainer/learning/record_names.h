/*
 * record_names.h - the shard in which a record of a dataset lies, for messages.
 *
 * Why: a batch brings the records' numbers in the dataset, and nobody can look at record 123456 of a thousand shards. The daemon knows
 * the shards but is not asked: this reads the dataset file and the indexes of the shards, which a private daemon has just kept, once
 * something is wrong with a record.
 * Threads: one.
 */
#ifndef BD_LEARNING_RECORD_NAMES_H
#define BD_LEARNING_RECORD_NAMES_H

#include <stddef.h>
#include <stdint.h>

/* A longer path is cut. */
#define BD_RECORD_NAME_BYTES 512

struct bd_record_names;

/* `dataset`: a dataset file; a name that only a daemon knows, or NULL: nothing is known of it. `records`: as many it had when it was opened. NULL without memory; destroy takes NULL. */
struct bd_record_names *bd_record_names_create(const char *dataset, uint64_t records);
void bd_record_names_destroy(struct bd_record_names *names);

/*
 * "/data/k-00001-of-00003.tfrecord: record 17 at byte 4120", as the daemon's messages have it (the number is the dataset's), for a picture
 * its path; "record 17" where the shard is not known: another number of records, files that cannot be read. The first call looks at
 * all shards. `names` may be NULL.
 */
void bd_record_names_format(struct bd_record_names *names, uint64_t record, char *text, size_t size);

#endif
