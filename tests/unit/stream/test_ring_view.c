/* What the client believes of the daemon's memory, and what not. */
#include "common/stream/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/test.h"

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

static int made_up_file(size_t bytes, const void *start, size_t start_bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(pwrite(fd, start, start_bytes, 0), start_bytes);
	return fd;
}

static const struct bd_shm_ctl good_ctl = {
	.magic = BD_SHM_MAGIC,
	.version = BD_SHM_VERSION,
	.entry_count = 4,
	.entry_bytes = sizeof(struct bd_shm_entry),
	.slot_count = 4,
	.array_count = 1,
	.slot_bytes = 4096,
	.arena_bytes = 16384,
	.state = BD_SHM_RUNNING,
};

/* A view of a daemon's memory with this ctl, and the file of it, which is the caller's. */
static struct bd_ring_view *open_view(const struct bd_shm_ctl *ctl, int *ret_ctl_fd)
{
	struct bd_ring_view *view;
	struct bd_error error;
	int ctl_fd = made_up_file(BD_SHM_ENTRIES_OFFSET + 4 * sizeof(struct bd_shm_entry), ctl, sizeof *ctl);
	assert_int_equal(bd_ring_view_open_take(made_up_file(16384, "", 1), dup(ctl_fd), made_up_file(BD_SHM_CONS_BYTES, "", 1),
	                                        &view, &error),
	                 0);
	*ret_ctl_fd = ctl_fd;
	return view;
}

static void a_ctl_that_describes_itself_wrongly_is_refused(void **state)
{
	(void)state;
	for (int variant = 0; variant < 9; variant++) {
		struct bd_shm_ctl ctl;
		struct bd_ring_view *view = NULL;
		struct bd_error error;
		size_t ctl_bytes = BD_SHM_ENTRIES_OFFSET + 4 * sizeof(struct bd_shm_entry), cons_bytes = BD_SHM_CONS_BYTES;
		memcpy(&ctl, &good_ctl, sizeof ctl);
		int wanted = -EPROTO;
		switch (variant) {
		case 0:
			wanted = 0;
			break;
		case 1:
			atomic_store(&ctl.magic, 0);
			break;
		case 2:
			ctl.version = 2;
			wanted = -EPROTONOSUPPORT;
			break;
		case 3:
			ctl.entry_count = 3;
			break;
		case 4:
			ctl.entry_count = 1u << 31;
			break;
		case 5:
			ctl.entry_bytes = 64;
			break;
		case 6:
			ctl.slot_bytes = UINT64_MAX;
			break;
		case 7:
			ctl_bytes -= 1;
			break;
		case 8:
			cons_bytes = 64;
			break;
		}
		int result = bd_ring_view_open_take(made_up_file(16384, "", 1), made_up_file(ctl_bytes, &ctl, sizeof ctl),
		                                    made_up_file(cons_bytes, "", 1), &view, &error);
		assert_int_equal(result, wanted);
		bd_ring_view_close(view);
	}
	struct bd_ring_view *view;
	struct bd_error error;
	int pair[2];
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(bd_ring_view_open_take(pair[0], pair[1], dup(0), &view, &error), -EPROTO);
}

static void an_entry_that_makes_no_sense_is_refused(void **state)
{
	(void)state;
	struct bd_shm_ctl ctl;
	struct bd_ring_item item;
	int ctl_fd;
	memcpy(&ctl, &good_ctl, sizeof ctl);
	atomic_store(&ctl.head, 9);
	struct bd_ring_view *view = open_view(&ctl, &ctl_fd);
	/* An entry of another number than the cursor's, or one that leaves the arena, is not believed. */
	struct bd_shm_entry entry = { .sequence = 5, .length = 4096 };
	assert_int_equal(pwrite(ctl_fd, &entry, sizeof entry, BD_SHM_ENTRIES_OFFSET), sizeof entry);
	assert_int_equal(bd_ring_view_take(view, &item), -EPROTO);
	entry = (struct bd_shm_entry){ .sequence = 0, .offset = UINT64_MAX - 63, .length = 4096 };
	assert_int_equal(pwrite(ctl_fd, &entry, sizeof entry, BD_SHM_ENTRIES_OFFSET), sizeof entry);
	assert_int_equal(bd_ring_view_take(view, &item), -EPROTO);
	entry = (struct bd_shm_entry){ .sequence = 0, .offset = 4096, .length = 12289 };
	assert_int_equal(pwrite(ctl_fd, &entry, sizeof entry, BD_SHM_ENTRIES_OFFSET), sizeof entry);
	assert_int_equal(bd_ring_view_take(view, &item), -EPROTO);
	entry.length = 12288;
	assert_int_equal(pwrite(ctl_fd, &entry, sizeof entry, BD_SHM_ENTRIES_OFFSET), sizeof entry);
	assert_int_equal(bd_ring_view_take(view, &item), 0);
	bd_ring_view_close(view);
	close(ctl_fd);
}

/* What a daemon leaves that was killed between the two stores of a publication, and between the second and the doorbell. */
static void an_entry_is_a_batch_from_the_moment_that_head_says_so(void **state)
{
	(void)state;
	struct bd_shm_ctl ctl;
	const struct bd_shm_entry entry = { .sequence = 0, .length = 4096, .rows = 1 };
	struct bd_ring_item item;
	int ctl_fd;
	memcpy(&ctl, &good_ctl, sizeof ctl);
	struct bd_ring_view *view = open_view(&ctl, &ctl_fd);
	assert_int_equal(pwrite(ctl_fd, &entry, sizeof entry, BD_SHM_ENTRIES_OFFSET), sizeof entry);
	assert_false(bd_ring_view_ready(view));
	assert_int_equal(bd_ring_view_take(view, &item), -EAGAIN);
	assert_true(bd_ring_view_sleep(view));
	ctl.head = 1;
	assert_int_equal(pwrite(ctl_fd, &ctl, sizeof ctl, 0), sizeof ctl);
	bd_ring_view_awake(view);
	assert_false(bd_ring_view_sleep(view));
	assert_int_equal(bd_ring_view_take(view, &item), 0);
	assert_int_equal(item.rows, 1);
	bd_ring_view_close(view);
	close(ctl_fd);
}

static void hostile_offsets_in_a_slot_are_refused(void **state)
{
	(void)state;
	_Alignas(64) uint8_t slot[512] = { 0 };
	struct bd_ring_item item = { .data = slot, .length = fill(slot, 7), .rows = 1 };
	struct bd_ring_array array;
	const uint64_t *records;
	uint32_t arrays;
	struct bd_shm_batch *header = (struct bd_shm_batch *)slot;
	struct bd_shm_array *described = (struct bd_shm_array *)(header + 1);
	assert_int_equal(bd_ring_item_array(&item, 0, &array), 0);
	described->offset = UINT64_MAX - 63;
	described->bytes = 128;
	assert_int_equal(bd_ring_item_array(&item, 0, &array), -EPROTO);
	described->offset = 192;
	described->bytes = 129;
	assert_int_equal(bd_ring_item_array(&item, 0, &array), -EPROTO);
	header->records_offset = 316;
	assert_int_equal(bd_ring_item_records(&item, &arrays, &records), -EPROTO);
	item.rows = UINT32_MAX;
	header->records_offset = 128;
	assert_int_equal(bd_ring_item_records(&item, &arrays, &records), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ctl_that_describes_itself_wrongly_is_refused),
		cmocka_unit_test(an_entry_that_makes_no_sense_is_refused),
		cmocka_unit_test(an_entry_is_a_batch_from_the_moment_that_head_says_so),
		cmocka_unit_test(hostile_offsets_in_a_slot_are_refused),
	};
	return cmocka_run_group_tests_name("ring_view", tests, NULL, NULL);
}
