/*
 * client.h - libbatchd: take finished batches from a batchd daemon, with no copy.
 *
 *	struct bd_error error;
 *	struct bd_client *client;
 *	struct bd_stream *stream;
 *	if (bd_client_connect(NULL, NULL, &client, &error) < 0)
 *		fail(error.text);
 *	struct bd_stream_request request;
 *	bd_stream_request_init(&request);
 *	request.dataset = "train.yaml";
 *	request.spec.batch = 64;
 *	request.spec.shuffle = BD_SHUFFLE_GLOBAL;
 *	if (bd_stream_open(client, &request, &stream, &error) < 0)
 *		fail(error.text);
 *	struct bd_batch batch;
 *	int result;
 *	while ((result = bd_stream_next(stream, -1, &batch, &error)) == 0) {
 *		train(batch.arrays[0].data, batch.rows);
 *		bd_stream_release(stream, &batch);
 *	}
 *	if (result != -ENODATA)
 *		fail(error.text);
 *	bd_stream_close(stream);
 *	bd_client_close(client);
 *
 * Where the daemon is: the socket that is named, else $BATCHD_SOCKET, else a private `batchd` child of this process, which
 * is found by $BATCHD_DAEMON, beside this program's own executable, or in PATH, and which ends with the client.
 *
 * Errors: 0 or a negative errno, with one line for a person in *error (batchd/error.h; NULL is allowed).
 * Outputs (ret_...) are written only on success.
 *
 * Threads: the library starts none and has no global state. One client and its streams belong to one thread at a time;
 * several clients may be used by several threads.
 * Fork: a child process must not use what its parent opened: calls return -ECHILD there, and close only frees memory, so
 * that the parent's streams go on undisturbed. A child opens its own client.
 * Signals: a blocking call goes on after a signal, unless the stream's request asked for -EINTR (interruptible).
 * A daemon that dies: bd_stream_next connects again, with growing pauses, starts a private daemon anew, and asks for
 * the very next batch. The consumer sees a pause, no batch twice and none missing; batches that it holds stay valid.
 */
#ifndef BATCHD_CLIENT_H
#define BATCHD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/dtype.h>
#include <batchd/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BD_PUBLIC __attribute__((visibility("default")))

/* ---- what a stream shall be ---- */

enum bd_shuffle {
	BD_SHUFFLE_NONE, /* the records' own order */
	BD_SHUFFLE_WINDOW, /* blocks of neighbours permuted, then records inside a window of blocks: long reads */
	BD_SHUFFLE_GLOBAL, /* a permutation of all records */
};

enum bd_remainder {
	BD_REMAINDER_DROP, /* what does not fill a batch at the end of an epoch is left out */
	BD_REMAINDER_SHORT, /* the last batch of an epoch is short */
	BD_REMAINDER_CARRY, /* batches run across epochs; only the very last one may be short */
};

enum bd_augment {
	BD_AUGMENT_ON, /* random crops and flips, as the dataset file has them */
	BD_AUGMENT_OFF, /* without what is random: each picture whole and as it is, for evaluations */
};

#define BD_SHARE_GROUP_BYTES 64

/* The stream options: the same words as on the command line. Zero is not the default: bd_stream_request_init. */
struct bd_stream_spec {
	uint32_t batch; /* rows of a global batch (32) */
	enum bd_shuffle shuffle; /* (none) */
	uint64_t window; /* records that a window shuffle mixes (4096) */
	uint64_t seed; /* (0) of the order and of random augmentation */
	uint64_t epochs; /* 0 = endless (1) */
	enum bd_remainder remainder; /* (short) */
	uint32_t rank, world; /* rank r of R gets rows r*batch/R ... of each batch; R divides batch (0 of 1) */
	uint64_t start_epoch, start_batch; /* the first batch (0:0), reached at the same cost wherever it is */
	char share_group[BD_SHARE_GROUP_BYTES]; /* consumers with the same group and spec get one stream ("": private) */
	uint32_t share_start; /* wait for so many consumers before the first batch (0: do not wait) */
	uint64_t share_timeout_ns; /* a consumer that blocks its group so long is detached and goes on privately (0: never) */
	uint32_t slots; /* batches that may be ready or held at a time (4) */
	enum bd_augment augment; /* (on) */
	uint64_t cache_bytes; /* decoded records kept by the daemon for later epochs (0: as its own `cache` says) */
};

/* ---- what a stream gives ---- */

#define BD_MAX_RANK 5

/* 1, 4 or 8; 0 for a number that is no dtype. */
static inline size_t bd_dtype_bytes(enum bd_dtype dtype)
{
	return dtype == BD_UINT8 ? 1 : dtype == BD_FLOAT32 ? 4 : dtype == BD_INT64 ? 8 : 0;
}

/*
 * One array of every batch. shape[0] is the number of rows of a full batch of this rank, or -1 where the first dimension
 * differs from batch to batch: a feature of varying length gives NAME.values and NAME.row_splits (int64, rows + 1), a bytes feature
 * NAME.values (uint8, all strings) and NAME.value_splits (int64, strings + 1).
 * A sequence whose steps differ in length also has NAME.step_splits: where each step begins; its row_splits count steps.
 */
struct bd_array_schema {
	const char *name;
	enum bd_dtype dtype;
	uint32_t rank; /* 1 to BD_MAX_RANK */
	int64_t shape[BD_MAX_RANK];
	const char *image; /* of a picture: its options as a YAML mapping (mean, scale, channels, layout, ...), else NULL */
};

struct bd_schema {
	size_t array_count;
	const struct bd_array_schema *arrays;
	uint64_t records; /* of the dataset: one epoch */
	uint64_t batches_per_epoch; /* of epoch 0; with carry other epochs may have one less */
	size_t class_count;
	const char *const *classes; /* names of the label's values, where the dataset has them */
	size_t note_count;
	const char *const *notes; /* for people: one line on each oddity of the dataset's files, such as what was left out */
};

struct bd_array {
	const char *name;
	enum bd_dtype dtype;
	uint32_t rank;
	int64_t shape[BD_MAX_RANK]; /* of this batch */
	int64_t strides_bytes[BD_MAX_RANK];
	const void *data; /* C order, aligned to 64 bytes, read-only: writing faults */
};

/* Pointers lead into memory shared with the daemon and are valid until the batch is released or its stream closed. */
struct bd_batch {
	uint64_t epoch, batch; /* its position */
	uint64_t next_epoch, next_batch; /* the position behind it: what a checkpoint taken after this batch stores */
	uint64_t sequence; /* 0, 1, ... as this stream object received them */
	uint64_t published_ns; /* CLOCK_MONOTONIC, when the daemon had it ready */
	uint32_t rows; /* of this rank; fewer than full where damaged records were left out, 0 is possible */
	size_t array_count;
	const struct bd_array *arrays; /* in the schema's order */
	const uint64_t *records; /* the rows' record numbers */
};

/* ---- client ---- */

struct bd_client;
struct bd_stream;

/* For a private daemon; ignored where a running one is used. Zero: its defaults. */
struct bd_daemon_options {
	uint64_t memory_bytes; /* --memory */
	uint32_t threads; /* --threads; 0 = one a core */
	const char *program; /* instead of $BATCHD_DAEMON ...; NULL: look for it */
	uint32_t
		answer_timeout_ms; /* of a running daemon: how long it may take to greet and to answer a question; 0: 10 s for each */
};

/*
 * Finds the daemon and checks that it speaks this protocol. socket_path NULL: $BATCHD_SOCKET, without it a private daemon.
 * options may be NULL. Free with bd_client_close. -ENOENT or -ECONNREFUSED: nobody listens; -EPROTONOSUPPORT: another version.
 */
BD_PUBLIC BD_MUST_CHECK int bd_client_connect(const char *socket_path, const struct bd_daemon_options *options,
                                              struct bd_client **ret_client, struct bd_error *error);

/* Closes after all of its streams. Ends a private daemon and waits for it. NULL is allowed. */
BD_PUBLIC void bd_client_close(struct bd_client *client);

/* The process id of a private daemon, 0 for a running one. */
BD_PUBLIC int bd_client_daemon_pid(const struct bd_client *client);

/* ---- streams ---- */

#define BD_PROGRESS_RECONNECTING "reconnecting"

struct bd_stream_request {
	const char *dataset; /* a dataset file, or a name of the daemon's configuration */
	const char *dataset_text; /* the YAML itself instead of a file, or NULL; `dataset` then names it in messages */
	const char *dataset_folder; /* what relative paths in dataset_text are relative to; NULL: the working directory */
	struct bd_stream_spec spec;
	/* Called inside bd_stream_open and bd_stream_next while the daemon builds an index (total 0: not known yet), or while the
	 * client waits for a daemon that went away (BD_PROGRESS_RECONNECTING, seconds so far, seconds at most; 0, 0: it starts another
	 * private one). May be NULL; *context lives as long as the stream. */
	void (*on_progress)(void *context, const char *what, uint64_t done, uint64_t total);
	void *context;
	/* true: a signal that was handled ends a wait of bd_stream_open and bd_stream_next with -EINTR, nothing lost. Default: they wait on. */
	bool interruptible;
};

/* All defaults; the caller sets `dataset` and what it wants otherwise. */
BD_PUBLIC void bd_stream_request_init(struct bd_stream_request *ret_request);

/*
 * Opens a stream and waits until its schema is known; strings of the request are copied. Several streams may be open.
 * `dataset` with a slash, or a file of that name here, is sent as an absolute path; other words are names of the daemon's configuration.
 * -ENOENT, -EACCES, -EINVAL, -ENOMEM, -EDQUOT ...: the daemon's reason in *error. -ECONNRESET: the daemon went away meanwhile; only a stream that was
 * open once is opened again by itself. Free with bd_stream_close.
 */
BD_PUBLIC BD_MUST_CHECK int bd_stream_open(struct bd_client *client, const struct bd_stream_request *request,
                                           struct bd_stream **ret_stream, struct bd_error *error);

/* Valid until the stream is closed. */
BD_PUBLIC const struct bd_schema *bd_stream_schema(const struct bd_stream *stream);

/*
 * The next batch. timeout_ms: -1 waits for ever, 0 polls. Up to `slots` batches may be held at a time.
 * 0; -EAGAIN: none within the time; -ENODATA: the stream has ended; -EDEADLK: this caller holds all slots, so none can come;
 * else the stream failed and *error says why (a damaged record, a daemon that did not come back ...): it stays failed.
 * No system call is made while batches are ready.
 */
BD_PUBLIC BD_MUST_CHECK int bd_stream_next(struct bd_stream *stream, int timeout_ms, struct bd_batch *ret_batch,
                                           struct bd_error *error);

/* Gives the batch's slot back. In any order; each batch once. */
BD_PUBLIC void bd_stream_release(struct bd_stream *stream, const struct bd_batch *batch);

/*
 * A descriptor for poll (POLLIN). Valid after bd_stream_next(stream, 0, ...) said -EAGAIN and until the next call with this
 * stream; bd_stream_next must follow when it becomes readable: it may say -EAGAIN again. -1 while the client is between two daemons:
 * call bd_stream_next with a timeout then.
 */
BD_PUBLIC int bd_stream_descriptor(const struct bd_stream *stream);

/* The position that bd_stream_next will give next. */
BD_PUBLIC void bd_stream_position(const struct bd_stream *stream, uint64_t *ret_epoch, uint64_t *ret_batch);

/* What happened so far. The first block is counted by this stream object, the others by the daemon for the whole stream. */
struct bd_stream_statistics {
	uint64_t batches, records, bytes; /* received */
	uint64_t waited_ns; /* inside bd_stream_next without a batch */
	uint64_t handovers; /* batches for which the consumer was waiting already; */
	double handover_median_us, handover_p99_us; /* from their publication to the return of bd_stream_next */
	uint64_t reconnects;

	uint64_t skipped; /* damaged records left out; bd_stream_quarantine lists them */
	char bottleneck[16]; /* "disk", "decode" or "trainer" */
	uint64_t disk_ns, decode_ns; /* time its threads spent reading, decoding */
	uint64_t ring_full_ns, ring_empty_ns; /* time finished batches filled the ring, none was there */
	uint32_t slots, slots_filled;
	uint64_t memory_bytes, cache_hits, cache_misses;
	double records_per_s;
	uint32_t consumers;
	uint64_t daemon_peak_rss_bytes;
};

/* Asks the daemon. Batches may be held meanwhile; also allowed after the stream's end or failure. */
BD_PUBLIC BD_MUST_CHECK int bd_stream_statistics(struct bd_stream *stream, struct bd_stream_statistics *ret_statistics,
                                                 struct bd_error *error);

/* A record left out under `on_error: skip`. */
struct bd_quarantine_entry {
	uint64_t record; /* its number in the dataset */
	const char *file; /* the shard or picture */
	uint64_t offset; /* in the shard */
	char reason[200];
};

/*
 * Entries from number `from` on, in the order they were met, each record once. *ret_count 0: no more.
 * `file` pointers are valid until the next call with this stream.
 */
BD_PUBLIC BD_MUST_CHECK int bd_stream_quarantine(struct bd_stream *stream, uint64_t from, struct bd_quarantine_entry *ret_entries,
                                                 size_t room, size_t *ret_count, struct bd_error *error);

/* Releases what is held and frees the stream. NULL is allowed. */
BD_PUBLIC void bd_stream_close(struct bd_stream *stream);

/* ---- the daemon itself (what batchctl asks) ---- */

struct bd_daemon_status {
	char version[32];
	uint64_t pid;
	double uptime_s;
	uint32_t streams, sessions;
	uint64_t memory_used_bytes, memory_limit_bytes, peak_rss_bytes;
	bool draining;
};
BD_PUBLIC BD_MUST_CHECK int bd_client_status(struct bd_client *client, struct bd_daemon_status *ret_status, struct bd_error *error);

#define BD_STREAM_MEMBERS 8

struct bd_stream_info {
	uint64_t id;
	char dataset[512], user[64], share_group[BD_SHARE_GROUP_BYTES];
	char state[16]; /* "indexing", "waiting" (for share_start), "running", "ended", "failed" */
	char bottleneck[16];
	char shuffle[16];
	uint32_t batch, consumers, slots, slots_filled;
	uint64_t epoch, position, epochs; /* `position`: batch number within the epoch */
	uint64_t records_per_epoch;
	uint64_t batches, records, bytes, skipped;
	uint64_t disk_ns, decode_ns, ring_full_ns, ring_empty_ns;
	uint64_t memory_bytes, cache_hits, cache_misses;
	double records_per_s;
	uint32_t member_count; /* of `members`; `consumers` counts all */
	struct {
		uint64_t pid;
		char user[32];
	} members[BD_STREAM_MEMBERS]; /* the first processes that are in the stream */
};

/* All streams that this user may see (its own; root and the daemon's user see all). Free *ret_streams with bd_client_free. */
BD_PUBLIC BD_MUST_CHECK int bd_client_streams(struct bd_client *client, struct bd_stream_info **ret_streams, size_t *ret_count,
                                              struct bd_error *error);

/* The metrics in Prometheus' text format. Free *ret_text with bd_client_free. */
BD_PUBLIC BD_MUST_CHECK int bd_client_metrics(struct bd_client *client, char **ret_text, struct bd_error *error);

/* No new streams from now on; the daemon ends when its sessions did, at the latest after its grace period. -EPERM: root and the daemon's user only. */
BD_PUBLIC BD_MUST_CHECK int bd_client_drain(struct bd_client *client, uint32_t *ret_streams, struct bd_error *error);

/*
 * The same, but the streams that run have no time limit. Returns when the daemon has ended; `begun` (may be NULL) is told how many streams
 * are left as soon as it drains. -EINTR: a signal came.
 */
BD_PUBLIC BD_MUST_CHECK int bd_client_drain_wait(struct bd_client *client, void (*begun)(void *context, uint32_t streams),
                                                 void *context, struct bd_error *error);

/* The datasets that the daemon serves by name to this user. Free *ret_datasets with bd_client_free. */
struct bd_dataset_info {
	char name[256], file[1024];
};
BD_PUBLIC BD_MUST_CHECK int bd_client_datasets(struct bd_client *client, struct bd_dataset_info **ret_datasets, size_t *ret_count,
                                               struct bd_error *error);

BD_PUBLIC void bd_client_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
