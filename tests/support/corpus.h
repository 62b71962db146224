/*
 * corpus.h - all files of a folder of ../shared in memory, in an order that is the same everywhere, and dataset files that fit them.
 */
#ifndef BD_TESTS_SUPPORT_CORPUS_H
#define BD_TESTS_SUPPORT_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BD_CORPUS_MOST 4096

struct bd_corpus_file {
	char *path;
	uint8_t *bytes;
	size_t length;
	char *features; /* of a shard: what bd_corpus_describe found */
};

struct bd_corpus {
	struct bd_corpus_file files[BD_CORPUS_MOST];
	size_t count;
};

/* False, and said, where the folder is missing. Not for two threads at once. */
bool bd_corpus_load(const char *relative, struct bd_corpus *ret_corpus);
void bd_corpus_finish(struct bd_corpus *corpus);

/*
 * Sets `features` of every shard: the keys `features` and `sequence_features` of a dataset file, as its first record has them, pictures as
 * pictures; and one that no record has, so that there always is one.
 */
void bd_corpus_describe(struct bd_corpus *corpus);

#endif
