#include "tests/support/records.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/record/tfrecord.h"

#define REQUIRE(condition)                                                                                                         \
	do {                                                                                                                       \
		if (!(condition)) {                                                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
			abort();                                                                                                   \
		}                                                                                                                  \
	} while (0)

char *bd_test_folder(void)
{
	char *folder = NULL;
	const char *base = getenv("TMPDIR");
	REQUIRE(asprintf(&folder, "%s/batchd-test-XXXXXX", base ? base : "/tmp") > 0);
	REQUIRE(mkdtemp(folder));
	return folder;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
	(void)status;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void bd_test_folder_remove(char *folder_take)
{
	nftw(folder_take, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(folder_take);
}

char *bd_test_path(const char *folder, const char *name)
{
	char *path = NULL;
	REQUIRE(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

void bd_test_write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");
	REQUIRE(file);
	REQUIRE(!length || fwrite(bytes, 1, length, file) == length);
	REQUIRE(fclose(file) == 0);
}

struct shard {
	FILE *file;
	struct bd_deflater *deflater;
};

static int put_file(void *context, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	(void)error;
	REQUIRE(fwrite(bytes, 1, length, context) == length);
	return 0;
}

static void put(struct shard *shard, const void *bytes, size_t length)
{
	struct bd_error error;
	if (shard->deflater)
		REQUIRE(bd_deflater_write(shard->deflater, bytes, length, &error) == 0);
	else
		put_file(shard->file, bytes, length, &error);
}

void bd_test_shard(const char *path, enum bd_compression compression, uint64_t first, uint64_t count, bd_test_maker *make,
                   void *context)
{
	struct bd_error error;
	struct bd_example_writer writer = { 0 };
	struct shard shard = { .file = fopen(path, "wb") };
	REQUIRE(shard.file);
	if (compression == BD_COMPRESSION_GZIP || compression == BD_COMPRESSION_ZLIB)
		REQUIRE(bd_deflater_create(compression, -1, put_file, shard.file, &shard.deflater, &error) == 0);
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *bytes;
		size_t length;
		uint8_t header[BD_TFRECORD_HEADER_BYTES], footer[BD_TFRECORD_FOOTER_BYTES];
		bd_example_writer_begin(&writer);
		make(&writer, first + i, context);
		REQUIRE(bd_example_writer_end(&writer, &bytes, &length, &error) == 0);
		bd_tfrecord_header(length, header);
		bd_tfrecord_footer(bytes, length, footer);
		put(&shard, header, sizeof header);
		put(&shard, bytes, length);
		put(&shard, footer, sizeof footer);
	}
	if (shard.deflater)
		REQUIRE(bd_deflater_end(shard.deflater, &error) == 0);
	bd_deflater_destroy(shard.deflater);
	bd_example_writer_finish(&writer);
	REQUIRE(fclose(shard.file) == 0);
}

void bd_test_damage(const char *path, int64_t offset)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	REQUIRE(fd >= 0);
	if (offset < 0)
		offset += lseek(fd, 0, SEEK_END);
	REQUIRE(pread(fd, &byte, 1, offset) == 1);
	byte = (uint8_t)~byte;
	REQUIRE(pwrite(fd, &byte, 1, offset) == 1);
	close(fd);
}
