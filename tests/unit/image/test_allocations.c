/* Nothing is allocated for a record once a decoder has seen its kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/picture.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS false /* the sanitizers have allocators of their own */
static unsigned allocations;
#else
#define COUNTS true
static unsigned allocations;

/* Seen by the libraries too. */
#define SEEN __attribute__((visibility("default")))

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

SEEN void *malloc(size_t bytes)
{
	allocations++;
	return __libc_malloc(bytes);
}

SEEN void *calloc(size_t count, size_t bytes)
{
	allocations++;
	return __libc_calloc(count, bytes);
}

SEEN void *realloc(void *block, size_t bytes)
{
	allocations++;
	return __libc_realloc(block, bytes);
}

SEEN void *aligned_alloc(size_t alignment, size_t bytes)
{
	allocations++;
	return __libc_memalign(alignment, bytes);
}
#endif

static unsigned of_second_decode(const char *file, const struct bd_image_options *options)
{
	char path[1024];
	if (!bd_shared_path(file, path, sizeof path)) {
		print_message("%s is missing\n", file);
		skip();
	}
	struct bd_picture_decoder *decoder;
	assert_int_equal(bd_picture_decoder_create(64u << 20, &decoder, NULL), 0);
	size_t length;
	uint8_t *bytes = bd_golden_file(path, &length);
	static float row[150 * 150 * 3];
	struct bd_error error;
	for (uint64_t record = 0; record < 20; record++)
		if (bd_picture_decode(decoder, options, bytes, length, (struct bd_picture_key){ .record = record }, row, &error))
			fail_msg("%s: %s", file, error.text);
	unsigned before = allocations;
	for (uint64_t record = 0; record < 20; record++)
		assert_int_equal(bd_picture_decode(decoder, options, bytes, length, (struct bd_picture_key){ .record = record },
		                                   row, &error),
		                 0);
	unsigned made = allocations - before;
	free(bytes);
	bd_picture_decoder_destroy(decoder);
	return made;
}

static void records_after_the_first_allocate_nothing(void **state)
{
	(void)state;
	if (!COUNTS)
		skip();
	static const char *const files[] = {
		"data/cats_vs_dogs/train/cats/cat.1.jpg", "golden/decode/files/cmyk.jpg",
		"golden/decode/files/grey.jpg",           "golden/decode/files/rgb.png",
		"golden/decode/files/palette.png",        "data/images_hostile/pngsuite/basi2c08.png"
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		for (int crop = 0; crop < 2; crop++) {
			struct bd_image_options options;
			bd_image_options_init(&options);
			options.resize_height = options.resize_width = 150;
			options.resize_method = crop ? BD_RESIZE_ANTIALIAS : BD_RESIZE_BILINEAR;
			options.crop = crop ? BD_CROP_RANDOM_RESIZED : BD_CROP_NONE;
			unsigned made = of_second_decode(files[i], &options);
			if (made)
				fail_msg("%s, crop %d: %u allocations", files[i], crop, made);
		}
}

/* A progressive picture's coefficients are the library's own business: here is what shows that the counting works. */
static void a_progressive_picture_allocates_its_coefficients(void **state)
{
	(void)state;
	if (!COUNTS)
		skip();
	struct bd_image_options options;
	bd_image_options_init(&options);
	options.resize_height = options.resize_width = 150;
	assert_true(of_second_decode("golden/decode/files/progressive_420.jpg", &options) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_after_the_first_allocate_nothing),
		cmocka_unit_test(a_progressive_picture_allocates_its_coefficients),
	};
	return cmocka_run_group_tests_name("allocations", tests, NULL, NULL);
}
