/*
 * data_options.h - where the data comes from: the options that train, evaluate and predict share.
 *
 * --connect SOCKET (or $BATCHD_SOCKET) names a running daemon; without it a private one is started, to which --memory and --threads go.
 */
#ifndef BD_COMMANDS_DATA_OPTIONS_H
#define BD_COMMANDS_DATA_OPTIONS_H

#include <batchd/client.h>

#include "common/base/options.h"
#include "common/base/progress.h"
#include "common/stream/spec.h"

struct bd_feed;

#define BD_DATA_OPTION_COUNT 4

struct bd_data_options {
	const char *connect;
	uint64_t memory_bytes;
	uint64_t threads;
	bool memory_given, allow_other_preprocessing;
	bool keeps_features; /* set by train: --memory also has another use */
	struct bd_option options[BD_DATA_OPTION_COUNT];
};

void bd_data_options_init(struct bd_data_options *options);

/*
 * dataset: the one that is to be read, since a name that is no file goes to the service's daemon by itself. -EINVAL: --memory for a
 * daemon that runs already. Close with bd_client_close.
 */
BD_MUST_CHECK int bd_data_options_connect(const struct bd_data_options *options, const char *dataset, struct bd_client **ret_client,
                                          struct bd_error *error);

/*
 * Checks an opened feed against what the model was trained on (NULL: not known), and gives its labels the model's numbers. -EINVAL where
 * they do not belong together: data_match.h.
 */
struct bd_data_match;
struct bd_feed;
BD_MUST_CHECK int bd_data_options_match(const struct bd_data_options *options, const struct bd_data_match *match,
                                        const char *dataset, uint32_t batch, struct bd_feed *feed, struct bd_error *error);

/* A request for every record of a dataset once, in its own order and without random crops and flips: for evaluation and prediction. */
void bd_data_request_once(struct bd_stream_request *ret_request, const char *dataset, uint32_t batch);

/*
 * What a stream is asked to tell while its daemon is away: for bd_stream_request.on_progress. `progress` makes room for the line, and may
 * point to NULL.
 */
struct bd_data_wait {
	struct bd_progress *const *progress;
	bool quiet, away;
};
void bd_data_request_wait(struct bd_stream_request *request, struct bd_data_wait *wait);

/* True, with a line to say: `what` is the first attempt to connect again in this absence, which *away remembers. The stream tries for limit_s, 0: a private daemon. */
bool bd_data_notice_away(bool *away, const char *what, uint64_t limit_s, char *text, size_t size);

/* The program's name in front of errors, for both kinds of ends; returns the exit status for a result of this command. */
int bd_command_failed(const struct bd_error *error, int result);

/* What the daemon says on the data's files, on standard error. */
void bd_data_print_notes(const struct bd_feed *feed, bool quiet);

#endif
