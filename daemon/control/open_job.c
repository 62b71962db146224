#include "daemon/control/open_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/sha256.h"
#include "common/base/yaml.h"
#include "common/record/dataset.h"

struct bd_open_job {
	struct bd_open_job *next;
	struct bd_open_queue *queue;
	uv_work_t work;
	bool running;
	void (*done)(void *context, struct bd_open_result *result); /* NULL: forgotten */
	void *context;
	/* the request */
	char *file, *name, *text, *folder;
	size_t text_length;
	struct bd_peer peer;
	bool trusted;
	/* the answer, written by the worker */
	struct bd_open_result result;
};

void bd_open_queue_init(struct bd_open_queue *queue, uv_loop_t *loop)
{
	*queue = (struct bd_open_queue){ .loop = loop };
}

static void free_job(struct bd_open_job *job)
{
	if (job->result.dataset)
		bd_dataset_destroy(job->result.dataset);
	free(job->result.identities);
	bd_peer_finish(&job->peer);
	free(job->file);
	free(job->name);
	free(job->text);
	free(job->folder);
	free(job);
}

/* ---- on a worker ---- */

/* For who gives a shard in place of it. */
#define WHAT_A_DATASET_IS "it is YAML that names the shards, and 'tfrecord convert' writes it beside them"

static int read_descriptor(int fd, const char *path, char **ret_text, size_t *ret_length, struct bd_error *error)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return bd_error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (status.st_size > BD_YAML_LIMIT_BYTES)
		return bd_error_set(error, -EFBIG, "%s: too large for a dataset file (%lld bytes); " WHAT_A_DATASET_IS, path,
		                    (long long)status.st_size);
	size_t size = (size_t)status.st_size, length;
	char *text = malloc(size + 1);
	if (!text)
		return bd_error_set(error, -ENOMEM, "%s: no memory", path);
	int result = bd_file_read_full(fd, text, size, 0, &length, error);
	if (result < 0) {
		free(text);
		return result;
	}
	text[length] = 0;
	if (strlen(text) != length) {
		free(text);
		return bd_error_set(error, -EINVAL, "%s: no text, and so no dataset file; " WHAT_A_DATASET_IS, path);
	}
	*ret_text = text;
	*ret_length = length;
	return 0;
}

static int read_file(struct bd_open_job *job, struct bd_access_walk *walk, struct bd_error *error)
{
	int fd;
	int result = bd_access_open(walk, job->file, &fd, NULL, error);
	if (result < 0)
		return result;
	result = read_descriptor(fd, job->file, &job->text, &job->text_length, error);
	close(fd);
	if (result == 0 && !job->folder) {
		job->folder = bd_path_folder(job->file);
		if (!job->folder)
			result = bd_error_set(error, -ENOMEM, "%s: no memory", job->file);
	}
	return result;
}

/*
 * A shard that a pattern has found, in a folder that the peer may not look into, is not named to it: only paths that
 * the dataset's own text holds are.
 */
static int check_shards(struct bd_open_job *job, struct bd_access_walk *walk, struct bd_error *error)
{
	const struct bd_dataset *dataset = job->result.dataset;
	job->result.identities = calloc(dataset->path_count + 1, sizeof *job->result.identities);
	if (!job->result.identities)
		return bd_error_set(error, -ENOMEM, "%s: no memory for the list of its files", job->name);
	for (size_t i = 0; i < dataset->path_count; i++) {
		struct bd_error reason;
		int result = bd_access_open(walk, dataset->paths[i], NULL, &job->result.identities[i], &reason);
		if (result == 0)
			continue;
		if (strstr(job->text, bd_path_base(dataset->paths[i])))
			return bd_error_set(error, result, "%s: %s", job->name, reason.text);
		return bd_error_set(error, result, "%s: user %u may not read all of the files that its patterns match", job->name,
		                    (unsigned)job->peer.uid);
	}
	return 0;
}

static int guard_open_folder(void *context, const char *path, int *ret_fd, struct bd_error *error)
{
	return bd_access_open_folder(context, path, ret_fd, error);
}

static int guard_look(void *context, const char *path, struct bd_error *error)
{
	return bd_access_look(context, path, error);
}

static int parse(struct bd_open_job *job, struct bd_access_walk *walk, struct bd_error *error)
{
	const struct bd_dataset_guard guard = { guard_open_folder, guard_look, walk };
	return bd_dataset_parse_guarded(job->file ? job->file : job->name, job->folder, job->text, job->text_length,
	                                job->trusted ? NULL : &guard, &job->result.dataset, error);
}

static void make_digest(struct bd_open_job *job)
{
	const struct bd_dataset *dataset = job->result.dataset;
	struct bd_sha256 sha;
	bd_sha256_init(&sha);
	bd_sha256_update(&sha, job->folder, strlen(job->folder) + 1);
	bd_sha256_update(&sha, job->text, job->text_length);
	for (size_t i = 0; i < dataset->path_count; i++)
		bd_sha256_update(&sha, dataset->paths[i], strlen(dataset->paths[i]) + 1);
	bd_sha256_finish(&sha, job->result.digest);
}

static void work(uv_work_t *request)
{
	struct bd_open_job *job = request->data;
	struct bd_error *error = &job->result.error;
	struct bd_access_walk walk;
	bd_access_walk_init(&walk, job->trusted ? NULL : &job->peer);
	bd_user_name(job->peer.uid, job->result.user, sizeof job->result.user);
	int result = job->file ? read_file(job, &walk, error) : 0;
	if (result == 0)
		result = parse(job, &walk, error);
	if (result == 0 && !job->trusted)
		result = check_shards(job, &walk, error);
	if (result == 0)
		make_digest(job);
	else if (error->code == 0)
		bd_error_set(error, result, "%s: %s", job->name, strerror(-result));
	bd_access_walk_finish(&walk);
}

/* ---- on the loop ---- */

static void start_next(struct bd_open_queue *queue);

static void after_work(uv_work_t *request, int status)
{
	struct bd_open_job *job = request->data;
	struct bd_open_queue *queue = job->queue;
	struct bd_open_job **link = &queue->jobs;
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	if (job->done) {
		if (status < 0)
			bd_error_set(&job->result.error, status, "%s: %s", job->name, uv_strerror(status));
		job->done(job->context, &job->result);
	}
	free_job(job);
	start_next(queue);
}

static unsigned running_of(const struct bd_open_queue *queue, uid_t uid)
{
	unsigned count = 0;
	for (const struct bd_open_job *job = queue->jobs; job; job = job->next)
		count += job->running && job->peer.uid == uid;
	return count;
}

static void start_next(struct bd_open_queue *queue)
{
	for (struct bd_open_job *job = queue->jobs; job; job = job->next) {
		if (job->running || running_of(queue, job->peer.uid) >= BD_OPEN_JOBS_PER_USER)
			continue;
		job->running = true;
		uv_queue_work(queue->loop, &job->work, work, after_work); /* fails only without a work function */
	}
}

static int copy_request(struct bd_open_job *job, const struct bd_open_request *request)
{
	job->text = request->text_take;
	job->text_length = request->text_length;
	job->trusted = request->trusted;
	job->file = request->file ? strdup(request->file) : NULL;
	job->name = strdup(request->name);
	job->folder = request->folder ? strdup(request->folder) : NULL;
	if ((request->file && !job->file) || !job->name || (request->folder && !job->folder))
		return -ENOMEM;
	return bd_peer_copy(request->peer, &job->peer);
}

int bd_open_queue_add(struct bd_open_queue *queue, const struct bd_open_request *request,
                      void (*done)(void *context, struct bd_open_result *result), void *context, struct bd_open_job **ret_job,
                      struct bd_error *error)
{
	struct bd_open_job *job = calloc(1, sizeof *job);
	if (!job) {
		free(request->text_take);
		return bd_error_set(error, -ENOMEM, "no memory to open a dataset");
	}
	job->queue = queue;
	job->work.data = job;
	job->done = done;
	job->context = context;
	job->peer.pidfd = -1;
	if (copy_request(job, request) < 0) {
		free_job(job);
		return bd_error_set(error, -ENOMEM, "no memory to open a dataset");
	}
	struct bd_open_job **link = &queue->jobs;
	while (*link)
		link = &(*link)->next;
	*link = job;
	*ret_job = job;
	start_next(queue);
	return 0;
}

bool bd_open_queue_is_idle(const struct bd_open_queue *queue)
{
	for (const struct bd_open_job *job = queue->jobs; job; job = job->next)
		if (job->done)
			return false;
	return true;
}

void bd_open_job_forget(struct bd_open_job *job)
{
	job->done = NULL;
	if (job->running)
		return;
	struct bd_open_job **link = &job->queue->jobs;
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	free_job(job);
}
