/*
 * ring.h - fixed-slot ring of finished batches in sealed memfds.
 *
 * Why: a trainer reads a decoded batch with no copy and no system call, and several trainers read the same pages. A slow
 * or hostile one can neither write what others read nor make the daemon fault.
 * Layout and order of stores: proto/shm_layout.h.
 *
 * States of a slot: FREE -> FILLING -> READY -> FREE. Reserve and publish make the first two moves; the last comes when every
 * consumer that was attached at publication has released it or was detached. Several slots may be FILLING; they are
 * published in the order in which the caller publishes. What state a slot is in, who holds it and which entries are in flight is the daemon's
 * private memory: nothing there is read back from what a client can write.
 * States of a consumer: RUNNING -> ENDED | FAILED | DETACHED.
 *
 * Threads: the daemon's side (bd_ring_*) may be called from any thread; one mutex inside, held for the bookkeeping of one batch.
 * The client's side (bd_ring_view_*) belongs to one thread.
 */
#ifndef BD_STREAM_RING_H
#define BD_STREAM_RING_H

#include <batchd/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/shm_layout.h"

/* ---- the daemon's side ---- */

struct bd_ring;
struct bd_ring_consumer;

struct bd_ring_options {
	uint32_t slots; /* BD_MIN_SLOTS to BD_MAX_SLOTS */
	uint64_t slot_bytes; /* rounded up to pages */
	uint32_t array_count; /* of every batch */
	uint64_t first_sequence; /* of the entries; 0, or near 2^64 in tests */
};

/*
 * Makes the arena, allocates all of its pages now (a full /dev/shm or memory group is one clear error here, never a SIGBUS
 * later), maps it and seals it. 0, -ENOMEM, -EINVAL, -EMFILE.
 */
BD_MUST_CHECK int bd_ring_create(const struct bd_ring_options *options, struct bd_ring **ret_ring, struct bd_error *error);

/* Detaches the consumers that are left. NULL is allowed. No other thread may be inside. */
void bd_ring_destroy(struct bd_ring *ring);

/* A slot being filled. */
struct bd_slot {
	uint32_t index;
	uint8_t *data; /* page-aligned, read/write */
	uint64_t bytes;
};

/*
 * The next free slot; never blocks. Looks at the consumers' released cursors only when no slot is free.
 * 0; -EAGAIN: back-pressure: the consumers that block it will send a DOORBELL, call bd_ring_collect then and reserve again; or all
 * consumers that are left are broken or detached as too slow: reserve again when another attaches.
 * *ret_slot is borrowed until it is published, or the ring destroyed.
 */
BD_MUST_CHECK int bd_ring_reserve(struct bd_ring *ring, struct bd_slot *ret_slot);

/* What is written about a batch. */
struct bd_ring_batch {
	uint64_t epoch, batch, next_epoch, next_batch;
	uint64_t length; /* bytes used of the slot, header included */
	uint32_t rows;
};

/*
 * Hands the slot to every attached consumer whose first batch has come (bd_ring_attach) and rings those that wait. With no consumer
 * attached the slot is free again at once. Returns how many consumers got it.
 */
uint32_t bd_ring_publish(struct bd_ring *ring, const struct bd_slot *slot, const struct bd_ring_batch *batch);

/* After the last publish: BD_SHM_ENDED or BD_SHM_FAILED for all consumers, present and future; rings those that wait. */
void bd_ring_end(struct bd_ring *ring, enum bd_shm_state state);

/* Slots that are not FREE, and those that are READY. */
void bd_ring_fill(struct bd_ring *ring, uint32_t *ret_used, uint32_t *ret_ready);

/*
 * The most batches that any one consumer has not looked at yet; 0: all of them wait for the next. For figures only: it rests on what the
 * clients say of themselves, and nonsense counts as 0.
 */
uint32_t bd_ring_untaken(struct bd_ring *ring);

/* ---- consumers ---- */

struct bd_ring_files {
	int arena, ctl, cons; /* to pass; owned by the ring, valid until detach */
};

/*
 * wake_fd: the session's socket, borrowed until detach; DOORBELL packets go there with MSG_DONTWAIT. The consumer gets
 * every batch published from now on whose position is first_epoch:first_batch or later. -EMFILE, -ENOMEM.
 */
BD_MUST_CHECK int bd_ring_attach(struct bd_ring *ring, int wake_fd, uint64_t first_epoch, uint64_t first_batch,
                                 struct bd_ring_consumer **ret_consumer, struct bd_ring_files *ret_files, struct bd_error *error);

/*
 * Loads the consumer's cursors once and frees what it released. *ret_freed (may be NULL): slots that became FREE.
 * -EPROTO: a cursor went backwards or past head: drop the session. Its memory is not believed any more, what it held is free, and it
 * gets no further batches, so that it stops nobody else until then.
 */
BD_MUST_CHECK int bd_ring_collect(struct bd_ring_consumer *consumer, uint32_t *ret_freed, struct bd_error *error);

/* All consumers; bd_ring_collect says of each whether it broke the contract. Returns the slots freed. */
uint32_t bd_ring_collect_all(struct bd_ring *ring);

/*
 * Too slow for its group: what it has not taken is free at once, what it holds stays held until it releases it or is
 * detached for good (its data must not change under its hands). Returns the slots that became FREE. The caller tells the client (DETACHED packet).
 */
uint32_t bd_ring_detach_slow(struct bd_ring_consumer *consumer);

/* For good: frees all that it held, closes the files, frees the object. Returns the slots freed. NULL is allowed. */
uint32_t bd_ring_detach(struct bd_ring_consumer *consumer);

/* Slots that wait for this consumer, and those that wait for it alone. */
void bd_ring_consumer_held(struct bd_ring_consumer *consumer, uint32_t *ret_held, uint32_t *ret_held_alone);

/* Batches that it has given back so far: whoever makes no progress does not change this. */
uint64_t bd_ring_consumer_released(struct bd_ring_consumer *consumer);

/* ---- the client's side ---- */

struct bd_ring_view;

/* Maps what the daemon passed and checks magic, version and every size. Takes the descriptors: closed in every case. -EPROTO, -ENOMEM. */
BD_MUST_CHECK int bd_ring_view_open_take(int arena, int ctl, int cons, struct bd_ring_view **ret_view, struct bd_error *error);
void bd_ring_view_close(struct bd_ring_view *view);

/* Slots of the ring, arrays of every batch: checked when the view was opened. */
uint32_t bd_ring_view_slots(const struct bd_ring_view *view);
uint32_t bd_ring_view_arrays(const struct bd_ring_view *view);

struct bd_ring_item {
	uint64_t sequence; /* in this view */
	uint64_t epoch, batch, next_epoch, next_batch, published_ns;
	uint32_t slot, rows;
	const uint8_t *data; /* the slot */
	uint64_t length;
};

/*
 * Takes the next entry. 0; -EAGAIN: none yet; -ENODATA: ended; -EIO: failed, an ERROR packet follows; -ESTALE: detached as too slow;
 * -EPROTO: the daemon's memory makes no sense. No system call.
 */
BD_MUST_CHECK int bd_ring_view_take(struct bd_ring_view *view, struct bd_ring_item *ret_item);

/* Whether take would give a batch or the end now. No system call. */
bool bd_ring_view_ready(const struct bd_ring_view *view);

/* Gives entries back up to and without `sequence`. True: the daemon waits, send one DOORBELL packet. */
BD_MUST_CHECK bool bd_ring_view_release(struct bd_ring_view *view, uint64_t sequence);

/* Announces that this side is about to sleep on the socket. False: something has come in between, do not sleep. */
BD_MUST_CHECK bool bd_ring_view_sleep(struct bd_ring_view *view);
void bd_ring_view_awake(struct bd_ring_view *view);

/* ---- reading a slot ---- */

struct bd_ring_array {
	const uint8_t *data;
	uint64_t bytes;
	int64_t shape[BD_SHM_MAX_RANK];
};

/*
 * Array `index` of an item, and its records' numbers, with every offset checked. -EPROTO.
 */
BD_MUST_CHECK int bd_ring_item_array(const struct bd_ring_item *item, uint32_t index, struct bd_ring_array *ret_array);
BD_MUST_CHECK int bd_ring_item_records(const struct bd_ring_item *item, uint32_t *ret_arrays, const uint64_t **ret_records);

#endif
