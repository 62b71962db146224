#include "tools/tfrecord/shard_files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/options.h"
#include "common/record/dataset.h"

#define SPOOL_BYTES (1u << 20)

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool bd_shard_files_interrupted(void)
{
	return interrupted;
}

/* ---- words ---- */

static int append(struct bd_shard_files *files, const char *path, enum bd_compression compression, struct bd_error *error)
{
	struct bd_shard_file *grown = realloc(files->items, (files->count + 1) * sizeof *grown);
	if (grown)
		files->items = grown;
	char *copy = strdup(path);
	if (!grown || !copy) {
		free(copy);
		return bd_error_set(error, -ENOMEM, "no memory for the list of files");
	}
	files->items[files->count++] = (struct bd_shard_file){ .path = copy, .compression = compression };
	return 0;
}

static bool is_dataset(const char *word)
{
	const char *ending = strrchr(word, '.');
	return ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"));
}

static int append_dataset(struct bd_shard_files *files, const char *path, struct bd_error *error)
{
	struct bd_dataset *dataset;
	int result = bd_dataset_load(path, &dataset, error);
	if (result < 0)
		return result;
	if (dataset->source != BD_SOURCE_TFRECORD)
		result = bd_error_set(error, -EINVAL, "%s: names pictures, not TFRecord shards", path);
	for (size_t i = 0; result == 0 && i < dataset->path_count; i++)
		result = append(files, dataset->paths[i], dataset->compression, error);
	for (size_t i = 0; i < dataset->note_count; i++)
		bd_notes_add(&files->notes, "%s: %s", path, dataset->notes[i]);
	bd_dataset_destroy(dataset);
	return result;
}

static void finish_files(struct bd_shard_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->items[i].path);
	free(files->items);
	bd_notes_finish(&files->notes);
	*files = (struct bd_shard_files){ 0 };
}

/* Returns 0, -EINVAL (a wrong dataset file, or one of pictures), -ENOENT, -ENOMEM. */
static int find_files(const char *const *words, size_t count, struct bd_shard_files *ret_files, struct bd_error *error)
{
	int result = 0;
	*ret_files = (struct bd_shard_files){ 0 };
	bd_notes_init(&ret_files->notes);
	for (size_t i = 0; result == 0 && i < count; i++) {
		if (is_dataset(words[i]))
			result = append_dataset(ret_files, words[i], error);
		else
			result = append(ret_files, words[i], BD_COMPRESSION_AUTO, error);
	}
	if (result < 0)
		finish_files(ret_files);
	return result;
}

/* What cannot be looked at is told where it is opened. */
static void note_empty_files(struct bd_shard_files *files)
{
	struct stat status;
	for (size_t i = 0; files->count > 1 && i < files->count; i++)
		if (strcmp(files->items[i].path, "-") != 0 && stat(files->items[i].path, &status) == 0 && S_ISREG(status.st_mode) &&
		    !status.st_size)
			bd_notes_add(&files->notes, "%s: is empty (0 bytes)", files->items[i].path);
}

static void print_notes(const struct bd_command *command, struct bd_shard_files *files)
{
	char name[64];
	snprintf(name, sizeof name, "%s %s", command->program, command->name);
	bd_notes_close(&files->notes);
	bd_print_notes(name, (const char *const *)files->notes.texts, files->notes.count);
}

/* ---- opening ---- */

/* Copies standard input into a file without a name. */
static int spool_input(struct bd_error *error)
{
	FILE *spool = tmpfile();
	char *buffer = malloc(SPOOL_BYTES);
	int result = spool && buffer ? 0 : bd_error_set(error, -ENOMEM, "-: cannot make a temporary file: %s", strerror(errno));
	ssize_t got = 1;
	while (result == 0 && got > 0) {
		got = read(STDIN_FILENO, buffer, SPOOL_BYTES);
		if (got < 0 && errno == EINTR && !interrupted)
			got = 1;
		else if (got < 0)
			result = bd_error_set(error, -errno, "-: cannot read: %s", strerror(errno));
		else
			result = bd_write_full(fileno(spool), buffer, (size_t)got, error);
	}
	int fd = result == 0 ? fcntl(fileno(spool), F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : result;
	if (result == 0 && fd < 0)
		fd = bd_error_set(error, -errno, "-: cannot keep a temporary file open: %s", strerror(errno));
	if (spool)
		fclose(spool);
	free(buffer);
	return fd;
}

int bd_shard_file_open(const struct bd_shard_file *file, struct bd_error *error)
{
	if (!strcmp(file->path, "-"))
		return spool_input(error);
	/* NONBLOCK: opening a pipe must not wait for its writer; it is refused when it is read */
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", file->path, strerror(errno));
	return fd;
}

/* ---- the command ---- */

static int work_on(const struct bd_command *command, bd_shard_files_work *work, void *context, const struct bd_arguments *arguments,
                   struct bd_error *error)
{
	struct bd_shard_files files;
	int result = find_files(arguments->words, arguments->word_count, &files, error);
	if (result < 0)
		return result;
	note_empty_files(&files);
	if (!arguments->quiet)
		print_notes(command, &files);
	result = work(context, arguments, &files, error);
	finish_files(&files);
	return result;
}

int bd_shard_files_run(const struct bd_command *command, bd_shard_files_work *work, void *context, int argc, char **argv)
{
	struct bd_arguments arguments;
	struct bd_error error = { 0 };
	char name[64];
	int status = BD_EXIT_DONE;
	if (bd_command_parse(command, argc, argv, &arguments, &error))
		return bd_usage_error(command, &error);
	if (!arguments.done) {
		catch_signals();
		if (work_on(command, work, context, &arguments, &error) < 0) {
			snprintf(name, sizeof name, "%s %s", command->program, command->name);
			bd_print_error(name, &error);
			status = interrupted ? BD_EXIT_INTERRUPTED : BD_EXIT_FAILED;
		}
	}
	bd_arguments_finish(&arguments);
	return status;
}
