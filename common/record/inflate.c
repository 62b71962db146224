#include "common/record/inflate.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/base/file.h"
#include "common/record/tfrecord.h"

const char *const bd_compression_names[] = { "auto", "none", "gzip", "zlib", NULL };

/* ---- detection ---- */

/* RFC 1950, 2.2, and that the first deflate block has a type that exists; a stored one shows its length twice. */
static bool looks_like_zlib(const uint8_t *bytes, size_t length)
{
	if (length < 8 || (bytes[0] & 0x0f) != Z_DEFLATED || bytes[0] >> 4 > 7 || (bytes[0] * 256 + bytes[1]) % 31 != 0)
		return false;
	if (bytes[1] & 0x20)
		return false;
	unsigned type = bytes[2] >> 1 & 3;
	if (type == 0)
		return (bytes[3] ^ bytes[5]) == 0xff && (bytes[4] ^ bytes[6]) == 0xff;
	return type != 3;
}

enum bd_compression bd_compression_detect(const uint8_t *bytes, size_t length)
{
	uint64_t record;
	if (length >= BD_TFRECORD_HEADER_BYTES && bd_tfrecord_is_header(bytes, &record))
		return BD_COMPRESSION_NONE;
	if (length >= 3 && bytes[0] == 0x1f && bytes[1] == 0x8b && bytes[2] == Z_DEFLATED)
		return BD_COMPRESSION_GZIP;
	return looks_like_zlib(bytes, length) ? BD_COMPRESSION_ZLIB : BD_COMPRESSION_NONE;
}

/* ---- inflating ---- */

enum inflater_state { AT_MEMBER, IN_BODY, AT_TRAILER, AT_END, BROKEN };

struct bd_inflater {
	int fd;
	enum bd_compression compression;
	enum inflater_state state;
	z_stream stream; /* raw deflate; headers and trailers are read here */
	uint64_t file_offset; /* of the next byte to read into `input` */
	uint64_t out; /* all members */
	uint64_t members;
	uint32_t check; /* of this member: CRC-32 or Adler-32 */
	uint32_t header_crc; /* while a gzip header is read */
	uint64_t member_out;
	struct {
		bd_access_point_taker *take;
		void *context;
		uint64_t every, next;
	} collect;
	uint8_t last_byte; /* the one before `input`: its unused bits still count behind a refill */
	uint8_t input[BD_INFLATE_INPUT_BYTES];
	uint8_t scrap[BD_INFLATE_WINDOW_BYTES]; /* where skipped output goes */
};

uint64_t bd_inflater_out(const struct bd_inflater *inflater)
{
	return inflater->out;
}

uint64_t bd_inflater_in(const struct bd_inflater *inflater)
{
	return inflater->file_offset - inflater->stream.avail_in;
}

static int damaged(struct bd_inflater *inflater, const char *what, struct bd_error *error)
{
	inflater->state = BROKEN;
	return bd_error_set(error, -EBADMSG, "%s data damaged at byte %" PRIu64 " of the file: %s",
	                    bd_compression_names[inflater->compression], bd_inflater_in(inflater), what);
}

/* Makes at least one byte of input available: 1; 0 at the end of the file; -errno. */
static int fill(struct bd_inflater *inflater, struct bd_error *error)
{
	if (inflater->stream.avail_in)
		return 1;
	if (inflater->stream.next_in > inflater->input)
		inflater->last_byte = inflater->stream.next_in[-1];
	inflater->stream.next_in = inflater->input;
	size_t bytes;
	int result = bd_file_read_full(inflater->fd, inflater->input, sizeof inflater->input, inflater->file_offset, &bytes, error);
	if (result < 0)
		return result;
	inflater->file_offset += bytes;
	inflater->stream.avail_in = (unsigned)bytes;
	return bytes > 0;
}

static int read_byte(struct bd_inflater *inflater, uint8_t *ret_byte, struct bd_error *error)
{
	int result = fill(inflater, error);
	if (result < 0)
		return result;
	if (result == 0)
		return damaged(inflater, "cut off", error);
	*ret_byte = *inflater->stream.next_in++;
	inflater->stream.avail_in--;
	inflater->header_crc = (uint32_t)crc32_z(inflater->header_crc, ret_byte, 1);
	return 0;
}

static int read_bytes(struct bd_inflater *inflater, uint8_t *ret_bytes, size_t count, struct bd_error *error)
{
	int result = 0;
	for (size_t i = 0; result == 0 && i < count; i++)
		result = read_byte(inflater, ret_bytes + i, error);
	return result;
}

static int skip_text(struct bd_inflater *inflater, struct bd_error *error)
{
	uint8_t byte = 1;
	int result = 0;
	while (result == 0 && byte)
		result = read_byte(inflater, &byte, error);
	return result;
}

/* What follows the ten fixed bytes of a gzip header. RFC 1952, 2.3.1 */
static int read_gzip_extras(struct bd_inflater *inflater, uint8_t flags, struct bd_error *error)
{
	enum { HEADER_CRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16 };
	uint8_t two[2] = { 0 }, byte;
	int result = 0;
	if (flags & EXTRA) {
		result = read_bytes(inflater, two, 2, error);
		for (unsigned left = result == 0 ? two[0] | (unsigned)two[1] << 8 : 0; result == 0 && left; left--)
			result = read_byte(inflater, &byte, error);
	}
	if (result == 0 && flags & NAME)
		result = skip_text(inflater, error);
	if (result == 0 && flags & COMMENT)
		result = skip_text(inflater, error);
	if (result == 0 && flags & HEADER_CRC) {
		uint32_t computed = inflater->header_crc & 0xffff;
		result = read_bytes(inflater, two, 2, error);
		if (result == 0 && computed != (two[0] | (uint32_t)two[1] << 8))
			return damaged(inflater, "incorrect header check", error);
	}
	return result;
}

static int read_gzip_header(struct bd_inflater *inflater, struct bd_error *error)
{
	uint8_t header[10] = { 0 };
	inflater->header_crc = 0;
	int result = read_bytes(inflater, header, 2, error);
	if (result < 0)
		return result;
	if (header[0] != 0x1f || header[1] != 0x8b)
		return damaged(inflater, inflater->members ? "rubbish behind the last member" : "not gzip", error);
	result = read_bytes(inflater, header + 2, sizeof header - 2, error);
	if (result < 0)
		return result;
	if (header[2] != Z_DEFLATED || header[3] & 0xe0)
		return damaged(inflater, "unknown compression method or flags", error);
	return read_gzip_extras(inflater, header[3], error);
}

static int read_zlib_header(struct bd_inflater *inflater, struct bd_error *error)
{
	uint8_t header[2] = { 0 };
	int result = read_bytes(inflater, header, sizeof header, error);
	if (result < 0)
		return result;
	if ((header[0] & 0x0f) != Z_DEFLATED || header[0] >> 4 > 7 || (header[0] * 256 + header[1]) % 31 != 0)
		return damaged(inflater, "not zlib", error);
	return header[1] & 0x20 ? damaged(inflater, "needs a preset dictionary", error) : 0;
}

/* Behind a whole member: the end of the file, zero bytes up to it, or for gzip the next member. */
static int read_between_members(struct bd_inflater *inflater, struct bd_error *error)
{
	int result = fill(inflater, error);
	if (result < 0)
		return result;
	if (result > 0 && inflater->compression == BD_COMPRESSION_GZIP && *inflater->stream.next_in)
		return 1;
	while (result > 0) {
		for (; inflater->stream.avail_in; inflater->stream.next_in++, inflater->stream.avail_in--)
			if (*inflater->stream.next_in)
				return damaged(inflater, "rubbish behind the end", error);
		result = fill(inflater, error);
	}
	if (result < 0)
		return result;
	inflater->state = AT_END;
	return 0;
}

static int begin_member(struct bd_inflater *inflater, struct bd_error *error)
{
	if (inflater->members) {
		int result = read_between_members(inflater, error);
		if (result <= 0)
			return result;
	}
	bool gzip = inflater->compression == BD_COMPRESSION_GZIP;
	int result = gzip ? read_gzip_header(inflater, error) : read_zlib_header(inflater, error);
	if (result < 0)
		return result;
	inflateReset(&inflater->stream);
	inflater->check = gzip ? 0 : (uint32_t)adler32(0, NULL, 0);
	inflater->member_out = 0;
	inflater->members++;
	inflater->state = IN_BODY;
	return 0;
}

static int end_member(struct bd_inflater *inflater, struct bd_error *error)
{
	uint8_t t[8] = { 0 };
	bool gzip = inflater->compression == BD_COMPRESSION_GZIP;
	int result = read_bytes(inflater, t, gzip ? 8 : 4, error);
	if (result < 0)
		return result;
	uint32_t low = t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;
	if ((gzip ? low : __builtin_bswap32(low)) != inflater->check)
		return damaged(inflater, "incorrect data check in the trailer", error);
	if (gzip && (t[4] | (uint32_t)t[5] << 8 | (uint32_t)t[6] << 16 | (uint32_t)t[7] << 24) != (uint32_t)inflater->member_out)
		return damaged(inflater, "incorrect length in the trailer", error);
	inflater->state = AT_MEMBER;
	return 0;
}

/* ---- access points ---- */

void bd_access_point_finish(struct bd_access_point *point)
{
	free(point->window);
	point->window = NULL;
}

/* Deflates the window at the fastest level; it stays as it is where that saves nothing. */
static int pack_window(struct bd_access_point *point, const uint8_t *window, struct bd_error *error)
{
	uint8_t packed[BD_INFLATE_WINDOW_BYTES];
	uLongf packed_bytes = point->window_bytes;
	bool smaller = point->window_bytes && compress2(packed, &packed_bytes, window, point->window_bytes, 1) == Z_OK;
	point->packed_bytes = smaller ? (uint32_t)packed_bytes : 0;
	size_t bytes = smaller ? packed_bytes : point->window_bytes;
	point->window = malloc(bytes ? bytes : 1);
	if (!point->window)
		return bd_error_set(error, -ENOMEM, "no memory for an access point");
	memcpy(point->window, smaller ? packed : window, bytes);
	return 0;
}

/* The byte of the file before `next_in`. */
static uint8_t byte_before(const struct bd_inflater *inflater)
{
	return inflater->stream.next_in > inflater->input ? inflater->stream.next_in[-1] : inflater->last_byte;
}

static int take_point(struct bd_inflater *inflater, struct bd_error *error)
{
	uint8_t window[BD_INFLATE_WINDOW_BYTES];
	unsigned window_bytes = 0;
	struct bd_access_point point = { .out = inflater->out,
		                         .in = bd_inflater_in(inflater),
		                         .bits = inflater->stream.data_type & 7,
		                         .member_crc = inflater->check,
		                         .member_out = inflater->member_out };
	if (point.bits)
		point.bits_value = (uint8_t)(byte_before(inflater) >> (8 - point.bits));
	inflateGetDictionary(&inflater->stream, window, &window_bytes);
	point.window_bytes = window_bytes;
	int result = pack_window(&point, window, error);
	if (result < 0)
		return result;
	inflater->collect.next = inflater->out + inflater->collect.every;
	return inflater->collect.take(inflater->collect.context, &point, error);
}

void bd_inflater_collect(struct bd_inflater *inflater, uint64_t every, bd_access_point_taker *take, void *context)
{
	inflater->collect.take = take;
	inflater->collect.context = context;
	inflater->collect.every = every;
	inflater->collect.next = inflater->out + every;
}

static int restore_point(struct bd_inflater *inflater, const struct bd_access_point *point, struct bd_error *error)
{
	uint8_t window[BD_INFLATE_WINDOW_BYTES];
	uLongf bytes = point->window_bytes;
	if (bytes > sizeof window || point->bits > 7)
		return damaged(inflater, "impossible access point", error);
	if (point->packed_bytes) {
		if (uncompress(window, &bytes, point->window, point->packed_bytes) != Z_OK || bytes != point->window_bytes)
			return damaged(inflater, "broken access point", error);
	} else {
		memcpy(window, point->window, bytes);
	}
	if (point->bits) {
		inflatePrime(&inflater->stream, point->bits, point->bits_value);
		inflater->last_byte = (uint8_t)(point->bits_value << (8 - point->bits));
	}
	if (bytes && inflateSetDictionary(&inflater->stream, window, (uInt)bytes) != Z_OK)
		return damaged(inflater, "broken access point", error);
	inflater->file_offset = point->in;
	inflater->out = point->out;
	inflater->check = point->member_crc;
	inflater->member_out = point->member_out;
	inflater->members = 1;
	inflater->state = IN_BODY;
	return 0;
}

/* ---- */

int bd_inflater_create(int fd, enum bd_compression compression, struct bd_inflater **ret_inflater, struct bd_error *error)
{
	struct bd_inflater *inflater = calloc(1, sizeof *inflater);
	if (!inflater || inflateInit2(&inflater->stream, -MAX_WBITS) != Z_OK) {
		free(inflater);
		return bd_error_set(error, -ENOMEM, "no memory to inflate");
	}
	inflater->fd = fd;
	inflater->compression = compression;
	*ret_inflater = inflater;
	return 0;
}

void bd_inflater_destroy(struct bd_inflater *inflater)
{
	if (!inflater)
		return;
	inflateEnd(&inflater->stream);
	free(inflater);
}

int bd_inflater_restart(struct bd_inflater *inflater, int fd, enum bd_compression compression, const struct bd_access_point *point,
                        struct bd_error *error)
{
	inflater->fd = fd;
	inflater->compression = compression;
	inflater->state = AT_MEMBER;
	inflater->file_offset = inflater->out = inflater->members = inflater->member_out = 0;
	inflater->stream.avail_in = 0;
	inflater->stream.next_in = inflater->input;
	inflater->collect.take = NULL;
	inflateReset(&inflater->stream);
	return point ? restore_point(inflater, point, error) : 0;
}

/* Counts `bytes` bytes of fresh output. */
static void account(struct bd_inflater *inflater, const uint8_t *output, size_t bytes)
{
	inflater->out += bytes;
	inflater->member_out += bytes;
	if (inflater->compression == BD_COMPRESSION_GZIP)
		inflater->check = (uint32_t)crc32_z(inflater->check, output, bytes);
	else
		inflater->check = (uint32_t)adler32_z(inflater->check, output, bytes);
}

/* One call of inflate() into `output`. Returns 0 and how many bytes came, which may be none, or a negative errno. */
static int inflate_some(struct bd_inflater *inflater, uint8_t *output, size_t room, size_t *ret_bytes, struct bd_error *error)
{
	z_stream *stream = &inflater->stream;
	int filled = fill(inflater, error);
	*ret_bytes = 0;
	if (filled < 0)
		return filled;
	stream->next_out = output;
	stream->avail_out = (unsigned)(room < UINT_MAX ? room : UINT_MAX);
	unsigned before = stream->avail_out;
	bool collecting = inflater->collect.take;
	int status = inflate(stream, collecting ? Z_BLOCK : Z_NO_FLUSH);
	*ret_bytes = before - stream->avail_out;
	account(inflater, output, *ret_bytes);
	if (status == Z_STREAM_END) {
		inflater->state = AT_TRAILER;
		return 0;
	}
	if (status == Z_MEM_ERROR)
		return bd_error_set(error, -ENOMEM, "no memory to inflate");
	if (status != Z_OK && status != Z_BUF_ERROR)
		return damaged(inflater, stream->msg ? stream->msg : "bad deflate stream", error);
	if (!filled && !*ret_bytes)
		return damaged(inflater, "cut off", error);
	/* 128: behind a block; 64: it was the last */
	if (collecting && (stream->data_type & 192) == 128 && inflater->out >= inflater->collect.next)
		return take_point(inflater, error);
	return 0;
}

int bd_inflater_read(struct bd_inflater *inflater, uint8_t *buffer, size_t bytes, size_t *ret_bytes, struct bd_error *error)
{
	size_t done = 0;
	int result = 0;
	while (done < bytes && result == 0 && inflater->state != AT_END) {
		size_t more = 0, room = bytes - done;
		switch (inflater->state) {
		case AT_MEMBER:
			result = begin_member(inflater, error);
			break;
		case AT_TRAILER:
			result = end_member(inflater, error);
			break;
		case BROKEN:
			result = bd_error_set(error, -EBADMSG, "%s data damaged", bd_compression_names[inflater->compression]);
			break;
		case IN_BODY:
		case AT_END:
			if (!buffer && room > sizeof inflater->scrap)
				room = sizeof inflater->scrap;
			result = inflate_some(inflater, buffer ? buffer + done : inflater->scrap, room, &more, error);
			break;
		}
		done += more;
	}
	*ret_bytes = done;
	return result;
}
