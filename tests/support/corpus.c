#include "tests/support/corpus.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/record/example.h"
#include "common/record/record_reader.h"
#include "common/record/sequence_example.h"
#include "tests/support/golden.h"

static struct bd_corpus *filled; /* by nftw, which has no context */

static int add_file(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)walk;
	if (type != FTW_F || filled->count == BD_CORPUS_MOST)
		return 0;
	struct bd_corpus_file *file = &filled->files[filled->count];
	*file = (struct bd_corpus_file){ .path = strdup(path) };
	file->bytes = bd_golden_file(path, &file->length);
	if (!file->bytes || !file->path)
		abort();
	filled->count++;
	return 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(((const struct bd_corpus_file *)a)->path, ((const struct bd_corpus_file *)b)->path);
}

bool bd_corpus_load(const char *relative, struct bd_corpus *ret_corpus)
{
	char path[1024];
	if (!bd_shared_path(relative, path, sizeof path)) {
		fprintf(stderr, "%s is missing\n", path);
		return false;
	}
	ret_corpus->count = 0;
	filled = ret_corpus;
	if (nftw(path, add_file, 16, FTW_PHYS) != 0)
		abort();
	/* nftw's order is the file system's */
	qsort(ret_corpus->files, ret_corpus->count, sizeof *ret_corpus->files, compare_paths);
	return true;
}

void bd_corpus_finish(struct bd_corpus *corpus)
{
	for (size_t i = 0; i < corpus->count; i++) {
		free(corpus->files[i].path);
		free(corpus->files[i].bytes);
		free(corpus->files[i].features);
	}
	corpus->count = 0;
}

/* ---- dataset files ---- */

static bool is_plain(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~' || strchr("'\"\\", name[i]))
			return false;
	return length > 0 && length < 64;
}

static bool is_picture(const struct bd_feature_view *view)
{
	struct bd_bytes_view value;
	size_t count;
	return view->kind == BD_VALUE_BYTES && bd_feature_read_bytes(view, &value, 1, &count, NULL) == 0 && count == 1 &&
	       value.length > 8 && (!memcmp(value.bytes, "\xff\xd8", 2) || !memcmp(value.bytes, "\x89PNG", 4));
}

static void describe_features(FILE *yaml, const struct bd_example *example)
{
	static const char *const types[] = { [BD_VALUE_INT64] = "int64", [BD_VALUE_FLOAT] = "float", [BD_VALUE_BYTES] = "bytes" };
	for (size_t i = 0; i < example->count && i < 8; i++) {
		const struct bd_feature_view *view = &example->features[i];
		if (!is_plain(view->name, view->name_length) || view->kind == BD_VALUE_NONE)
			continue;
		fprintf(yaml, "  '%.*s': ", (int)view->name_length, view->name);
		if (is_picture(view))
			fprintf(yaml, "{type: image, dtype: uint8, resize: {height: 16, width: 16}}\n");
		else
			fprintf(yaml, "{type: %s, varlen: true}\n", types[view->kind]);
	}
}

static void describe_lists(FILE *yaml, const struct bd_sequence_example *example)
{
	for (size_t i = 0; i < example->list_count && i < 4; i++) {
		struct bd_step_cursor cursor;
		struct bd_feature_view step;
		bd_step_cursor_begin(&example->lists[i], &cursor);
		if (!is_plain(example->lists[i].name, example->lists[i].name_length) ||
		    bd_step_cursor_next(&cursor, &step, NULL) <= 0 || step.kind == BD_VALUE_NONE)
			continue;
		fprintf(yaml, "%s  '%.*s': {type: %s, varlen: true}\n", i == 0 ? "sequence_features:\n" : "",
		        (int)example->lists[i].name_length, example->lists[i].name, bd_value_kind_name(step.kind));
	}
}

static char *describe(const struct bd_corpus_file *file)
{
	char *text = NULL;
	size_t size;
	FILE *yaml = open_memstream(&text, &size);
	struct bd_record_reader reader;
	struct bd_record record;
	struct bd_example example = { 0 };
	struct bd_sequence_example sequence = { 0 };
	FILE *shard = fopen(file->path, "re");
	if (!yaml || !shard || bd_record_reader_init(&reader, fileno(shard), BD_COMPRESSION_AUTO, true, 0, NULL) < 0)
		abort();
	fprintf(yaml, "features:\n  'no such feature': {type: int64, default: 1}\n");
	if (bd_record_reader_next(&reader, &record, NULL) > 0 && record.damage == BD_DAMAGE_NONE) {
		if (bd_example_read(&example, record.data, record.length, NULL) == 0)
			describe_features(yaml, &example);
		if (bd_sequence_example_read(&sequence, record.data, record.length, NULL) == 0)
			describe_lists(yaml, &sequence);
	}
	bd_sequence_example_finish(&sequence);
	bd_example_finish(&example);
	bd_record_reader_finish(&reader);
	fclose(shard);
	fclose(yaml);
	return text;
}

void bd_corpus_describe(struct bd_corpus *corpus)
{
	for (size_t i = 0; i < corpus->count; i++)
		corpus->files[i].features = describe(&corpus->files[i]);
}
