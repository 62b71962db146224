/*
 * worker.h - what one worker thread owns: its read buffer, picture decoder and scratch, reused for every run of every stream.
 *
 * Why: nothing is allocated per record. The read buffer stays in the core's L2 cache: bytes are checked and converted right
 * after they were read.
 * Threads: one worker, one thread.
 */
#ifndef BD_DATA_WORKER_H
#define BD_DATA_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_feature_list_view;
struct bd_feature_view;
struct bd_picture_decoder;
struct bd_shard_cursor;

/* Half of a common L2 (1 MiB): what was read is still there when it is decoded, beside the decoder's own lines. */
#define BD_WORKER_READ_BYTES (512u << 10)

/* Rows that are looked up and read together; bounds the scratch, not the batch. */
#define BD_WORKER_MAX_ROWS 256

struct bd_worker {
	unsigned number;
	uint8_t *buffer; /* BD_WORKER_READ_BYTES */
	struct bd_picture_decoder *decoder; /* made at the first picture */
	uint64_t decoder_limit_bytes;
	struct bd_shard_cursor *cursor; /* for compressed shards; made at the first one */
	struct bd_feature_view *views; /* of the record at hand */
	struct bd_feature_list_view *lists;
	size_t view_room, list_room;
};

BD_MUST_CHECK int bd_worker_init(struct bd_worker *ret_worker, unsigned number, uint64_t decoder_limit_bytes,
                                 struct bd_error *error);

/* Takes a zeroed worker. */
void bd_worker_finish(struct bd_worker *worker);

/* Bytes that a worker takes of the budget, whatever it does. */
uint64_t bd_worker_bytes(uint64_t decoder_limit_bytes);

/* The decoder, made when first asked for. */
BD_MUST_CHECK int bd_worker_decoder(struct bd_worker *worker, struct bd_picture_decoder **ret_decoder, struct bd_error *error);

/* The cursor through compressed shards, likewise. */
BD_MUST_CHECK int bd_worker_cursor(struct bd_worker *worker, struct bd_shard_cursor **ret_cursor, struct bd_error *error);

/* Room for so many views; does nothing where they have been as many before. -ENOMEM. */
BD_MUST_CHECK int bd_worker_views(struct bd_worker *worker, size_t views, size_t lists, struct bd_error *error);

#endif
