/*
 * convert.h - the work of `tfrecord convert`, without its command line.
 *
 * Either all files of NAME appear in the folder, shards and dataset file, or nothing is left; with `force` the files of an
 * earlier run are kept until the new ones are whole (earlier_set.h).
 */
#ifndef BD_TOOLS_TFRECORD_CONVERT_H
#define BD_TOOLS_TFRECORD_CONVERT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <batchd/error.h>

#include "common/record/inflate.h"
#include "tools/tfrecord/picture_list.h"
#include "tools/tfrecord/picture_record.h"

struct bd_convert {
	const struct bd_picture_list *list;
	struct bd_record_options record;
	const char *folder, *name; /* --output DIR/NAME */
	bool force;
	uint32_t shards; /* 0: by shard_bytes */
	uint64_t shard_bytes;
	enum bd_compression compression;
	uint64_t seed;
	uint32_t jobs;
	bool skip; /* leave broken pictures out; each is reported on standard error */
	bool quiet;
	const char *channels, *mean; /* for the dataset file */
	double scale;
	const volatile sig_atomic_t *interrupted;
};

struct bd_convert_result {
	uint64_t records, bytes;
	uint64_t skipped; /* pictures that could not be read, and what could not be looked at */
	uint64_t ignored; /* entries of the folder that are no pictures of a class */
	uint32_t shards;
};

/* Returns 0; -EEXIST without `force`; -EINTR when interrupted; -EBADMSG: a broken picture; other -errno. */
BD_MUST_CHECK int bd_convert_run(const struct bd_convert *convert, struct bd_convert_result *ret_result, struct bd_error *error);

#endif
