#include "common/stream/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/stream/messages.h"

#define FORK_MARK_BYTES 4096
/* What paged answers may add up to: a daemon that says "more" for ever must not fill this process. */
#define MAX_STREAMS 100000
#define MAX_DATASETS 100000
#define MAX_METRICS_BYTES (64u << 20)

bool bd_client_is_forked(const struct bd_client *client)
{
	return *(const volatile uint8_t *)client->fork_mark == 0;
}

int bd_client_check_fork(const struct bd_client *client, struct bd_error *error)
{
	if (!bd_client_is_forked(client))
		return 0;
	return bd_error_set(error, -ECHILD,
	                    "this process was forked after the client was opened; a child opens a client of its own");
}

static int make_fork_mark(struct bd_client *client, struct bd_error *error)
{
	void *page = mmap(NULL, FORK_MARK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return bd_error_set(error, -ENOMEM, "out of memory");
	client->fork_mark = page;
	*client->fork_mark = 1;
	/* Without this, on a kernel before 4.14, a child is not noticed: the contract then is the caller's to keep. */
	(void)madvise(page, FORK_MARK_BYTES, MADV_WIPEONFORK);
	return 0;
}

static int copy_options(struct bd_client *client, const char *socket_path, const struct bd_daemon_options *options,
                        struct bd_error *error)
{
	if (!socket_path || !socket_path[0])
		socket_path = getenv("BATCHD_SOCKET");
	if (socket_path && socket_path[0]) {
		client->socket_path = strdup(socket_path);
		if (!client->socket_path)
			return bd_error_set(error, -ENOMEM, "out of memory");
	}
	if (options)
		client->options = *options;
	if (client->options.program) {
		client->options.program = client->program = strdup(client->options.program);
		if (!client->program)
			return bd_error_set(error, -ENOMEM, "out of memory");
	}
	return 0;
}

int bd_client_open_session(struct bd_client *client, bool interruptible, struct bd_session *ret_session, struct bd_error *error)
{
	return bd_client_open_session_until(client, interruptible, 0, ret_session, error);
}

int bd_client_open_session_until(struct bd_client *client, bool interruptible, uint64_t deadline_ns, struct bd_session *ret_session,
                                 struct bd_error *error)
{
	int socket = -1, result;
	if (client->socket_path) {
		result = bd_session_connect(client->socket_path, deadline_ns, &socket, error);
		return result < 0 ? result : bd_session_start_take(socket, interruptible, deadline_ns, ret_session, error);
	}
	result = client->child.pid ? bd_child_connect(&client->child, &socket, error) : -ECONNRESET;
	if (result == 0)
		result = bd_session_start_take(socket, interruptible, deadline_ns, ret_session, error);
	/* Anything else, no descriptors left for one, is no reason to end a daemon that serves other streams. */
	if (result != -ECONNRESET && result != -EPIPE)
		return result;
	/* The first time, or it was killed: a new one has no memory of the old, and needs none. */
	char ending[BD_CHILD_ENDING_BYTES];
	bd_child_note_ending(&client->child);
	memcpy(ending, client->child.ending, sizeof ending);
	bd_child_finish(&client->child, false);
	result = bd_child_start(&client->options, &client->child, error);
	if (result == 0)
		memcpy(client->child.ending, ending, sizeof ending);
	if (result == 0)
		result = bd_child_connect(&client->child, &socket, error);
	return result < 0 ? result : bd_session_start_take(socket, interruptible, deadline_ns, ret_session, error);
}

/* 0: none. */
static uint64_t answer_deadline(const struct bd_client *client)
{
	return client->options.answer_timeout_ms ? bd_deadline_after_ms((int)client->options.answer_timeout_ms) : 0;
}

int bd_client_connect(const char *socket_path, const struct bd_daemon_options *options, struct bd_client **ret_client,
                      struct bd_error *error)
{
	struct bd_client *client = calloc(1, sizeof *client);
	if (!client)
		return bd_error_set(error, -ENOMEM, "out of memory");
	client->child.session.socket = -1;
	int result = make_fork_mark(client, error);
	if (result == 0)
		result = copy_options(client, socket_path, options, error);
	struct bd_session probe;
	if (result == 0 && client->socket_path) {
		result = bd_client_open_session_until(client, false, answer_deadline(client), &probe, error);
		if (result == 0)
			bd_session_finish(&probe, false);
	} else if (result == 0) {
		result = bd_child_start(&client->options, &client->child, error);
	}
	if (result < 0)
		bd_client_close(client);
	else
		*ret_client = client;
	return result;
}

void bd_client_close(struct bd_client *client)
{
	if (!client)
		return;
	bd_child_finish(&client->child, client->fork_mark && bd_client_is_forked(client));
	if (client->fork_mark)
		munmap(client->fork_mark, FORK_MARK_BYTES);
	free(client->socket_path);
	free(client->program);
	free(client);
}

int bd_client_daemon_pid(const struct bd_client *client)
{
	return (int)client->child.pid;
}

void bd_client_free(void *memory)
{
	free(memory);
}

/* ---- questions: a connection each, so that they need no stream and disturb none ---- */

static int ask(struct bd_client *client, uint16_t question, uint16_t answer, ProtobufCMessage **ret_message, struct bd_error *error)
{
	struct bd_session session;
	int result = bd_client_check_fork(client, error);
	if (result == 0)
		result = bd_client_open_session_until(client, false, answer_deadline(client), &session, error);
	if (result < 0)
		return result;
	result = bd_session_ask(&session, question, NULL, answer, ret_message, error);
	bd_session_finish(&session, false);
	return result;
}

int bd_client_status(struct bd_client *client, struct bd_daemon_status *ret_status, struct bd_error *error)
{
	ProtobufCMessage *message;
	int result = ask(client, BATCHD__TYPE__TYPE_ASK_STATUS, BATCHD__TYPE__TYPE_STATUS, &message, error);
	if (result < 0)
		return result;
	bd_status_from_message((const Batchd__Status *)message, ret_status);
	bd_wire_free(message);
	return 0;
}

int bd_client_drain(struct bd_client *client, uint32_t *ret_streams, struct bd_error *error)
{
	ProtobufCMessage *message;
	int result = ask(client, BATCHD__TYPE__TYPE_DRAIN, BATCHD__TYPE__TYPE_DRAINING, &message, error);
	if (result < 0)
		return result;
	if (ret_streams)
		*ret_streams = ((const Batchd__Status *)message)->streams;
	bd_wire_free(message);
	return 0;
}

int bd_client_drain_wait(struct bd_client *client, void (*begun)(void *context, uint32_t streams), void *context,
                         struct bd_error *error)
{
	struct bd_session session;
	ProtobufCMessage *message;
	int result = bd_client_check_fork(client, error);
	if (result == 0)
		result = bd_client_open_session(client, true, &session, error);
	if (result < 0)
		return result;
	result = bd_session_ask(&session, BATCHD__TYPE__TYPE_DRAIN_WAIT, NULL, BATCHD__TYPE__TYPE_DRAINING, &message, error);
	if (result == 0) {
		if (begun)
			begun(context, ((const Batchd__Status *)message)->streams);
		bd_wire_free(message);
	}
	/* The connection ends with the daemon, which may say before that it goes. */
	while (result == 0) {
		struct bd_packet packet;
		result = bd_session_receive(&session, BD_SESSION_FOR_EVER, &packet, error);
	}
	bd_session_finish(&session, false);
	return result == -ECONNRESET ? 0 : result;
}

/* A list or text that comes in pages; add() takes one page and says whether more follow. */
struct pages {
	struct bd_stream_info *streams;
	struct bd_dataset_info *datasets;
	char *text;
	size_t count; /* of streams or datasets, or bytes of text */
};

static int add_streams(struct pages *pages, const Batchd__Streams *page, bool *ret_more, struct bd_error *error)
{
	if (page->n_streams == 0) {
		*ret_more = false;
		return 0;
	}
	struct bd_stream_info *streams = pages->count + page->n_streams > MAX_STREAMS
	                                         ? NULL
	                                         : realloc(pages->streams, (pages->count + page->n_streams) * sizeof *streams);
	if (!streams)
		return bd_error_set(error, -ENOMEM, "too many streams for the memory");
	pages->streams = streams;
	for (size_t i = 0; i < page->n_streams; i++)
		bd_stream_info_from_message(page->streams[i], &streams[pages->count++]);
	*ret_more = page->more;
	return 0;
}

static int add_datasets(struct pages *pages, const Batchd__Datasets *page, bool *ret_more, struct bd_error *error)
{
	if (page->n_datasets == 0) {
		*ret_more = false;
		return 0;
	}
	struct bd_dataset_info *datasets = pages->count + page->n_datasets > MAX_DATASETS
	                                           ? NULL
	                                           : realloc(pages->datasets, (pages->count + page->n_datasets) * sizeof *datasets);
	if (!datasets)
		return bd_error_set(error, -ENOMEM, "too many datasets for the memory");
	pages->datasets = datasets;
	for (size_t i = 0; i < page->n_datasets; i++)
		bd_dataset_info_from_message(page->datasets[i], &datasets[pages->count++]);
	*ret_more = page->more;
	return 0;
}

static int add_text(struct pages *pages, const Batchd__Metrics *page, bool *ret_more, struct bd_error *error)
{
	size_t length = strlen(page->part);
	char *text = pages->count + length > MAX_METRICS_BYTES ? NULL : realloc(pages->text, pages->count + length + 1);
	if (!text)
		return bd_error_set(error, -ENOMEM, "too many metrics for the memory");
	pages->text = text;
	memcpy(text + pages->count, page->part, length + 1);
	pages->count += length;
	*ret_more = page->more && length > 0;
	return 0;
}

static int ask_pages(struct bd_client *client, uint16_t question, uint16_t answer, struct pages *pages, struct bd_error *error)
{
	struct bd_session session;
	int result = bd_client_check_fork(client, error);
	if (result == 0)
		result = bd_client_open_session_until(client, false, answer_deadline(client), &session, error);
	if (result < 0)
		return result;
	bool more = true;
	while (result == 0 && more) {
		Batchd__Ask page = BATCHD__ASK__INIT;
		page.from = pages->count;
		page.after = pages->streams ? pages->streams[pages->count - 1].id : 0;
		ProtobufCMessage *message;
		result = bd_session_ask(&session, question, &page.base, answer, &message, error);
		if (result < 0)
			break;
		if (answer == BATCHD__TYPE__TYPE_STREAMS)
			result = add_streams(pages, (const Batchd__Streams *)message, &more, error);
		else if (answer == BATCHD__TYPE__TYPE_DATASETS)
			result = add_datasets(pages, (const Batchd__Datasets *)message, &more, error);
		else
			result = add_text(pages, (const Batchd__Metrics *)message, &more, error);
		bd_wire_free(message);
	}
	bd_session_finish(&session, false);
	return result;
}

int bd_client_streams(struct bd_client *client, struct bd_stream_info **ret_streams, size_t *ret_count, struct bd_error *error)
{
	struct pages pages = { .count = 0 };
	int result = ask_pages(client, BATCHD__TYPE__TYPE_ASK_STREAMS, BATCHD__TYPE__TYPE_STREAMS, &pages, error);
	if (result < 0) {
		free(pages.streams);
		return result;
	}
	*ret_streams = pages.streams;
	*ret_count = pages.count;
	return 0;
}

int bd_client_metrics(struct bd_client *client, char **ret_text, struct bd_error *error)
{
	struct pages pages = { .count = 0 };
	int result = ask_pages(client, BATCHD__TYPE__TYPE_ASK_METRICS, BATCHD__TYPE__TYPE_METRICS, &pages, error);
	if (result < 0) {
		free(pages.text);
		return result;
	}
	*ret_text = pages.text;
	return 0;
}

int bd_client_datasets(struct bd_client *client, struct bd_dataset_info **ret_datasets, size_t *ret_count, struct bd_error *error)
{
	struct pages pages = { .count = 0 };
	int result = ask_pages(client, BATCHD__TYPE__TYPE_ASK_DATASETS, BATCHD__TYPE__TYPE_DATASETS, &pages, error);
	if (result < 0) {
		free(pages.datasets);
		return result;
	}
	*ret_datasets = pages.datasets;
	*ret_count = pages.count;
	return 0;
}
