#include "tests/support/golden.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool bd_shared_path(const char *relative, char *ret_path, size_t size)
{
	const char *root = getenv("BATCHD_SHARED");
	char *folder = realpath(root ? root : "../shared", NULL); /* absolute: tests put it into dataset files that lie elsewhere */
	snprintf(ret_path, size, "%s/%s", folder ? folder : "../shared", relative);
	free(folder);
	return access(ret_path, R_OK) == 0;
}

static void *read_whole(const char *path, size_t *ret_bytes)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return NULL;
	struct stat status;
	if (fstat(fileno(file), &status) != 0) {
		fclose(file);
		return NULL;
	}
	size_t size = (size_t)status.st_size;
	char *bytes = malloc(size + 1);
	if (bytes && fread(bytes, 1, size, file) != size) {
		free(bytes);
		bytes = NULL;
	}
	fclose(file);
	if (bytes)
		bytes[size] = 0;
	*ret_bytes = size;
	return bytes;
}

void *bd_golden_file(const char *path, size_t *ret_bytes)
{
	return read_whole(path, ret_bytes);
}

static bool parse_header(const char *header, struct bd_npy *npy)
{
	const char *descr = strstr(header, "'descr': '"), *shape = strstr(header, "'shape': (");
	if (!descr || !shape || !strstr(header, "'fortran_order': False"))
		return false;
	descr += strlen("'descr': '");
	size_t length = strcspn(descr, "'");
	if (length >= sizeof npy->dtype)
		return false;
	memcpy(npy->dtype, descr, length);
	npy->dtype[length] = 0;
	npy->count = 1;
	for (const char *c = shape + strlen("'shape': ("); *c && *c != ')';) {
		char *end;
		long value = strtol(c, &end, 10);
		if (end == c || npy->rank == BD_NPY_MAX_RANK)
			return false;
		npy->shape[npy->rank++] = value;
		npy->count *= (size_t)value;
		c = end + strspn(end, ", ");
	}
	return true;
}

bool bd_npy_load(const char *path, struct bd_npy *ret_npy)
{
	size_t size;
	unsigned char *bytes = read_whole(path, &size);
	if (!bytes || size < 10 || memcmp(bytes, "\x93NUMPY\x01\x00", 8) != 0) {
		free(bytes);
		return false;
	}
	size_t header = bytes[8] | (size_t)bytes[9] << 8;
	struct bd_npy npy = { .file = bytes, .data = bytes + 10 + header };
	char *text = strndup((char *)bytes + 10, header);
	bool good = 10 + header <= size && parse_header(text, &npy);
	free(text);
	if (!good) {
		free(bytes);
		return false;
	}
	*ret_npy = npy;
	return true;
}

void bd_npy_free(struct bd_npy *npy)
{
	free(npy->file);
	*npy = (struct bd_npy){ 0 };
}

bool bd_golden_cases_open(const char *path, struct bd_golden_cases *ret_cases)
{
	size_t size;
	char *text = read_whole(path, &size);
	if (!text)
		return false;
	*ret_cases = (struct bd_golden_cases){ .text = text, .next = text };
	return true;
}

bool bd_golden_cases_next(struct bd_golden_cases *cases)
{
	if (!*cases->next)
		return false;
	cases->line = cases->next;
	size_t length = strcspn(cases->line, "\n");
	cases->next = cases->line + length + (cases->line[length] == '\n');
	cases->line[length] = 0;
	return true;
}

bool bd_golden_value(const struct bd_golden_cases *cases, const char *key, char *ret_value, size_t size)
{
	size_t key_length = strlen(key);
	for (const char *field = cases->line; *field;) {
		size_t length = strcspn(field, "\t");
		if (length > key_length && field[key_length] == '=' && !memcmp(field, key, key_length)) {
			size_t value_length = length - key_length - 1;
			if (value_length >= size)
				return false;
			memcpy(ret_value, field + key_length + 1, value_length);
			ret_value[value_length] = 0;
			return true;
		}
		field += length + (field[length] == '\t');
	}
	return false;
}

void bd_golden_cases_close(struct bd_golden_cases *cases)
{
	free(cases->text);
	*cases = (struct bd_golden_cases){ 0 };
}
