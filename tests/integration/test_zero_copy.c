/*
 * test_zero_copy.c - what a consumer gets is the daemon's own memory: its pointers lie in a read-only mapping of the arena's memfd, two consumers
 * of a group map the same one, and the daemon has it mapped writable, so that nothing was copied after the decoder wrote a row.
 */
#include <batchd/client.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/daemon.h"
#include "tests/unit/test.h"

struct mapping {
	char rights[5];
	unsigned long inode;
	char name[64];
};

/* The mapping of process `pid` that holds the address; with address 0 the one of the inode. */
static bool find_mapping(int pid, uintptr_t address, unsigned long inode, struct mapping *ret_mapping)
{
	char path[64], line[512];
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	assert_non_null(maps);
	bool found = false;
	while (!found && fgets(line, sizeof line, maps)) {
		uintptr_t begin, end;
		struct mapping mapping = { .name = "" };
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu %63[^\n]", &begin, &end, mapping.rights, &mapping.inode,
		           mapping.name) < 4)
			continue;
		found = address ? address >= begin && address < end : mapping.inode == inode && strstr(mapping.name, "/memfd:");
		if (found)
			*ret_mapping = mapping;
	}
	fclose(maps);
	return found;
}

struct consumer {
	struct bd_client *client;
	struct bd_stream *stream;
};

static void open_consumer(const struct bd_test_daemon *daemon, struct consumer *ret_consumer)
{
	struct bd_error error = { 0 };
	struct bd_stream_request request;
	bd_stream_request_init(&request);
	request.dataset = "numbers";
	request.spec.batch = 10;
	strcpy(request.spec.share_group, "both");
	if (bd_client_connect(daemon->socket, NULL, &ret_consumer->client, &error) ||
	    bd_stream_open(ret_consumer->client, &request, &ret_consumer->stream, &error))
		fail_msg("%s", error.text);
}

static void check_batch(const struct bd_test_daemon *daemon, const struct bd_batch *batch, unsigned long *ret_inode)
{
	struct mapping ours, daemons;
	for (size_t i = 0; i < batch->array_count; i++) {
		assert_true(find_mapping(getpid(), (uintptr_t)batch->arrays[i].data, 0, &ours));
		assert_non_null(strstr(ours.name, "/memfd:"));
		assert_string_equal(ours.rights, "r--s");
	}
	assert_true(find_mapping(daemon->pid, 0, ours.inode, &daemons));
	assert_string_equal(daemons.rights, "rw-s");
	*ret_inode = ours.inode;
}

static void pointers_lie_in_the_daemons_arena(void **state)
{
	(void)state;
	struct bd_test_daemon *daemon = bd_test_daemon_start(200, NULL);
	struct consumer consumers[2];
	unsigned long inodes[2] = { 0, 0 };
	for (size_t i = 0; i < 2; i++)
		open_consumer(daemon, &consumers[i]);
	for (size_t i = 0; i < 2; i++) {
		struct bd_batch batch;
		struct bd_error error = { 0 };
		if (bd_stream_next(consumers[i].stream, 10000, &batch, &error))
			fail_msg("%s", error.text);
		check_batch(daemon, &batch, &inodes[i]);
		bd_stream_release(consumers[i].stream, &batch);
	}
	assert_int_equal(inodes[0], inodes[1]);
	for (size_t i = 0; i < 2; i++) {
		bd_stream_close(consumers[i].stream);
		bd_client_close(consumers[i].client);
	}
	assert_int_equal(bd_test_daemon_stop(daemon), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pointers_lie_in_the_daemons_arena),
	};
	return cmocka_run_group_tests_name("zero_copy", tests, NULL, NULL);
}
