#include "trainer/model/keep_text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"

static bool is_kept(const char *path, const void *text, size_t length)
{
	uint8_t *old = NULL;
	size_t old_length = 0;
	struct bd_error ignored;
	if (bd_file_read_all(path, length, &old, &old_length, &ignored) < 0)
		return false;
	bool same = old_length == length && memcmp(old, text, length) == 0;
	free(old);
	return same;
}

int bd_keep_text(const char *path, const void *text, size_t length, struct bd_error *error)
{
	struct bd_output output;
	if (is_kept(path, text, length))
		return 0;
	int r = bd_output_open(&output, path, true, error);
	if (r < 0)
		return r;
	fwrite(text, 1, length, output.stream);
	return bd_output_commit(&output, error);
}
