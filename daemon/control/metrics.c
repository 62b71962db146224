#include "daemon/control/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "daemon/control/server.h"

unsigned long long bd_peak_rss_bytes(void)
{
	struct rusage usage;
	return getrusage(RUSAGE_SELF, &usage) == 0 ? (unsigned long long)usage.ru_maxrss * 1024 : 0;
}

/* ---- the daemon ---- */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP batchd_%s %s\n# TYPE batchd_%s %s\n", name, help, name, type);
}

static void one(FILE *out, const char *name, const char *type, const char *help, double value)
{
	head(out, name, type, help);
	fprintf(out, "batchd_%s %.15g\n", name, value);
}

static void write_daemon(FILE *out, struct bd_server *server)
{
	uint64_t used, limit;
	bd_engine_memory(server->engine, &used, &limit);
	head(out, "build_info", "gauge", "Version of the daemon.");
	fprintf(out, "batchd_build_info{version=\"%s\"} 1\n", BD_VERSION);
	one(out, "uptime_seconds", "gauge", "Time since the start.", (double)(bd_now_ns() - server->started_ns) / BD_NS_PER_S);
	one(out, "draining", "gauge", "1 while no new streams are opened.", server->draining);
	one(out, "sessions", "gauge", "Connections.", server->session_count);
	one(out, "sessions_accepted_total", "counter", "Connections since the start.", (double)server->sessions_accepted);
	one(out, "sessions_refused_total", "counter", "Connections refused at a limit.", (double)server->sessions_refused);
	one(out, "protocol_errors_total", "counter", "Sessions ended because a packet broke a rule.",
	    (double)server->protocol_errors);
	one(out, "streams", "gauge", "Streams.", server->streams.count);
	one(out, "streams_opened_total", "counter", "Streams since the start.", (double)server->streams.opened);
	one(out, "streams_failed_total", "counter", "Streams that ended with an error.", (double)server->streams.failed);
	one(out, "consumers_detached_total", "counter", "Consumers that were too slow for their share group.",
	    (double)server->streams.detached);
	one(out, "memory_bytes", "gauge", "Memory given to streams and cache.", (double)used);
	one(out, "memory_limit_bytes", "gauge", "The budget.", (double)limit);
	one(out, "peak_rss_bytes", "gauge", "Largest resident set of the process.", (double)bd_peak_rss_bytes());
}

/* ---- the streams ---- */

typedef struct bd_pipeline_statistics statistics;

static double batches(const statistics *s)
{
	return (double)s->batches;
}
static double records(const statistics *s)
{
	return (double)s->records;
}
static double bytes(const statistics *s)
{
	return (double)s->bytes;
}
static double skipped(const statistics *s)
{
	return (double)s->skipped;
}
static double disk(const statistics *s)
{
	return (double)s->disk_ns / BD_NS_PER_S;
}
static double decode(const statistics *s)
{
	return (double)s->decode_ns / BD_NS_PER_S;
}
static double ring_full(const statistics *s)
{
	return (double)s->ring_full_ns / BD_NS_PER_S;
}
static double ring_empty(const statistics *s)
{
	return (double)s->ring_empty_ns / BD_NS_PER_S;
}
static double slots(const statistics *s)
{
	return s->slots;
}
static double slots_filled(const statistics *s)
{
	return s->slots_filled;
}
static double memory(const statistics *s)
{
	return (double)s->memory_bytes;
}
static double cache_hits(const statistics *s)
{
	return (double)s->cache_hits;
}
static double cache_misses(const statistics *s)
{
	return (double)s->cache_misses;
}
static double epoch(const statistics *s)
{
	return (double)s->epoch;
}
static double batch(const statistics *s)
{
	return (double)s->batch;
}

static const struct series {
	const char *name, *type, *help;
	double (*value)(const statistics *s);
} all_series[] = {
	{ "stream_batches_total", "counter", "Batches published.", batches },
	{ "stream_records_total", "counter", "Records published.", records },
	{ "stream_bytes_total", "counter", "Bytes of the published arrays.", bytes },
	{ "stream_skipped_total", "counter", "Damaged records left out.", skipped },
	{ "stream_disk_seconds_total", "counter", "Worker time spent reading.", disk },
	{ "stream_decode_seconds_total", "counter", "Worker time spent decoding.", decode },
	{ "stream_ring_full_seconds_total", "counter", "Time finished batches filled the ring: the trainer is the limit.",
	  ring_full },
	{ "stream_ring_empty_seconds_total", "counter", "Time no batch was ready: consumers waited.", ring_empty },
	{ "stream_slots", "gauge", "Slots of the ring.", slots },
	{ "stream_slots_filled", "gauge", "Slots that hold a batch.", slots_filled },
	{ "stream_memory_bytes", "gauge", "Memory of the stream.", memory },
	{ "stream_cache_hits_total", "counter", "Records found decoded.", cache_hits },
	{ "stream_cache_misses_total", "counter", "Records that had to be decoded.", cache_misses },
	{ "stream_epoch", "gauge", "Epoch of the next batch.", epoch },
	{ "stream_batch", "gauge", "Number of the next batch in its epoch.", batch },
};

static void write_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", out);
		else if (*value == '"' || *value == '\\')
			fprintf(out, "\\%c", *value);
		else
			fputc(*value, out);
	}
	fputc('"', out);
}

static void write_labels(FILE *out, const struct bd_live *live)
{
	fprintf(out, "{stream=\"%" PRIu64 "\",", live->id);
	write_label(out, "dataset", live->dataset);
	fputc(',', out);
	write_label(out, "user", live->user);
}

static bool is_shown(const struct bd_live *live, const uid_t *only)
{
	return !only || live->uid == *only;
}

static void write_streams(FILE *out, struct bd_server *server, const uid_t *only)
{
	size_t count = 0;
	struct bd_pipeline_statistics *figures = calloc(server->streams.count + 1, sizeof *figures);
	if (!figures)
		return;
	for (struct bd_live *live = server->streams.streams; live; live = live->next)
		bd_pipeline_statistics(live->pipeline, &figures[count++]);
	for (size_t i = 0; count && i < BD_COUNT_OF(all_series); i++) {
		head(out, all_series[i].name, all_series[i].type, all_series[i].help);
		size_t number = 0;
		for (struct bd_live *live = server->streams.streams; live; live = live->next, number++) {
			if (!is_shown(live, only))
				continue;
			fprintf(out, "batchd_%s", all_series[i].name);
			write_labels(out, live);
			fprintf(out, "} %.15g\n", all_series[i].value(&figures[number]));
		}
	}
	if (count) {
		head(out, "stream_consumers", "gauge", "Consumers attached.");
		for (struct bd_live *live = server->streams.streams; live; live = live->next) {
			if (!is_shown(live, only))
				continue;
			fputs("batchd_stream_consumers", out);
			write_labels(out, live);
			fprintf(out, "} %u\n", live->attached_count);
		}
		head(out, "stream_bottleneck", "gauge", "1 for what the stream waits for most: disk, decode or trainer.");
		size_t number = 0;
		for (struct bd_live *live = server->streams.streams; live; live = live->next, number++) {
			if (!is_shown(live, only))
				continue;
			fputs("batchd_stream_bottleneck", out);
			write_labels(out, live);
			fprintf(out, ",bottleneck=\"%s\"} 1\n", figures[number].bottleneck ? figures[number].bottleneck : "");
		}
	}
	free(figures);
}

char *bd_metrics_text(struct bd_server *server, const uid_t *only)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return NULL;
	write_daemon(out, server);
	write_streams(out, server, only);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
