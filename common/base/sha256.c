#include "common/base/sha256.h"

#include <string.h>

#include <nettle/sha2.h>

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(struct bd_sha256), "bd_sha256 has room for nettle's context");

static struct sha256_ctx *context_of(struct bd_sha256 *sha)
{
	return (struct sha256_ctx *)(void *)sha->context;
}

void bd_sha256_init(struct bd_sha256 *sha)
{
	sha256_init(context_of(sha));
}

void bd_sha256_update(struct bd_sha256 *sha, const void *bytes, size_t length)
{
	sha256_update(context_of(sha), length, bytes);
}

void bd_sha256_finish(struct bd_sha256 *sha, char ret_hex[BD_SHA256_HEX_BYTES])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	sha256_digest(context_of(sha), sizeof digest, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		ret_hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		ret_hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	ret_hex[2 * sizeof digest] = 0;
}

void bd_sha256_hex(const void *bytes, size_t length, char ret_hex[BD_SHA256_HEX_BYTES])
{
	struct bd_sha256 sha;
	bd_sha256_init(&sha);
	bd_sha256_update(&sha, bytes, length);
	bd_sha256_finish(&sha, ret_hex);
}
