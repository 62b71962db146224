#include "daemon/data/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "common/image/picture.h"
#include "common/record/sequence_example.h"
#include "common/record/shard_index.h"

/* Huge-page sized alignment costs nothing here and keeps the buffer's lines apart from other threads'. */
#define BUFFER_ALIGNMENT 4096

int bd_worker_init(struct bd_worker *ret_worker, unsigned number, uint64_t decoder_limit_bytes, struct bd_error *error)
{
	uint8_t *buffer = aligned_alloc(BUFFER_ALIGNMENT, BD_WORKER_READ_BYTES);
	if (!buffer)
		return bd_error_set(error, -ENOMEM, "out of memory");
	*ret_worker = (struct bd_worker){ .number = number, .buffer = buffer, .decoder_limit_bytes = decoder_limit_bytes };
	return 0;
}

void bd_worker_finish(struct bd_worker *worker)
{
	free(worker->buffer);
	bd_picture_decoder_destroy(worker->decoder);
	bd_shard_cursor_destroy(worker->cursor);
	free(worker->views);
	free(worker->lists);
	*worker = (struct bd_worker){ 0 };
}

uint64_t bd_worker_bytes(uint64_t decoder_limit_bytes)
{
	return BD_WORKER_READ_BYTES + decoder_limit_bytes;
}

int bd_worker_decoder(struct bd_worker *worker, struct bd_picture_decoder **ret_decoder, struct bd_error *error)
{
	if (!worker->decoder) {
		int result = bd_picture_decoder_create(worker->decoder_limit_bytes, &worker->decoder, error);
		if (result < 0)
			return result;
	}
	*ret_decoder = worker->decoder;
	return 0;
}

int bd_worker_cursor(struct bd_worker *worker, struct bd_shard_cursor **ret_cursor, struct bd_error *error)
{
	if (!worker->cursor) {
		int result = bd_shard_cursor_create(&worker->cursor, error);
		if (result < 0)
			return result;
	}
	*ret_cursor = worker->cursor;
	return 0;
}

int bd_worker_views(struct bd_worker *worker, size_t views, size_t lists, struct bd_error *error)
{
	if (views > worker->view_room) {
		struct bd_feature_view *grown = realloc(worker->views, views * sizeof *grown);
		if (!grown)
			return bd_error_set(error, -ENOMEM, "out of memory");
		worker->views = grown;
		worker->view_room = views;
	}
	if (lists > worker->list_room) {
		struct bd_feature_list_view *grown = realloc(worker->lists, lists * sizeof *grown);
		if (!grown)
			return bd_error_set(error, -ENOMEM, "out of memory");
		worker->lists = grown;
		worker->list_room = lists;
	}
	return 0;
}
