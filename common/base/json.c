#include "common/base/json.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int bd_json_print_line(FILE *stream, json_t *value_take, struct bd_error *error)
{
	if (!value_take)
		return bd_error_set(error, -ENOMEM, "no memory for a line of JSON");
	int failed = json_dumpf(value_take, stream, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	json_decref(value_take);
	if (failed || fputc('\n', stream) == EOF || fflush(stream) != 0)
		return bd_error_set(error, -EIO, "cannot write JSON: %s", strerror(errno));
	return 0;
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

/* The length of the well-formed UTF-8 sequence at `c`, 0 where there is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *c, size_t left)
{
	if (c[0] < 0x80)
		return 1;
	size_t length = c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : c[0] >= 0xe0 && c[0] < 0xf0 ? 3 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : 0;
	if (!length || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
	bool outside = (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf4 && c[1] > 0x8f);
	return overlong || outside ? 0 : length;
}

json_t *bd_json_text(const char *bytes, size_t length)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *clean = malloc(3 * length + 1);
	if (!clean)
		return NULL;
	size_t written = 0;
	for (size_t i = 0; i < length;) {
		size_t sequence = utf8_sequence((const unsigned char *)bytes + i, length - i);
		memcpy(clean + written, sequence ? bytes + i : replacement, sequence ? sequence : 3);
		written += sequence ? sequence : 3;
		i += sequence ? sequence : 1;
	}
	json_t *value = json_stringn(clean, written);
	free(clean);
	return value;
}

int bd_json_parse(const char *name, const char *text, size_t length, json_t **ret_value, struct bd_error *error)
{
	json_error_t problem;
	json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
	if (!value)
		return bd_error_set(error, json_error_code(&problem) == json_error_out_of_memory ? -ENOMEM : -EINVAL,
		                    "%s: line %d: %s", name, problem.line, problem.text);
	*ret_value = value;
	return 0;
}
