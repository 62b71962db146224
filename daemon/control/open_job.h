/*
 * open_job.h - the part of OPEN that may wait for a disk or a directory server: done on libuv's worker threads.
 *
 * Reads the dataset file as the peer may read it, parses it, lists its shards and checks each of them for the peer
 * (daemon/control/access.h). A file system that hangs costs its user the answers to some OPENs: one user has at most
 * BD_OPEN_JOBS_PER_USER jobs under way, the threads are more than that.
 * Threads: the loop; `done` is called there, never from inside bd_open_queue_add.
 */
#ifndef BD_CONTROL_OPEN_JOB_H
#define BD_CONTROL_OPEN_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

#include <batchd/error.h>

#include "daemon/control/access.h"
#include "daemon/control/peer.h"

struct bd_dataset;

#define BD_OPEN_JOBS_PER_USER 4
#define BD_OPEN_JOB_THREADS "16" /* $UV_THREADPOOL_SIZE */

/* What is asked for; texts are copied, dataset_text_take becomes the job's. */
struct bd_open_request {
	const char *file; /* absolute; NULL: the text is given */
	const char *name; /* for messages and lists: the name or path that the client gave */
	char *text_take; /* the dataset file itself, or NULL */
	size_t text_length;
	const char *folder; /* of the text: absolute */
	const struct bd_peer *peer;
	bool trusted; /* everything that the daemon may read (a private daemon, or a dataset of the configuration) */
};

struct bd_open_result {
	struct bd_dataset *dataset; /* owned by whoever takes it; NULL after an error */
	struct bd_file_identity *identities; /* of its paths, likewise; NULL where it is trusted */
	struct bd_error error; /* code 0: none */
	char digest[65]; /* of text, folder and list of shards: two datasets that are the same */
	char user[64];
};

struct bd_open_job;

struct bd_open_queue {
	uv_loop_t *loop;
	struct bd_open_job *jobs; /* under way and waiting */
};

void bd_open_queue_init(struct bd_open_queue *queue, uv_loop_t *loop);

/*
 * done(context, result) follows; it takes result->dataset and ->identities by setting them to NULL, or leaves them to be freed. -ENOMEM. text_take is the queue's also after
 * a failure.
 */
BD_MUST_CHECK int bd_open_queue_add(struct bd_open_queue *queue, const struct bd_open_request *request,
                                    void (*done)(void *context, struct bd_open_result *result), void *context,
                                    struct bd_open_job **ret_job, struct bd_error *error);

/* Nobody waits for a job; forgotten ones may still be under way. */
bool bd_open_queue_is_idle(const struct bd_open_queue *queue);

/* `done` will not be called; the job frees itself when its thread comes back. */
void bd_open_job_forget(struct bd_open_job *job);

#endif
