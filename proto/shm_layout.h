/*
 * shm_layout.h - what lies in the memory that the daemon shares with a client: the whole format.
 *
 * Three memfds, made by the daemon, sized for good and never grown:
 *
 *   arena  one per stream. slot_count slots of slot_bytes; each holds one finished batch. Clients map it read-only.
 *   ctl    one per consumer, the daemon writes, the client maps it read-only: struct bd_shm_ctl, then entry_count
 *          entries from BD_SHM_ENTRIES_OFFSET on.
 *   cons   one page per consumer, the only memory that a client may write: struct bd_shm_cons.
 *
 * Cursors are 64-bit counts of batches and never wrap in practice (2^64 batches); they are compared by differences modulo
 * 2^64 all the same. Entry number n (from ctl.first, normally 0) lies at index n % entry_count. entry_count is a power of two and at least
 * slot_count, so an entry is never overwritten before the client has released it.
 *
 * Order of stores (all of these words are seq_cst: waiting needs it, and one rule is easier to keep than three):
 *   publish   entry n, then head = n + 1, then load cons.waiting: not 0 and not answered yet -> one DOORBELL packet.
 *   take      load state, load head; taken = n + 1; load state again; then read entry n and the slot.
 *   release   released = n, then load ctl.waiting: not 0 and not answered yet -> one DOORBELL packet.
 *   sleep     store one's own waiting word (a new number), load the other side's cursor again, then poll the socket.
 *   detach    state = DETACHED, then load taken: what was taken stays held, the rest is free at once.
 * A waiting word is a ticket: each sleep takes a new number, so that one sleep costs the other side one packet at most.
 *
 * Numbers are in the host's byte order: both sides run on one machine.
 */
#ifndef BD_PROTO_SHM_LAYOUT_H
#define BD_PROTO_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define BD_SHM_MAGIC 0x62643153u /* "S1db" */
#define BD_SHM_VERSION 1u
#define BD_SHM_CONS_BYTES 4096u
#define BD_SHM_ENTRIES_OFFSET 4096u
#define BD_SHM_ALIGNMENT 64u /* of every array in a slot: a cache line, and the widest vector */
#define BD_SHM_MAX_RANK 5u

enum bd_shm_state {
	BD_SHM_RUNNING = 1,
	BD_SHM_ENDED = 2, /* no entry follows: the last batch of the last epoch was published */
	BD_SHM_FAILED = 3, /* no entry follows: an ERROR packet says why */
	BD_SHM_DETACHED = 4, /* too slow for its group: untaken entries are gone, a DETACHED packet follows */
};

/* One published batch. The client checks offset and length against its mapping all the same. */
struct bd_shm_entry {
	uint64_t sequence; /* n */
	uint64_t epoch, batch; /* the batch's position */
	uint64_t next_epoch, next_batch; /* the position behind it */
	uint64_t offset; /* of the slot, in the arena */
	uint64_t length; /* bytes used of the slot */
	uint64_t published_ns; /* CLOCK_MONOTONIC, for the hand-over time */
	uint32_t slot;
	uint32_t rows;
	uint64_t reserved[7];
};
_Static_assert(sizeof(struct bd_shm_entry) == 128, "an entry is two cache lines");

struct bd_shm_ctl {
	/* written once, before the descriptors are passed */
	_Atomic uint32_t magic; /* stored last, release; pairs with the client's acquire load */
	uint32_t version;
	uint32_t entry_count, entry_bytes;
	uint32_t slot_count, array_count;
	uint64_t slot_bytes, arena_bytes;
	uint64_t first; /* number of this consumer's first entry: where all its cursors begin */
	uint8_t padding0[16];
	/* changes with every batch */
	_Atomic uint64_t head; /* entries published so far */
	_Atomic uint32_t state; /* enum bd_shm_state */
	uint8_t padding1[52];
	_Atomic uint32_t waiting; /* ticket: the daemon waits for a slot */
	uint8_t padding2[60];
};
_Static_assert(sizeof(struct bd_shm_ctl) == 192 && sizeof(struct bd_shm_ctl) <= BD_SHM_ENTRIES_OFFSET, "three cache lines");
_Static_assert(offsetof(struct bd_shm_ctl, head) == 64 && offsetof(struct bd_shm_ctl, waiting) == 128, "one line a writer");

struct bd_shm_cons {
	_Atomic uint64_t released; /* entries given back so far; released <= taken <= head */
	_Atomic uint64_t taken; /* entries looked at so far */
	_Atomic uint32_t waiting; /* ticket: the client waits for a batch */
	uint8_t padding[44];
};
_Static_assert(sizeof(struct bd_shm_cons) == 64 && sizeof(struct bd_shm_cons) <= BD_SHM_CONS_BYTES, "one cache line");

/*
 * A slot: this header, array_count descriptions, the records' numbers (uint64, one a row), then the arrays, each at a
 * multiple of BD_SHM_ALIGNMENT. Offsets count from the start of the slot.
 */
struct bd_shm_batch {
	uint32_t array_count, rows;
	uint64_t records_offset;
	uint8_t reserved[48];
};
_Static_assert(sizeof(struct bd_shm_batch) == 64, "one cache line");

struct bd_shm_array {
	uint64_t offset, bytes;
	int64_t shape[BD_SHM_MAX_RANK]; /* of this batch; dtype and rank are the schema's */
	uint64_t reserved;
};
_Static_assert(sizeof(struct bd_shm_array) == 64, "one cache line");

#endif
