#include "tools/batchctl/stream_json.h"

#include <string.h>

json_t *bd_stream_json(const struct bd_stream_info *stream)
{
	json_t *line = json_pack("{s:I, s:o, s:s, s:o, s:s, s:s, s:s}", "id", (json_int_t)stream->id, "dataset",
	                         bd_json_text(stream->dataset, strlen(stream->dataset)), "user", stream->user, "share_group",
	                         bd_json_text(stream->share_group, strlen(stream->share_group)), "state", stream->state,
	                         "bottleneck", stream->bottleneck, "shuffle", stream->shuffle);
	json_t *figures = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "batch", (json_int_t)stream->batch, "consumers",
		(json_int_t)stream->consumers, "slots", (json_int_t)stream->slots, "slots_filled", (json_int_t)stream->slots_filled,
		"epoch", (json_int_t)stream->epoch, "position", (json_int_t)stream->position, "epochs", (json_int_t)stream->epochs,
		"records_per_epoch", (json_int_t)stream->records_per_epoch, "batches", (json_int_t)stream->batches, "records",
		(json_int_t)stream->records, "bytes", (json_int_t)stream->bytes, "skipped", (json_int_t)stream->skipped);
	json_t *times = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "disk_ns", (json_int_t)stream->disk_ns, "decode_ns",
	                          (json_int_t)stream->decode_ns, "ring_full_ns", (json_int_t)stream->ring_full_ns, "ring_empty_ns",
	                          (json_int_t)stream->ring_empty_ns, "memory_bytes", (json_int_t)stream->memory_bytes, "cache_hits",
	                          (json_int_t)stream->cache_hits, "cache_misses", (json_int_t)stream->cache_misses, "records_per_s",
	                          bd_json_real(stream->records_per_s));
	if (!line || json_object_update_new(line, figures) < 0 || json_object_update_new(line, times) < 0) {
		json_decref(line);
		return NULL;
	}
	return line;
}
