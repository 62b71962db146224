#include "daemon/data/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/random.h"
#include "common/base/sha256.h"

#define FIRST_ENTRIES 16
#define FIRST_SEEN 64

/* Enough of the hash that two datasets of one host do not meet. */
#define NAME_DIGITS 16

static int make_path(struct bd_quarantine *quarantine, const char *folder, struct bd_error *error)
{
	char digits[65];
	struct bd_error ignored;
	if (bd_make_folders(folder, 0700, &ignored) < 0)
		return 0;
	bd_sha256_hex(quarantine->dataset, strlen(quarantine->dataset), digits);
	if (asprintf(&quarantine->path, "%s/quarantine-%.*s.jsonl", folder, NAME_DIGITS, digits) < 0) {
		quarantine->path = NULL;
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	return 0;
}

int bd_quarantine_init(struct bd_quarantine *ret_quarantine, const char *folder, const char *dataset, struct bd_error *error)
{
	struct bd_quarantine *quarantine = ret_quarantine;
	*quarantine = (struct bd_quarantine){ .dataset = strdup(dataset) };
	if (!quarantine->dataset)
		return bd_error_set(error, -ENOMEM, "out of memory");
	int result = folder ? make_path(quarantine, folder, error) : 0;
	if (result < 0)
		bd_quarantine_finish(quarantine);
	return result;
}

void bd_quarantine_finish(struct bd_quarantine *quarantine)
{
	free(quarantine->entries);
	free(quarantine->seen);
	free(quarantine->path);
	free(quarantine->dataset);
	*quarantine = (struct bd_quarantine){ 0 };
}

/* The place of a record in the table, or of the free word where it belongs. */
static uint64_t *find(uint64_t *seen, size_t room, uint64_t record)
{
	size_t at = (size_t)bd_random_u64(0, record, 0, 0) & (room - 1);
	while (seen[at] && seen[at] != record + 1)
		at = (at + 1) & (room - 1);
	return &seen[at];
}

static int grow_seen(struct bd_quarantine *quarantine, struct bd_error *error)
{
	size_t room = quarantine->seen_room ? quarantine->seen_room * 2 : FIRST_SEEN;
	if (quarantine->records * 2 < quarantine->seen_room)
		return 0;
	uint64_t *grown = calloc(room, sizeof *grown);
	if (!grown)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < quarantine->seen_room; i++) {
		if (quarantine->seen[i])
			*find(grown, room, quarantine->seen[i] - 1) = quarantine->seen[i];
	}
	free(quarantine->seen);
	quarantine->seen = grown;
	quarantine->seen_room = room;
	return 0;
}

static int append(struct bd_quarantine *quarantine, const struct bd_quarantine_entry *entry, struct bd_error *error)
{
	if (quarantine->count == BD_QUARANTINE_MAX_ENTRIES)
		return 0;
	if (quarantine->count == quarantine->room) {
		size_t room = quarantine->room ? quarantine->room * 2 : FIRST_ENTRIES;
		struct bd_quarantine_entry *grown = realloc(quarantine->entries, room * sizeof *grown);
		if (!grown)
			return bd_error_set(error, -ENOMEM, "out of memory");
		quarantine->entries = grown;
		quarantine->room = room;
	}
	quarantine->entries[quarantine->count++] = *entry;
	return 0;
}

int bd_quarantine_add(struct bd_quarantine *quarantine, uint64_t record, const char *file, uint64_t offset, const char *reason,
                      struct bd_error *error)
{
	struct bd_quarantine_entry entry = { .record = record, .file = file, .offset = offset };
	int result = grow_seen(quarantine, error);
	if (result < 0)
		return result;
	uint64_t *place = find(quarantine->seen, quarantine->seen_room, record);
	if (*place)
		return 0;
	memcpy(entry.reason, reason, strnlen(reason, sizeof entry.reason - 1));
	result = append(quarantine, &entry, error);
	if (result < 0)
		return result;
	*place = record + 1;
	quarantine->records++;
	return 1;
}

static json_t *text_of(const char *text)
{
	return bd_json_text(text, strlen(text));
}

static void print_line(FILE *stream, const char *dataset, const struct bd_quarantine_entry *entry)
{
	struct bd_error ignored;
	json_t *line = json_pack("{s:I,s:o,s:I,s:o,s:I,s:o}", "time", (json_int_t)time(NULL), "dataset", text_of(dataset), "record",
	                         (json_int_t)entry->record, "file", text_of(entry->file), "offset", (json_int_t)entry->offset,
	                         "reason", text_of(entry->reason));
	if (line && bd_json_print_line(stream, line, &ignored) < 0)
		return;
}

char *bd_quarantine_take_text(struct bd_quarantine *quarantine)
{
	char *text = NULL;
	size_t length;
	if (!quarantine->path || quarantine->written == quarantine->count)
		return NULL;
	FILE *stream = open_memstream(&text, &length);
	if (!stream)
		return NULL;
	for (; quarantine->written < quarantine->count; quarantine->written++)
		print_line(stream, quarantine->dataset, &quarantine->entries[quarantine->written]);
	if (fclose(stream) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int open_log(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* One that has become too long is set aside, in place of the one before. Another daemon may have done so just now: the name is looked at again. */
static int set_aside(const char *path, int fd)
{
	struct stat of_fd, of_path;
	char *older;
	if (fstat(fd, &of_fd) != 0 || of_fd.st_size < BD_QUARANTINE_LOG_BYTES || lstat(path, &of_path) != 0 ||
	    of_fd.st_ino != of_path.st_ino || asprintf(&older, "%s.1", path) < 0)
		return fd;
	int result = rename(path, older);
	free(older);
	if (result != 0)
		return fd;
	close(fd);
	return open_log(path);
}

void bd_quarantine_write(const struct bd_quarantine *quarantine, char *text_take)
{
	struct bd_error ignored;
	if (!text_take)
		return;
	int fd = open_log(quarantine->path);
	if (fd >= 0)
		fd = set_aside(quarantine->path, fd);
	if (fd >= 0) {
		/* one write a batch; a full disk costs lines of the log and nothing else */
		int result = bd_write_full(fd, text_take, strlen(text_take), &ignored);
		(void)result;
		close(fd);
	}
	free(text_take);
}
