#include "tools/batchctl/quarantine.h"

#include <errno.h>
#include <string.h>

#define ENTRIES_A_TIME 64

int bd_quarantine_json(struct bd_stream *stream, json_t **ret_list, struct bd_error *error)
{
	struct bd_quarantine_entry entries[ENTRIES_A_TIME];
	json_t *list = json_array();
	uint64_t from = 0;
	for (;;) {
		size_t count;
		int result = bd_stream_quarantine(stream, from, entries, ENTRIES_A_TIME, &count, error);
		if (result < 0) {
			json_decref(list);
			return result;
		}
		if (count == 0)
			break;
		for (size_t i = 0; i < count; i++)
			json_array_append_new(list, json_pack("{s:I, s:o, s:I, s:o}", "record", (json_int_t)entries[i].record,
			                                      "file", bd_json_text(entries[i].file, strlen(entries[i].file)),
			                                      "offset", (json_int_t)entries[i].offset, "reason",
			                                      bd_json_text(entries[i].reason, strlen(entries[i].reason))));
		from += count;
	}
	if (!list)
		return bd_error_set(error, -ENOMEM, "out of memory");
	*ret_list = list;
	return 0;
}
