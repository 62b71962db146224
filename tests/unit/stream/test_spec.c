#include "common/stream/spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "tests/unit/test.h"

static struct bd_stream_spec good(void)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	return spec;
}

static void defaults_pass_the_check(void **state)
{
	(void)state;
	struct bd_stream_spec spec = good();
	assert_int_equal(bd_stream_spec_check(&spec, NULL), 0);
	assert_int_equal(spec.batch, 32);
	assert_int_equal(spec.remainder, BD_REMAINDER_SHORT);
}

static void assert_refused(const struct bd_stream_spec *spec, const char *word)
{
	struct bd_error error;
	assert_int_equal(bd_stream_spec_check(spec, &error), -EINVAL);
	if (!strstr(error.text, word))
		fail_msg("'%s' does not name '%s'", error.text, word);
}

static void every_word_out_of_bounds_is_named(void **state)
{
	(void)state;
	struct bd_stream_spec spec = good();
	spec.batch = 0;
	assert_refused(&spec, "batch");
	spec = good();
	spec.batch = BD_MAX_BATCH_ROWS + 1;
	assert_refused(&spec, "batch");
	spec = good();
	spec.shuffle = (enum bd_shuffle)3;
	assert_refused(&spec, "shuffle");
	spec = good();
	spec.window = 0;
	assert_refused(&spec, "window");
	spec = good();
	spec.epochs = (uint64_t)INT64_MAX + 1;
	assert_refused(&spec, "epochs");
	spec = good();
	spec.start_epoch = UINT64_MAX; /* would be told as -1 */
	assert_refused(&spec, "start's epoch");
	spec = good();
	spec.start_epoch = 1; /* where one epoch ends: nothing follows, as for a trainer that was done */
	assert_int_equal(bd_stream_spec_check(&spec, NULL), 0);
	spec.start_batch = 1;
	assert_refused(&spec, "start: 1:1 is behind the end");
	spec.start_epoch = 2;
	spec.start_batch = 0;
	assert_refused(&spec, "start: 2:0 is behind the end");
	spec.epochs = 0;
	assert_int_equal(bd_stream_spec_check(&spec, NULL), 0);
	spec = good();
	spec.remainder = (enum bd_remainder)77;
	assert_refused(&spec, "remainder");
	spec = good();
	spec.augment = (enum bd_augment)2;
	assert_refused(&spec, "augment");
	spec = good();
	spec.world = 0;
	assert_refused(&spec, "world");
	spec = good();
	spec.world = 3;
	assert_refused(&spec, "does not divide");
	spec = good();
	spec.world = 4;
	spec.rank = 4;
	assert_refused(&spec, "rank");
	spec = good();
	spec.slots = 1;
	assert_refused(&spec, "slots");
	spec = good();
	spec.share_start = 2;
	assert_refused(&spec, "share_group");
	spec = good();
	memset(spec.share_group, 'x', sizeof spec.share_group);
	assert_refused(&spec, "share_group");
	spec = good();
	snprintf(spec.share_group, sizeof spec.share_group, "a\nb");
	assert_refused(&spec, "share_group");
}

static void options_write_every_word(void **state)
{
	(void)state;
	struct bd_stream_spec spec = good();
	struct bd_stream_options options;
	bd_stream_options_init(&options, &spec, NULL);
	assert_int_equal(options.count, BD_STREAM_OPTION_COUNT);
	struct bd_command command = { .program = "x", .groups = { { .options = options.options, .count = options.count } } };
	const char *argv[] = { "x",   "--batch",  "20",  "--shuffle",     "window", "--window",      "100", "--seed",
		               "9",   "--epochs", "0",   "--remainder",   "carry",  "--rank",        "1",   "--world",
		               "2",   "--start",  "3:4", "--share-group", "g",      "--share-start", "2",   "--share-timeout",
		               "30s", "--slots",  "8",   "--cache",       "1MiB",   "--augment",     "off" };
	struct bd_arguments arguments;
	struct bd_error error = { .code = 0 };
	assert_int_equal(bd_command_parse(&command, BD_COUNT_OF(argv), (char **)argv, &arguments, &error), 0);
	assert_int_equal(bd_stream_options_apply(&options, &error), 0);
	struct bd_stream_spec wanted = { .batch = 20,
		                         .shuffle = BD_SHUFFLE_WINDOW,
		                         .window = 100,
		                         .seed = 9,
		                         .remainder = BD_REMAINDER_CARRY,
		                         .rank = 1,
		                         .world = 2,
		                         .start_epoch = 3,
		                         .start_batch = 4,
		                         .share_group = "g",
		                         .share_start = 2,
		                         .share_timeout_ns = UINT64_C(30000000000),
		                         .slots = 8,
		                         .cache_bytes = 1 << 20,
		                         .augment = BD_AUGMENT_OFF };
	assert_memory_equal(&spec, &wanted, sizeof spec);
	bd_arguments_finish(&arguments);
}

static void options_without_effect_are_refused(void **state)
{
	(void)state;
	static const char *const cases[][4] = { { "x", "--window", "100", "--window needs --shuffle window" },
		                                { "x", "--cache", "1MiB", "--epochs is 1" } };
	for (size_t i = 0; i < BD_COUNT_OF(cases); i++) {
		struct bd_stream_spec spec = good();
		struct bd_stream_options options;
		struct bd_arguments arguments;
		struct bd_error error = { .code = 0 };
		bd_stream_options_init(&options, &spec, NULL);
		struct bd_command command = { .program = "x",
			                      .groups = { { .options = options.options, .count = options.count } } };
		assert_int_equal(bd_command_parse(&command, 3, (char **)cases[i], &arguments, &error), 0);
		assert_int_equal(bd_stream_options_apply(&options, &error), -EINVAL);
		assert_non_null(strstr(error.text, cases[i][3]));
		bd_arguments_finish(&arguments);
	}
}

static void left_out_options_keep_the_commands_own_values(void **state)
{
	(void)state;
	struct bd_stream_spec spec = good();
	struct bd_stream_options options;
	bd_stream_options_init(&options, &spec, (const char *const[]){ "batch", "epochs", NULL });
	assert_int_equal(options.count, BD_STREAM_OPTION_COUNT - 2);
	spec.batch = 7;
	spec.epochs = 0;
	assert_int_equal(bd_stream_options_apply(&options, NULL), 0);
	assert_int_equal(spec.batch, 7);
	assert_int_equal(spec.epochs, 0);
}

static void positions_are_two_numbers(void **state)
{
	(void)state;
	uint64_t epoch, batch;
	struct bd_error error;
	assert_int_equal(bd_parse_position("12:345", &epoch, &batch, &error), 0);
	assert_int_equal(epoch, 12);
	assert_int_equal(batch, 345);
	const char *bad[] = { "", ":", "1", "1:", ":1", "1:2:3", "-1:0", "a:b", "1 :2", "99999999999999999999:0" };
	for (size_t i = 0; i < BD_COUNT_OF(bad); i++)
		assert_int_equal(bd_parse_position(bad[i], &epoch, &batch, &error), -EINVAL);
	assert_int_equal(epoch, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_pass_the_check),   cmocka_unit_test(every_word_out_of_bounds_is_named),
		cmocka_unit_test(options_write_every_word),  cmocka_unit_test(left_out_options_keep_the_commands_own_values),
		cmocka_unit_test(positions_are_two_numbers), cmocka_unit_test(options_without_effect_are_refused),
	};
	return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
