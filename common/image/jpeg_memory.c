#include "common/image/jpeg_memory.h"

#include <stdlib.h>
#include <string.h>

#include <jerror.h>

#include "common/base/arithmetic.h"

/* libjpeg-turbo's SIMD wants lines at multiples of 32, and so do 64-byte cache lines. */
#define ALIGNMENT 64u

struct bd_jpeg_memory_extra {
	struct bd_jpeg_memory_extra *next;
};

/*
 * error_exit leaves by longjmp, as libjpeg demands of it: it does not come back. The number says where the library's own
 * allocator gave up; of those, 2 and 4 are malloc that failed.
 */
#define PAST_THE_LIMIT 0
#define SMALL_MALLOC_FAILED 2
#define LARGE_MALLOC_FAILED 4

_Noreturn static void no_memory(j_common_ptr info, int where)
{
	info->err->msg_code = JERR_OUT_OF_MEMORY;
	info->err->msg_parm.i[0] = where;
	info->err->error_exit(info);
	__builtin_unreachable();
}

bool bd_jpeg_memory_failed(const struct jpeg_error_mgr *errors)
{
	return errors->msg_code == JERR_OUT_OF_MEMORY &&
	       (errors->msg_parm.i[0] == SMALL_MALLOC_FAILED || errors->msg_parm.i[0] == LARGE_MALLOC_FAILED);
}

static void *take(j_common_ptr info, size_t bytes)
{
	struct bd_jpeg_memory *memory = bd_jpeg_memory_of(info);
	uint64_t aligned = 0;
	if (!bd_align_up(bytes, ALIGNMENT, &aligned) || aligned > memory->limit || memory->wanted > memory->limit - aligned)
		no_memory(info, PAST_THE_LIMIT);
	memory->wanted += aligned;
	if (memory->room - memory->used >= aligned) {
		void *result = memory->block + memory->used;
		memory->used += aligned;
		return result;
	}
	struct bd_jpeg_memory_extra *extra = aligned_alloc(ALIGNMENT, aligned + ALIGNMENT);
	if (!extra)
		no_memory(info, LARGE_MALLOC_FAILED);
	extra->next = memory->extras;
	memory->extras = extra;
	return (uint8_t *)extra + ALIGNMENT;
}

static void *alloc_any(j_common_ptr info, int pool, size_t bytes, bool large)
{
	struct bd_jpeg_memory *memory = bd_jpeg_memory_of(info);
	if (pool == JPOOL_IMAGE)
		return take(info, bytes);
	if (bytes <= sizeof *memory->tables && memory->tables_used < BD_JPEG_TABLES)
		return &memory->tables[memory->tables_used++];
	return large ? memory->library.alloc_large(info, pool, bytes) : memory->library.alloc_small(info, pool, bytes);
}

static void *alloc_small(j_common_ptr info, int pool, size_t bytes)
{
	return alloc_any(info, pool, bytes, false);
}

static void *alloc_large(j_common_ptr info, int pool, size_t bytes)
{
	return alloc_any(info, pool, bytes, true);
}

/* Rows of `row_bytes`, with the pointers to them. */
static void **rows(j_common_ptr info, size_t row_bytes, size_t count)
{
	uint64_t stride = 0, bytes = 0;
	if (!bd_align_up(row_bytes, ALIGNMENT, &stride) || !bd_multiply_u64(stride, count, &bytes))
		no_memory(info, PAST_THE_LIMIT);
	void **pointers = take(info, count * sizeof *pointers);
	uint8_t *data = take(info, bytes);
	for (size_t i = 0; i < count; i++)
		pointers[i] = data + i * stride;
	return pointers;
}

static JSAMPARRAY alloc_sarray(j_common_ptr info, int pool, JDIMENSION samples, JDIMENSION count)
{
	struct bd_jpeg_memory *memory = bd_jpeg_memory_of(info);
	if (pool != JPOOL_IMAGE)
		return memory->library.alloc_sarray(info, pool, samples, count);
	/* The library's SIMD writes whole vectors: up to 63 bytes past a line's end. */
	return (JSAMPARRAY)rows(info, (size_t)samples + ALIGNMENT, count);
}

static JBLOCKARRAY alloc_barray(j_common_ptr info, int pool, JDIMENSION blocks, JDIMENSION count)
{
	struct bd_jpeg_memory *memory = bd_jpeg_memory_of(info);
	if (pool != JPOOL_IMAGE)
		return memory->library.alloc_barray(info, pool, blocks, count);
	return (JBLOCKARRAY)rows(info, (size_t)blocks * sizeof(JBLOCK), count);
}

static void drop_extras(struct bd_jpeg_memory *memory)
{
	while (memory->extras) {
		struct bd_jpeg_memory_extra *next = memory->extras->next;
		free(memory->extras);
		memory->extras = next;
	}
}

static void free_pool(j_common_ptr info, int pool)
{
	struct bd_jpeg_memory *memory = bd_jpeg_memory_of(info);
	memory->library.free_pool(info, pool);
	if (pool != JPOOL_IMAGE)
		return;
	drop_extras(memory);
	if (memory->wanted > memory->room) {
		free(memory->block);
		memory->block = aligned_alloc(ALIGNMENT, memory->wanted);
		memory->room = memory->block ? memory->wanted : 0;
	}
	memory->used = 0;
	memory->wanted = 0;
}

void bd_jpeg_memory_attach(struct bd_jpeg_memory *memory, j_common_ptr info, uint64_t limit)
{
	*memory = (struct bd_jpeg_memory){ .library = *info->mem, .limit = limit };
	info->mem->alloc_small = alloc_small;
	info->mem->alloc_large = alloc_large;
	info->mem->alloc_sarray = alloc_sarray;
	info->mem->alloc_barray = alloc_barray;
	info->mem->free_pool = free_pool;
}

void bd_jpeg_memory_forget_tables(struct bd_jpeg_memory *memory)
{
	memory->tables_used = 0;
}

void bd_jpeg_memory_finish(struct bd_jpeg_memory *memory)
{
	drop_extras(memory);
	free(memory->block);
	*memory = (struct bd_jpeg_memory){ 0 };
}
