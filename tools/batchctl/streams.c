#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/units.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static void print_stream(const struct bd_stream_info *stream)
{
	char memory[32];
	bd_format_size(stream->memory_bytes, memory, sizeof memory);
	fprintf(stderr,
	        "%llu  %s  %s%s%s  %s  epoch %llu batch %llu  %.0f records/s  slots %u/%u  consumers %u  limit: %s  skipped %llu  "
	        "cache %.0f%%  %s\n",
	        (unsigned long long)stream->id, stream->user, stream->dataset, stream->share_group[0] ? " group " : "",
	        stream->share_group, stream->state, (unsigned long long)stream->epoch, (unsigned long long)stream->position,
	        stream->records_per_s, stream->slots_filled, stream->slots, stream->consumers,
	        stream->bottleneck[0] ? stream->bottleneck : "-", (unsigned long long)stream->skipped,
	        100 * share(stream->cache_hits, stream->cache_hits + stream->cache_misses), memory);
}

static json_t *json_of(const struct bd_stream_info *stream)
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

static int print_streams(struct bd_client *client, bool json, struct bd_error *error)
{
	struct bd_stream_info *streams;
	size_t count;
	int result = bd_client_streams(client, &streams, &count, error);
	if (result < 0)
		return result;
	for (size_t i = 0; result == 0 && i < count; i++) {
		if (json)
			result = bd_json_print_line(stdout, json_of(&streams[i]), error);
		else
			print_stream(&streams[i]);
	}
	if (count == 0 && !json)
		fputs("no streams\n", stderr);
	bd_client_free(streams);
	return result;
}

int bd_command_streams(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "streams",
		.usage = "[--connect SOCKET]",
		.summary = "The streams of a running daemon, one a line.",
	};
	command.groups[0] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	if (!arguments.done) {
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = print_streams(client, arguments.json, &error);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
