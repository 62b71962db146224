#include "common/stream/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/stream/spec.h"
#include "common/stream/wire.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum slot_state { FREE, FILLING, READY };

struct slot {
	enum slot_state state;
	uint32_t holders; /* consumers that were given it and have not released it */
};

struct bd_ring_consumer {
	struct bd_ring *ring;
	struct bd_ring_consumer *next;
	struct bd_shm_ctl *ctl; /* written here, read by the client */
	struct bd_shm_cons *cons; /* written by the client: each word loaded once, then range-checked */
	struct bd_shm_entry *entries;
	int wake_fd, ctl_fd, cons_fd; /* ctl_fd is open for reading only */
	uint64_t first_epoch, first_batch;
	uint64_t head, released; /* what the client may believe of itself stands in cons; this is what is so */
	uint32_t rung; /* the client's waiting ticket that was answered last */
	bool waits_for_release; /* a ticket of ours stands in ctl->waiting */
	bool broken, detached;
	uint32_t slots[]; /* slot of entry n at n % entry_count */
};

struct bd_ring {
	uint8_t *arena;
	int arena_fd; /* open for reading only */
	uint32_t slot_count, entry_count, array_count;
	uint64_t slot_bytes, arena_bytes, first_sequence;
	pthread_mutex_t mutex;
	/* guarded by mutex */
	struct bd_ring_consumer *consumers;
	uint32_t used, ready, search; /* slots not FREE, slots READY, where the search for a free one begins */
	uint32_t ticket;
	enum bd_shm_state state;
	struct slot slots[];
};

/* ---- sealed memory ---- */

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* A descriptor of the same file that can only read: its own open file, so that the client's rights are not ours. */
static int open_again(int fd, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

static int sized_memfd(const char *name, uint64_t bytes, struct bd_error *error)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return bd_error_set(error, -errno, "shared memory: %s", strerror(errno));
	/* A memfd is born 0666: anybody who gets a read-only descriptor could open it again for writing. */
	int result = fchmod(fd, 0600) < 0 || ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
	/* Pages now, not at the first touch: there a full memory group would be SIGBUS or a kill. */
	if (result == 0 && fallocate(fd, 0, 0, (off_t)bytes) < 0)
		result = errno == ENOSPC ? -ENOMEM : -errno;
	if (result < 0) {
		close(fd);
		return bd_error_set(error, result, "%" PRIu64 " bytes of shared memory: %s; %s", bytes, strerror(-result),
		                    result == -EFBIG ? "the limit of file sizes (ulimit -f, LimitFSIZE=) holds for it too"
		                                     : "fewer 'slots' or a smaller 'batch' need less");
	}
	return fd;
}

/*
 * Makes, maps and seals. *ret_fd is what a client gets: read-only and sealed against later writable maps, or, for the
 * one page that the client may write, writable and sealed in size.
 */
static int make_memory(const char *name, uint64_t bytes, bool client_writes, void **ret_map, int *ret_fd, struct bd_error *error)
{
	int fd = sized_memfd(name, bytes, error);
	if (fd < 0)
		return fd;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		int code = -errno;
		close(fd);
		return bd_error_set(error, code, "mapping %" PRIu64 " bytes of shared memory: %s", bytes, strerror(-code));
	}
	int result = fcntl(fd, F_ADD_SEALS, SIZE_SEALS | (client_writes ? 0 : F_SEAL_FUTURE_WRITE)) < 0 ? -errno : 0;
	int passed = fd;
	if (result == 0 && !client_writes) {
		passed = open_again(fd, O_RDONLY);
		result = passed < 0 ? passed : 0;
		close(fd);
	}
	if (result < 0) {
		if (client_writes || passed == fd)
			close(fd);
		munmap(map, bytes);
		return bd_error_set(error, result, "sealing shared memory: %s", strerror(-result));
	}
	*ret_map = map;
	*ret_fd = passed;
	return 0;
}

/* ---- ring ---- */

static uint32_t power_of_two_from(uint32_t count)
{
	uint32_t power = 1;
	while (power < count)
		power *= 2;
	return power;
}

int bd_ring_create(const struct bd_ring_options *options, struct bd_ring **ret_ring, struct bd_error *error)
{
	uint64_t slot_bytes, arena_bytes;
	if (options->slots < BD_MIN_SLOTS || options->slots > BD_MAX_SLOTS)
		return bd_error_set(error, -EINVAL, "slots: %" PRIu32 " is not between %u and %u", options->slots, BD_MIN_SLOTS,
		                    BD_MAX_SLOTS);
	if (!bd_align_up(options->slot_bytes, 4096, &slot_bytes) || !bd_multiply_u64(slot_bytes, options->slots, &arena_bytes) ||
	    slot_bytes == 0 || arena_bytes > INT64_MAX)
		return bd_error_set(error, -EINVAL, "slots of %" PRIu64 " bytes", options->slot_bytes);
	struct bd_ring *ring = calloc(1, sizeof *ring + options->slots * sizeof ring->slots[0]);
	if (!ring)
		return bd_error_set(error, -ENOMEM, "out of memory");
	void *arena;
	int result = make_memory("batchd-arena", arena_bytes, false, &arena, &ring->arena_fd, error);
	if (result < 0) {
		free(ring);
		return result;
	}
	/* Large pages where the system offers them: fewer faults and TLB misses. A refusal does not matter. */
	(void)madvise(arena, arena_bytes, MADV_HUGEPAGE);
	ring->arena = arena;
	ring->slot_count = options->slots;
	ring->entry_count = power_of_two_from(options->slots);
	ring->array_count = options->array_count;
	ring->slot_bytes = slot_bytes;
	ring->first_sequence = options->first_sequence;
	ring->arena_bytes = arena_bytes;
	ring->state = BD_SHM_RUNNING;
	pthread_mutex_init(&ring->mutex, NULL);
	*ret_ring = ring;
	return 0;
}

void bd_ring_destroy(struct bd_ring *ring)
{
	if (!ring)
		return;
	for (struct bd_ring_consumer *consumer = ring->consumers, *next; consumer; consumer = next) {
		next = consumer->next;
		bd_ring_detach(consumer);
	}
	munmap(ring->arena, ring->arena_bytes);
	close(ring->arena_fd);
	pthread_mutex_destroy(&ring->mutex);
	free(ring);
}

/* ---- slots: all static functions below are called with the mutex held ---- */

static void free_slot(struct bd_ring *ring, uint32_t index)
{
	if (ring->slots[index].state == READY)
		ring->ready--;
	ring->slots[index] = (struct slot){ .state = FREE };
	ring->used--;
}

/* One consumer lets go of its oldest entries up to `released`. */
static uint32_t let_go(struct bd_ring_consumer *consumer, uint64_t released)
{
	struct bd_ring *ring = consumer->ring;
	uint32_t freed = 0;
	for (; consumer->released != released; consumer->released++) {
		uint32_t index = consumer->slots[consumer->released & (ring->entry_count - 1)];
		if (--ring->slots[index].holders == 0) {
			free_slot(ring, index);
			freed++;
		}
	}
	return freed;
}

/* Its session may never ask to be looked at again: what it held is free now, so that the others go on. */
static uint32_t break_off(struct bd_ring_consumer *consumer)
{
	consumer->broken = true;
	return let_go(consumer, consumer->head);
}

static int collect(struct bd_ring_consumer *consumer, uint32_t *ret_freed, struct bd_error *error)
{
	if (consumer->broken)
		return bd_error_set(error, -EPROTO, "the client wrote nonsense into its page before");
	uint64_t released = atomic_load(&consumer->cons->released); /* pairs with bd_ring_view_release */
	uint64_t pending = consumer->head - consumer->released;
	if (released - consumer->released > pending) {
		bd_error_set(error, -EPROTO, "the client released batch %" PRIu64 ", but holds %" PRIu64 " to %" PRIu64, released,
		             consumer->released, consumer->head);
		*ret_freed = break_off(consumer);
		return -EPROTO;
	}
	*ret_freed = let_go(consumer, released);
	return 0;
}

static uint32_t collect_all(struct bd_ring *ring)
{
	uint32_t all = 0;
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		uint32_t freed = 0;
		int broken = collect(consumer, &freed, NULL);
		(void)broken; /* kept in the consumer */
		all += freed;
	}
	return all;
}

/* seq_cst here and in bd_ring_view_release: either we see the release or the client sees that we wait. */
static void ask_for_doorbells(struct bd_ring *ring)
{
	if (++ring->ticket == 0)
		ring->ticket = 1;
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		if (consumer->head == consumer->released)
			continue;
		atomic_store(&consumer->ctl->waiting, ring->ticket);
		consumer->waits_for_release = true;
	}
}

static void waive_doorbells(struct bd_ring *ring)
{
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		if (!consumer->waits_for_release)
			continue;
		atomic_store(&consumer->ctl->waiting, 0);
		consumer->waits_for_release = false;
	}
}

/* All that are left are broken or too slow: decoding for them would keep a core busy for nobody. */
static bool nobody_takes(const struct bd_ring *ring)
{
	for (const struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next)
		if (!consumer->detached && !consumer->broken)
			return false;
	return ring->consumers;
}

static uint32_t find_free(struct bd_ring *ring)
{
	uint32_t index = ring->search;
	while (ring->slots[index].state != FREE)
		index = (index + 1) % ring->slot_count;
	ring->search = (index + 1) % ring->slot_count;
	return index;
}

int bd_ring_reserve(struct bd_ring *ring, struct bd_slot *ret_slot)
{
	pthread_mutex_lock(&ring->mutex);
	if (nobody_takes(ring)) {
		pthread_mutex_unlock(&ring->mutex);
		return -EAGAIN;
	}
	if (ring->used == ring->slot_count && collect_all(ring) == 0) {
		ask_for_doorbells(ring);
		if (collect_all(ring) == 0) {
			pthread_mutex_unlock(&ring->mutex);
			return -EAGAIN;
		}
	}
	waive_doorbells(ring);
	uint32_t index = find_free(ring);
	ring->slots[index].state = FILLING;
	ring->used++;
	pthread_mutex_unlock(&ring->mutex);
	*ret_slot = (struct bd_slot){ .index = index, .data = ring->arena + index * ring->slot_bytes, .bytes = ring->slot_bytes };
	return 0;
}

/* ---- publishing ---- */

/* Returns the socket to ring, or -1. seq_cst here and in bd_ring_view_sleep: either it sees what was stored before, or we see its ticket. */
static int bell_of(struct bd_ring_consumer *consumer)
{
	uint32_t ticket = atomic_load(&consumer->cons->waiting);
	if (ticket == 0 || ticket == consumer->rung)
		return -1;
	consumer->rung = ticket;
	return consumer->wake_fd;
}

static void ring_bell(struct bd_ring_consumer *consumer)
{
	int socket = bell_of(consumer);
	if (socket >= 0)
		bd_wire_ring_doorbell(socket);
}

static bool takes(const struct bd_ring_consumer *consumer, const struct bd_ring_batch *batch)
{
	if (consumer->detached || consumer->broken)
		return false;
	return batch->epoch > consumer->first_epoch ||
	       (batch->epoch == consumer->first_epoch && batch->batch >= consumer->first_batch);
}

static void append(struct bd_ring_consumer *consumer, uint32_t index, const struct bd_ring_batch *batch, uint64_t now_ns)
{
	struct bd_ring *ring = consumer->ring;
	uint64_t at = consumer->head & (ring->entry_count - 1);
	consumer->entries[at] = (struct bd_shm_entry){
		.sequence = consumer->head,
		.epoch = batch->epoch,
		.batch = batch->batch,
		.next_epoch = batch->next_epoch,
		.next_batch = batch->next_batch,
		.offset = index * ring->slot_bytes,
		.length = batch->length,
		.published_ns = now_ns,
		.slot = index,
		.rows = batch->rows,
	};
	consumer->slots[at] = index;
	consumer->head++;
	ring->slots[index].holders++;
	atomic_store(&consumer->ctl->head, consumer->head); /* pairs with bd_ring_view_take */
	ring_bell(consumer);
}

uint32_t bd_ring_publish(struct bd_ring *ring, const struct bd_slot *slot, const struct bd_ring_batch *batch)
{
	uint32_t consumers = 0;
	pthread_mutex_lock(&ring->mutex);
	uint64_t now_ns = bd_now_ns();
	ring->slots[slot->index].state = READY;
	ring->ready++;
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		if (!takes(consumer, batch))
			continue;
		append(consumer, slot->index, batch, now_ns);
		consumers++;
	}
	if (consumers == 0)
		free_slot(ring, slot->index);
	pthread_mutex_unlock(&ring->mutex);
	return consumers;
}

void bd_ring_end(struct bd_ring *ring, enum bd_shm_state state)
{
	pthread_mutex_lock(&ring->mutex);
	ring->state = state;
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		if (consumer->detached)
			continue;
		atomic_store(&consumer->ctl->state, state); /* pairs with bd_ring_view_take */
		ring_bell(consumer);
	}
	pthread_mutex_unlock(&ring->mutex);
}

void bd_ring_fill(struct bd_ring *ring, uint32_t *ret_used, uint32_t *ret_ready)
{
	pthread_mutex_lock(&ring->mutex);
	*ret_used = ring->used;
	*ret_ready = ring->ready;
	pthread_mutex_unlock(&ring->mutex);
}

uint32_t bd_ring_untaken(struct bd_ring *ring)
{
	uint64_t most = 0;
	pthread_mutex_lock(&ring->mutex);
	for (struct bd_ring_consumer *consumer = ring->consumers; consumer; consumer = consumer->next) {
		uint64_t untaken = consumer->head - atomic_load(&consumer->cons->taken); /* pairs with bd_ring_view_take */
		if (!consumer->detached && untaken <= consumer->head - consumer->released)
			most = bd_max_u64(most, untaken);
	}
	pthread_mutex_unlock(&ring->mutex);
	return (uint32_t)most;
}

/* ---- consumers ---- */

static uint64_t ctl_bytes_of(const struct bd_ring *ring)
{
	return BD_SHM_ENTRIES_OFFSET + (uint64_t)ring->entry_count * sizeof(struct bd_shm_entry);
}

static void describe(struct bd_ring_consumer *consumer)
{
	struct bd_ring *ring = consumer->ring;
	struct bd_shm_ctl *ctl = consumer->ctl;
	ctl->version = BD_SHM_VERSION;
	ctl->entry_count = ring->entry_count;
	ctl->entry_bytes = sizeof(struct bd_shm_entry);
	ctl->slot_count = ring->slot_count;
	ctl->array_count = ring->array_count;
	ctl->slot_bytes = ring->slot_bytes;
	ctl->arena_bytes = ring->arena_bytes;
	ctl->first = consumer->head = consumer->released = ring->first_sequence;
	atomic_store(&ctl->head, ring->first_sequence);
	atomic_store(&consumer->cons->released, ring->first_sequence);
	atomic_store(&consumer->cons->taken, ring->first_sequence);
	atomic_store(&ctl->state, ring->state);
	atomic_store_explicit(&ctl->magic, BD_SHM_MAGIC, memory_order_release); /* pairs with bd_ring_view_open_take */
}

static int make_pages(struct bd_ring_consumer *consumer, struct bd_error *error)
{
	void *ctl, *cons;
	int result = make_memory("batchd-ctl", ctl_bytes_of(consumer->ring), false, &ctl, &consumer->ctl_fd, error);
	if (result < 0)
		return result;
	result = make_memory("batchd-cons", BD_SHM_CONS_BYTES, true, &cons, &consumer->cons_fd, error);
	if (result < 0) {
		munmap(ctl, ctl_bytes_of(consumer->ring));
		close(consumer->ctl_fd);
		return result;
	}
	consumer->ctl = ctl;
	consumer->cons = cons;
	consumer->entries = (struct bd_shm_entry *)((uint8_t *)ctl + BD_SHM_ENTRIES_OFFSET);
	return 0;
}

int bd_ring_attach(struct bd_ring *ring, int wake_fd, uint64_t first_epoch, uint64_t first_batch,
                   struct bd_ring_consumer **ret_consumer, struct bd_ring_files *ret_files, struct bd_error *error)
{
	struct bd_ring_consumer *consumer = calloc(1, sizeof *consumer + ring->entry_count * sizeof consumer->slots[0]);
	if (!consumer)
		return bd_error_set(error, -ENOMEM, "out of memory");
	consumer->ring = ring;
	consumer->wake_fd = wake_fd;
	consumer->first_epoch = first_epoch;
	consumer->first_batch = first_batch;
	int result = make_pages(consumer, error);
	if (result < 0) {
		free(consumer);
		return result;
	}
	pthread_mutex_lock(&ring->mutex);
	describe(consumer);
	consumer->next = ring->consumers;
	ring->consumers = consumer;
	pthread_mutex_unlock(&ring->mutex);
	*ret_consumer = consumer;
	*ret_files = (struct bd_ring_files){ .arena = ring->arena_fd, .ctl = consumer->ctl_fd, .cons = consumer->cons_fd };
	return 0;
}

int bd_ring_collect(struct bd_ring_consumer *consumer, uint32_t *ret_freed, struct bd_error *error)
{
	uint32_t freed = 0;
	pthread_mutex_lock(&consumer->ring->mutex);
	int result = collect(consumer, &freed, error);
	pthread_mutex_unlock(&consumer->ring->mutex);
	if (result == 0 && ret_freed)
		*ret_freed = freed;
	return result;
}

uint32_t bd_ring_collect_all(struct bd_ring *ring)
{
	pthread_mutex_lock(&ring->mutex);
	uint32_t freed = collect_all(ring);
	pthread_mutex_unlock(&ring->mutex);
	return freed;
}

/* Everything from entry `taken` on leaves this consumer; what is before stays held. */
static uint32_t drop_untaken(struct bd_ring_consumer *consumer, uint64_t taken)
{
	struct bd_ring *ring = consumer->ring;
	uint32_t freed = 0;
	while (consumer->head != taken) {
		consumer->head--;
		uint32_t index = consumer->slots[consumer->head & (ring->entry_count - 1)];
		if (--ring->slots[index].holders == 0) {
			free_slot(ring, index);
			freed++;
		}
	}
	return freed;
}

uint32_t bd_ring_detach_slow(struct bd_ring_consumer *consumer)
{
	struct bd_ring *ring = consumer->ring;
	uint32_t freed = 0;
	pthread_mutex_lock(&ring->mutex);
	if (!consumer->detached) {
		consumer->detached = true;
		/* seq_cst: either the client's take is seen here, or the client sees DETACHED before it reads. Pairs with bd_ring_view_take. */
		atomic_store(&consumer->ctl->state, BD_SHM_DETACHED);
		uint64_t taken = atomic_load(&consumer->cons->taken);
		if (collect(consumer, &freed, NULL) == 0 && taken - consumer->released <= consumer->head - consumer->released)
			freed += drop_untaken(consumer, taken);
		else
			freed += break_off(consumer);
		ring_bell(consumer);
	}
	pthread_mutex_unlock(&ring->mutex);
	return freed;
}

uint32_t bd_ring_detach(struct bd_ring_consumer *consumer)
{
	if (!consumer)
		return 0;
	struct bd_ring *ring = consumer->ring;
	pthread_mutex_lock(&ring->mutex);
	struct bd_ring_consumer **link = &ring->consumers;
	while (*link != consumer)
		link = &(*link)->next;
	*link = consumer->next;
	uint32_t freed = let_go(consumer, consumer->head);
	pthread_mutex_unlock(&ring->mutex);
	munmap(consumer->ctl, ctl_bytes_of(ring));
	munmap(consumer->cons, BD_SHM_CONS_BYTES);
	close(consumer->ctl_fd);
	close(consumer->cons_fd);
	free(consumer);
	return freed;
}

void bd_ring_consumer_held(struct bd_ring_consumer *consumer, uint32_t *ret_held, uint32_t *ret_held_alone)
{
	struct bd_ring *ring = consumer->ring;
	uint32_t alone = 0;
	pthread_mutex_lock(&ring->mutex);
	for (uint64_t n = consumer->released; n != consumer->head; n++)
		alone += ring->slots[consumer->slots[n & (ring->entry_count - 1)]].holders == 1;
	*ret_held = (uint32_t)(consumer->head - consumer->released);
	*ret_held_alone = alone;
	pthread_mutex_unlock(&ring->mutex);
}

uint64_t bd_ring_consumer_released(struct bd_ring_consumer *consumer)
{
	pthread_mutex_lock(&consumer->ring->mutex);
	uint64_t released = consumer->released - consumer->ring->first_sequence;
	pthread_mutex_unlock(&consumer->ring->mutex);
	return released;
}
