/*
 * foreign_file.h - files that are taken for TFRecord shards and are none, told by their first bytes.
 *
 * Why: a reader that searches the next good header finds some inside a zstd or bzip2 file, whose blocks may hold records as they are: it would
 * deliver a part of the records and call the rest damaged.
 * Source of the signatures: the formats' specifications.
 * Threads: no state.
 */
#ifndef BD_RECORD_FOREIGN_FILE_H
#define BD_RECORD_FOREIGN_FILE_H

#include <stddef.h>
#include <stdint.h>

/* So many first bytes are enough for each. */
#define BD_FOREIGN_FILE_BYTES 16

/* "a bzip2 file: unpack it with bunzip2, or compress it with gzip instead"; NULL: no known kind. */
const char *bd_foreign_file_kind(const uint8_t *bytes, size_t length);

#endif
