#include "common/base/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/test.h"

static bool flag, batch_given;
static uint64_t batch, memory;
static const char *name;
static uint32_t shape[2];
static int shuffle;
static struct bd_option_list idx;
static const char *const shuffles[] = { "none", "window", "global", NULL };
static const struct bd_option options[] = {
	{ .name = "fresh", .kind = BD_OPTION_FLAG, .value = &flag, .help = "x" },
	{ .name = "batch",
	  .kind = BD_OPTION_U64,
	  .value = &batch,
	  .argument = "N",
	  .help = "x",
	  .minimum = 1,
	  .maximum = 100,
	  .given = &batch_given },
	{ .name = "model-dir", .kind = BD_OPTION_TEXT, .value = &name, .argument = "DIR", .help = "x" },
};
static const struct bd_option more[] = {
	{ .name = "memory", .kind = BD_OPTION_SIZE, .value = &memory, .argument = "SIZE", .help = "x" },
	{ .name = "resize", .kind = BD_OPTION_SHAPE, .value = shape, .argument = "HxW", .help = "x" },
	{ .name = "shuffle", .kind = BD_OPTION_CHOICE, .value = &shuffle, .choices = shuffles, .help = "x" },
	{ .name = "idx", .kind = BD_OPTION_LIST, .value = &idx, .argument = "A B", .help = "x", .two_words = true },
};
static const struct bd_command command = {
	.program = "p",
	.name = "c",
	.usage = "WORD",
	.summary = "s",
	.groups = { { NULL, options, 3 }, { "More", more, 4 } },
	.minimum_words = 1,
	.maximum_words = 2,
};

static int parse(int argc, const char **argv, struct bd_arguments *arguments, struct bd_error *error)
{
	return bd_command_parse(&command, argc, (char **)argv, arguments, error);
}

#define PARSE(arguments, error, ...)                                                                                               \
	parse((int)(sizeof((const char *[]){ "c", __VA_ARGS__ }) / sizeof(char *)), (const char *[]){ "c", __VA_ARGS__ },          \
	      arguments, error)

static void options_stand_anywhere(void **state)
{
	(void)state;
	struct bd_arguments arguments;
	assert_int_equal(PARSE(&arguments, NULL, "a", "--batch", "20", "--fresh", "b", "--memory=64MiB", "--resize", "3x4",
	                       "--shuffle", "global", "--json", "--idx", "i", "l", "--model-dir", "-"),
	                 0);
	assert_int_equal(arguments.word_count, 2);
	assert_string_equal(arguments.words[1], "b");
	assert_true(flag && batch_given && arguments.json && !arguments.quiet);
	assert_int_equal(batch, 20);
	assert_int_equal(memory, 64 << 20);
	assert_int_equal(shape[1], 4);
	assert_int_equal(shuffle, 2);
	assert_int_equal(idx.count, 2);
	assert_string_equal(name, "-");
	bd_arguments_finish(&arguments);
	assert_null(idx.items);
}

static int seen_count;
static char seen[3][16];

static int see(int argc, char **argv)
{
	seen_count = argc;
	for (int i = 0; i < argc; i++)
		snprintf(seen[i], sizeof seen[i], "%s", argv[i]);
	return 77;
}

static void options_stand_before_a_subcommand(void **state)
{
	(void)state;
	static const struct bd_subcommand commands[] = { { "read", "reads", see }, { "status", "tells", see } };
	const char *before[] = { "p", "--connect", "x", "status", NULL }, *none[] = { "p", "--json", NULL },
		   *word[] = { "p", "x", "status", NULL };
	assert_int_equal(bd_subcommand_run("p", "", commands, 2, 4, (char **)before), 77);
	assert_int_equal(seen_count, 3);
	assert_string_equal(seen[0], "status");
	assert_string_equal(seen[1], "--connect");
	assert_string_equal(seen[2], "x");
	assert_int_equal(bd_subcommand_run("p", "", commands, 2, 2, (char **)none), BD_EXIT_USAGE);
	assert_int_equal(bd_subcommand_run("p", "", commands, 2, 3, (char **)word), BD_EXIT_USAGE);
}

static void wrong_usage_is_one_clear_line(void **state)
{
	(void)state;
	struct bd_arguments arguments;
	struct bd_error error;
	assert_int_equal(PARSE(&arguments, &error, "a", "--bach", "3"), -EINVAL);
	assert_string_equal(error.text, "unknown option '--bach'; did you mean '--batch'?");
	assert_int_equal(PARSE(&arguments, &error, "a", "--batch", "0"), -EINVAL);
	assert_string_equal(error.text, "--batch: 0 is outside of 1 to 100");
	assert_int_equal(PARSE(&arguments, &error, "a", "--batch"), -EINVAL);
	assert_string_equal(error.text, "--batch needs N");
	assert_int_equal(PARSE(&arguments, &error, "--fresh"), -EINVAL);
	assert_int_equal(PARSE(&arguments, &error, "a", "b", "d"), -EINVAL);
	assert_int_equal(PARSE(&arguments, &error, "a", "--fresh=1"), -EINVAL);
	assert_int_equal(PARSE(&arguments, &error, "a", "-x"), -EINVAL);
	assert_int_equal(PARSE(&arguments, &error, "a", "--shuffle", "all"), -EINVAL);
	assert_string_equal(error.text, "--shuffle: 'all' is none of none, window, global");
	assert_int_equal(PARSE(&arguments, &error, "a", "--idx", "only"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(options_stand_before_a_subcommand),
		cmocka_unit_test(wrong_usage_is_one_clear_line),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
