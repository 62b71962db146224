#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/units.h"
#include "tools/tfrecord/commands.h"
#include "tools/tfrecord/convert.h"
#include "tools/tfrecord/picture_classes.h"

#define SHARDS_DEFAULT 8u

/* A file, a buffer and perhaps a deflater each, all open at once. */
#define SHARDS_FIXED_MAX 10000u

#define SHARD_BYTES_MIN 1024u
#define JOBS_MAX 1024u

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

struct arguments {
	const char *output, *image_key, *label_key, *mean, *classes, *new_classes;
	struct bd_option_list idx;
	uint64_t shards, shard_bytes, seed, jobs;
	int encoding, filter, compression, on_error, channels;
	uint32_t resize[2];
	double scale;
	bool force, given_shards, given_shard_size, given_resize, given_filter, given_channels;
};

static const char *const encodings[] = { "raw", "jpeg", "png", "keep", NULL };
static const char *const filters[] = { "nearest", "box", "bilinear", "bicubic", NULL };
static const char *const compressions[] = { "none", "gzip", "zlib", NULL };
static const char *const on_errors[] = { "fail", "skip", NULL };
static const char *const channel_names[] = { "rgb", "bgr", "grey", NULL };

static uint32_t processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	return count < 1 ? 1 : (uint32_t)count;
}

/* "116.779" or "1,2,3": checked here, written as it is. */
static int check_mean(const char *mean, struct bd_error *error)
{
	char copy[200];
	size_t count = 0;
	if (strlen(mean) >= sizeof copy)
		return bd_error_set(error, -EINVAL, "--mean is one number or three, as in 123.68,116.779,103.939");
	strcpy(copy, mean);
	for (char *at = copy, *number; (number = strsep(&at, ","));) {
		double value;
		count++;
		if (bd_parse_double(number, &value, NULL))
			count = 9;
	}
	if (count != 1 && count != 3)
		return bd_error_set(error, -EINVAL, "--mean is one number or three, as in 123.68,116.779,103.939, not '%s'", mean);
	return 0;
}

static int check_name(const char *name, struct bd_error *error)
{
	if (!*name || name[0] == '.' || strpbrk(name, "*?[]{}\\"))
		return bd_error_set(error, -EINVAL,
		                    "--output is DIR/NAME; NAME must not be empty, begin with a dot or hold any of *?[]{}\\");
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return bd_error_set(error, -EINVAL, "--output: NAME must not hold control characters");
	return 0;
}

static int check_usage(const struct arguments *arguments, const struct bd_arguments *words, struct bd_error *error)
{
	if (!arguments->output)
		return bd_error_set(error, -EINVAL, "--output DIR/NAME is missing");
	if (!arguments->idx.count == !words->word_count)
		return bd_error_set(error, -EINVAL, "give one of a FOLDER, a LIST.csv, or --idx IMAGES LABELS");
	if (arguments->idx.count > 2)
		return bd_error_set(error, -EINVAL, "--idx stands once");
	if (arguments->given_shards && arguments->given_shard_size)
		return bd_error_set(error, -EINVAL, "--shards and --shard-size exclude each other");
	if (arguments->given_shard_size && arguments->shard_bytes < SHARD_BYTES_MIN)
		return bd_error_set(error, -EINVAL, "--shard-size is at least %u bytes", SHARD_BYTES_MIN);
	if (arguments->encoding == BD_RECORD_KEEP && arguments->given_resize)
		return bd_error_set(error, -EINVAL,
		                    "'--encoding keep' stores the files as they are; --resize needs raw, jpeg or png");
	if (arguments->encoding == BD_RECORD_KEEP && arguments->idx.count)
		return bd_error_set(error, -EINVAL,
		                    "IDX files hold pixels: '--encoding keep' has nothing to keep; use raw, jpeg or png");
	if (arguments->given_filter && !arguments->given_resize)
		return bd_error_set(error, -EINVAL, "--filter belongs to --resize");
	if (!strcmp(arguments->image_key, arguments->label_key) || !*arguments->image_key || !*arguments->label_key)
		return bd_error_set(error, -EINVAL, "--image-key and --label-key are two different names, neither of them empty");
	int status = check_name(bd_path_base(arguments->output), error);
	return status || !arguments->mean ? status : check_mean(arguments->mean, error);
}

/* The numbers of IDX files have no names: there --classes gives them. */
static int name_classes(const struct arguments *arguments, struct bd_picture_list *list, struct bd_error *error)
{
	int status = 0;
	if (arguments->classes)
		status = arguments->idx.count ? bd_picture_classes_rename(list, arguments->classes, error)
		                              : bd_picture_classes_order(list, arguments->classes, error);
	if (!status && arguments->new_classes)
		status = bd_picture_classes_rename(list, arguments->new_classes, error);
	return status;
}

static int load_list(const struct arguments *arguments, const struct bd_arguments *words, struct bd_picture_list *ret_list,
                     struct bd_error *error)
{
	struct stat status;
	int result;
	if (arguments->idx.count)
		result = bd_picture_list_of_idx(arguments->idx.items[0], arguments->idx.items[1], ret_list, error);
	else if (!strcmp(words->words[0], "-"))
		result = bd_picture_list_of_csv("-", ret_list, error);
	else if (stat(words->words[0], &status) != 0)
		result = bd_error_set(error, -errno, "%s: cannot open: %s", words->words[0], strerror(errno));
	else if (S_ISDIR(status.st_mode))
		result = bd_picture_list_of_folder(words->words[0], arguments->on_error == 1, ret_list, error);
	else
		result = bd_picture_list_of_csv(words->words[0], ret_list, error);
	return result ? result : name_classes(arguments, ret_list, error);
}

static json_t *result_json(const struct bd_convert_result *result, const struct bd_picture_list *list)
{
	json_t *classes = json_array();
	for (size_t i = 0; i < list->class_count; i++)
		json_array_append_new(classes, bd_json_text(list->classes[i], strlen(list->classes[i])));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "records", (json_int_t)result->records, "skipped",
	                 (json_int_t)result->skipped, "shards", (json_int_t)result->shards, "bytes", (json_int_t)result->bytes,
	                 "ignored", (json_int_t)result->ignored, "classes", classes);
}

static int report(const struct bd_convert *convert, const struct bd_convert_result *result, bool json, struct bd_error *error)
{
	if (json)
		return bd_json_print_line(stdout, result_json(result, convert->list), error);
	char size[32], ignored[64] = "";
	bd_format_size(result->bytes, size, sizeof size);
	if (result->ignored)
		snprintf(ignored, sizeof ignored, ", %" PRIu64 " other entries ignored", result->ignored);
	printf("%" PRIu64 " records of %zu classes in %" PRIu32 " shards, %s; %" PRIu64 " left out%s. Dataset file: %s/%s.yaml\n",
	       result->records, convert->list->class_count, result->shards, size, result->skipped, ignored, convert->folder,
	       convert->name);
	return 0;
}

static int run(const struct arguments *arguments, const struct bd_arguments *words, struct bd_error *error)
{
	struct bd_picture_list list = { 0 };
	char *folder = bd_path_folder(arguments->output);
	int status = folder ? load_list(arguments, words, &list, error) : bd_error_set(error, -ENOMEM, "no memory");
	bool by_size = arguments->given_shard_size;
	struct bd_convert convert = {
		.list = &list,
		.record = {
			.encoding = (enum bd_record_encoding)arguments->encoding,
			.height = arguments->resize[0],
			.width = arguments->resize[1],
			.filter = (enum bd_pil_filter)arguments->filter,
			.image_key = arguments->image_key,
			.label_key = arguments->label_key,
		},
		.folder = folder,
		.name = bd_path_base(arguments->output),
		.force = arguments->force,
		.shards = by_size ? 0 : (uint32_t)arguments->shards,
		.shard_bytes = arguments->shard_bytes,
		.compression = (enum bd_compression[]){ BD_COMPRESSION_NONE, BD_COMPRESSION_GZIP, BD_COMPRESSION_ZLIB }[arguments->compression],
		.seed = arguments->seed,
		.jobs = arguments->jobs ? (uint32_t)arguments->jobs : processors(),
		.skip = arguments->on_error == 1,
		.quiet = words->quiet,
		.channels = arguments->given_channels ? channel_names[arguments->channels] : NULL,
		.mean = arguments->mean,
		.scale = arguments->scale,
		.interrupted = &interrupted,
	};
	struct bd_convert_result result = { 0 };
	if (!status)
		status = bd_convert_run(&convert, &result, error);
	if (!status)
		status = report(&convert, &result, words->json, error);
	bd_picture_list_finish(&list);
	free(folder);
	return status;
}

/* ---- the command line ---- */

static struct arguments given = {
	.image_key = "image", .label_key = "label", .shards = SHARDS_DEFAULT, .filter = BD_PIL_BICUBIC, .scale = 1
};

static const struct bd_option options[] = {
	{ .name = "output",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.output,
	  .argument = "DIR/NAME",
	  .help = "where NAME-00000-of-00008.tfrecord ... and NAME.yaml go" },
	{ .name = "idx",
	  .kind = BD_OPTION_LIST,
	  .value = &given.idx,
	  .argument = "IMAGES LABELS",
	  .help = "a pair of IDX files (MNIST), gzip or not, instead of a FOLDER or LIST.csv",
	  .two_words = true },
	{ .name = "encoding",
	  .kind = BD_OPTION_CHOICE,
	  .value = &given.encoding,
	  .argument = "raw|jpeg|png|keep",
	  .help = "what a record holds: pixels (RGB), a new file, or the file as it is [raw]",
	  .choices = encodings },
	{ .name = "resize",
	  .kind = BD_OPTION_SHAPE,
	  .value = given.resize,
	  .argument = "150x150",
	  .help = "height x width of the pictures stored; raw needs one size",
	  .given = &given.given_resize },
	{ .name = "filter",
	  .kind = BD_OPTION_CHOICE,
	  .value = &given.filter,
	  .argument = "bicubic|bilinear|nearest|box",
	  .help = "Pillow's resize, byte for byte [bicubic]",
	  .given = &given.given_filter,
	  .choices = filters },
	{ .name = "shards",
	  .kind = BD_OPTION_U64,
	  .value = &given.shards,
	  .argument = "N",
	  .help = "number of shards [8]",
	  .given = &given.given_shards,
	  .minimum = 1,
	  .maximum = SHARDS_FIXED_MAX },
	{ .name = "shard-size",
	  .kind = BD_OPTION_SIZE,
	  .value = &given.shard_bytes,
	  .argument = "128MiB",
	  .help = "as many shards as it takes, of this size before compression",
	  .given = &given.given_shard_size },
	{ .name = "compression",
	  .kind = BD_OPTION_CHOICE,
	  .value = &given.compression,
	  .argument = "none|gzip|zlib",
	  .help = "of the shards [none]",
	  .choices = compressions },
	{ .name = "seed",
	  .kind = BD_OPTION_U64,
	  .value = &given.seed,
	  .argument = "N",
	  .help = "of the order of the records [0]",
	  .maximum = UINT64_MAX },
	{ .name = "image-key",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.image_key,
	  .argument = "KEY",
	  .help = "feature of the picture [image]" },
	{ .name = "label-key",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.label_key,
	  .argument = "KEY",
	  .help = "feature of the class's number [label]" },
	{ .name = "classes",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.classes,
	  .argument = "A,B,C",
	  .help = "the classes in the order that numbers them [byte order]; with --idx: their names" },
	{ .name = "rename-classes",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.new_classes,
	  .argument = "A,B,C",
	  .help = "other names for the classes, in the order of their numbers" },
	{ .name = "mean",
	  .kind = BD_OPTION_TEXT,
	  .value = &given.mean,
	  .argument = "R,G,B",
	  .help = "written to the dataset file: subtracted when the pictures are read" },
	{ .name = "scale",
	  .kind = BD_OPTION_DOUBLE,
	  .value = &given.scale,
	  .argument = "S",
	  .help = "written to the dataset file: multiplied after the mean" },
	{ .name = "channels",
	  .kind = BD_OPTION_CHOICE,
	  .value = &given.channels,
	  .argument = "rgb|bgr|grey",
	  .help = "written to the dataset file: the order that the model takes",
	  .given = &given.given_channels,
	  .choices = channel_names },
	{ .name = "jobs",
	  .kind = BD_OPTION_U64,
	  .value = &given.jobs,
	  .argument = "N",
	  .help = "threads [one for each processor]; the bytes written are the same",
	  .minimum = 1,
	  .maximum = JOBS_MAX },
	{ .name = "on-error",
	  .kind = BD_OPTION_CHOICE,
	  .value = &given.on_error,
	  .argument = "fail|skip",
	  .help = "what a broken picture does [fail]",
	  .choices = on_errors },
	{ .name = "force",
	  .kind = BD_OPTION_FLAG,
	  .value = &given.force,
	  .help = "replace files of this name, once the new are whole" },
};

static const struct bd_command command = {
	.program = "tfrecord",
	.name = "convert",
	.usage = "FOLDER|LIST.csv|--idx IMAGES LABELS --output DIR/NAME [options]",
	.summary = "Converts pictures to shuffled TFRecord shards with a dataset file beside them. A FOLDER has one "
		   "sub-folder a class, a LIST.csv\n"
		   "lines of `path,class`. Either all files appear or none.",
	.groups = { { .options = options, .count = BD_COUNT_OF(options) } },
	.maximum_words = 1,
};

int bd_tfrecord_convert(int argc, char **argv)
{
	struct bd_arguments words;
	struct bd_error error = { 0 };
	if (bd_command_parse(&command, argc, argv, &words, &error))
		return bd_usage_error(&command, &error);
	int exit_status = BD_EXIT_DONE;
	if (!words.done && check_usage(&given, &words, &error)) {
		exit_status = bd_usage_error(&command, &error);
	} else if (!words.done) {
		catch_signals();
		int status = run(&given, &words, &error);
		if (status)
			bd_print_error("tfrecord convert", &error);
		exit_status = status == -EINTR ? BD_EXIT_INTERRUPTED : status ? BD_EXIT_FAILED : BD_EXIT_DONE;
	}
	bd_arguments_finish(&words);
	return exit_status;
}
