/*
 * sha256.h - SHA-256, behind nettle.
 */
#ifndef BD_BASE_SHA256_H
#define BD_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define BD_SHA256_HEX_BYTES 65 /* 64 digits and a NUL */

/* One computation; opaque bytes with room for the library's context. */
struct bd_sha256 {
	_Alignas(16) unsigned char context[160];
};

void bd_sha256_init(struct bd_sha256 *sha);
void bd_sha256_update(struct bd_sha256 *sha, const void *bytes, size_t length);
void bd_sha256_finish(struct bd_sha256 *sha, char ret_hex[BD_SHA256_HEX_BYTES]);

void bd_sha256_hex(const void *bytes, size_t length, char ret_hex[BD_SHA256_HEX_BYTES]);

#endif
