#include "tools/batchctl/target.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/base/yaml.h"
#include "common/stream/daemon_socket.h"
#include "tools/batchctl/commands.h"

/* A question is answered or fails within 5 s, whatever state the daemon is in. */
#define ANSWER_MS 4800

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void bd_interrupt_catch(void)
{
	struct sigaction action = { .sa_handler = note_signal };
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool bd_interrupted(void)
{
	return interrupted != 0;
}

int bd_target_failed(const struct bd_error *error)
{
	if (error->code == -EINTR && interrupted)
		return BD_EXIT_INTERRUPTED;
	bd_print_error(BD_BATCHCTL, error);
	return BD_EXIT_FAILED;
}

struct bd_option_group bd_target_init(struct bd_target *target, bool with_private)
{
	*target = (struct bd_target){ .connect = NULL };
	target->options[0] = (struct bd_option){
		.name = "connect",
		.kind = BD_OPTION_TEXT,
		.value = &target->connect,
		.argument = "SOCKET",
		.help = "the running daemon's socket (default: $BATCHD_SOCKET, else the service's)"
	};
	target->options[1] = (struct bd_option){ .name = "memory",
		                                 .kind = BD_OPTION_SIZE,
		                                 .value = &target->memory_bytes,
		                                 .argument = "SIZE",
		                                 .given = &target->memory_given,
		                                 .help = "of a private daemon" };
	target->options[2] = (struct bd_option){ .name = "threads",
		                                 .kind = BD_OPTION_U64,
		                                 .value = &target->threads,
		                                 .argument = "N",
		                                 .help = "of a private daemon; 0: one a core",
		                                 .given = &target->threads_given,
		                                 .maximum = 1024 };
	return (struct bd_option_group){ .title = "Daemon", .options = target->options, .count = with_private ? 3 : 1 };
}

int bd_target_connect_running(const struct bd_target *target, struct bd_client **ret_client, struct bd_error *error)
{
	const char *socket = bd_daemon_socket(target->connect);
	const struct bd_daemon_options options = { .answer_timeout_ms = ANSWER_MS };
	if (!socket)
		return bd_error_set(error, -EINVAL,
		                    "no daemon is named, and none is at " BD_SERVICE_SOCKET
		                    ": use --connect SOCKET or set BATCHD_SOCKET");
	return bd_client_connect(socket, &options, ret_client, error);
}

static void show_opening(void *context, const char *what, uint64_t done, uint64_t total)
{
	struct bd_target *target = context;
	/* After the first opening this means that the daemon went away: one line is enough. */
	if (target->opened) {
		if (!target->quiet && !target->away)
			fputs(BD_BATCHCTL ": the daemon is away; waiting for it, Ctrl-C ends\n", stderr);
		target->away = true;
		return;
	}
	if (!target->progress)
		target->progress = bd_progress_create(what, total, "bytes", target->quiet);
	bd_progress_set_total(target->progress, total);
	bd_progress_update(target->progress, done, NULL);
}

int bd_target_read_text(struct bd_target *target, const char *dataset, struct bd_error *error)
{
	size_t length;
	uint8_t *text;
	if (target->text || strcmp(dataset, "-") != 0)
		return 0;
	int result = bd_file_read_all("-", BD_YAML_LIMIT_BYTES, &text, &length, error);
	if (result < 0)
		return result;
	target->text = (char *)text;
	if (strlen(target->text) == length)
		return 0;
	bd_target_drop_text(target);
	return bd_error_set(error, -EINVAL, "-: standard input is no dataset file: there is a NUL byte in it");
}

void bd_target_drop_text(struct bd_target *target)
{
	free(target->text);
	target->text = NULL;
}

/* Options that would do nothing. */
static int check_private(const struct bd_target *target, const char *socket, struct bd_error *error)
{
	if (!socket || (!target->memory_given && !target->threads_given))
		return 0;
	return bd_error_set(
		error, -EINVAL,
		"--%s is of a private daemon, and the daemon at %s runs already: leave it out, or --connect and BATCHD_SOCKET",
		target->memory_given ? "memory" : "threads", socket);
}

int bd_target_open(struct bd_target *target, const char *dataset, const struct bd_stream_spec *spec, bool quiet,
                   struct bd_stream **ret_stream, struct bd_error *error)
{
	struct bd_daemon_options options = { .memory_bytes = target->memory_bytes, .threads = (uint32_t)target->threads };
	struct bd_stream_request request;
	int result = bd_target_read_text(target, dataset, error);
	const char *socket = bd_daemon_socket_of(target->connect, dataset);
	if (result == 0)
		result = check_private(target, socket, error);
	if (result == 0)
		result = bd_client_connect(socket, &options, &target->client, error);
	if (result < 0)
		return result;
	bd_stream_request_init(&request);
	request.dataset = dataset;
	request.dataset_text = target->text;
	request.spec = *spec;
	request.interruptible = true;
	request.on_progress = show_opening;
	request.context = target;
	target->quiet = quiet;
	target->opened = false;
	result = bd_stream_open(target->client, &request, ret_stream, error);
	bd_target_drop_text(target);
	bd_progress_finish(target->progress);
	target->progress = NULL;
	target->opened = true;
	if (result == 0 && !quiet) {
		const struct bd_schema *schema = bd_stream_schema(*ret_stream);
		bd_print_notes(BD_BATCHCTL, schema->notes, schema->note_count);
	}
	return result;
}

void bd_target_close(struct bd_target *target, struct bd_stream *stream)
{
	bd_stream_close(stream);
	bd_client_close(target->client);
	target->client = NULL;
	bd_target_drop_text(target);
}

int bd_target_ask(const char *name, const char *summary, bd_target_question *ask, int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct bd_command command = { .program = BD_BATCHCTL, .name = name, .usage = "[--connect SOCKET]", .summary = summary };
	command.groups[0] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	if (!arguments.done) {
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = ask(client, arguments.json, &error);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}

/* Everything up to the work. */
static int parse_stream_command(struct bd_stream_command *command, int argc, char **argv, struct bd_arguments *ret_arguments,
                                struct bd_error *error)
{
	struct bd_stream_options *stream = &command->stream;
	bd_stream_options_init(stream, command->spec, command->without);
	command->command.groups[1] = (struct bd_option_group){ .title = "Stream",
		                                               .options = stream->options,
		                                               .count = stream->count };
	command->command.groups[2] = bd_target_init(command->target, true);
	int result = bd_command_parse(&command->command, argc, argv, ret_arguments, error);
	if (result < 0 || ret_arguments->done)
		return result;
	if (command->check)
		result = command->check(command->context, error);
	return result < 0 ? result : bd_stream_options_apply(stream, error);
}

int bd_stream_command_run(struct bd_stream_command *command, int argc, char **argv)
{
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments = { .words = NULL };
	int status = BD_EXIT_DONE;
	if (parse_stream_command(command, argc, argv, &arguments, &error) < 0) {
		status = bd_usage_error(&command->command, &error);
	} else if (!arguments.done) {
		bd_interrupt_catch();
		if (command->run(command->context, &arguments, &error) < 0)
			status = bd_target_failed(&error);
	}
	bd_arguments_finish(&arguments);
	return status;
}
