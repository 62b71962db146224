#include "common/base/name.h"

#include <stdio.h>
#include <string.h>

size_t bd_utf8_sequence(const unsigned char *c, size_t left)
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

bool bd_name_is_utf8(const char *text)
{
	for (size_t left = strlen(text), step; left > 0; left -= step, text += step) {
		step = bd_utf8_sequence((const unsigned char *)text, left);
		if (!step)
			return false;
	}
	return true;
}

const char *bd_name_escape(const char *name, char *ret_text, size_t size)
{
	size_t written = 0, left = strlen(name);
	ret_text[0] = 0;
	while (left > 0) {
		size_t step = bd_utf8_sequence((const unsigned char *)name, left);
		bool plain = step > 1 || (step == 1 && (unsigned char)*name >= 0x20 && *name != 0x7f);
		size_t bytes = plain ? step : 4;
		if (written + bytes >= size)
			break;
		if (plain)
			memcpy(ret_text + written, name, step);
		else
			snprintf(ret_text + written, size - written, "\\x%02x", (unsigned char)*name);
		written += bytes;
		ret_text[written] = 0;
		name += plain ? step : 1;
		left -= plain ? step : 1;
	}
	return ret_text;
}
