#include "common/record/deflate.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#define OUTPUT_BYTES (128u << 10)

struct bd_deflater {
	z_stream stream;
	bd_deflate_put *put;
	void *context;
	uint8_t output[OUTPUT_BYTES];
};

int bd_deflater_create(enum bd_compression compression, int level, bd_deflate_put *put, void *context,
                       struct bd_deflater **ret_deflater, struct bd_error *error)
{
	struct bd_deflater *deflater = calloc(1, sizeof *deflater);
	int bits = compression == BD_COMPRESSION_GZIP ? MAX_WBITS + 16
	                                              : MAX_WBITS; /* +16: zlib's word for gzip, without name and time */
	if (!deflater || deflateInit2(&deflater->stream, level, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(deflater);
		return bd_error_set(error, -ENOMEM, "no memory to compress");
	}
	deflater->put = put;
	deflater->context = context;
	*ret_deflater = deflater;
	return 0;
}

/* Runs deflate() until the input is used up or, with Z_FINISH, the stream has ended. */
static int deflate_all(struct bd_deflater *deflater, int flush, struct bd_error *error)
{
	int status;
	do {
		deflater->stream.next_out = deflater->output;
		deflater->stream.avail_out = sizeof deflater->output;
		status = deflate(&deflater->stream, flush);
		size_t bytes = sizeof deflater->output - deflater->stream.avail_out;
		int result = bytes ? deflater->put(deflater->context, deflater->output, bytes, error) : 0;
		if (result < 0)
			return result;
	} while (flush == Z_FINISH ? status != Z_STREAM_END : deflater->stream.avail_in > 0);
	return 0;
}

int bd_deflater_write(struct bd_deflater *deflater, const void *bytes, size_t length, struct bd_error *error)
{
	const uint8_t *from = bytes;
	while (length) {
		unsigned piece = (unsigned)(length < UINT_MAX ? length : UINT_MAX);
		deflater->stream.next_in = (uint8_t *)from;
		deflater->stream.avail_in = piece;
		int result = deflate_all(deflater, Z_NO_FLUSH, error);
		if (result < 0)
			return result;
		from += piece;
		length -= piece;
	}
	return 0;
}

int bd_deflater_end(struct bd_deflater *deflater, struct bd_error *error)
{
	return deflate_all(deflater, Z_FINISH, error);
}

void bd_deflater_destroy(struct bd_deflater *deflater)
{
	if (!deflater)
		return;
	deflateEnd(&deflater->stream);
	free(deflater);
}
