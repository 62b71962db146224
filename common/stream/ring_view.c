/* The client's side of ring.h. Everything that is read from the daemon's memory is checked before it is used as a size or place. */
#include "common/stream/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/stream/spec.h"

struct bd_ring_view {
	const uint8_t *arena;
	struct bd_shm_ctl *ctl; /* mapped read-only */
	struct bd_shm_cons *cons;
	const struct bd_shm_entry *entries;
	uint64_t arena_bytes, ctl_bytes, slot_bytes;
	uint32_t entry_count, slot_count, array_count;
	uint64_t first, taken; /* entry numbers; callers count from 0 */
	uint32_t ticket, answered;
};

static int map_file(int fd, int protection, uint64_t minimum, void **ret_map, uint64_t *ret_bytes, struct bd_error *error)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return bd_error_set(error, -errno, "the daemon's memory: %s", strerror(errno));
	if (!S_ISREG(status.st_mode) || status.st_size < 0 || (uint64_t)status.st_size < minimum)
		return bd_error_set(error, -EPROTO, "the daemon's memory has the wrong size");
	void *map = mmap(NULL, (size_t)status.st_size, protection, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return bd_error_set(error, -errno, "mapping the daemon's memory: %s", strerror(errno));
	*ret_map = map;
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

static int check_ctl(struct bd_ring_view *view, struct bd_error *error)
{
	struct bd_shm_ctl *ctl = view->ctl;
	if (atomic_load_explicit(&ctl->magic, memory_order_acquire) != BD_SHM_MAGIC) /* pairs with describe() in ring.c */
		return bd_error_set(error, -EPROTO, "the daemon's memory has the wrong magic");
	if (ctl->version != BD_SHM_VERSION)
		return bd_error_set(error, -EPROTONOSUPPORT, "the daemon's shared memory has version %u, this client reads %u",
		                    ctl->version, BD_SHM_VERSION);
	view->entry_count = ctl->entry_count;
	view->slot_count = ctl->slot_count;
	view->slot_bytes = ctl->slot_bytes;
	view->array_count = ctl->array_count;
	view->first = view->taken = ctl->first;
	bool good = ctl->entry_bytes == sizeof(struct bd_shm_entry) && view->entry_count != 0 &&
	            (view->entry_count & (view->entry_count - 1)) == 0 && view->entry_count <= BD_MAX_SLOTS &&
	            view->slot_count <= view->entry_count && view->array_count <= UINT16_MAX &&
	            view->ctl_bytes >= BD_SHM_ENTRIES_OFFSET + (uint64_t)view->entry_count * sizeof(struct bd_shm_entry) &&
	            view->slot_bytes >= sizeof(struct bd_shm_batch) && view->slot_bytes <= view->arena_bytes;
	return good ? 0 : bd_error_set(error, -EPROTO, "the daemon's memory describes itself wrongly");
}

int bd_ring_view_open_take(int arena, int ctl, int cons, struct bd_ring_view **ret_view, struct bd_error *error)
{
	void *arena_map = NULL, *ctl_map = NULL, *cons_map = NULL;
	uint64_t cons_bytes;
	int result;
	struct bd_ring_view *view = calloc(1, sizeof *view);
	if (!view) {
		result = bd_error_set(error, -ENOMEM, "out of memory");
		goto done;
	}
	result = map_file(arena, PROT_READ, 1, &arena_map, &view->arena_bytes, error);
	view->arena = arena_map;
	if (result == 0)
		result = map_file(ctl, PROT_READ, BD_SHM_ENTRIES_OFFSET, &ctl_map, &view->ctl_bytes, error);
	view->ctl = ctl_map;
	if (result == 0)
		result = map_file(cons, PROT_READ | PROT_WRITE, BD_SHM_CONS_BYTES, &cons_map, &cons_bytes, error);
	view->cons = cons_map;
	if (result == 0)
		result = check_ctl(view, error);
	if (result == 0) {
		view->entries = (const struct bd_shm_entry *)((const uint8_t *)ctl_map + BD_SHM_ENTRIES_OFFSET);
		*ret_view = view;
	}
done:
	close(arena);
	close(ctl);
	close(cons);
	if (result < 0)
		bd_ring_view_close(view);
	return result;
}

void bd_ring_view_close(struct bd_ring_view *view)
{
	if (!view)
		return;
	if (view->arena)
		munmap((void *)view->arena, view->arena_bytes);
	if (view->ctl)
		munmap(view->ctl, view->ctl_bytes);
	if (view->cons)
		munmap(view->cons, BD_SHM_CONS_BYTES);
	free(view);
}

uint32_t bd_ring_view_slots(const struct bd_ring_view *view)
{
	return view->slot_count;
}

uint32_t bd_ring_view_arrays(const struct bd_ring_view *view)
{
	return view->array_count;
}

static int code_of_state(uint32_t state)
{
	switch (state) {
	case BD_SHM_RUNNING:
		return -EAGAIN;
	case BD_SHM_ENDED:
		return -ENODATA;
	case BD_SHM_FAILED:
		return -EIO;
	case BD_SHM_DETACHED:
		return -ESTALE;
	default:
		return -EPROTO;
	}
}

int bd_ring_view_take(struct bd_ring_view *view, struct bd_ring_item *ret_item)
{
	/* The state first: the daemon stores it after its last head, so a head that is read afterwards is final. Pairs with bd_ring_end. */
	uint32_t state = atomic_load(&view->ctl->state);
	if (state == BD_SHM_DETACHED)
		return -ESTALE;
	if (atomic_load(&view->ctl->head) == view->taken) /* pairs with append() in ring.c */
		return code_of_state(state);
	atomic_store(&view->cons->taken, view->taken + 1);
	if (atomic_load(&view->ctl->state) == BD_SHM_DETACHED) /* pairs with bd_ring_detach_slow: it did not see this take */
		return -ESTALE;
	const struct bd_shm_entry entry = view->entries[view->taken & (view->entry_count - 1)];
	if (entry.sequence != view->taken || entry.offset > view->arena_bytes || entry.length > view->arena_bytes - entry.offset ||
	    entry.length < sizeof(struct bd_shm_batch) || entry.offset % BD_SHM_ALIGNMENT != 0)
		return -EPROTO;
	*ret_item = (struct bd_ring_item){
		.sequence = entry.sequence - view->first,
		.epoch = entry.epoch,
		.batch = entry.batch,
		.next_epoch = entry.next_epoch,
		.next_batch = entry.next_batch,
		.published_ns = entry.published_ns,
		.slot = entry.slot,
		.rows = entry.rows,
		.data = view->arena + entry.offset,
		.length = entry.length,
	};
	view->taken++;
	return 0;
}

bool bd_ring_view_ready(const struct bd_ring_view *view)
{
	return atomic_load(&view->ctl->head) != view->taken; /* pairs with append() in ring.c */
}

bool bd_ring_view_release(struct bd_ring_view *view, uint64_t sequence)
{
	/* seq_cst on both: either the daemon sees the release, or its ticket is seen here. Pairs with ask_for_doorbells() in ring.c. */
	atomic_store(&view->cons->released, view->first + sequence);
	uint32_t ticket = atomic_load(&view->ctl->waiting);
	if (ticket == 0 || ticket == view->answered)
		return false;
	view->answered = ticket;
	return true;
}

bool bd_ring_view_sleep(struct bd_ring_view *view)
{
	if (++view->ticket == 0)
		view->ticket = 1;
	atomic_store(&view->cons->waiting, view->ticket); /* pairs with bell_of() in ring.c */
	if (atomic_load(&view->ctl->head) == view->taken && atomic_load(&view->ctl->state) == BD_SHM_RUNNING)
		return true;
	atomic_store(&view->cons->waiting, 0);
	return false;
}

void bd_ring_view_awake(struct bd_ring_view *view)
{
	atomic_store(&view->cons->waiting, 0);
}

/* ---- reading a slot ---- */

static bool lies_in(const struct bd_ring_item *item, uint64_t offset, uint64_t bytes)
{
	return offset <= item->length && bytes <= item->length - offset;
}

int bd_ring_item_records(const struct bd_ring_item *item, uint32_t *ret_arrays, const uint64_t **ret_records)
{
	const struct bd_shm_batch *batch = (const struct bd_shm_batch *)item->data;
	if (!lies_in(item, batch->records_offset, (uint64_t)item->rows * sizeof(uint64_t)) ||
	    batch->records_offset % sizeof(uint64_t) != 0)
		return -EPROTO;
	*ret_arrays = batch->array_count;
	*ret_records = (const uint64_t *)(item->data + batch->records_offset);
	return 0;
}

int bd_ring_item_array(const struct bd_ring_item *item, uint32_t index, struct bd_ring_array *ret_array)
{
	uint64_t at = sizeof(struct bd_shm_batch) + (uint64_t)index * sizeof(struct bd_shm_array);
	if (!lies_in(item, at, sizeof(struct bd_shm_array)))
		return -EPROTO;
	const struct bd_shm_array array = *(const struct bd_shm_array *)(item->data + at);
	if (!lies_in(item, array.offset, array.bytes) || array.offset % BD_SHM_ALIGNMENT != 0)
		return -EPROTO;
	ret_array->data = item->data + array.offset;
	ret_array->bytes = array.bytes;
	memcpy(ret_array->shape, array.shape, sizeof array.shape);
	return 0;
}
