#include "tools/tfrecord/shard_files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

void bd_shard_files_catch_signals(void)
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

int bd_shard_files_exit(const char *program, int result, const struct bd_error *error)
{
	if (result == 0)
		return BD_EXIT_DONE;
	bd_print_error(program, error);
	return interrupted ? BD_EXIT_INTERRUPTED : BD_EXIT_FAILED;
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
	bd_dataset_destroy(dataset);
	return result;
}

int bd_shard_files_of(const char *const *words, size_t count, struct bd_shard_files *ret_files, struct bd_error *error)
{
	struct bd_shard_files files = { 0 };
	int result = 0;
	for (size_t i = 0; result == 0 && i < count; i++) {
		if (is_dataset(words[i]))
			result = append_dataset(&files, words[i], error);
		else
			result = append(&files, words[i], BD_COMPRESSION_AUTO, error);
	}
	if (result < 0)
		bd_shard_files_finish(&files);
	else
		*ret_files = files;
	return result;
}

void bd_shard_files_finish(struct bd_shard_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->items[i].path);
	free(files->items);
	*files = (struct bd_shard_files){ 0 };
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
	int fd = result == 0 ? fcntl(fileno(spool), F_DUPFD_CLOEXEC, 0) : result;
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
