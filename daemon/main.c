/*
 * main.c - batchd's command line: a configuration from a file or from options, then the server until it stops.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/program.h"
#include "daemon/control/config.h"
#include "daemon/control/log.h"
#include "daemon/control/server.h"

struct line {
	const char *config_path, *socket_path;
	bool check;
	struct bd_option_list datasets;
	uint64_t memory_bytes, threads, cache_bytes, private_fd;
	bool memory_given, threads_given, cache_given, private_given;
};

/* Options win over the file. */
static int make_config(const struct line *line, struct bd_config *ret_config, struct bd_error *error)
{
	struct bd_config config;
	bd_config_init(&config);
	int result = line->config_path ? bd_config_load(line->config_path, &config, error) : 0;
	if (result == 0 && line->socket_path) {
		free(config.socket_path);
		config.socket_path = strdup(line->socket_path);
		if (!config.socket_path)
			result = bd_error_set(error, -ENOMEM, "no memory");
	}
	for (size_t i = 0; result == 0 && i < line->datasets.count; i++)
		result = bd_config_add_dataset(&config, line->datasets.items[i], error);
	if (line->memory_given)
		config.memory_bytes = line->memory_bytes;
	if (line->threads_given)
		config.threads = (unsigned)line->threads;
	if (line->cache_given)
		config.cache_bytes = line->cache_bytes;
	if (result < 0) {
		bd_config_finish(&config);
		return result;
	}
	*ret_config = config;
	return 0;
}

static int check_line(const struct line *line, struct bd_error *error)
{
	if (line->private_given && (line->config_path || line->socket_path))
		return bd_error_set(error, -EINVAL, "--private-fd is for the daemon of one client: without --config and --socket");
	if (line->check && !line->config_path)
		return bd_error_set(error, -EINVAL, "--check needs --config FILE");
	if (!line->private_given && !line->config_path && !line->socket_path && !getenv("LISTEN_FDS"))
		return bd_error_set(error, -EINVAL, "no socket to listen on: give --socket PATH, or --config FILE");
	for (size_t i = 0; i < line->datasets.count; i++)
		if (!strchr(line->datasets.items[i], '='))
			return bd_error_set(error, -EINVAL, "--dataset %s: write it as NAME=FILE.yaml", line->datasets.items[i]);
	return 0;
}

/* Everything is told and nothing is left to be saved: only threads that hang on a disk are waited for. */
static void leave(int number)
{
	(void)number;
	_exit(BD_EXIT_DONE);
}

/* Are the files there? They are not read: a disk may hang. */
static int find_datasets(const struct bd_config *config, struct bd_error *error)
{
	for (size_t i = 0; i < config->dataset_count; i++)
		if (access(config->datasets[i].file, R_OK) < 0)
			return bd_error_set(error, -errno, "dataset '%s': %s: cannot open: %s", config->datasets[i].name,
			                    config->datasets[i].file, strerror(errno));
	return 0;
}

/* The result of --check. */
static int tell_good(const struct line *line, const struct bd_config *config, const struct bd_arguments *arguments,
                     struct bd_error *error)
{
	if (arguments->json)
		return bd_json_print_line(stdout,
		                          json_pack("{s:o, s:b, s:I}", "config",
		                                    bd_json_text(line->config_path, strlen(line->config_path)), "good", 1,
		                                    "datasets", (json_int_t)config->dataset_count),
		                          error);
	if (!arguments->quiet)
		fprintf(stderr, "%s: good; datasets: %zu\n", line->config_path, config->dataset_count);
	return 0;
}

/* Says itself what goes wrong: a private daemon's client may have said it already. */
static int run(const struct line *line, struct bd_config *config_take, struct bd_error *error)
{
	static struct bd_server server;
	struct bd_server_options options = {
		.config_path = line->config_path,
		.config_take = config_take,
		.private_fd = line->private_given ? (int)line->private_fd : -1,
	};
	int result = bd_server_init(&server, &options, error);
	if (result < 0) {
		if (!server.client_knows)
			bd_log(BD_LOG_ERROR, "%s", error->text);
		return result;
	}
	bd_server_run(&server);
	signal(SIGALRM, leave);
	alarm(BD_LEAVE_S);
	bd_server_finish(&server);
	return 0;
}

static int run_command(int argc, char **argv)
{
	struct line line = { 0 };
	const struct bd_option options[] = {
		{ "config", BD_OPTION_TEXT, &line.config_path, .argument = "FILE", .help = "the configuration, batchd.yaml" },
		{ "check", BD_OPTION_FLAG, &line.check, .help = "check the configuration and its datasets, then exit" },
		{ "socket", BD_OPTION_TEXT, &line.socket_path, .argument = "PATH", .help = "where to listen" },
		{ "dataset", BD_OPTION_LIST, &line.datasets, .argument = "NAME=FILE.yaml",
		  .help = "a dataset that clients may name; several times" },
		{ "memory", BD_OPTION_SIZE, &line.memory_bytes, .argument = "SIZE",
		  .help = "for everything: rings, read buffers, cache (1GiB)", .given = &line.memory_given },
		{ "threads", BD_OPTION_U64, &line.threads, .argument = "N", .help = "workers; 0 = one per core (0)",
		  .given = &line.threads_given, .maximum = 1024 },
		{ "cache", BD_OPTION_SIZE, &line.cache_bytes, .argument = "SIZE", .help = "of the memory, for decoded records (0)",
		  .given = &line.cache_given },
		{ "private-fd", BD_OPTION_U64, &line.private_fd, .argument = "N",
		  .help = "serve one client on this inherited socket and end with it", .given = &line.private_given,
		  .maximum = 1 << 20 },
	};
	const struct bd_command command = {
		.program = "batchd",
		.usage = "--config FILE [--check] | --socket PATH --dataset NAME=FILE.yaml ... [options]",
		.summary = "Reads, decodes and publishes training data to the trainers of this host through shared memory.",
		.groups = { { NULL, options, BD_COUNT_OF(options) } },
	};
	struct bd_arguments arguments;
	struct bd_error error;
	if (bd_command_parse(&command, argc, argv, &arguments, &error) < 0)
		return bd_usage_error(&command, &error);
	if (arguments.done) {
		bd_arguments_finish(&arguments);
		return BD_EXIT_DONE;
	}
	/* A private daemon writes to its client's terminal: only what its user must know. */
	bd_log_start(line.private_given ? BD_LOG_WARN : BD_LOG_INFO, arguments.quiet);
	if (check_line(&line, &error) < 0) {
		bd_arguments_finish(&arguments);
		return bd_usage_error(&command, &error);
	}
	struct bd_config config;
	int result = make_config(&line, &config, &error);
	if (result == 0 && line.check) {
		result = bd_config_check_datasets(&config, &error);
		if (result == 0)
			result = tell_good(&line, &config, &arguments, &error);
		bd_config_finish(&config);
	} else if (result == 0 && !line.config_path && find_datasets(&config, &error) < 0) {
		/* By hand a mistake is told at once; a service starts also when a disk is not mounted yet. */
		bd_config_finish(&config);
		result = -EINVAL;
	} else if (result == 0) {
		result = run(&line, &config, &error);
		bd_arguments_finish(&arguments);
		return result < 0 ? BD_EXIT_FAILED : BD_EXIT_DONE;
	}
	bd_arguments_finish(&arguments);
	if (result < 0)
		bd_log(BD_LOG_ERROR, "%s", error.text);
	return result < 0 ? BD_EXIT_FAILED : BD_EXIT_DONE;
}

int main(int argc, char **argv)
{
	if (bd_program_begin() < 0)
		return BD_EXIT_FAILED;
	return bd_program_end("batchd", run_command(argc, argv));
}
