#include <stdio.h>

#include "common/base/json.h"
#include "common/base/units.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/stream_json.h"
#include "tools/batchctl/target.h"

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static void print_stream(const struct bd_stream_info *stream)
{
	char memory[32];
	bd_format_size(stream->memory_bytes, memory, sizeof memory);
	printf("%llu  %s  %s%s%s  %s  epoch %llu batch %llu  %.0f records/s  slots %u/%u  consumers %u  limit: %s  skipped %llu  "
	       "cache %.0f%%  %s\n",
	       (unsigned long long)stream->id, stream->user, stream->dataset, stream->share_group[0] ? " group " : "",
	       stream->share_group, stream->state, (unsigned long long)stream->epoch, (unsigned long long)stream->position,
	       stream->records_per_s, stream->slots_filled, stream->slots, stream->consumers,
	       stream->bottleneck[0] ? stream->bottleneck : "-", (unsigned long long)stream->skipped,
	       100 * share(stream->cache_hits, stream->cache_hits + stream->cache_misses), memory);
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
			result = bd_json_print_line(stdout, bd_stream_json(&streams[i]), error);
		else
			print_stream(&streams[i]);
	}
	if (count == 0 && !json)
		puts("no streams");
	bd_client_free(streams);
	return result;
}

int bd_command_streams(int argc, char **argv)
{
	return bd_target_ask("streams", "The streams of a running daemon, one a line.", print_streams, argc, argv);
}
