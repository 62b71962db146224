#include "tests/support/reading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "reading.c: %s: %s\n", what, why);
	exit(1);
}

static struct bd_client *connect_to(const struct bd_test_daemon *daemon)
{
	struct bd_client *client;
	struct bd_error error;
	if (bd_client_connect(daemon->socket, NULL, &client, &error) < 0)
		give_up("connect", error.text);
	return client;
}

static void append_row(struct bd_test_reading *reading, const struct bd_batch *batch, uint32_t row)
{
	const struct bd_array *array = &batch->arrays[0];
	size_t values = 1;
	for (uint32_t i = 1; i < array->rank; i++)
		values *= (size_t)array->shape[i];
	FILE *text = fmemopen(reading->rows, sizeof reading->rows, "a");
	if (!text)
		give_up("fmemopen", strerror(errno));
	fprintf(text, "%s%llu=", reading->rows[0] ? " " : "", (unsigned long long)batch->records[row]);
	if (array->dtype == BD_INT64) {
		const int64_t *numbers = (const int64_t *)array->data + row * values;
		for (size_t i = 0; i < values; i++)
			fprintf(text, "%s%lld", i ? "," : "", (long long)numbers[i]);
	} else {
		const uint8_t *pixels = (const uint8_t *)array->data + row * values;
		for (int64_t i = 0; i < array->shape[array->rank - 1]; i++)
			fputc(pixels[i] >= 128 ? '#' : '.', text);
	}
	fclose(text);
}

static void ask_for_damage(struct bd_stream *stream, struct bd_test_reading *reading)
{
	struct bd_stream_statistics statistics;
	struct bd_quarantine_entry entry;
	struct bd_error error;
	size_t count;
	if (bd_stream_statistics(stream, &statistics, &error) < 0 || bd_stream_quarantine(stream, 0, &entry, 1, &count, &error) < 0)
		give_up("statistics", error.text);
	reading->skipped = statistics.skipped;
	if (!count)
		return;
	const char *name = strrchr(entry.file, '/');
	snprintf(reading->quarantine, sizeof reading->quarantine, "record %llu of %s: %s", (unsigned long long)entry.record,
	         name ? name + 1 : entry.file, entry.reason);
}

int bd_test_open(struct bd_client *client, const char *folder, const char *yaml, const struct bd_stream_spec *spec,
                 struct bd_stream **ret_stream, struct bd_error *ret_error)
{
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = "case.yaml";
	request.dataset_text = yaml;
	request.dataset_folder = folder;
	request.spec = *spec;
	return bd_stream_open(client, &request, ret_stream, ret_error);
}

void bd_test_read(const struct bd_test_daemon *daemon, const char *folder, const char *yaml, uint32_t batch,
                  struct bd_test_reading *ret_reading)
{
	struct bd_client *client = connect_to(daemon);
	struct bd_stream *stream = NULL;
	struct bd_stream_spec spec;
	struct bd_batch item;
	memset(ret_reading, 0, sizeof *ret_reading);
	bd_stream_spec_init(&spec);
	spec.batch = batch;
	ret_reading->result = bd_test_open(client, folder, yaml, &spec, &stream, &ret_reading->error);
	if (ret_reading->result == 0) {
		while ((ret_reading->result = bd_stream_next(stream, 120000, &item, &ret_reading->error)) == 0) {
			for (uint32_t row = 0; row < item.rows; row++)
				append_row(ret_reading, &item, row);
			bd_stream_release(stream, &item);
		}
		ask_for_damage(stream, ret_reading);
	}
	bd_stream_close(stream);
	bd_client_close(client);
}

void bd_test_read_numbers(const struct bd_test_daemon *daemon)
{
	struct bd_client *client = connect_to(daemon);
	struct bd_stream *stream;
	struct bd_stream_request request;
	struct bd_batch batch;
	struct bd_error error;
	uint64_t next = 0;
	bd_stream_request_init(&request);
	request.dataset = "numbers";
	if (bd_stream_open(client, &request, &stream, &error) < 0)
		give_up("numbers", error.text);
	while (bd_stream_next(stream, 30000, &batch, &error) == 0) {
		const int64_t *labels = batch.arrays[0].data;
		for (uint32_t row = 0; row < batch.rows; row++, next++)
			if (batch.records[row] != next || labels[row] != (int64_t)next)
				give_up("numbers", "another record");
		bd_stream_release(stream, &batch);
	}
	if (next != daemon->records)
		give_up("numbers", error.text);
	bd_stream_close(stream);
	bd_client_close(client);
}
