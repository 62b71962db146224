#include "daemon/data/records.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/record/tfrecord.h"

int bd_records_init(struct bd_records *ret_records, const struct bd_dataset *dataset, const struct bd_file_identity *identities,
                    const char *cache_folder, struct bd_error *error)
{
	struct bd_records *source = ret_records;
	*source = (struct bd_records){ .dataset = dataset, .identities = identities, .cache_folder = cache_folder };
	source->files = calloc(dataset->path_count + 1, sizeof *source->files);
	if (!source->files)
		return bd_error_set(error, -ENOMEM, "out of memory");
	source->file_count = dataset->path_count;
	bd_notes_init(&source->notes);
	for (size_t i = 0; i < dataset->note_count; i++)
		bd_notes_add(&source->notes, "%s", dataset->notes[i]);
	for (size_t i = 0; i < source->file_count; i++)
		source->files[i].fd = -1;
	return 0;
}

void bd_records_finish(struct bd_records *source)
{
	for (size_t i = 0; i < source->file_count; i++) {
		bd_shard_index_destroy(source->files[i].index);
		free(source->files[i].inflated);
		if (source->files[i].fd >= 0) {
			close(source->files[i].fd);
			if (source->descriptors)
				atomic_fetch_add_explicit(source->descriptors, 1, memory_order_relaxed);
		}
	}
	if (source->files)
		bd_notes_finish(&source->notes);
	free(source->files);
	*source = (struct bd_records){ 0 };
}

/* ---- looking at a file ---- */

static int open_checked(const struct bd_records *source, size_t number, struct stat *ret_key, int *ret_fd, struct bd_error *error)
{
	const char *path = source->dataset->paths[number];
	/* O_NONBLOCK: a FIFO of that name must not hang a worker */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: %s", path, strerror(errno));
	int result = 0;
	if (fstat(fd, ret_key) < 0)
		result = bd_error_set(error, -errno, "%s: %s", path, strerror(errno));
	else if (source->identities &&
	         (source->identities[number].device != ret_key->st_dev || source->identities[number].inode != ret_key->st_ino))
		result = bd_error_set(error, -EACCES, "%s: was replaced while it was opened", path);
	else if (!S_ISREG(ret_key->st_mode))
		result = bd_error_set(error, -EINVAL, "%s: is no regular file", path);
	if (result < 0) {
		close(fd);
		return result;
	}
	*ret_fd = fd;
	return 0;
}

struct progress {
	struct bd_records *source;
	uint64_t told; /* bytes of this file that are in the sum already */
};

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
	struct progress *progress = context;
	(void)total;
	/* relaxed: figures for people */
	if (done > progress->told) {
		atomic_fetch_add_explicit(&progress->source->bytes_done, done - progress->told, memory_order_relaxed);
		progress->told = done;
	}
	return true;
}

static int open_index(struct bd_records *source, size_t number, int fd, struct bd_error *error)
{
	struct progress progress = { .source = source };
	struct bd_records_file *file = &source->files[number];
	struct bd_index_options options = { .compression = source->dataset->compression,
		                            .cache_folder = source->cache_folder,
		                            .memory_limit_bytes = source->index_limit_bytes,
		                            .notes = &source->notes,
		                            .stop = &source->stop,
		                            .progress = on_progress,
		                            .context = &progress };
	int result = bd_shard_index_open_fd(fd, source->dataset->paths[number], &options, &file->index, error);
	on_progress(&progress, (uint64_t)file->key.st_size, 0);
	return result;
}

/* May one more file stay open? relaxed: a number, which guards nothing. */
static bool keep_open(struct bd_records *source, size_t number)
{
	if (number >= BD_RECORDS_OPEN_FILES)
		return false;
	if (!source->descriptors || atomic_fetch_sub_explicit(source->descriptors, 1, memory_order_relaxed) > 0)
		return true;
	atomic_fetch_add_explicit(source->descriptors, 1, memory_order_relaxed);
	return false;
}

int bd_records_open_file(struct bd_records *source, size_t number, struct bd_error *error)
{
	struct bd_records_file *file = &source->files[number];
	int fd = -1;
	int result = open_checked(source, number, &file->key, &fd, error);
	if (result < 0)
		return result;
	atomic_fetch_add_explicit(&source->bytes_total, (uint64_t)file->key.st_size, memory_order_relaxed);
	bool shard = source->dataset->source == BD_SOURCE_TFRECORD;
	if (shard)
		result = open_index(source, number, fd, error);
	else
		atomic_fetch_add_explicit(&source->bytes_done, (uint64_t)file->key.st_size, memory_order_relaxed);
	if (result == 0 && shard && keep_open(source, number))
		file->fd = fd;
	else
		close(fd);
	return result;
}

/* ---- all files together ---- */

static void settle_shard(struct bd_records *source, struct bd_records_file *file)
{
	uint64_t count = bd_shard_index_count(file->index);
	source->index_bytes += bd_shard_index_memory(file->index);
	if (bd_shard_index_compression(file->index) != BD_COMPRESSION_NONE) {
		source->compressed = true;
		source->inflated_bytes += bd_shard_index_bytes(file->index);
	}
	if (count && bd_shard_index_longest(file->index) > source->largest) {
		source->largest = bd_shard_index_longest(file->index);
		for (uint64_t i = 0; i < count; i++) {
			if (bd_shard_index_entry(file->index, i).length == source->largest) {
				source->largest_record = file->first + i;
				break;
			}
		}
	}
	source->records += count;
}

#define NAMED_SHARDS 3

/* A shard of no bytes among full ones is rather one that was not written or copied. */
static void note_empty_shards(struct bd_records *source)
{
	char names[512];
	size_t empty = 0, used = 0;
	for (size_t i = 0; i < source->file_count; i++) {
		if (!source->files[i].index || source->files[i].key.st_size)
			continue;
		if (empty++ < NAMED_SHARDS && used < sizeof names)
			used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
			                         source->dataset->paths[i]);
	}
	if (empty)
		bd_notes_add(&source->notes, "%zu of %zu shards %s empty (0 bytes): %s%s", empty, source->file_count,
		             empty == 1 ? "is" : "are", names, empty > NAMED_SHARDS ? ", ..." : "");
}

int bd_records_settle(struct bd_records *source, struct bd_error *error)
{
	source->index_bytes = source->file_count * sizeof *source->files;
	for (size_t i = 0; i < source->file_count; i++) {
		struct bd_records_file *file = &source->files[i];
		file->first = source->records;
		source->bytes += (uint64_t)file->key.st_size;
		if (file->index) {
			settle_shard(source, file);
			continue;
		}
		if ((uint64_t)file->key.st_size > source->largest) {
			source->largest = (uint64_t)file->key.st_size;
			source->largest_record = source->records;
		}
		source->records++;
	}
	int result = bd_losses_count(source, &source->losses, error);
	if (result < 0)
		return result;
	note_empty_shards(source);
	bd_notes_close(&source->notes);
	if (!source->records)
		return bd_error_set(error, -ENODATA, "%s: the dataset has no records", source->dataset->name);
	return 0;
}

/* ---- places ---- */

/* The last file whose first record is not behind `record`: empty shards in between are stepped over. */
static uint32_t file_of(const struct bd_records *source, uint64_t record)
{
	size_t low = 0, high = source->file_count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (source->files[middle].first <= record)
			low = middle;
		else
			high = middle;
	}
	return (uint32_t)low;
}

static const struct bd_damaged_range *damage_of(const struct bd_shard_index *index, uint64_t record)
{
	size_t count, low = 0;
	const struct bd_damaged_range *ranges = bd_shard_index_damage(index, &count);
	while (low < count && ranges[low].record != record)
		low++;
	return low < count ? &ranges[low] : NULL;
}

struct bd_place bd_records_place(const struct bd_records *source, uint64_t record)
{
	if (source->dataset->source != BD_SOURCE_TFRECORD)
		return (struct bd_place){ .file = (uint32_t)record, .length = (uint64_t)source->files[record].key.st_size };
	uint32_t number = file_of(source, record);
	const struct bd_records_file *file = &source->files[number];
	struct bd_place place = { .file = number, .index = record - file->first };
	struct bd_index_entry entry = bd_shard_index_entry(file->index, place.index);
	place.offset = entry.offset;
	place.length = entry.length;
	if (entry.damaged) {
		const struct bd_damaged_range *range = damage_of(file->index, place.index);
		place.damage = range ? range->reason : "damaged";
	}
	return place;
}

uint64_t bd_records_header_offset(const struct bd_records *source, const struct bd_place *place)
{
	if (!source->files[place->file].index)
		return 0;
	return place->damage ? place->offset : place->offset - BD_TFRECORD_HEADER_BYTES;
}

void bd_records_name_record(const struct bd_records *source, uint64_t record, char *ret_text, size_t size)
{
	struct bd_place place = bd_records_place(source, record);
	const char *path = source->dataset->paths[place.file];
	if (source->files[place.file].index)
		snprintf(ret_text, size, "%s: record %" PRIu64 " at byte %" PRIu64, path, record,
		         bd_records_header_offset(source, &place));
	else
		snprintf(ret_text, size, "%s: record %" PRIu64, path, record);
}

bool bd_records_is_compressed(const struct bd_records *source, uint32_t file)
{
	const struct bd_shard_index *index = source->files[file].index;
	return index && bd_shard_index_compression(index) != BD_COMPRESSION_NONE;
}

/* A heap whose root is the smallest of the largest lengths. */
static void sift_down(uint64_t *heap, uint64_t count)
{
	for (uint64_t at = 0;;) {
		uint64_t child = 2 * at + 1, value = heap[at];
		if (child >= count)
			return;
		if (child + 1 < count && heap[child + 1] < heap[child])
			child++;
		if (heap[child] >= value)
			return;
		heap[at] = heap[child];
		heap[child] = value;
		at = child;
	}
}

static uint64_t sum_of(const uint64_t *lengths, uint64_t count)
{
	uint64_t sum = 0;
	for (uint64_t i = 0; i < count; i++)
		sum += lengths[i];
	return sum;
}

uint64_t bd_records_largest_sum(const struct bd_records *source, uint64_t count)
{
	count = bd_min_u64(count, source->records);
	uint64_t *heap = calloc(count + 1, sizeof *heap);
	if (!heap)
		return source->largest * count;
	for (uint64_t record = 0; record < source->records; record++) {
		uint64_t length = bd_records_place(source, record).length;
		if (length <= heap[0])
			continue;
		heap[0] = length;
		sift_down(heap, count);
	}
	uint64_t sum = sum_of(heap, count);
	free(heap);
	return sum;
}

/* ---- use ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int bd_records_check(struct bd_records *source, uint32_t number, int fd, struct bd_error *error)
{
	struct bd_records_file *file = &source->files[number];
	const char *path = source->dataset->paths[number];
	struct stat now;
	if (fd < 0)
		fd = file->fd;
	if (fd >= 0 && fstat(fd, &now) == 0 && !same_file(&now, &file->key))
		return bd_error_set(error, -ESTALE, "%s: has changed since the stream was opened: open it anew", path);
	/* A file that is gone still is what the descriptor reads; another one in its place is a new dataset. */
	if (stat(path, &now) == 0 && !same_file(&now, &file->key))
		return bd_error_set(error, -ESTALE, "%s: was replaced since the stream was opened: open it anew", path);
	return 0;
}

static int check_now_and_then(struct bd_records *source, uint32_t number, int fd, uint64_t now_ns, struct bd_error *error)
{
	struct bd_records_file *file = &source->files[number];
	/* relaxed: two looks at once do no harm */
	uint64_t checked_ns = atomic_load_explicit(&file->checked_ns, memory_order_relaxed);
	if (now_ns - checked_ns < BD_RECORDS_CHECK_NS)
		return 0;
	atomic_store_explicit(&file->checked_ns, now_ns, memory_order_relaxed);
	return bd_records_check(source, number, fd, error);
}

int bd_records_borrow(struct bd_records *source, uint32_t number, uint64_t now_ns, int *ret_fd, bool *ret_close,
                      struct bd_error *error)
{
	struct bd_records_file *file = &source->files[number];
	struct stat key = { 0 };
	int fd = file->fd, result;
	if (fd >= 0) {
		result = check_now_and_then(source, number, fd, now_ns, error);
	} else {
		result = open_checked(source, number, &key, &fd, error);
		if (result == 0 && !same_file(&key, &file->key)) {
			close(fd);
			result = bd_error_set(error, -ESTALE, "%s: has changed since the stream was opened: open it anew",
			                      source->dataset->paths[number]);
		}
	}
	if (result < 0)
		return result;
	*ret_fd = fd;
	*ret_close = file->fd < 0;
	return 0;
}

int bd_records_check_entry(struct bd_records *source, const struct bd_place *place, struct bd_error *error)
{
	const struct bd_shard_index *index = source->files[place->file].index;
	bool must_close;
	int fd;
	if (!index)
		return 0;
	int result = bd_records_borrow(source, place->file, bd_now_ns(), &fd, &must_close, error);
	if (result < 0)
		return result;
	result = bd_shard_index_check_entry(index, fd, source->dataset->paths[place->file], source->cache_folder, place->index,
	                                    error);
	if (must_close)
		close(fd);
	return result;
}

int bd_records_inflate_file(struct bd_records *source, size_t number, struct bd_shard_cursor *cursor, struct bd_error *error)
{
	struct bd_records_file *file = &source->files[number];
	bool must_close;
	int fd;
	if (!bd_records_is_compressed(source, (uint32_t)number) || !bd_shard_index_bytes(file->index))
		return 0;
	int result = bd_records_borrow(source, (uint32_t)number, bd_now_ns(), &fd, &must_close, error);
	if (result < 0)
		return result;
	uint8_t *bytes = malloc(bd_shard_index_bytes(file->index));
	if (!bytes)
		result = bd_error_set(error, -ENOMEM, "out of memory");
	else
		result = bd_shard_cursor_read(cursor, file->index, fd, 0, bytes, bd_shard_index_bytes(file->index), error);
	if (must_close)
		close(fd);
	if (result < 0)
		free(bytes);
	else
		file->inflated = bytes;
	return result == -EBADMSG ? 0 : result;
}
