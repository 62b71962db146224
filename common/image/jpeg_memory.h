/*
 * jpeg_memory.h - the decompressor's per-picture memory out of one block that stays.
 *
 * Why: libjpeg asks malloc for some twenty blocks a picture and gives them back after it; large ones are mapped and faulted in
 * anew each time. Here a picture's requests are cut from one block; where it did not suffice, the next picture's block is
 * as large as this one needed. What a whole progressive picture needs (virtual arrays) stays the library's own business.
 * The limit counts what a picture takes from here; past it the library's "out of memory" is raised.
 */
#ifndef BD_IMAGE_JPEG_MEMORY_H
#define BD_IMAGE_JPEG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

struct bd_jpeg_memory_extra;

/* All tables that a picture can have: the only thing that the library takes for longer than a picture after its start. */
#define BD_JPEG_TABLES (2 * NUM_HUFF_TBLS + NUM_QUANT_TBLS)
union bd_jpeg_table {
	JHUFF_TBL huffman;
	JQUANT_TBL quantization;
};

struct bd_jpeg_memory {
	struct jpeg_memory_mgr library; /* the methods that were there before */
	uint8_t *block;
	size_t room, used; /* of the block */
	size_t wanted; /* bytes of all requests since the last picture */
	struct bd_jpeg_memory_extra *extras; /* blocks of their own, for what did not fit */
	uint64_t limit;
	union bd_jpeg_table tables[BD_JPEG_TABLES];
	size_t tables_used;
};

/* After jpeg_create_decompress; info->client_data must be a struct that bd_jpeg_memory_of finds its memory in. */
void bd_jpeg_memory_attach(struct bd_jpeg_memory *memory, j_common_ptr info, uint64_t limit);

/* The tables' room is free again; the caller has cleared the library's pointers to them. */
void bd_jpeg_memory_forget_tables(struct bd_jpeg_memory *memory);

/* After error_exit: did the host lack memory? Else an "out of memory" is the picture's own, past the limit. */
bool bd_jpeg_memory_failed(const struct jpeg_error_mgr *errors);

/* After jpeg_destroy. */
void bd_jpeg_memory_finish(struct bd_jpeg_memory *memory);

/* Defined beside the struct that client_data points to. */
struct bd_jpeg_memory *bd_jpeg_memory_of(j_common_ptr info);

#endif
