/*
 * records.h - makes datasets for tests: folders, shards, damage.
 *
 * Every function ends the test program with a message when the system refuses it: a test has no use for that error.
 */
#ifndef BD_TESTS_SUPPORT_RECORDS_H
#define BD_TESTS_SUPPORT_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/record/example_writer.h"
#include "common/record/deflate.h"

/* A new folder below $TMPDIR or /tmp; removed with all that is in it by bd_test_folder_remove, which frees the name. */
char *bd_test_folder(void);
void bd_test_folder_remove(char *folder_take);

/* "FOLDER/NAME", to be freed. */
char *bd_test_path(const char *folder, const char *name);
void bd_test_write_file(const char *path, const void *bytes, size_t length);

/* A shard of `count` records in TFRecord framing; `make` fills in the Example of record `number` (begin and end are done here). */
typedef void bd_test_maker(struct bd_example_writer *writer, uint64_t number, void *context);
void bd_test_shard(const char *path, enum bd_compression compression, uint64_t first, uint64_t count, bd_test_maker *make,
                   void *context);

/* Turns the bits of one byte of the file around; where it ends is where `offset` counts from if negative. */
void bd_test_damage(const char *path, int64_t offset);

#endif
