#include "common/record/dataset.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "tests/unit/test.h"

static char folder[] = "/tmp/batchd-test-data[set]-XXXXXX";

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void touch(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
}

static void make(const char *name)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int make_folder(void **state)
{
	(void)state;
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int parse(const char *text, struct bd_dataset **ret_dataset, struct bd_error *error)
{
	return bd_dataset_parse("set.yaml", folder, text, strlen(text), ret_dataset, error);
}

static struct bd_dataset *good(const char *text)
{
	struct bd_dataset *dataset = NULL;
	struct bd_error error = { 0 };
	if (parse(text, &dataset, &error) != 0)
		fail_msg("%s", error.text);
	return dataset;
}

static const char *name_of(const struct bd_dataset *dataset, size_t index)
{
	assert_true(index < dataset->path_count);
	assert_memory_equal(dataset->paths[index], folder, strlen(folder));
	return dataset->paths[index] + strlen(folder) + 1;
}

static void every_key_is_read(void **state)
{
	(void)state;
	touch("a.tfrecord");
	struct bd_dataset *dataset = good("shards: a.tfrecord\n"
	                                  "compression: gzip\n"
	                                  "features:\n"
	                                  "  image: {type: image, encoding: raw, shape: [150, 150, 3], dtype: float32, mean: "
	                                  "[123.68, 116.779, 103.939], channels: bgr}\n"
	                                  "  label: {type: int64}\n"
	                                  "  train/box: {type: float, shape: [2, 3], default: 0.5}\n"
	                                  "  name: {type: bytes, default: none}\n"
	                                  "  tags: {type: int64, varlen: true}\n"
	                                  "sequence_features:\n"
	                                  "  tokens: {type: int64, varlen: true}\n"
	                                  "  frames: {type: float, shape: [4]}\n"
	                                  "on_error: skip\n"
	                                  "skip_limit: 0.25\n"
	                                  "classes: [cats, dogs]\n");
	assert_string_equal(dataset->name, "set.yaml");
	assert_int_equal(dataset->source, BD_SOURCE_TFRECORD);
	assert_int_equal(dataset->path_count, 1);
	assert_string_equal(name_of(dataset, 0), "a.tfrecord");
	assert_int_equal(dataset->compression, BD_COMPRESSION_GZIP);
	assert_int_equal(dataset->on_error, BD_ON_ERROR_SKIP);
	assert_true(dataset->skip_limit == 0.25);
	assert_int_equal(dataset->class_count, 2);
	assert_string_equal(dataset->classes[1], "dogs");
	assert_int_equal(dataset->feature_count, 7);
	const struct bd_feature *features = dataset->features;
	assert_int_equal(features[0].type, BD_FEATURE_IMAGE);
	assert_int_equal(features[0].rank, 3);
	assert_int_equal(features[0].elements, 67500);
	assert_int_equal(features[0].image.channels, BD_CHANNELS_BGR);
	assert_int_equal(features[1].type, BD_FEATURE_INT64);
	assert_int_equal(features[1].rank, 0);
	assert_int_equal(features[1].elements, 1);
	assert_int_equal(features[1].default_count, 0);
	assert_string_equal(features[2].name, "train/box");
	assert_int_equal(features[2].name_length, 9);
	assert_int_equal(features[2].elements, 6);
	assert_true(features[2].default_count == 1 && features[2].default_floats[0] == 0.5f);
	assert_string_equal(features[3].default_texts[0], "none");
	assert_true(features[4].varlen && !features[4].sequence);
	assert_true(features[5].varlen && features[5].sequence);
	assert_true(!features[6].varlen && features[6].sequence && features[6].elements == 4);
	bd_dataset_destroy(dataset);
}

static void defaults_are_those_of_the_contract(void **state)
{
	(void)state;
	touch("a");
	struct bd_dataset *dataset = good("{shards: a, features: {x: {type: float}}}");
	assert_int_equal(dataset->compression, BD_COMPRESSION_AUTO);
	assert_int_equal(dataset->on_error, BD_ON_ERROR_FAIL);
	assert_true(dataset->skip_limit == 0.01);
	assert_int_equal(dataset->class_count, 0);
	bd_dataset_destroy(dataset);
}

/* also where the folder's own name looks like a pattern, as this test's does */
static void globs_are_sorted_by_bytes_and_leave_indexes_out(void **state)
{
	(void)state;
	const char *const names[] = { "train-B",     "train-a",       "train-10", "train-9",
		                      "train-9.idx", "train-a.index", "other",    "train-lone.idx" };
	const char *const expected[] = { "train-10", "train-9", "train-B", "train-a", "train-lone.idx" };
	for (size_t i = 0; i < BD_COUNT_OF(names); i++)
		touch(names[i]);
	make("train-folder");
	struct bd_dataset *dataset = good("{shards: train-*, features: {x: {type: float}}}");
	assert_int_equal(dataset->path_count, BD_COUNT_OF(expected));
	for (size_t i = 0; i < BD_COUNT_OF(expected); i++)
		assert_string_equal(name_of(dataset, i), expected[i]);
	bd_dataset_destroy(dataset);
}

static void index_of_tfrecord2idx_is_no_shard(void **state)
{
	(void)state;
	touch("a.tfrecord");
	touch("a.tfindex");
	touch("b");
	touch("b.tfindex");
	touch("lone.tfindex");
	struct bd_dataset *dataset = good("{shards: '*', features: {x: {type: float}}}");
	assert_int_equal(dataset->path_count, 3);
	assert_string_equal(name_of(dataset, 0), "a.tfrecord");
	assert_string_equal(name_of(dataset, 1), "b");
	assert_string_equal(name_of(dataset, 2), "lone.tfindex");
	bd_dataset_destroy(dataset);
}

/* A name that is there counts as that file; where it is not it is a pattern. */
static void name_that_is_there_is_no_pattern(void **state)
{
	(void)state;
	make("run[1]");
	make("run1");
	touch("run[1]/a");
	touch("run1/a");
	touch("run1/b");
	struct bd_dataset *dataset = good("{shards: ['run[1]/a', 'run[1]/b'], features: {x: {type: float}}}");
	assert_int_equal(dataset->path_count, 2);
	assert_non_null(strstr(dataset->paths[0], "/run[1]/a"));
	assert_non_null(strstr(dataset->paths[1], "/run1/b"));
	bd_dataset_destroy(dataset);
}

static void lists_keep_their_order(void **state)
{
	(void)state;
	touch("z1");
	touch("z0");
	touch("a");
	struct bd_dataset *dataset = good("{shards: [z*, a], features: {x: {type: float}}}");
	assert_int_equal(dataset->path_count, 3);
	assert_string_equal(name_of(dataset, 0), "z0");
	assert_string_equal(name_of(dataset, 1), "z1");
	assert_string_equal(name_of(dataset, 2), "a");
	bd_dataset_destroy(dataset);
}

static void image_folder_is_classes_then_names(void **state)
{
	(void)state;
	make("images");
	make("images/dogs");
	make("images/cats");
	make("images/.hidden");
	make("images/dogs/deeper");
	touch("images/.hidden/x.jpg");
	touch("images/dogs/2.jpg");
	touch("images/dogs/deeper/1.jpg");
	touch("images/dogs/10.jpg");
	touch("images/dogs/.thumb");
	touch("images/cats/a.png");
	touch("images/stray.jpg");
	struct bd_dataset *dataset = good(
		"shards: {folder: images/}\nfeatures: {image: {type: image, resize: {height: 8, width: 9}}, label: {type: int64}}");
	assert_int_equal(dataset->source, BD_SOURCE_FOLDER);
	assert_int_equal(dataset->path_count, 4);
	assert_non_null(strstr(dataset->paths[0], "/cats/a.png"));
	assert_non_null(strstr(dataset->paths[1], "/dogs/10.jpg"));
	assert_non_null(strstr(dataset->paths[2], "/dogs/2.jpg"));
	assert_non_null(strstr(dataset->paths[3], "/dogs/deeper/1.jpg"));
	assert_int_equal(dataset->labels[0], 0);
	assert_int_equal(dataset->labels[1], 1);
	assert_int_equal(dataset->labels[2], 1);
	assert_int_equal(dataset->class_count, 2);
	assert_string_equal(dataset->classes[0], "cats");
	assert_int_equal(dataset->note_count, 1);
	assert_non_null(strstr(dataset->notes[0], "1 file beside the class folders is left out: stray.jpg"));
	bd_dataset_destroy(dataset);
}

#define IMAGE_FOLDER                                                                                                               \
	"shards: {folder: images}\nfeatures: {image: {type: image, resize: {height: 8, width: 9}}, label: {type: int64}}\n"

static void classes_of_an_image_folder_are_its_folders(void **state)
{
	(void)state;
	make("images");
	make("images/dogs");
	make("images/cats");
	touch("images/dogs/2.jpg");
	touch("images/cats/a.png");
	struct bd_dataset *dataset = good(IMAGE_FOLDER "classes: [dogs, cats]\n");
	assert_non_null(strstr(dataset->paths[0], "/dogs/2.jpg"));
	assert_int_equal(dataset->labels[0], 0);
	assert_string_equal(dataset->classes[0], "dogs");
	bd_dataset_destroy(dataset);
	struct bd_error error = { 0 };
	assert_int_equal(parse(IMAGE_FOLDER "classes: [hounds, cats]\n", &dataset, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no class is named 'hounds'; the classes are cats, dogs"));
	assert_int_equal(parse(IMAGE_FOLDER "classes: [dogs]\n", &dataset, &error), -EINVAL);
	assert_non_null(strstr(error.text, "the class 'cats' is not given"));
}

static void dangling_link_in_an_image_folder_is_refused_or_noted(void **state)
{
	(void)state;
	char path[512];
	make("images");
	make("images/cats");
	touch("images/cats/a.png");
	touch("images/cats/b.png");
	snprintf(path, sizeof path, "%s/images/cats/gone.png", folder);
	assert_int_equal(symlink("/no/such/file", path), 0);
	struct bd_dataset *dataset = NULL;
	struct bd_error error = { 0 };
	assert_int_equal(parse(IMAGE_FOLDER, &dataset, &error), -ENOENT);
	assert_non_null(strstr(error.text, "gone.png: cannot open: No such file"));
	assert_int_equal(parse(IMAGE_FOLDER "on_error: skip\n", &dataset, &error), -ENOENT);
	assert_non_null(strstr(error.text, "1 of 3 files cannot be looked at, more than skip_limit: 0.01 allows"));
	dataset = good(IMAGE_FOLDER "on_error: skip\nskip_limit: 0.5\n");
	assert_int_equal(dataset->path_count, 2);
	assert_int_equal(dataset->note_count, 1);
	assert_non_null(strstr(dataset->notes[0], "1 of its entries cannot be looked at and are left out; the first is"));
	assert_non_null(strstr(dataset->notes[0], "gone.png"));
	bd_dataset_destroy(dataset);
}

/* A link to nothing is not left out, and neither is a folder that cannot be entered; a folder of a matching name is. */
static void match_that_cannot_be_looked_at_is_an_error(void **state)
{
	(void)state;
	static const char text[] = "shards: train-*\nfeatures: {x: {type: float}}\n";
	struct bd_dataset *dataset = NULL;
	struct bd_error error = { 0 };
	char path[512];
	touch("train-1");
	make("train-3");
	dataset = good(text);
	assert_int_equal(dataset->path_count, 1);
	bd_dataset_destroy(dataset);
	snprintf(path, sizeof path, "%s/train-2", folder);
	assert_int_equal(symlink("/no/such/file", path), 0);
	assert_int_equal(parse(text, &dataset, &error), -ENOENT);
	assert_non_null(strstr(error.text, "train-2: cannot open: No such file or directory"));
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof path, "%s/loop", folder);
	assert_int_equal(symlink("loop", path), 0);
	assert_int_equal(parse("shards: '*/train-*'\nfeatures: {x: {type: float}}\n", &dataset, &error), -ELOOP);
	assert_non_null(strstr(error.text, "loop: cannot"));
}

static void list_of_pictures_takes_names_as_they_are(void **state)
{
	(void)state;
	touch("a*[1].jpg");
	struct bd_dataset *dataset = good(
		"shards: {files: ['a*[1].jpg']}\nfeatures: {image: {type: image, resize: {height: 8, width: 8}}}");
	assert_int_equal(dataset->source, BD_SOURCE_FILES);
	assert_string_equal(name_of(dataset, 0), "a*[1].jpg");
	bd_dataset_destroy(dataset);
}

static void wrong_words_are_told_with_their_line(void **state)
{
	(void)state;
	static const struct {
		const char *text, *expected;
		int code;
	} cases[] = {
		{ "shards: a\nfeaturs: {x: {type: float}}\n", "set.yaml: line 2: unknown key 'featurs'", -EINVAL },
		{ "shards: a\nfeaturs: {x: {type: float}}\n", "did you mean 'features'?", -EINVAL },
		{ "shards: a\n", "'features' is missing", -EINVAL },
		{ "features: {x: {type: float}}\n", "'shards' is missing", -EINVAL },
		{ "shards: a\nfeatures: {}\n", "no feature is named", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: flot}\n", "line 3:", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: flot}\n", "float", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {shape: [3]}\n", "no 'type'", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {tipe: int64}\n", "line 3: unknown key 'tipe' in a feature; did you mean 'type'?",
		  -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shpe: [3]}\n", "did you mean 'shape'?", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: 3}\n", "'shape' is a list", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [0]}\n", "line 3:", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [100000, 100000]}\n", "a shape of more than", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [1, 1, 1, 1, 1]}\n", "at most 4 numbers", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [3], varlen: true}\n", "exclude each other", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, default: 3, varlen: true}\n", "exclude each other", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, default: 3.5}\n", "line 3:", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [3], default: [1, 2]}\n", "'default' has 2 values, its shape 3",
		  -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [2], default: [1, 2, 3]}\n",
		  "'default' has more values than the shape's 2", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [2, 2], default: [[1, 2, 3], [4]]}\n",
		  "the lists of 'default' are not those of its shape", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [4], default: [[1, 2], [3, 4]]}\n",
		  "the lists of 'default' are not those of its shape", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [2, 2], default: [[1, 2], 3]}\n", "'default' has 3 values",
		  -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, shape: [2], default: []}\n", "'default' has 0 values", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: int64, default: .nan}\n", "line 3: default", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: float, default: '.nan'}\n", "line 3: default", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: bytes, default: }\n", "'default' has no value", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: float, default: {a: 1}}\n", "line 3:", -EINVAL },
		{ "shards: a\nfeatures:\n  x: int64\n", "feature 'x' is a mapping", -EINVAL },
		{ "shards: a\nfeatures:\n  x: {type: image, rezise: {height: 3, width: 3}}\n", "did you mean 'resize'?", -EINVAL },
		{ "shards: a\nsequence_features:\n  x: {type: image}\n", "not an image", -EINVAL },
		{ "shards: a\nfeatures: {x: {type: float}}\ncompression: gzib\n", "gzip", -EINVAL },
		{ "shards: a\nfeatures: {x: {type: float}}\non_error: ignore\n", "line 3:", -EINVAL },
		{ "shards: a\nfeatures: {x: {type: float}}\nskip_limit: 1.5\n", "line 3:", -EINVAL },
		{ "shards: 'x/**/*.gz'\nfeatures: {x: {type: float}}\n", "'**' does not lead through folders", -EINVAL },
		{ "shards: {files: [a]}\nfeatures: {x: {type: image}}\npartial: true\n", "'partial' is for sets of TFRecord shards",
		  -EINVAL },
		{ "shards: a\nfeatures: {x: {type: float}}\nskip_limit: 0.5\n", "line 3: 'skip_limit' does nothing", -EINVAL },
		{ "shards: {files: [a]}\nfeatures: {x: {type: image}}\ncompression: gzip\n", "line 3: 'compression: gzip' is that",
		  -EINVAL },
		{ "shards: []\nfeatures: {x: {type: float}}\n", "at least one file", -EINVAL },
		{ "shards: s3://bucket/x\nfeatures: {x: {type: float}}\n", "read from files", -EINVAL },
		{ "shards: none-*.tfrecord\nfeatures: {x: {type: float}}\n", "no file matches 'none-*.tfrecord'", -ENOENT },
		{ "shards: .\nfeatures: {x: {type: float}}\n", "is a folder, not a file: './*' names the files in it", -EISDIR },
		{ "features: {x: {type: float}}\nshards:\n  - a\n  - missing\n", "line 4: cannot read", -ENOENT },
		{ "shards: a\nfeatures:\n  x:\n\n    {type: float, shpe: [3]}\n", "line 5: unknown key 'shpe'", -EINVAL },
		{ "shards: a\nfeatures:\n  x:\n\n    shape: [3]\n", "line 3: feature 'x' has no 'type'", -EINVAL },
		{ "shards: missing\nfeatures: {x: {type: float}}\n", "line 1: cannot read", -ENOENT },
		{ "shards: {folder: a, files: [b]}\nfeatures: {x: {type: float}}\n", "is a glob, a list", -EINVAL },
		{ "shards: {folder: no}\nfeatures: {x: {type: image}}\n", "cannot list the folder", -ENOENT },
		{ "shards: {files: [a]}\nfeatures: {label: {type: int64}}\n", "a list of pictures has no feature 'label'",
		  -EINVAL },
		{ "shards: a\nfeatures: {x: {type: float}, x: {type: float}}\n", "line 2:", -EINVAL },
		{ "shards: [a\n", "set.yaml: line", -EINVAL },
		{ "", "set.yaml", -EINVAL },
	};
	touch("a");
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		struct bd_dataset *dataset = NULL;
		struct bd_error error = { 0 };
		int result = parse(cases[i].text, &dataset, &error);
		if (result != cases[i].code || !strstr(error.text, cases[i].expected) || error.code != result)
			fail_msg("%s\n%d %s", cases[i].text, result, error.text);
		assert_null(dataset);
	}
}

static void missing_dataset_file_is_enoent(void **state)
{
	(void)state;
	struct bd_dataset *dataset;
	struct bd_error error = { 0 };
	assert_int_equal(bd_dataset_load("/no/such/set.yaml", &dataset, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/no/such/set.yaml"));
}

static void dataset_file_is_read_relative_to_itself(void **state)
{
	(void)state;
	char path[512];
	touch("a.tfrecord");
	snprintf(path, sizeof path, "%s/set.yaml", folder);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs("shards: '*.tfrecord'\nfeatures: {x: {type: float}}\n", file);
	fclose(file);
	struct bd_dataset *dataset;
	assert_int_equal(bd_dataset_load(path, &dataset, NULL), 0);
	assert_string_equal(name_of(dataset, 0), "a.tfrecord");
	bd_dataset_destroy(dataset);
	bd_dataset_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_key_is_read),
		TEST(defaults_are_those_of_the_contract),
		TEST(globs_are_sorted_by_bytes_and_leave_indexes_out),
		TEST(index_of_tfrecord2idx_is_no_shard),
		TEST(name_that_is_there_is_no_pattern),
		TEST(lists_keep_their_order),
		TEST(image_folder_is_classes_then_names),
		TEST(classes_of_an_image_folder_are_its_folders),
		TEST(dangling_link_in_an_image_folder_is_refused_or_noted),
		TEST(match_that_cannot_be_looked_at_is_an_error),
		TEST(list_of_pictures_takes_names_as_they_are),
		TEST(wrong_words_are_told_with_their_line),
		TEST(missing_dataset_file_is_enoent),
		TEST(dataset_file_is_read_relative_to_itself),
	};
	return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
