#include "tools/batchctl/history.h"

#include <string.h>

static const char *const blocks[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
#define BLOCKS 8

void bd_history_begin(struct bd_history *history)
{
	history->round++;
}

static struct bd_history_stream *find(const struct bd_history *history, uint64_t id)
{
	for (size_t i = 0; i < BD_HISTORY_STREAMS; i++) {
		const struct bd_history_stream *stream = &history->streams[i];
		if (stream->round != 0 && stream->round + 1 >= history->round && stream->id == id)
			return (struct bd_history_stream *)stream;
	}
	return NULL;
}

/* A place that was never used, or whose stream has gone. */
static struct bd_history_stream *take_place(struct bd_history *history, uint64_t id)
{
	for (size_t i = 0; i < BD_HISTORY_STREAMS; i++) {
		struct bd_history_stream *stream = &history->streams[i];
		if (stream->round != 0 && stream->round + 1 >= history->round)
			continue;
		*stream = (struct bd_history_stream){ .id = id };
		return stream;
	}
	return NULL;
}

double bd_history_add(struct bd_history *history, uint64_t id, uint64_t records, uint64_t now_ns)
{
	struct bd_history_stream *stream = find(history, id);
	double rate = 0;
	if (stream && now_ns > stream->at_ns && records >= stream->records) {
		rate = (double)(records - stream->records) * 1e9 / (double)(now_ns - stream->at_ns);
		stream->rates[stream->count++ % BD_HISTORY_SAMPLES] = rate;
	} else if (!stream) {
		stream = take_place(history, id);
	}
	if (!stream)
		return rate;
	stream->round = history->round;
	stream->records = records;
	stream->at_ns = now_ns;
	return rate;
}

void bd_history_sparkline(const struct bd_history *history, uint64_t id, char ret_text[BD_SPARKLINE_BYTES])
{
	const struct bd_history_stream *stream = find(history, id);
	double largest = 0;
	ret_text[0] = 0;
	if (!stream)
		return;
	size_t count = stream->count < BD_HISTORY_SAMPLES ? stream->count : BD_HISTORY_SAMPLES;
	for (size_t i = 0; i < count; i++)
		if (stream->rates[i] > largest)
			largest = stream->rates[i];
	for (size_t i = stream->count - count; i < stream->count; i++) {
		double height = largest > 0 ? stream->rates[i % BD_HISTORY_SAMPLES] / largest * (BLOCKS - 1) + 0.5 : 0;
		strcat(ret_text, blocks[(size_t)height]);
	}
}
