#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/control/config.h"
#include "daemon/control/reload.h"

static int parse(const char *text, struct bd_config *ret_config, struct bd_error *error)
{
	return bd_config_parse("batchd.yaml", "/etc/batchd", text, strlen(text), ret_config, error);
}

static void every_key_is_read(void **state)
{
	(void)state;
	struct bd_config config;
	struct bd_error error;
	int result = parse("socket: {path: /run/batchd/batchd.sock, mode: \"0666\", group: root}\n"
	                   "memory: 2GiB\n"
	                   "threads: 3\n"
	                   "cache: 512MiB\n"
	                   "datasets:\n"
	                   "  cats: {file: /srv/data/cats.yaml, allow: {users: [root, 1234], groups: [root]}}\n"
	                   "  dogs: {file: dogs.yaml}\n"
	                   "quota: {streams: 8, memory: 1GiB}\n"
	                   "metrics: {listen: \"127.0.0.1:9464\"}\n",
	                   &config, &error);
	if (result < 0)
		fail_msg("%s", error.text);
	assert_string_equal(config.socket_path, "/run/batchd/batchd.sock");
	assert_int_equal(config.socket_mode, 0666);
	assert_true(config.socket_group_given);
	assert_int_equal(config.memory_bytes, 2ull << 30);
	assert_int_equal(config.cache_bytes, 512ull << 20);
	assert_int_equal(config.threads, 3);
	assert_int_equal(config.dataset_count, 2);
	const struct bd_config_dataset *cats = bd_config_find_dataset(&config, "cats"),
				       *dogs = bd_config_find_dataset(&config, "dogs");
	assert_true(cats->allow.restricted);
	assert_int_equal(cats->allow.users[1], 1234);
	assert_int_equal(cats->allow.group_count, 1);
	assert_string_equal(dogs->file, "/etc/batchd/dogs.yaml");
	assert_false(dogs->allow.restricted);
	assert_null(bd_config_find_dataset(&config, "mice"));
	assert_int_equal(config.quota_streams, 8);
	assert_int_equal(config.quota_memory_bytes, 1ull << 30);
	assert_string_equal(config.metrics_listen, "127.0.0.1:9464");
	bd_config_finish(&config);
}

static void errors_name_line_and_way_out(void **state)
{
	(void)state;
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "memory: 2GiB\nthread: 3\n", "line 2: unknown key 'thread'" },
		{ "memory: 2GiB\nthread: 3\n", "did you mean 'threads'?" },
		{ "socket: {path: /s, mod: \"0660\"}\n", "did you mean 'mode'?" },
		{ "socket: {path: /s, mode: \"0990\"}\n", "octal" },
		{ "socket: {path: /s, group: no-such-group-here}\n", "no group 'no-such-group-here'" },
		{ "datasets: {cats: {file: c.yaml, allow: {users: [no-such-user-here]}}}\n", "no user 'no-such-user-here'" },
		{ "datasets: {cats: {file: c.yaml, allow: {users: alice}}}\n", "list" },
		{ "datasets: {cats: {file: c.yaml, alow: {}}}\n", "did you mean 'allow'?" },
		{ "datasets:\n  cats: {}\n", "line 2: dataset 'cats' has no 'file'" },
		{ "datasets: [cats]\n", "mapping" },
		{ "datasets: {a/b: {file: c.yaml}}\n", "'/'" },
		{ "memory: much\n", "line 1" },
		{ "memory: 1GiB\ncache: 2GiB\n", "line 2: 'cache' is a part of 'memory'" },
		{ "threads: 100000\n", "line 1" },
		{ "quota: {streams: 0}\n", "line 1" },
		{ "metrics: {listen: \"0.0.0.0:9464\"}\n", "loopback" },
		{ "metrics: {listen: \"127.0.0.1\"}\n", "127.0.0.1:9464" },
		{ "metrics: {listen: \"127.0.0.1:99999\"}\n", "no address" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct bd_config config;
		struct bd_error error;
		assert_int_equal(parse(cases[i].text, &config, &error), -EINVAL);
		if (!strstr(error.text, cases[i].words) || strncmp(error.text, "batchd.yaml: line ", 18) != 0)
			fail_msg("%s: %s", cases[i].text, error.text);
	}
}

static void missing_file_is_enoent(void **state)
{
	(void)state;
	struct bd_config config;
	struct bd_error error;
	assert_int_equal(bd_config_load("/nonexistent/batchd.yaml", &config, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/batchd.yaml"));
}

static void dataset_arguments_are_name_and_file(void **state)
{
	(void)state;
	struct bd_config config;
	struct bd_error error;
	bd_config_init(&config);
	assert_int_equal(bd_config_add_dataset(&config, "cats=/srv/cats.yaml", &error), 0);
	assert_int_equal(bd_config_add_dataset(&config, "dogs=dogs.yaml", &error), 0);
	assert_string_equal(config.datasets[0].file, "/srv/cats.yaml");
	assert_int_equal(config.datasets[1].file[0], '/'); /* relative to here, and it stays so */
	static const char *const wrong[] = { "cats", "=x.yaml", "birds=", "cats=/again.yaml", "a/b=x.yaml", "" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(bd_config_add_dataset(&config, wrong[i], &error), -EINVAL);
	assert_int_equal(config.dataset_count, 2);
	bd_config_finish(&config);
}

static void check_names_the_dataset_that_cannot_be_loaded(void **state)
{
	(void)state;
	struct bd_config config;
	struct bd_error error;
	bd_config_init(&config);
	assert_int_equal(bd_config_add_dataset(&config, "cats=/nonexistent/cats.yaml", &error), 0);
	assert_int_equal(bd_config_check_datasets(&config, &error), -ENOENT);
	assert_non_null(strstr(error.text, "dataset 'cats'"));
	bd_config_finish(&config);
}

static void reload_changes_datasets_and_quota_and_names_what_it_cannot(void **state)
{
	(void)state;
	struct bd_config config, fresh;
	struct bd_error error;
	assert_int_equal(parse("memory: 1GiB\ndatasets: {a: {file: a.yaml}}\nquota: {streams: 1}\n", &config, &error), 0);
	assert_int_equal(parse("memory: 2GiB\ndatasets: {b: {file: b.yaml}}\nquota: {streams: 2, memory: 1MiB}\n", &fresh, &error),
	                 0);
	assert_string_equal(bd_config_adopt(&config, &fresh), "memory");
	bd_config_finish(&fresh);
	assert_int_equal(config.memory_bytes, 1ull << 30);
	assert_null(bd_config_find_dataset(&config, "a"));
	assert_non_null(bd_config_find_dataset(&config, "b"));
	assert_int_equal(config.quota_streams, 2);
	assert_int_equal(config.quota_memory_bytes, 1 << 20);
	bd_config_finish(&config);
}

static void only_loopback_may_listen(void **state)
{
	(void)state;
	char host[64];
	uint16_t port;
	struct bd_error error;
	assert_int_equal(bd_config_split_listen("localhost:80", host, &port, &error), 0);
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(bd_config_split_listen("[::1]:81", host, &port, &error), 0);
	assert_string_equal(host, "::1");
	assert_int_equal(port, 81);
	static const char *const wrong[] = {
		"", ":", ":80", "127.0.0.1:", "10.0.0.1:80", "[::]:80", "example.org:80", "127.0.0.1:-1"
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(bd_config_split_listen(wrong[i], host, &port, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(errors_name_line_and_way_out),
		cmocka_unit_test(missing_file_is_enoent),
		cmocka_unit_test(dataset_arguments_are_name_and_file),
		cmocka_unit_test(check_names_the_dataset_that_cannot_be_loaded),
		cmocka_unit_test(reload_changes_datasets_and_quota_and_names_what_it_cannot),
		cmocka_unit_test(only_loopback_may_listen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
