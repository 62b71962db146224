/*
 * golden.h - reads the reference results of ../shared/golden: .npy tensors and index.txt case lists.
 *
 * Tests run with the repository's root as working directory; $BATCHD_SHARED names another place than ../shared.
 * A test that needs ../shared calls bd_shared_path first and skips, saying what is missing, when it returns false.
 */
#ifndef BD_TESTS_SUPPORT_GOLDEN_H
#define BD_TESTS_SUPPORT_GOLDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BD_NPY_MAX_RANK 6

struct bd_npy {
	char dtype[8]; /* "<f4", "<f8", "<i8", "<u2", "|u1" */
	int rank;
	int64_t shape[BD_NPY_MAX_RANK];
	size_t count; /* elements */
	const void *data; /* C order, borrowed from `file` */
	void *file; /* freed by bd_npy_free */
};

/* The path of a file under ../shared; false where it is not there. */
bool bd_shared_path(const char *relative, char *ret_path, size_t size);

/* The whole file with a NUL behind it, to be freed by the caller; NULL where it cannot be read. */
void *bd_golden_file(const char *path, size_t *ret_bytes);

bool bd_npy_load(const char *path, struct bd_npy *ret_npy);
void bd_npy_free(struct bd_npy *npy);

/* An index.txt: one case a line, key=value separated by tabs. `line` is the current case. */
struct bd_golden_cases {
	char *text, *line, *next;
};

bool bd_golden_cases_open(const char *path, struct bd_golden_cases *ret_cases);
bool bd_golden_cases_next(struct bd_golden_cases *cases);
bool bd_golden_value(const struct bd_golden_cases *cases, const char *key, char *ret_value, size_t size);
void bd_golden_cases_close(struct bd_golden_cases *cases);

#endif
