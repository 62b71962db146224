/*
 * inflate.h - compressed shards: detection, streaming, access points in the middle.
 *
 * With deflate.h the only user of zlib.
 * Formats: gzip (RFC 1952), any number of members one after the other, also empty ones, and zero bytes behind the last as
 * gzip's own tool allows; zlib (RFC 1950), one stream. Trailers are checked; a file that ends before its trailer is damaged.
 * Nothing is allocated from a size that the file declares: memory is one window and one input buffer, whatever the file
 * says, and a caller reads as much output as it wants.
 * Access points: at a boundary of deflate blocks the state of inflating is the position, up to 7 bits, and the last 32 KiB of
 * output; kept (themselves deflated) every few MiB, they let a reader start in the middle.
 * Threads: an inflater belongs to one thread at a time; access points are read-only once made.
 */
#ifndef BD_RECORD_INFLATE_H
#define BD_RECORD_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

enum bd_compression { BD_COMPRESSION_AUTO, BD_COMPRESSION_NONE, BD_COMPRESSION_GZIP, BD_COMPRESSION_ZLIB };

/* "auto", "none", "gzip", "zlib"; NULL-terminated, in the order of the enum. */
extern const char *const bd_compression_names[];

/* Enough of a file's beginning to tell. */
#define BD_COMPRESSION_MAGIC_BYTES 12

/*
 * What a file is, by its first bytes (all of them where it is shorter): a header of TFRecord with a right CRC is no compression
 * whatever its bytes look like; then gzip's magic; then a zlib header with a right check. NONE otherwise.
 */
enum bd_compression bd_compression_detect(const uint8_t *bytes, size_t length);

#define BD_INFLATE_WINDOW_BYTES 32768u

/* Of the file, read at a time. */
#define BD_INFLATE_INPUT_BYTES (128u << 10)

/* A place where inflating can begin. */
struct bd_access_point {
	uint64_t out; /* position in the uncompressed stream */
	uint64_t in; /* the first whole byte of the file that is not yet used */
	uint8_t bits; /* of the byte before `in`, how many are still to be used: 0..7 */
	uint8_t bits_value; /* these bits */
	uint32_t member_crc; /* gzip: CRC-32 of the member's output so far; zlib: Adler-32 */
	uint64_t member_out; /* bytes of the member's output so far */
	uint32_t window_bytes; /* of the uncompressed window: min(member_out, 32 KiB) */
	uint32_t packed_bytes; /* of the window as kept, deflated; 0: not deflated, window_bytes long */
	uint8_t *window;
};

/* Frees the window. */
void bd_access_point_finish(struct bd_access_point *point);

struct bd_inflater;

/* Inflates `fd` (borrowed; read with pread) from the start. `compression` GZIP or ZLIB. Returns 0, -ENOMEM. */
BD_MUST_CHECK int bd_inflater_create(int fd, enum bd_compression compression, struct bd_inflater **ret_inflater,
                                     struct bd_error *error);
void bd_inflater_destroy(struct bd_inflater *inflater);

/* Starts again: at the beginning (point NULL), or at an access point, perhaps in another file. Returns 0, -ENOMEM or -EBADMSG. */
BD_MUST_CHECK int bd_inflater_restart(struct bd_inflater *inflater, int fd, enum bd_compression compression,
                                      const struct bd_access_point *point, struct bd_error *error);

/*
 * The next `bytes` bytes of output; `buffer` NULL: they are skipped. Less than `bytes` only at the end of the stream or before damage;
 * *ret_bytes is written in every case.
 * Returns 0; -EBADMSG: damaged or cut off, with the reason and the byte of the file; -errno of reading.
 * *ret_bytes then says how much good output came first.
 */
BD_MUST_CHECK int bd_inflater_read(struct bd_inflater *inflater, uint8_t *buffer, size_t bytes, size_t *ret_bytes,
                                   struct bd_error *error);

/* Position in the uncompressed stream, and in the file. */
uint64_t bd_inflater_out(const struct bd_inflater *inflater);
uint64_t bd_inflater_in(const struct bd_inflater *inflater);

/*
 * From now on an access point is made at the first block boundary after each `every` bytes of output and given to `take`, which
 * owns it; its non-zero result is returned by the read.
 */
typedef int bd_access_point_taker(void *context, const struct bd_access_point *point_take, struct bd_error *error);
void bd_inflater_collect(struct bd_inflater *inflater, uint64_t every, bd_access_point_taker *take, void *context);

#endif
