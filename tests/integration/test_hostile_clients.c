/*
 * Clients that break rules on purpose: in shared memory, on the socket, with descriptors, in masses. The daemon drops them, others go on.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <batchd/client.h>

#include "common/base/clock.h"
#include "proto/shm_layout.h"
#include "tests/support/daemon.h"

#define RECORDS 400

static struct bd_test_daemon *batchd;

static int start_daemon(void **state)
{
	(void)state;
	batchd = bd_test_daemon_start(RECORDS, NULL);
	return 0;
}

static int stop_daemon(void **state)
{
	(void)state;
	return bd_test_daemon_stop(batchd);
}

static struct bd_stream_spec make_spec(const char *group)
{
	struct bd_stream_spec spec;
	bd_stream_spec_init(&spec);
	spec.batch = 4;
	spec.epochs = 0;
	snprintf(spec.share_group, sizeof spec.share_group, "%s", group);
	return spec;
}

static void open_raw(struct bd_test_client *client, const struct bd_stream_spec *spec)
{
	struct bd_error error;
	bd_test_client_connect(batchd, client);
	bd_test_client_greet(client);
	if (bd_test_client_open(client, "numbers", spec, &error) < 0)
		fail_msg("%s", error.text);
}

/* The daemon closes the connection; an ERROR may come before. */
static void expect_dropped(struct bd_test_client *client)
{
	char byte;
	struct pollfd poller = { .fd = client->socket, .events = POLLIN };
	for (;;) {
		assert_int_equal(poll(&poller, 1, 20000), 1);
		if (recv(client->socket, &byte, 1, MSG_DONTWAIT) <= 0)
			return;
	}
}

static void expect_alive(void)
{
	struct bd_client *client;
	struct bd_daemon_status status;
	struct bd_error error;
	if (bd_client_connect(batchd->socket, NULL, &client, &error) < 0 || bd_client_status(client, &status, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(status.pid, batchd->pid);
	bd_client_close(client);
}

/* ---- shared memory ---- */

static struct bd_shm_cons *map_cons(const struct bd_test_client *client)
{
	struct bd_shm_cons *cons = mmap(NULL, BD_SHM_CONS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, client->cons, 0);
	assert_ptr_not_equal(cons, MAP_FAILED);
	return cons;
}

static void cursor_outside_the_contract_drops_its_client_only(void **state)
{
	(void)state;
	/* past head; wrapped; far beyond */
	static const uint64_t cursors[] = { 1000, UINT64_MAX, UINT64_MAX / 2 };
	struct bd_stream_spec spec = make_spec("");
	for (size_t i = 0; i < sizeof cursors / sizeof *cursors; i++) {
		struct bd_test_client good, bad;
		struct bd_ring_item item;
		open_raw(&good, &spec);
		open_raw(&bad, &spec);
		bd_test_client_map(&good);
		struct bd_shm_cons *cons = map_cons(&bad);
		atomic_store(&cons->taken, cursors[i]);
		atomic_store(&cons->released, cursors[i]);
		bd_wire_ring_doorbell(bad.socket);
		expect_dropped(&bad);
		assert_int_equal(bd_test_client_take(&good, &item), 0);
		munmap(cons, BD_SHM_CONS_BYTES);
		bd_test_client_close(&bad);
		bd_test_client_close(&good);
	}
	expect_alive();
}

static void cursor_that_goes_backwards_drops_its_client(void **state)
{
	(void)state;
	enum { SLOTS = 4 };
	struct bd_stream_spec spec = make_spec("");
	struct bd_test_client client;
	struct bd_ring_item item;
	spec.slots = SLOTS;
	open_raw(&client, &spec);
	struct bd_shm_cons *cons = map_cons(&client);
	bd_test_client_map(&client);
	/* A batch in a slot for the third time: the daemon has seen a cursor above 1. */
	for (int i = 0; i < 2 * SLOTS + 1; i++) {
		assert_int_equal(bd_test_client_take(&client, &item), 0);
		bool rings = bd_ring_view_release(client.view, item.sequence + 1);
		(void)rings;
		bd_wire_ring_doorbell(client.socket);
	}
	atomic_store(&cons->released, 1);
	bd_wire_ring_doorbell(client.socket);
	expect_dropped(&client);
	munmap(cons, BD_SHM_CONS_BYTES);
	bd_test_client_close(&client);
	expect_alive();
}

static void noise_in_the_consumers_page_never_hurts(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	uint64_t random = 88172645463325252u;
	for (int round = 0; round < 50; round++) {
		struct bd_test_client client;
		open_raw(&client, &spec);
		struct bd_shm_cons *cons = map_cons(&client);
		uint8_t *bytes = (uint8_t *)cons;
		for (size_t i = 0; i < sizeof *cons; i++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			bytes[i] = (uint8_t)random;
		}
		bd_wire_ring_doorbell(client.socket);
		munmap(cons, BD_SHM_CONS_BYTES);
		bd_test_client_close(&client);
	}
	bd_test_daemon_wait_idle(batchd);
}

/* A mapping, a size or a descriptor that would allow writing what others read. */
static void expect_read_only(int fd, const char *what)
{
	struct stat status;
	assert_int_equal(fstat(fd, &status), 0);
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
		fail_msg("%s: mapped writable", what);
	void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	if (mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0)
		fail_msg("%s: made writable by mprotect", what);
	munmap(map, 4096);
	if (write(fd, "x", 1) >= 0 || pwrite(fd, "x", 1, 0) >= 0)
		fail_msg("%s: written to", what);
	if (ftruncate(fd, 0) == 0 || ftruncate(fd, status.st_size * 2) == 0 ||
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
		fail_msg("%s: resized", what);
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0)
		fail_msg("%s: sealed by a client", what);
	/* Root and the daemon's own user get past the file's mode; the seal holds all the same. */
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0) {
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED || write(again, "x", 1) >= 0 ||
		    ftruncate(again, 0) == 0)
			fail_msg("%s: written through a descriptor that was opened again", what);
		close(again);
	}
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void what_the_daemon_shares_cannot_be_written(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	struct bd_test_client client;
	open_raw(&client, &spec);
	expect_read_only(client.arena, "arena");
	expect_read_only(client.ctl, "ctl");
	/* the client's own page may be written, not resized: the daemon has it mapped */
	assert_int_not_equal(ftruncate(client.cons, 0), 0);
	assert_int_not_equal(ftruncate(client.cons, 1 << 20), 0);
	struct stat status;
	assert_int_equal(fstat(client.cons, &status), 0);
	assert_int_equal(status.st_size, BD_SHM_CONS_BYTES);
	bd_test_client_close(&client);
}

/* ---- socket ---- */

static void doorbell_flood_leaves_others_served(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	struct bd_test_client flood;
	open_raw(&flood, &spec);
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			bd_wire_ring_doorbell(flood.socket);
	for (int i = 0; i < 20; i++)
		expect_alive();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bd_test_client_close(&flood);
}

static void client_that_never_reads_its_socket_gets_its_batches_all_the_same(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	struct bd_test_client client;
	struct bd_ring_item item;
	open_raw(&client, &spec);
	bd_test_client_map(&client);
	uint64_t end = bd_now_ns() + 20 * BD_NS_PER_S;
	for (uint64_t taken = 0; taken < 200 && bd_now_ns() < end;) {
		int result = bd_ring_view_take(client.view, &item);
		if (result == -EAGAIN) {
			bool sleeps = bd_ring_view_sleep(client.view); /* asks for a doorbell that it will not read */
			(void)sleeps;
			usleep(200);
			bd_ring_view_awake(client.view);
			continue;
		}
		assert_int_equal(result, 0);
		taken++;
		if (bd_ring_view_release(client.view, item.sequence + 1))
			bd_wire_ring_doorbell(client.socket);
	}
	assert_true(bd_now_ns() < end);
	bd_test_client_close(&client);
}

static void connections_that_say_nothing_leave_room_for_others(void **state)
{
	(void)state;
	enum { COUNT = 900 };
	static struct bd_test_client silent[COUNT];
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < COUNT + 100) {
		print_message("skipped: only %llu descriptors\n", (unsigned long long)limit.rlim_cur);
		skip();
	}
	unsigned before = bd_test_daemon_descriptors(batchd);
	for (int i = 0; i < COUNT; i++)
		bd_test_client_connect(batchd, &silent[i]);
	expect_alive();
	for (int i = 0; i < COUNT; i++)
		bd_test_client_close(&silent[i]);
	bd_test_daemon_wait_idle(batchd);
	bd_test_daemon_wait_descriptors(batchd, before);
}

static void daemon_without_descriptors_recovers(void **state)
{
	(void)state;
	struct rlimit few, before;
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, NULL, &before), 0);
	few = (struct rlimit){ .rlim_cur = 80, .rlim_max = before.rlim_max };
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &few, NULL), 0);
	static struct bd_test_client clients[150];
	for (int i = 0; i < 150; i++)
		bd_test_client_connect(batchd, &clients[i]); /* the backlog takes them */
	usleep(300000);
	for (int i = 0; i < 150; i++)
		bd_test_client_close(&clients[i]);
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &before, NULL), 0);
	bd_test_daemon_wait_idle(batchd);
	struct bd_stream_spec spec = make_spec("");
	open_raw(&clients[0], &spec);
	bd_test_client_close(&clients[0]);
}

/* Of the daemon; there may be inherited ones of any number behind it. */
static rlim_t first_free_descriptor(void)
{
	char path[64];
	for (rlim_t number = 0;; number++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)batchd->pid, (unsigned)number);
		struct stat status;
		if (lstat(path, &status) != 0)
			return number;
	}
}

static void stream_without_descriptors_is_refused_and_the_daemon_lives(void **state)
{
	(void)state;
	struct rlimit few, before;
	struct bd_stream_spec spec = make_spec("");
	struct bd_test_client client;
	struct bd_error error;
	assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, NULL, &before), 0);
	int result = 0;
	/* Again where a session of before is closed only now: its descriptors are free below the limit. */
	for (int tries = 0; result == 0 && tries < 100; tries++) {
		bd_test_daemon_wait_idle(batchd);
		bd_test_client_connect(batchd, &client);
		bd_test_client_greet(&client);
		few = (struct rlimit){ .rlim_cur = first_free_descriptor() + 1, .rlim_max = before.rlim_max };
		assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &few, NULL), 0);
		result = bd_test_client_open(&client, "numbers", &spec, &error);
		bd_test_client_close(&client);
		assert_int_equal(prlimit(batchd->pid, RLIMIT_NOFILE, &before, NULL), 0);
	}
	assert_true(result < 0);
	bd_test_daemon_wait_idle(batchd);
	open_raw(&client, &spec);
	bd_test_client_close(&client);
}

static void ten_thousand_reconnects_leak_no_descriptor(void **state)
{
	(void)state;
	struct bd_stream_spec spec = make_spec("");
	bd_test_daemon_wait_idle(batchd);
	unsigned before = bd_test_daemon_descriptors(batchd);
	for (int i = 0; i < 10000; i++) {
		struct bd_test_client client;
		bd_test_client_connect(batchd, &client);
		if (i % 10 == 0) {
			struct bd_error error;
			bd_test_client_greet(&client);
			if (bd_test_client_open(&client, "numbers", &spec, &error) < 0)
				fail_msg("%s", error.text);
		} else if (i % 2) {
			bd_test_client_greet(&client);
		}
		bd_test_client_close(&client);
	}
	bd_test_daemon_wait_idle(batchd);
	bd_test_daemon_wait_descriptors(batchd, before);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_outside_the_contract_drops_its_client_only),
		cmocka_unit_test(cursor_that_goes_backwards_drops_its_client),
		cmocka_unit_test(noise_in_the_consumers_page_never_hurts),
		cmocka_unit_test(what_the_daemon_shares_cannot_be_written),
		cmocka_unit_test(doorbell_flood_leaves_others_served),
		cmocka_unit_test(client_that_never_reads_its_socket_gets_its_batches_all_the_same),
		cmocka_unit_test(connections_that_say_nothing_leave_room_for_others),
		cmocka_unit_test(daemon_without_descriptors_recovers),
		cmocka_unit_test(stream_without_descriptors_is_refused_and_the_daemon_lives),
		cmocka_unit_test(ten_thousand_reconnects_leak_no_descriptor),
	};
	return cmocka_run_group_tests(tests, start_daemon, stop_daemon);
}
