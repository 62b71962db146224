/*
 * feed.h - batches of pictures and targets for a model, out of a stream of the daemon or out of kept features.
 *
 * Why: training, evaluation and prediction all need "the next rows and their targets, checked against the model", and none should
 * know whether they lie in the ring or in a feature cache. The model's input is the array `image`, its target the array `label`.
 * Pixels and class numbers are used where they lie: nothing is copied but targets that must become floats.
 * Threads: one.
 */
#ifndef BD_LEARNING_FEED_H
#define BD_LEARNING_FEED_H

#include <batchd/client.h>

#include "trainer/learning/feature_cache.h"
#include "trainer/learning/loss.h"
#include "trainer/model/graph.h"
#include "trainer/model/model.h"

struct bd_feed;

/* What of a model the data must fit. */
struct bd_feed_shape {
	uint32_t height, width, channels;
	struct bd_shape output; /* of one record */
	bool wants_labels; /* false: prediction, the dataset may have none */
};

struct bd_feed_batch {
	uint64_t epoch, batch; /* its position */
	uint64_t next_epoch, next_batch; /* the position behind it: what a checkpoint stores */
	uint32_t rows; /* may be 0 where all records of a batch were left out */
	const uint64_t *records; /* (rows) record numbers */
	const float *features; /* (rows, …) out of a cache; NULL: use `input` */
	struct bd_graph_input input; /* rows of pixels */
	struct bd_targets targets; /* both NULL without labels */
};

/*
 * Opens the request's stream and checks its schema. -EINVAL: no array `image` of the model's shape, or no `label` that the output
 * could be compared with; else what bd_stream_open gives. The client is borrowed until close.
 */
BD_MUST_CHECK int bd_feed_open(struct bd_client *client, const struct bd_stream_request *request, const struct bd_feed_shape *shape,
                               struct bd_feed **ret_feed, struct bd_error *error);

/* The same batches, in the same order, out of a filled cache of the dataset's features (borrowed until close). */
BD_MUST_CHECK int bd_feed_of_cache(const struct bd_feature_cache *cache, const struct bd_stream_spec *spec,
                                   struct bd_feed **ret_feed, struct bd_error *error);

/* Takes NULL. */
void bd_feed_close(struct bd_feed *feed);

/* The stream, for statistics and the schema; NULL with a cache. */
struct bd_stream *bd_feed_stream(const struct bd_feed *feed);

/*
 * numbers[i]: the model's number of the data's class i (bd_data_match_numbers), malloc'd, owned by the feed from here on; NULL: nothing to
 * change. Before the first batch. Class numbers are looked up, the columns of one-hot labels change places. -EINVAL: labels of
 * another kind (one number between two classes); -ENOMEM. A label without a class ends the feed with -ERANGE.
 */
BD_MUST_CHECK int bd_feed_renumber_take(struct bd_feed *feed, uint32_t batch, int64_t *numbers, size_t count,
                                        struct bd_error *error);

/* Whether targets are class numbers: what the loss must allow. */
bool bd_feed_has_classes(const struct bd_feed *feed);

/* Records of one epoch. */
uint64_t bd_feed_records(const struct bd_feed *feed);

/*
 * The next batch, borrowed until bd_feed_release. 0; -ENODATA: the end; -EINTR: *stop became non-zero while waiting; else the stream's error.
 * stop may be NULL.
 */
BD_MUST_CHECK int bd_feed_next(struct bd_feed *feed, const volatile int *stop, struct bd_feed_batch *ret_batch,
                               struct bd_error *error);
void bd_feed_release(struct bd_feed *feed);

/* Where a record lies, for messages: record_names.h. */
void bd_feed_name_record(struct bd_feed *feed, uint64_t record, char *text, size_t size);

/* Nanoseconds spent in bd_feed_next so far. */
uint64_t bd_feed_waited_ns(const struct bd_feed *feed);

#endif
