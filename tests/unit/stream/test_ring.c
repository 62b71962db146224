#include "common/stream/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/stream/wire.h"
#include "tests/unit/test.h"

/* One ring, up to three consumers with their socketpairs and views: both sides in one process. */
struct both {
	struct bd_ring *ring;
	struct bd_ring_consumer *consumers[3];
	struct bd_ring_files files[3];
	struct bd_ring_view *views[3];
	int sockets[3][2]; /* [0] the daemon's, [1] the client's */
	unsigned count;
};

static void attach(struct both *both, uint64_t epoch, uint64_t batch)
{
	unsigned i = both->count++;
	struct bd_error error = { .code = 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both->sockets[i]), 0);
	assert_int_equal(
		bd_ring_attach(both->ring, both->sockets[i][0], epoch, batch, &both->consumers[i], &both->files[i], &error), 0);
	if (bd_ring_view_open_take(dup(both->files[i].arena), dup(both->files[i].ctl), dup(both->files[i].cons), &both->views[i],
	                           &error) < 0)
		fail_msg("%s", error.text);
}

static void set_up_at(struct both *both, uint32_t slots, unsigned consumers, uint64_t first_sequence)
{
	struct bd_ring_options options = {
		.slots = slots, .slot_bytes = 10000, .array_count = 1, .first_sequence = first_sequence
	};
	struct bd_error error = { .code = 0 };
	memset(both, 0, sizeof *both);
	assert_int_equal(bd_ring_create(&options, &both->ring, &error), 0);
	for (unsigned i = 0; i < consumers; i++)
		attach(both, 0, 0);
}

static void set_up(struct both *both, uint32_t slots, unsigned consumers)
{
	set_up_at(both, slots, consumers, 0);
}

static void tear_down(struct both *both)
{
	for (unsigned i = 0; i < both->count; i++) {
		bd_ring_view_close(both->views[i]);
		bd_ring_detach(both->consumers[i]);
		close(both->sockets[i][0]);
		close(both->sockets[i][1]);
	}
	bd_ring_destroy(both->ring);
}

/* A batch whose one array holds its number 16 times. */
static uint64_t fill(uint8_t *slot, int64_t number)
{
	struct bd_shm_batch *header = (struct bd_shm_batch *)slot;
	struct bd_shm_array *array = (struct bd_shm_array *)(header + 1);
	*header = (struct bd_shm_batch){ .array_count = 1, .rows = 1, .records_offset = 128 };
	*array = (struct bd_shm_array){ .offset = 192, .bytes = 128, .shape = { 1, 16 } };
	*(uint64_t *)(slot + 128) = (uint64_t)number;
	for (int i = 0; i < 16; i++)
		((int64_t *)(slot + 192))[i] = number;
	return 320;
}

static int publish(struct both *both, uint64_t number)
{
	struct bd_slot slot;
	int result = bd_ring_reserve(both->ring, &slot);
	if (result < 0)
		return result;
	struct bd_ring_batch batch = {
		.epoch = 0, .batch = number, .next_batch = number + 1, .length = fill(slot.data, (int64_t)number), .rows = 1
	};
	return (int)bd_ring_publish(both->ring, &slot, &batch);
}

static void assert_item(const struct bd_ring_item *item, uint64_t number)
{
	struct bd_ring_array array;
	const uint64_t *records;
	uint32_t arrays;
	assert_int_equal(item->batch, number);
	assert_int_equal(bd_ring_item_records(item, &arrays, &records), 0);
	assert_int_equal(arrays, 1);
	assert_int_equal(records[0], number);
	assert_int_equal(bd_ring_item_array(item, 0, &array), 0);
	assert_int_equal(array.bytes, 128);
	assert_int_equal(array.shape[1], 16);
	for (int i = 0; i < 16; i++)
		assert_int_equal(((const int64_t *)array.data)[i], number);
	assert_int_equal(bd_ring_item_array(item, 77, &array), -EPROTO);
}

static void take(struct both *both, unsigned consumer, uint64_t number)
{
	struct bd_ring_item item;
	assert_int_equal(bd_ring_view_take(both->views[consumer], &item), 0);
	assert_item(&item, number);
}

static bool doorbell_waits(struct both *both, unsigned consumer, int side)
{
	struct pollfd poll_socket = { .fd = both->sockets[consumer][side], .events = POLLIN };
	return poll(&poll_socket, 1, 0) == 1;
}

/* ---- the way of a batch ---- */

static void batches_arrive_and_a_full_ring_pushes_back(void **state)
{
	(void)state;
	struct both both;
	struct bd_ring_item item;
	uint32_t used, ready;
	set_up(&both, 3, 1);
	assert_int_equal(bd_ring_view_take(both.views[0], &item), -EAGAIN);
	for (uint64_t n = 0; n < 3; n++)
		assert_int_equal(publish(&both, n), 1);
	assert_int_equal(publish(&both, 3), -EAGAIN);
	bd_ring_fill(both.ring, &used, &ready);
	assert_int_equal(used, 3);
	assert_int_equal(ready, 3);
	take(&both, 0, 0);
	/* The daemon waits now: the release asks for one doorbell, the next does not. */
	assert_true(bd_ring_view_release(both.views[0], 1));
	take(&both, 0, 1);
	assert_false(bd_ring_view_release(both.views[0], 2));
	assert_int_equal(publish(&both, 3), 1);
	assert_int_equal(publish(&both, 4), 1);
	assert_int_equal(publish(&both, 5), -EAGAIN);
	for (uint64_t n = 2; n < 5; n++)
		take(&both, 0, n);
	bd_ring_end(both.ring, BD_SHM_ENDED);
	assert_int_equal(bd_ring_view_take(both.views[0], &item), -ENODATA);
	tear_down(&both);
}

static void a_sleeping_client_is_rung_once(void **state)
{
	(void)state;
	struct both both;
	set_up(&both, 4, 1);
	assert_int_equal(publish(&both, 0), 1);
	assert_false(doorbell_waits(&both, 0, 1));
	assert_false(bd_ring_view_sleep(both.views[0]));
	take(&both, 0, 0);
	assert_true(bd_ring_view_sleep(both.views[0]));
	assert_int_equal(publish(&both, 1), 1);
	assert_int_equal(publish(&both, 2), 1);
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	struct bd_packet packet;
	assert_int_equal(bd_wire_receive(both.sockets[0][1], BD_WIRE_DAEMON, BD_WIRE_STREAMING, buffer, false, &packet, NULL), 0);
	assert_int_equal(packet.type, BATCHD__TYPE__TYPE_DOORBELL);
	assert_false(doorbell_waits(&both, 0, 1));
	tear_down(&both);
}

static void a_client_that_never_reads_its_socket_blocks_nobody(void **state)
{
	(void)state;
	struct both both;
	struct bd_ring_item item;
	set_up(&both, 2, 1);
	for (uint64_t n = 0; n < 5000; n++) {
		assert_true(bd_ring_view_sleep(both.views[0]));
		assert_int_equal(publish(&both, n), 1);
		assert_int_equal(bd_ring_view_take(both.views[0], &item), 0);
		(void)!bd_ring_view_release(both.views[0], n + 1);
	}
	tear_down(&both);
}

static void a_slot_is_free_when_the_last_holder_let_go(void **state)
{
	(void)state;
	struct both both;
	uint32_t held, alone, freed;
	set_up(&both, 2, 3);
	assert_int_equal(publish(&both, 0), 3);
	assert_int_equal(publish(&both, 1), 3);
	for (unsigned i = 0; i < 3; i++)
		take(&both, i, 0);
	(void)!bd_ring_view_release(both.views[0], 1);
	(void)!bd_ring_view_release(both.views[1], 1);
	assert_int_equal(publish(&both, 2), -EAGAIN);
	bd_ring_consumer_held(both.consumers[2], &held, &alone);
	assert_int_equal(held, 2);
	assert_int_equal(alone, 1);
	assert_true(bd_ring_view_release(both.views[2], 1));
	assert_int_equal(bd_ring_collect(both.consumers[2], &freed, NULL), 0);
	assert_int_equal(freed, 1);
	assert_int_equal(publish(&both, 2), 3);
	/* One that dies frees what it held. */
	take(&both, 0, 1);
	take(&both, 1, 1);
	(void)!bd_ring_view_release(both.views[0], 2);
	(void)!bd_ring_view_release(both.views[1], 2);
	assert_int_equal(publish(&both, 3), -EAGAIN);
	assert_int_equal(bd_ring_detach(both.consumers[2]), 1);
	both.consumers[2] = NULL;
	assert_int_equal(publish(&both, 3), 2);
	tear_down(&both);
}

static void a_consumer_gets_batches_from_its_own_start(void **state)
{
	(void)state;
	struct both both;
	set_up(&both, 4, 1);
	attach(&both, 0, 2);
	assert_int_equal(publish(&both, 0), 1);
	assert_int_equal(publish(&both, 1), 1);
	assert_int_equal(publish(&both, 2), 2);
	take(&both, 1, 2);
	take(&both, 0, 0);
	tear_down(&both);
}

static void without_consumers_a_slot_is_free_again(void **state)
{
	(void)state;
	struct both both;
	uint32_t used, ready;
	set_up(&both, 2, 0);
	for (uint64_t n = 0; n < 10; n++)
		assert_int_equal(publish(&both, n), 0);
	bd_ring_fill(both.ring, &used, &ready);
	assert_int_equal(used, 0);
	assert_int_equal(ready, 0);
	tear_down(&both);
}

static void a_slow_consumer_keeps_what_it_took(void **state)
{
	(void)state;
	struct both both;
	struct bd_ring_item item, more;
	set_up(&both, 3, 2);
	for (uint64_t n = 0; n < 3; n++)
		assert_int_equal(publish(&both, n), 2);
	assert_int_equal(bd_ring_view_take(both.views[0], &item), 0);
	for (uint64_t n = 0; n < 3; n++)
		take(&both, 1, n);
	(void)!bd_ring_view_release(both.views[1], 3);
	assert_int_equal(publish(&both, 3), -EAGAIN);
	assert_int_equal(bd_ring_detach_slow(both.consumers[0]), 2);
	assert_int_equal(bd_ring_view_take(both.views[0], &more), -ESTALE);
	assert_int_equal(publish(&both, 3), 1);
	assert_int_equal(publish(&both, 4), 1);
	assert_int_equal(publish(&both, 5), -EAGAIN);
	assert_item(&item, 0);
	/* Its release frees the slot that it held. */
	(void)!bd_ring_view_release(both.views[0], 1);
	assert_int_equal(publish(&both, 5), 1);
	tear_down(&both);
}

/* ---- hostile clients ---- */

static struct bd_shm_cons *map_cons(struct both *both)
{
	struct bd_shm_cons *cons = mmap(NULL, BD_SHM_CONS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, both->files[0].cons, 0);
	assert_ptr_not_equal(cons, MAP_FAILED);
	return cons;
}

static void nonsense_in_the_clients_page_breaks_only_that_client(void **state)
{
	(void)state;
	const uint64_t wrong[] = { 4, 5, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, 0 /* backwards */ };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct both both;
		struct bd_error error;
		uint32_t freed;
		set_up(&both, 4, 2);
		struct bd_shm_cons *cons = map_cons(&both);
		for (uint64_t n = 0; n < 3; n++)
			assert_int_equal(publish(&both, n), 2);
		atomic_store(&cons->released, 1);
		assert_int_equal(bd_ring_collect(both.consumers[0], &freed, &error), 0);
		atomic_store(&cons->released, wrong[i]);
		assert_int_equal(bd_ring_collect(both.consumers[0], &freed, &error), -EPROTO);
		assert_int_equal(bd_ring_collect(both.consumers[1], &freed, &error), 0);
		/* Repairing it helps no more. */
		atomic_store(&cons->released, 1);
		assert_int_equal(bd_ring_collect(both.consumers[0], &freed, &error), -EPROTO);
		munmap(cons, BD_SHM_CONS_BYTES);
		/* The other goes on at once, whether or not the broken one is ever dropped. */
		(void)!bd_ring_view_release(both.views[1], 3);
		assert_int_equal(bd_ring_collect(both.consumers[1], &freed, &error), 0);
		assert_int_equal(freed, 3);
		for (uint64_t n = 3; n < 7; n++)
			assert_int_equal(publish(&both, n), 1);
		assert_int_equal(bd_ring_detach(both.consumers[0]), 0);
		both.consumers[0] = NULL;
		tear_down(&both);
	}
}

static void nothing_is_filled_for_broken_and_detached_consumers_alone(void **state)
{
	(void)state;
	struct both both;
	struct bd_slot slot;
	set_up(&both, 4, 2);
	struct bd_shm_cons *cons = map_cons(&both);
	atomic_store(&cons->released, 9);
	bd_ring_collect_all(both.ring);
	assert_int_equal(publish(&both, 0), 1);
	bd_ring_detach_slow(both.consumers[1]);
	assert_int_equal(bd_ring_reserve(both.ring, &slot), -EAGAIN);
	munmap(cons, BD_SHM_CONS_BYTES);
	tear_down(&both);
}

static void untaken_batches_are_those_that_no_one_has_looked_at(void **state)
{
	(void)state;
	struct both both;
	struct bd_ring_item item;
	set_up(&both, 4, 2);
	struct bd_shm_cons *cons = map_cons(&both);
	assert_int_equal(bd_ring_untaken(both.ring), 0);
	assert_int_equal(publish(&both, 0), 2);
	assert_int_equal(publish(&both, 1), 2);
	assert_int_equal(bd_ring_untaken(both.ring), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(bd_ring_view_take(both.views[0], &item), 0);
	assert_int_equal(bd_ring_view_take(both.views[1], &item), 0);
	/* Held, not waited for; the other consumer is one behind. */
	assert_int_equal(bd_ring_untaken(both.ring), 1);
	assert_int_equal(bd_ring_view_take(both.views[1], &item), 0);
	assert_int_equal(bd_ring_untaken(both.ring), 0);
	atomic_store(&cons->taken, UINT64_MAX / 2);
	assert_int_equal(bd_ring_untaken(both.ring), 0);
	munmap(cons, BD_SHM_CONS_BYTES);
	tear_down(&both);
}

static void a_slow_client_that_lies_about_taken_is_broken(void **state)
{
	(void)state;
	struct both both;
	set_up(&both, 4, 1);
	struct bd_shm_cons *cons = map_cons(&both);
	assert_int_equal(publish(&both, 0), 1);
	atomic_store(&cons->taken, 77);
	bd_ring_detach_slow(both.consumers[0]);
	assert_int_equal(bd_ring_collect(both.consumers[0], NULL, NULL), -EPROTO);
	munmap(cons, BD_SHM_CONS_BYTES);
	tear_down(&both);
}

static void what_a_client_gets_cannot_be_written(void **state)
{
	(void)state;
	struct both both;
	set_up(&both, 4, 1);
	const int read_only[] = { both.files[0].arena, both.files[0].ctl };
	for (size_t i = 0; i < 2; i++) {
		int fd = read_only[i];
		char path[64];
		struct stat status;
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_mode & 0777, 0600);
		assert_int_equal(pwrite(fd, "x", 1, 0), -1);
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
		void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(map, MAP_FAILED);
		assert_int_equal(mprotect(map, 4096, PROT_READ | PROT_WRITE), -1);
		munmap(map, 4096);
		/* The file's owner can open it anew for writing, and still not write: the seals are the file's. */
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		int again = open(path, O_RDWR | O_CLOEXEC);
		if (again >= 0) {
			assert_int_equal(pwrite(again, "x", 1, 0), -1);
			assert_int_equal(ftruncate(again, 0), -1);
			assert_int_equal(ftruncate(again, 1 << 30), -1);
			assert_int_equal(fallocate(again, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
			assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
			assert_int_equal(fcntl(again, F_ADD_SEALS, F_SEAL_WRITE), -1);
			close(again);
		}
	}
	assert_int_equal(ftruncate(both.files[0].cons, 0), -1);
	assert_int_equal(ftruncate(both.files[0].cons, 1 << 20), -1);
	tear_down(&both);
}

static void a_punched_page_is_a_cursor_that_went_backwards(void **state)
{
	(void)state;
	struct both both;
	struct bd_error error;
	uint32_t freed;
	set_up(&both, 4, 1);
	assert_int_equal(publish(&both, 0), 1);
	take(&both, 0, 0);
	(void)!bd_ring_view_release(both.views[0], 1);
	assert_int_equal(bd_ring_collect(both.consumers[0], &freed, &error), 0);
	assert_int_equal(fallocate(both.files[0].cons, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BD_SHM_CONS_BYTES), 0);
	assert_int_equal(bd_ring_collect(both.consumers[0], &freed, &error), -EPROTO);
	tear_down(&both);
}

/* ---- the wrap ---- */

static void cursors_near_2_to_the_64_go_on_over_the_wrap(void **state)
{
	(void)state;
	for (uint64_t before = 0; before < 9; before++) {
		struct both both;
		struct bd_shm_cons *cons;
		set_up_at(&both, 3, 2, UINT64_MAX - before);
		for (uint64_t n = 0; n < 20; n++) {
			assert_int_equal(publish(&both, n), 2);
			for (unsigned i = 0; i < 2; i++) {
				take(&both, i, n);
				(void)!bd_ring_view_release(both.views[i], n + 1);
			}
		}
		cons = map_cons(&both);
		assert_int_equal(bd_ring_collect(both.consumers[0], NULL, NULL), 0);
		atomic_store(&cons->released, UINT64_MAX - before + 19);
		assert_int_equal(bd_ring_collect(both.consumers[0], NULL, NULL), -EPROTO);
		munmap(cons, BD_SHM_CONS_BYTES);
		tear_down(&both);
	}
}

/* ---- both sides at once ---- */

#define RACE_BATCHES 20000

struct racer {
	struct both *both;
	unsigned consumer;
	uint64_t sleeps, got;
	atomic_bool *failed;
};

static bool wait_socket(int socket)
{
	struct pollfd poll_socket = { .fd = socket, .events = POLLIN };
	uint8_t buffer[BD_WIRE_MAX_BYTES];
	if (poll(&poll_socket, 1, 20000) != 1)
		return false;
	return recv(socket, buffer, sizeof buffer, 0) > 0;
}

static void *consume(void *argument)
{
	struct racer *racer = argument;
	struct bd_ring_view *view = racer->both->views[racer->consumer];
	int socket = racer->both->sockets[racer->consumer][1];
	for (;;) {
		struct bd_ring_item item;
		int result = bd_ring_view_take(view, &item);
		if (result == -ENODATA)
			return NULL;
		if (result == -EAGAIN) {
			if (!bd_ring_view_sleep(view))
				continue;
			racer->sleeps++;
			if (!wait_socket(socket))
				break;
			bd_ring_view_awake(view);
			continue;
		}
		if (result < 0 || item.batch != racer->got)
			break;
		const int64_t *data = (const int64_t *)(item.data + 192);
		if (data[0] != (int64_t)racer->got || data[15] != (int64_t)racer->got)
			break;
		racer->got++;
		if (bd_ring_view_release(view, racer->got))
			bd_wire_ring_doorbell(socket);
	}
	atomic_store(racer->failed, true);
	return NULL;
}

static void publish_all(struct both *both, unsigned consumers, atomic_bool *failed)
{
	for (uint64_t n = 0; n < RACE_BATCHES && !atomic_load(failed);) {
		if (publish(both, n) >= 0) {
			n++;
			continue;
		}
		struct pollfd sockets[3];
		for (unsigned i = 0; i < consumers; i++)
			sockets[i] = (struct pollfd){ .fd = both->sockets[i][0], .events = POLLIN };
		if (poll(sockets, consumers, 20000) <= 0) {
			atomic_store(failed, true);
			break;
		}
		for (unsigned i = 0; i < consumers; i++) {
			uint8_t packet[64];
			if (sockets[i].revents && recv(both->sockets[i][0], packet, sizeof packet, 0) > 0 &&
			    bd_ring_collect(both->consumers[i], NULL, NULL) < 0)
				atomic_store(failed, true);
		}
	}
	bd_ring_end(both->ring, BD_SHM_ENDED);
}

/* Loses a wake-up: hangs, and the poll's limit fails it. Reads a slot too early: a wrong number, or a race that TSan reports. */
static void both_sides_race_without_losing_a_wake_up(void **state)
{
	(void)state;
	for (unsigned consumers = 1; consumers <= 3; consumers++) {
		struct both both;
		struct racer racers[3];
		pthread_t threads[3];
		atomic_bool failed = false;
		set_up(&both, 2 + consumers % 3, consumers);
		for (unsigned i = 0; i < consumers; i++) {
			racers[i] = (struct racer){ .both = &both, .consumer = i, .failed = &failed };
			assert_int_equal(pthread_create(&threads[i], NULL, consume, &racers[i]), 0);
		}
		publish_all(&both, consumers, &failed);
		for (unsigned i = 0; i < consumers; i++) {
			pthread_join(threads[i], NULL);
			assert_int_equal(racers[i].got, RACE_BATCHES);
		}
		assert_false(atomic_load(&failed));
		tear_down(&both);
	}
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	struct bd_ring *ring;
	struct bd_error error;
	struct bd_ring_options options = { .slots = 1, .slot_bytes = 4096, .array_count = 1 };
	assert_int_equal(bd_ring_create(&options, &ring, &error), -EINVAL);
	options.slots = 4;
	options.slot_bytes = UINT64_MAX - 5000;
	assert_int_equal(bd_ring_create(&options, &ring, &error), -EINVAL);
	options.slot_bytes = 0;
	assert_int_equal(bd_ring_create(&options, &ring, &error), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batches_arrive_and_a_full_ring_pushes_back),
		cmocka_unit_test(a_sleeping_client_is_rung_once),
		cmocka_unit_test(a_client_that_never_reads_its_socket_blocks_nobody),
		cmocka_unit_test(a_slot_is_free_when_the_last_holder_let_go),
		cmocka_unit_test(a_consumer_gets_batches_from_its_own_start),
		cmocka_unit_test(without_consumers_a_slot_is_free_again),
		cmocka_unit_test(a_slow_consumer_keeps_what_it_took),
		cmocka_unit_test(nonsense_in_the_clients_page_breaks_only_that_client),
		cmocka_unit_test(a_slow_client_that_lies_about_taken_is_broken),
		cmocka_unit_test(nothing_is_filled_for_broken_and_detached_consumers_alone),
		cmocka_unit_test(untaken_batches_are_those_that_no_one_has_looked_at),
		cmocka_unit_test(what_a_client_gets_cannot_be_written),
		cmocka_unit_test(a_punched_page_is_a_cursor_that_went_backwards),
		cmocka_unit_test(cursors_near_2_to_the_64_go_on_over_the_wrap),
		cmocka_unit_test(both_sides_race_without_losing_a_wake_up),
		cmocka_unit_test(impossible_sizes_are_refused),
	};
	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
