/* fuzz_index - index files: the stored form, with its checksum made right so that the fuzzer gets past it, and the text form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/record/crc32c.h"
#include "common/record/shard_index_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FORM_HEAD_BYTES 96 /* shard_index_form.c: the CRC is the last of 12 words, the length the one before */

/* Every promise of an accepted index: entries inside the stream, points that restore or are refused. */
static void use(const struct bd_shard_index *index)
{
	static uint8_t buffer[256];
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct bd_shard_cursor *cursor;
	if (bd_shard_cursor_create(&cursor, NULL) < 0)
		return;
	for (uint64_t i = 0; i < bd_shard_index_count(index); i++) {
		struct bd_index_entry entry = bd_shard_index_entry(index, i);
		if (entry.length > bd_shard_index_longest(index) || entry.offset > bd_shard_index_bytes(index))
			abort();
		if (i < 16)
			(void)!bd_shard_cursor_read(cursor, index, fd, entry.offset, buffer,
			                            entry.length < sizeof buffer ? entry.length : sizeof buffer, NULL);
	}
	bd_shard_cursor_destroy(cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bd_shard_index *index;
	uint8_t *form = malloc(size + 1);
	if (!form)
		return 0;
	memcpy(form, data, size);
	if (size >= FORM_HEAD_BYTES) {
		uint64_t words[2] = { size, 0 };
		memcpy(form, "BDINDEX", 7);
		form[7] = BD_SHARD_INDEX_VERSION;
		memcpy(form + FORM_HEAD_BYTES - 16, words, sizeof words);
		words[1] = bd_crc32c(bd_crc32c(0, form, FORM_HEAD_BYTES - 8), form + FORM_HEAD_BYTES, size - FORM_HEAD_BYTES);
		memcpy(form + FORM_HEAD_BYTES - 16, words, sizeof words);
	}
	if (bd_shard_index_decode(form, size, NULL, &index, NULL) == 0) {
		use(index);
		bd_shard_index_destroy(index);
	}
	free(form);
	uint64_t file_bytes = 0;
	if (size < 8)
		return 0;
	memcpy(&file_bytes, data, 8);
	if (bd_shard_index_parse_text((const char *)data + 8, size - 8, file_bytes, &index, NULL) == 0) {
		use(index);
		bd_shard_index_destroy(index);
	}
	return 0;
}
