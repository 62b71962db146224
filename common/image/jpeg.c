#include "common/image/jpeg.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "common/image/jpeg_memory.h"

struct bd_jpeg {
	struct jpeg_decompress_struct info;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	struct bd_jpeg_memory memory;
	jmp_buf jump;
	char text[JMSG_LENGTH_MAX];
	const uint8_t *bytes;
	size_t length;
	uint64_t memory_limit;
	uint8_t *ink; /* one line of CMYK, in the decompressor's memory; NULL for other pictures */
	uint32_t group; /* skipping begins at a multiple of so many lines */
	bool part, ending, swap;
};

static struct bd_jpeg *jpeg_of(j_common_ptr info)
{
	return info->client_data;
}

struct bd_jpeg_memory *bd_jpeg_memory_of(j_common_ptr info)
{
	return &jpeg_of(info)->memory;
}

static void on_error(j_common_ptr info)
{
	struct bd_jpeg *jpeg = jpeg_of(info);
	info->err->format_message(info, jpeg->text);
	longjmp(jpeg->jump, 1);
}

/* Warnings: counted by the library, no errors (as in TensorFlow), and never printed. */
static void on_message(j_common_ptr info, int level)
{
	if (level < 0)
		info->err->num_warnings++;
}

static void on_output(j_common_ptr info)
{
	(void)info;
}

static void on_progress(j_common_ptr info)
{
	struct jpeg_decompress_struct *decompress = (struct jpeg_decompress_struct *)info;
	if (decompress->input_scan_number > BD_JPEG_MAX_SCANS) {
		snprintf(jpeg_of(info)->text, JMSG_LENGTH_MAX, "more than %d scans", BD_JPEG_MAX_SCANS);
		longjmp(jpeg_of(info)->jump, 1);
	}
}

/* ---- source: the caller's bytes ---- */

static void source_init(j_decompress_ptr info)
{
	(void)info;
}

/*
 * The data ends where more was expected: refused. Behind the last line TensorFlow lets it pass when the library stopped in the
 * middle of bytes that it had (garbage instead of an end marker), and so does this.
 */
static boolean source_fill(j_decompress_ptr info)
{
	struct bd_jpeg *jpeg = jpeg_of((j_common_ptr)info);
	if (jpeg->ending && info->src->bytes_in_buffer)
		return FALSE;
	snprintf(jpeg->text, sizeof jpeg->text, "the data ends early");
	longjmp(jpeg->jump, 1);
}

static void source_skip(j_decompress_ptr info, long count)
{
	if (count <= 0)
		return;
	if ((size_t)count > info->src->bytes_in_buffer) {
		info->src->bytes_in_buffer = 0;
		source_fill(info);
		return;
	}
	info->src->next_input_byte += count;
	info->src->bytes_in_buffer -= (size_t)count;
}

static void source_term(j_decompress_ptr info)
{
	(void)info;
}

/* ---- life ---- */

int bd_jpeg_create(uint64_t memory_limit_bytes, struct bd_jpeg **ret_jpeg, struct bd_error *error)
{
	struct bd_jpeg *jpeg = calloc(1, sizeof *jpeg);
	if (!jpeg)
		return bd_error_set(error, -ENOMEM, "no memory for a JPEG decoder");
	jpeg->memory_limit = memory_limit_bytes;
	jpeg->info.err = jpeg_std_error(&jpeg->errors);
	jpeg->errors.error_exit = on_error;
	jpeg->errors.emit_message = on_message;
	jpeg->errors.output_message = on_output;
	jpeg->info.client_data = jpeg;
	if (setjmp(jpeg->jump)) {
		free(jpeg);
		return bd_error_set(error, -ENOMEM, "no memory to start a JPEG decoder");
	}
	jpeg_create_decompress(&jpeg->info);
	jpeg->info.client_data = jpeg; /* the library zeroes the struct, all but this and err; stated again for what follows */
	jpeg->info.mem->max_memory_to_use = memory_limit_bytes > LONG_MAX ? LONG_MAX : (long)memory_limit_bytes;
	bd_jpeg_memory_attach(&jpeg->memory, (j_common_ptr)&jpeg->info, memory_limit_bytes);
	jpeg->source = (struct jpeg_source_mgr){
		.init_source = source_init,
		.fill_input_buffer = source_fill,
		.skip_input_data = source_skip,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = source_term,
	};
	jpeg->info.src = &jpeg->source;
	jpeg->progress.progress_monitor = on_progress;
	jpeg->info.progress = &jpeg->progress;
	*ret_jpeg = jpeg;
	return 0;
}

void bd_jpeg_destroy(struct bd_jpeg *jpeg)
{
	if (!jpeg)
		return;
	jpeg_destroy_decompress(&jpeg->info);
	bd_jpeg_memory_finish(&jpeg->memory);
	free(jpeg);
}

/* What every failed call does after its longjmp. */
static int failed(struct bd_jpeg *jpeg, struct bd_error *error)
{
	bool host = bd_jpeg_memory_failed(&jpeg->errors);
	jpeg_abort_decompress(&jpeg->info);
	bool memory = jpeg->errors.msg_code == JERR_OUT_OF_MEMORY || jpeg->errors.msg_code == JERR_NO_BACKING_STORE;
	jpeg->errors.msg_code = 0;
	if (host)
		return bd_error_set(error, -ENOMEM, "no memory to decode a JPEG");
	if (memory)
		return bd_error_set(error, -EFBIG, "the JPEG needs more than the limit of %llu bytes of memory",
		                    (unsigned long long)jpeg->memory_limit);
	return bd_error_set(error, -EBADMSG, "broken JPEG: %s", jpeg->text);
}

/* ---- header ---- */

/*
 * Tables outlive a picture in the library, for streams that send them once. A picture that does not bring its own would be
 * decoded with those of whichever picture came before.
 */
static void forget_tables(struct bd_jpeg *jpeg)
{
	for (int i = 0; i < NUM_QUANT_TBLS; i++)
		jpeg->info.quant_tbl_ptrs[i] = NULL;
	for (int i = 0; i < NUM_HUFF_TBLS; i++)
		jpeg->info.dc_huff_tbl_ptrs[i] = jpeg->info.ac_huff_tbl_ptrs[i] = NULL;
	bd_jpeg_memory_forget_tables(&jpeg->memory);
}

int bd_jpeg_open(struct bd_jpeg *jpeg, const uint8_t *bytes, size_t length, struct bd_jpeg_header *ret_header,
                 struct bd_error *error)
{
	if (setjmp(jpeg->jump))
		return failed(jpeg, error);
	jpeg_abort_decompress(&jpeg->info);
	forget_tables(jpeg);
	jpeg->bytes = bytes;
	jpeg->length = length;
	jpeg->ending = false;
	jpeg->ink = NULL;
	jpeg->source.next_input_byte = bytes;
	jpeg->source.bytes_in_buffer = length;
	jpeg_read_header(&jpeg->info, TRUE);
	if (jpeg->info.num_components == 2) {
		snprintf(jpeg->text, sizeof jpeg->text, "two components");
		return failed(jpeg, error);
	}
	*ret_header = (struct bd_jpeg_header){
		.height = jpeg->info.image_height,
		.width = jpeg->info.image_width,
		.channels = jpeg->info.num_components == 1 ? 1 : 3,
	};
	return 0;
}

/* ---- start ---- */

static bool is_ink(const struct jpeg_decompress_struct *info)
{
	return info->jpeg_color_space == JCS_CMYK || info->jpeg_color_space == JCS_YCCK;
}

static void choose_colour(struct bd_jpeg *jpeg, enum bd_jpeg_colour colour)
{
	struct jpeg_decompress_struct *info = &jpeg->info;
	bool grey = colour == BD_JPEG_GREY || (colour == BD_JPEG_AS_STORED && info->num_components == 1);
	jpeg->swap = colour == BD_JPEG_BGR;
	if (grey)
		info->out_color_space = JCS_GRAYSCALE;
	else if (is_ink(info))
		info->out_color_space = JCS_CMYK;
	else
		info->out_color_space = colour == BD_JPEG_BGR ? JCS_EXT_BGR : JCS_RGB;
}

static bool too_large(struct bd_jpeg *jpeg)
{
	struct jpeg_decompress_struct *info = &jpeg->info;
	uint64_t samples = (uint64_t)info->output_height * info->output_width * (uint64_t)info->num_components;
	if (samples < BD_PICTURE_MAX_SAMPLES)
		return false;
	snprintf(jpeg->text, sizeof jpeg->text, "%u x %u pixels are too many", info->image_height, info->image_width);
	return true;
}

/*
 * The columns of the part and one iMCU more on both sides: the upsampling of chroma looks at its neighbours, and at the edge
 * of what is decoded it would see none.
 */
static void cut_columns(struct bd_jpeg *jpeg, const struct bd_jpeg_request *request, struct bd_jpeg_output *output)
{
	struct jpeg_decompress_struct *info = &jpeg->info;
	JDIMENSION margin = (JDIMENSION)(info->max_h_samp_factor * info->min_DCT_scaled_size);
	JDIMENSION left = request->left > margin ? request->left - margin : 0;
	uint64_t right = (uint64_t)request->left + request->width + margin;
	JDIMENSION width = (right > info->output_width ? info->output_width : (JDIMENSION)right) - left;
	if (left == 0 && width == info->output_width)
		return;
	jpeg_crop_scanline(info, &left, &width);
	output->left = left;
}

/*
 * Does the library's upsampling look at lines above and below (4:2:0, fancy)? Then its skipping may begin at any line. Without
 * that it counts whole row groups from where it stands, and from the middle of one it lands on the wrong lines.
 */
static bool has_context(const struct jpeg_decompress_struct *info)
{
	if (!info->do_fancy_upsampling || info->min_DCT_scaled_size <= 1)
		return false;
	for (int i = 0; i < info->num_components; i++) {
		const jpeg_component_info *component = &info->comp_info[i];
		int down = component->v_samp_factor * component->DCT_scaled_size / info->min_DCT_scaled_size;
		int across = component->h_samp_factor * component->DCT_scaled_size / info->min_DCT_scaled_size;
		if (component->component_needed && component->downsampled_width > 2 && 2 * down == info->max_v_samp_factor &&
		    2 * across == info->max_h_samp_factor)
			return true;
	}
	return false;
}

int bd_jpeg_start(struct bd_jpeg *jpeg, const struct bd_jpeg_request *request, struct bd_jpeg_output *ret_output,
                  struct bd_error *error)
{
	struct jpeg_decompress_struct *info = &jpeg->info;
	if (setjmp(jpeg->jump))
		return failed(jpeg, error);
	choose_colour(jpeg, request->colour);
	info->dct_method = JDCT_ISLOW;
	info->do_fancy_upsampling = request->fast ? FALSE : TRUE;
	info->scale_num = 1;
	info->scale_denom = request->denominator ? request->denominator : 1;
	jpeg->part = request->part;
	jpeg_calc_output_dimensions(info);
	if (too_large(jpeg))
		return failed(jpeg, error);
	if (!jpeg_start_decompress(info)) {
		snprintf(jpeg->text, sizeof jpeg->text, "the data ends early");
		return failed(jpeg, error);
	}
	struct bd_jpeg_output output = { .channels = info->out_color_space == JCS_GRAYSCALE ? 1 : 3 };
	if (request->part)
		cut_columns(jpeg, request, &output);
	jpeg->group = has_context(info) ? 1 : (uint32_t)info->max_v_samp_factor;
	output.height = info->output_height;
	output.width = info->output_width;
	if (info->out_color_space == JCS_CMYK)
		jpeg->ink = info->mem->alloc_large((j_common_ptr)info, JPOOL_IMAGE, (size_t)info->output_width * 4);
	*ret_output = output;
	return 0;
}

/* ---- lines ---- */

/* TensorFlow's conversion: with an Adobe marker the inks are stored inverted. Divisions round down. */
static void ink_to_rgb(uint8_t *out, const uint8_t *ink, uint32_t width, bool inverted, bool swap)
{
	int flip = inverted ? 0 : 255;
	for (uint32_t x = 0; x < width; x++) {
		int black = flip ^ ink[4 * (size_t)x + 3];
		for (uint32_t c = 0; c < 3; c++)
			out[3 * (size_t)x + (swap ? 2 - c : c)] = (uint8_t)(black * (flip ^ ink[4 * (size_t)x + c]) / 255);
	}
}

int bd_jpeg_read(struct bd_jpeg *jpeg, uint8_t *ret_line, struct bd_error *error)
{
	if (setjmp(jpeg->jump))
		return failed(jpeg, error);
	JSAMPROW line = jpeg->ink ? jpeg->ink : ret_line;
	if (jpeg_read_scanlines(&jpeg->info, &line, 1) != 1) {
		snprintf(jpeg->text, sizeof jpeg->text, "the data ends early");
		return failed(jpeg, error);
	}
	if (jpeg->ink)
		ink_to_rgb(ret_line, jpeg->ink, jpeg->info.output_width, jpeg->info.saw_Adobe_marker, jpeg->swap);
	return 0;
}

/*
 * libjpeg-turbo's skipping takes the last line of an iMCU row for the only one that needs the next row decoded. With four
 * lines to a row group it is not: a decoded row is lost, and at the bottom the library loops for ever.
 */
static bool can_skip(const struct jpeg_decompress_struct *info)
{
	return info->max_v_samp_factor <= 2;
}

/* How many of `lines` are read and dropped, so that the library may skip the others. */
static uint32_t lines_before_skipping(const struct bd_jpeg *jpeg, uint32_t lines)
{
	if (!can_skip(&jpeg->info))
		return lines;
	uint32_t into = jpeg->info.output_scanline % jpeg->group, before = into ? jpeg->group - into : 0;
	return before < lines ? before : lines;
}

static int skip_lines(struct bd_jpeg *jpeg, uint32_t lines, struct bd_error *error)
{
	if (setjmp(jpeg->jump))
		return failed(jpeg, error);
	if (lines)
		jpeg_skip_scanlines(&jpeg->info, lines);
	return 0;
}

int bd_jpeg_skip(struct bd_jpeg *jpeg, uint32_t lines, uint8_t *scratch, struct bd_error *error)
{
	uint32_t before = lines_before_skipping(jpeg, lines);
	int status = 0;
	for (uint32_t i = 0; !status && i < before; i++)
		status = bd_jpeg_read(jpeg, scratch, error);
	return status ? status : skip_lines(jpeg, lines - before, error);
}

/* An end marker at or behind the place where reading stopped; the files that have one have it last, so look from there. */
static bool has_end(struct bd_jpeg *jpeg)
{
	const uint8_t *first = jpeg->source.next_input_byte;
	if (jpeg->info.unread_marker == JPEG_EOI)
		return true;
	for (const uint8_t *at = jpeg->bytes + jpeg->length; at - first >= 2; at--)
		if (at[-1] == 0xd9 && at[-2] == 0xff)
			return true;
	return jpeg_input_complete(&jpeg->info);
}

int bd_jpeg_end(struct bd_jpeg *jpeg, uint8_t *scratch, struct bd_error *error)
{
	struct jpeg_decompress_struct *info = &jpeg->info;
	if (setjmp(jpeg->jump))
		return failed(jpeg, error);
	if (jpeg->part && info->output_scanline < info->output_height) {
		if (!has_end(jpeg)) {
			snprintf(jpeg->text, sizeof jpeg->text, "the data ends early");
			return failed(jpeg, error);
		}
		jpeg_abort_decompress(info);
		return 0;
	}
	/* Not skipped: the library does not look at lines that are skipped down to the bottom. */
	while (info->output_scanline < info->output_height) {
		JSAMPROW line = jpeg->ink ? jpeg->ink : scratch;
		if (jpeg_read_scanlines(info, &line, 1) != 1) {
			snprintf(jpeg->text, sizeof jpeg->text, "the data ends early");
			return failed(jpeg, error);
		}
	}
	jpeg->ending = true;
	if (!jpeg_finish_decompress(info))
		jpeg_abort_decompress(info);
	return 0;
}
