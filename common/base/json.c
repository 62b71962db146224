#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/name.h"

/* Something of a value of this thread is missing since the last text was made. */
static _Thread_local bool lost;

static void *watched_malloc(size_t bytes)
{
	void *memory = malloc(bytes);
	if (!memory)
		lost = true;
	return memory;
}

/* Before anything asks the library for memory. */
__attribute__((constructor)) static void watch_allocations(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

json_t *bd_json_lost(void)
{
	lost = true;
	return NULL;
}

char *bd_json_dump(json_t *value_take, size_t flags)
{
	char *text = value_take ? json_dumps(value_take, flags) : NULL;
	json_decref(value_take);
	if (lost) {
		free(text);
		text = NULL;
	}
	lost = false;
	return text;
}

/* A write that a signal broke off is a failure like others: -EINTR is for who was asked to stop. */
static int cannot_write(int code, struct bd_error *error)
{
	return bd_error_set(error, code == EINTR ? -EIO : -code, "cannot write JSON: %s", strerror(code));
}

int bd_json_write_line(FILE *stream, json_t *value_take, struct bd_error *error)
{
	char *text = bd_json_dump(value_take, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (!text)
		return bd_error_set(error, -ENOMEM, "no memory for a line of JSON");
	int code = fputs(text, stream) == EOF || fputc('\n', stream) == EOF ? errno : 0;
	free(text);
	return code ? cannot_write(code, error) : 0;
}

int bd_json_print_line(FILE *stream, json_t *value_take, struct bd_error *error)
{
	int result = bd_json_write_line(stream, value_take, error);
	if (result == 0 && fflush(stream) != 0)
		result = cannot_write(errno, error);
	return result;
}

json_t *bd_json_real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *bd_json_float(float value)
{
	char text[32];
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)value);
		if (strtof(text, NULL) == value)
			break;
	}
	return bd_json_real(strtod(text, NULL));
}

json_t *bd_json_text(const char *bytes, size_t length)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *clean = malloc(3 * length + 1);
	if (!clean)
		return bd_json_lost();
	size_t written = 0;
	for (size_t i = 0; i < length;) {
		size_t sequence = bd_utf8_sequence((const unsigned char *)bytes + i, length - i);
		memcpy(clean + written, sequence ? bytes + i : replacement, sequence ? sequence : 3);
		written += sequence ? sequence : 3;
		i += sequence ? sequence : 1;
	}
	json_t *value = json_stringn(clean, written);
	free(clean);
	return value;
}

void bd_json_set(json_t *object, const char *name, size_t length, json_t *value_take)
{
	json_t *key = bd_json_text(name, length);
	/* the library takes the value also where it fails */
	if (!key)
		json_decref(value_take);
	else if (json_object_setn_new(object, json_string_value(key), json_string_length(key), value_take) != 0)
		bd_json_lost();
	json_decref(key);
}

int bd_json_parse(const char *name, const char *text, size_t length, json_t **ret_value, struct bd_error *error)
{
	json_error_t problem;
	bool lost_before = lost;
	lost = false;
	json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
	/* The library does not tell every missing memory as such: the text would be called damaged. */
	bool no_memory = !value && (lost || json_error_code(&problem) == json_error_out_of_memory);
	lost = value && (lost || lost_before); /* else told here */
	if (no_memory)
		return bd_error_set(error, -ENOMEM, "%s: no memory to read its JSON", name);
	if (!value)
		return bd_error_set(error, -EINVAL, "%s: line %d: %s", name, problem.line, problem.text);
	*ret_value = value;
	return 0;
}
