/* What `tfrecord convert` writes, and that nothing is left where it fails. */
#include "tools/tfrecord/convert.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/sha256.h"
#include "common/image/encode.h"
#include "common/record/dataset.h"
#include "common/record/example.h"
#include "common/record/tfrecord.h"
#include "tests/support/golden.h"
#include "tests/unit/test.h"
#include "tools/tfrecord/idx.h"
#include "tools/tfrecord/output_set.h"

static char root[] = "/tmp/batchd-convert-XXXXXX";

static void remove_all(const char *path)
{
	DIR *folder = opendir(path);
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		char *inner = bd_path_join(path, entry->d_name);
		remove_all(inner);
		free(inner);
	}
	if (folder)
		closedir(folder);
	remove(path);
}

static int setup(void **state)
{
	char *folder = bd_path_join(root, "work");
	remove_all(folder);
	*state = folder;
	return mkdir(folder, 0755);
}

static int teardown(void **state)
{
	remove_all(*state);
	free(*state);
	return 0;
}

static char *under(const char *folder, const char *name)
{
	static char paths[4][512];
	static int turn;
	char *path = paths[turn++ % 4];
	snprintf(path, sizeof *paths, "%s/%s", folder, name);
	return path;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

static void write_picture(const char *path, uint32_t height, uint32_t width, uint8_t shade)
{
	struct bd_pixels pixels;
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_pixels_init(&pixels, height, width, 3, NULL), 0);
	for (size_t i = 0; i < bd_pixels_bytes(&pixels); i++)
		pixels.data[i] = (uint8_t)(shade + i);
	assert_int_equal(bd_png_encode(&pixels, &bytes, &length, NULL), 0);
	write_file(path, bytes, length);
	free(bytes);
	bd_pixels_finish(&pixels);
}

/* in/a has 11 pictures, in/b 6. */
static void make_folder(const char *folder)
{
	mkdir(under(folder, "in"), 0755);
	mkdir(under(folder, "in/b"), 0755);
	mkdir(under(folder, "in/a"), 0755);
	for (int i = 0; i < 17; i++) {
		char name[64];
		snprintf(name, sizeof name, "in/%s/%02d.png", i < 11 ? "a" : "b", i);
		write_picture(under(folder, name), 4, 5, (uint8_t)(i * 10));
	}
	write_file(under(folder, "in/a/.hidden"), "x", 1);
	write_file(under(folder, "in/stray.txt"), "x", 1);
}

static struct bd_convert options(const struct bd_picture_list *list, const char *folder)
{
	return (struct bd_convert){
		.list = list,
		.record = { .encoding = BD_RECORD_RAW, .filter = BD_PIL_BICUBIC, .image_key = "image", .label_key = "label" },
		.folder = folder,
		.name = "set",
		.shards = 3,
		.compression = BD_COMPRESSION_NONE,
		.jobs = 2,
		.quiet = true,
		.scale = 1,
	};
}

static size_t entries(const char *path)
{
	size_t count = 0;
	DIR *folder = opendir(path);
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		count += entry->d_name[0] != '.' || strstr(entry->d_name, "tmp");
	if (folder)
		closedir(folder);
	return count;
}

/* Each record: label and the first byte of its pixels, which names the picture. */
static size_t read_shard(const char *path, int64_t *labels, uint8_t *shades, size_t room)
{
	size_t length, count = 0;
	uint8_t *bytes = bd_golden_file(path, &length);
	assert_non_null(bytes);
	for (size_t at = 0; at < length; count++) {
		uint64_t data;
		assert_int_equal(bd_tfrecord_parse_header(bytes + at, &data, NULL), 0);
		const uint8_t *record = bytes + at + BD_TFRECORD_HEADER_BYTES;
		assert_int_equal(bd_tfrecord_check_data(record, data, record + data, NULL), 0);
		static const struct bd_feature_name names[] = { { "image", 5 }, { "label", 5 } };
		struct bd_feature_view views[2];
		struct bd_bytes_view image;
		size_t values;
		assert_true(count < room);
		assert_int_equal(bd_example_find(record, data, names, 2, views, NULL), 0);
		assert_int_equal(bd_feature_read_bytes(&views[0], &image, 1, &values, NULL), 0);
		assert_int_equal(image.length, 4 * 5 * 3);
		shades[count] = image.bytes[0];
		assert_int_equal(bd_feature_read_int64(&views[1], &labels[count], 1, &values, NULL), 0);
		at += data + BD_TFRECORD_FRAMING_BYTES;
	}
	free(bytes);
	return count;
}

static void a_folder_becomes_even_shuffled_shards(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	assert_int_equal(list.count, 17);
	assert_string_equal(list.classes[0], "a");
	char *out = bd_path_join(folder, "deep/out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_true(result.records == 17 && result.skipped == 0 && result.shards == 3);
	size_t total = 0, ordered = 0;
	bool seen[17] = { false };
	for (int shard = 0; shard < 3; shard++) {
		char name[64];
		int64_t labels[17];
		uint8_t shades[17];
		snprintf(name, sizeof name, "set-%05d-of-00003.tfrecord", shard);
		size_t count = read_shard(under(out, name), labels, shades, 17);
		assert_true(count == 5 || count == 6);
		for (size_t i = 0; i < count; i++) {
			int picture = shades[i] / 10;
			assert_false(seen[picture]);
			seen[picture] = true;
			assert_int_equal(labels[i], picture >= 11);
			ordered += i && shades[i] > shades[i - 1];
		}
		total += count;
	}
	assert_int_equal(total, 17);
	assert_true(ordered < 14);
	struct bd_dataset *dataset;
	struct bd_error error = { 0 };
	if (bd_dataset_load(under(out, "set.yaml"), &dataset, &error))
		fail_msg("%s", error.text);
	assert_int_equal(dataset->path_count, 3);
	assert_int_equal(dataset->class_count, 2);
	assert_int_equal(dataset->features[0].image.raw_width, 5);
	bd_dataset_destroy(dataset);
	free(out);
	bd_picture_list_finish(&list);
}

static void hash_outputs(const char *folder, uint32_t shards, char *ret_hex)
{
	struct bd_sha256 sha;
	bd_sha256_init(&sha);
	for (uint32_t i = 0; i <= shards; i++) {
		char name[64];
		if (i < shards)
			snprintf(name, sizeof name, "set-%05u-of-%05u.tfrecord", i, shards);
		else
			snprintf(name, sizeof name, "set.yaml");
		size_t length;
		uint8_t *bytes = bd_golden_file(under(folder, name), &length);
		assert_non_null(bytes);
		bd_sha256_update(&sha, bytes, length);
		free(bytes);
	}
	bd_sha256_finish(&sha, ret_hex);
}

static void bytes_depend_on_the_seed_and_not_on_the_jobs(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out"), first[BD_SHA256_HEX_BYTES], next[BD_SHA256_HEX_BYTES];
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	convert.force = true;
	convert.compression = BD_COMPRESSION_GZIP;
	for (uint32_t jobs = 1; jobs < 6; jobs++) {
		convert.jobs = jobs;
		assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
		hash_outputs(out, 3, jobs == 1 ? first : next);
		if (jobs > 1)
			assert_string_equal(first, next);
	}
	convert.seed = 1;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	hash_outputs(out, 3, next);
	assert_string_not_equal(first, next);
	free(out);
	bd_picture_list_finish(&list);
}

static void a_size_is_kept_to_within_a_record(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	convert.shards = 0;
	convert.shard_bytes = 500;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_int_equal(entries(out), result.shards + 1);
	assert_true(result.shards > 3);
	for (uint32_t i = 0; i < result.shards; i++) {
		char name[64];
		struct stat status;
		snprintf(name, sizeof name, "set-%05u-of-%05u.tfrecord", i, result.shards);
		assert_int_equal(stat(under(out, name), &status), 0);
		assert_true(status.st_size <= 500);
		assert_true(i + 1 == result.shards || status.st_size > 500 - 150);
	}
	free(out);
	bd_picture_list_finish(&list);
}

static void a_broken_picture_leaves_nothing_or_is_left_out(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	write_file(under(folder, "in/a/00.png"), "\x89PNG\r\n\x1a\nbroken", 14);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "new/out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	struct bd_error error;
	assert_int_equal(bd_convert_run(&convert, &result, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "in/a/00.png"));
	convert.record.height = convert.record.width = 4;
	assert_int_equal(bd_convert_run(&convert, &result, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "--on-error skip"));
	assert_int_equal(access(under(folder, "new"), F_OK), -1); /* the folders that it made are gone again */
	convert.skip = true;
	convert.record.height = convert.record.width = 0;
	assert_int_equal(bd_convert_run(&convert, &result, &error), 0);
	assert_true(result.records == 16 && result.skipped == 1);
	free(out);
	bd_picture_list_finish(&list);
}

static void existing_output_is_refused_and_replaced_by_force(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_int_equal(bd_convert_run(&convert, &result, NULL), -EEXIST);
	convert.shards = 2;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), -EEXIST); /* another number of shards is the same name */
	write_file(under(out, "set-other.tfrecord"), "x", 1);
	convert.force = true;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_int_equal(entries(out), 2 + 1 + 1);
	free(out);
	bd_picture_list_finish(&list);
}

static void an_interruption_leaves_nothing(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	volatile sig_atomic_t interrupted = 1;
	convert.interrupted = &interrupted;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), -EINTR);
	assert_int_equal(access(out, F_OK), -1);
	free(out);
	bd_picture_list_finish(&list);
}

static void mixed_sizes_are_refused_for_raw_without_resize(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	write_picture(under(folder, "in/b/99.png"), 6, 6, 0);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	struct bd_error error;
	assert_int_equal(bd_convert_run(&convert, &result, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "--resize"));
	convert.record.encoding = BD_RECORD_KEEP;
	assert_int_equal(bd_convert_run(&convert, &result, &error), 0);
	free(out);
	bd_picture_list_finish(&list);
}

/* Grey and coloured pictures of one size: the dataset file says the size, and that they are read as RGB. */
static void grey_ones_among_them_do_not_lose_the_size(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_pixels grey;
	uint8_t *bytes;
	size_t length;
	assert_int_equal(bd_pixels_init(&grey, 4, 5, 1, NULL), 0);
	assert_int_equal(bd_png_encode(&grey, &bytes, &length, NULL), 0);
	write_file(under(folder, "in/b/grey.png"), bytes, length);
	free(bytes);
	bd_pixels_finish(&grey);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	convert.record.encoding = BD_RECORD_KEEP;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	struct bd_dataset *dataset;
	assert_int_equal(bd_dataset_load(under(out, "set.yaml"), &dataset, NULL), 0);
	const struct bd_image_options *image = &dataset->features[0].image;
	assert_true(image->raw_height == 4 && image->raw_width == 5 && image->raw_channels == 3 &&
	            image->channels == BD_CHANNELS_RGB);
	bd_dataset_destroy(dataset);
	free(out);
	bd_picture_list_finish(&list);
}

/* 17 pictures, one of them broken. */
static void no_shard_is_empty(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	convert.shards = 40;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_int_equal(result.shards, 17);
	assert_int_equal(entries(out), 18);
	write_file(under(folder, "in/a/00.png"), "broken", 6);
	convert.skip = convert.force = true;
	assert_int_equal(bd_convert_run(&convert, &result, NULL), 0);
	assert_int_equal(result.shards, 16);
	assert_int_equal(entries(out), 17);
	struct bd_dataset *dataset;
	assert_int_equal(bd_dataset_load(under(out, "set.yaml"), &dataset, NULL), 0);
	assert_int_equal(dataset->path_count, 16);
	bd_dataset_destroy(dataset);
	free(out);
	bd_picture_list_finish(&list);
}

/* Both sets are whole, whichever of the new names cannot be had. */
static void earlier_set_comes_back_where_the_new_one_cannot_be_named(void **state)
{
	const char *folder = *state;
	make_folder(folder);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_folder(under(folder, "in"), false, &list, NULL), 0);
	char *out = bd_path_join(folder, "out");
	struct bd_convert convert = options(&list, out);
	struct bd_convert_result result;
	struct bd_error error;
	assert_int_equal(bd_convert_run(&convert, &result, &error), 0);
	struct stat before, after;
	assert_int_equal(stat(under(out, "set-00000-of-00003.tfrecord"), &before), 0);
	/* a folder is none of the set's files, and it is in the way of the last new shard */
	convert.force = true;
	convert.shards = 5;
	assert_int_equal(mkdir(under(out, "set-00004-of-00005.tfrecord"), 0755), 0);
	assert_int_not_equal(bd_convert_run(&convert, &result, &error), 0);
	assert_int_equal(rmdir(under(out, "set-00004-of-00005.tfrecord")), 0);
	assert_int_equal(stat(under(out, "set-00000-of-00003.tfrecord"), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(entries(out), 4);
	assert_int_equal(bd_convert_run(&convert, &result, &error), 0);
	assert_int_equal(entries(out), 6);
	free(out);
	bd_picture_list_finish(&list);
}

/* ---- lists ---- */

static void a_csv_list_is_read_with_quotes(void **state)
{
	const char *folder = *state;
	static const char text[] = "\xef\xbb\xbf" /* as spreadsheets write it */
				   "b/1.png,zebra\r\n\"odd, \"\"name\"\".png\",\"ant\"\n\n/abs/x.png,zebra";
	write_file(under(folder, "list.csv"), text, sizeof text - 1);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_csv(under(folder, "list.csv"), &list, NULL), 0);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.class_count, 2);
	assert_string_equal(list.classes[0], "ant");
	assert_string_equal(list.paths[0], under(folder, "b/1.png"));
	assert_string_equal(list.paths[1], under(folder, "odd, \"name\".png"));
	assert_string_equal(list.paths[2], "/abs/x.png");
	assert_true(list.labels[0] == 1 && list.labels[1] == 0 && list.labels[2] == 1);
	bd_picture_list_finish(&list);
	static const char *const wrong[] = { "", "\n\n", "one\n", "a,\n", ",b\n", "a,b,c\n", "\"open,b\n", "\"a\"x,b\n" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		write_file(under(folder, "list.csv"), wrong[i], strlen(wrong[i]));
		assert_int_equal(bd_picture_list_of_csv(under(folder, "list.csv"), &list, NULL), -EINVAL);
	}
}

static void idx_files_are_checked(void **state)
{
	const char *folder = *state;
	static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 11, 20, 21 },
			     labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 4 };
	char *a = strdup(under(folder, "images")), *b = strdup(under(folder, "labels"));
	write_file(a, images, sizeof images);
	write_file(b, labels, sizeof labels);
	struct bd_picture_list list;
	assert_int_equal(bd_picture_list_of_idx(a, b, &list, NULL), 0);
	assert_true(list.count == 2 && list.class_count == 5 && list.labels[1] == 4 && list.images.values[2] == 20);
	bd_picture_list_finish(&list);
	assert_int_equal(bd_picture_list_of_idx(b, b, &list, NULL), -EBADMSG);
	assert_int_equal(bd_picture_list_of_idx(a, a, &list, NULL), -EBADMSG);
	for (size_t cut = 0; cut < sizeof images; cut++) {
		write_file(a, images, cut);
		assert_int_equal(bd_picture_list_of_idx(a, b, &list, NULL), -EBADMSG);
	}
	static const uint8_t huge[] = { 0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1 };
	write_file(a, huge, sizeof huge);
	assert_int_equal(bd_picture_list_of_idx(a, b, &list, NULL), -EBADMSG);
	free(a);
	free(b);
}

/* ---- the tutorial's pictures ---- */

/* golden/input_fn: cat.1, dog.1, cat.2, ... resized by the Pillow of 2018, whose default was nearest. */
static void nearest_makes_the_tutorials_pixels(void **state)
{
	(void)state;
	char path[1024];
	if (!bd_shared_path("golden/input_fn/pictures_nearest.tfrecord", path, sizeof path)) {
		print_message("golden/input_fn is missing\n");
		skip();
	}
	size_t length, at = 0;
	uint8_t *golden = bd_golden_file(path, &length);
	char cats[] = "cats", dogs[] = "dogs", *paths[8], *classes[] = { cats, dogs };
	int64_t labels[8];
	for (int i = 0; i < 8; i++) {
		char relative[128];
		snprintf(relative, sizeof relative, "data/cats_vs_dogs/train/%s/%s.%d.jpg", classes[i % 2], i % 2 ? "dog" : "cat",
		         i / 2 + 1);
		assert_true(bd_shared_path(relative, path, sizeof path));
		paths[i] = strdup(path);
		labels[i] = i % 2;
	}
	struct bd_picture_list list = { .count = 8, .labels = labels, .classes = classes, .class_count = 2, .paths = paths };
	struct bd_convert convert = options(&list, "");
	convert.record.height = convert.record.width = 150;
	convert.record.filter = BD_PIL_NEAREST;
	struct bd_record_maker *maker;
	struct bd_example_writer writer = { 0 };
	assert_int_equal(bd_record_maker_create(&list, &convert.record, &maker, NULL), 0);
	for (size_t i = 0; i < 8; i++) {
		uint64_t data;
		const uint8_t *record;
		size_t record_length, count;
		struct bd_record_shape shape;
		static const struct bd_feature_name name = { "image", 5 };
		struct bd_feature_view ours, theirs;
		struct bd_bytes_view our_pixels, their_pixels;
		assert_int_equal(bd_record_make(maker, i, &writer, &record, &record_length, &shape, NULL), 0);
		assert_int_equal(bd_example_find(record, record_length, &name, 1, &ours, NULL), 0);
		assert_int_equal(bd_tfrecord_parse_header(golden + at, &data, NULL), 0);
		assert_int_equal(bd_example_find(golden + at + BD_TFRECORD_HEADER_BYTES, data, &name, 1, &theirs, NULL), 0);
		assert_int_equal(bd_feature_read_bytes(&ours, &our_pixels, 1, &count, NULL), 0);
		assert_int_equal(bd_feature_read_bytes(&theirs, &their_pixels, 1, &count, NULL), 0);
		assert_int_equal(our_pixels.length, their_pixels.length);
		assert_memory_equal(our_pixels.bytes, their_pixels.bytes, our_pixels.length);
		at += data + BD_TFRECORD_FRAMING_BYTES;
		free(paths[i]);
	}
	bd_record_maker_destroy(maker);
	bd_example_writer_finish(&writer);
	free(golden);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_folder_becomes_even_shuffled_shards, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_depend_on_the_seed_and_not_on_the_jobs, setup, teardown),
		cmocka_unit_test_setup_teardown(a_size_is_kept_to_within_a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(existing_output_is_refused_and_replaced_by_force, setup, teardown),
		cmocka_unit_test_setup_teardown(an_interruption_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(mixed_sizes_are_refused_for_raw_without_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(grey_ones_among_them_do_not_lose_the_size, setup, teardown),
		cmocka_unit_test_setup_teardown(no_shard_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(earlier_set_comes_back_where_the_new_one_cannot_be_named, setup, teardown),
		cmocka_unit_test_setup_teardown(a_csv_list_is_read_with_quotes, setup, teardown),
		cmocka_unit_test_setup_teardown(idx_files_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(nearest_makes_the_tutorials_pixels, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_picture_leaves_nothing_or_is_left_out, setup, teardown),
	};
	if (!mkdtemp(root))
		return 1;
	int failed = cmocka_run_group_tests_name("convert", tests, NULL, NULL);
	remove_all(root);
	return failed;
}
