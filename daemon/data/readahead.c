#include "daemon/data/readahead.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/record/tfrecord.h"

/* Slower than this is a disk: copying from the page cache is several times faster on any machine... */
#define SLOW_BYTES_PER_US 1000
/* ...and a read that was short anyway proves nothing: the thread may just have lost its core. */
#define SLOW_LEAST_NS (200 * BD_NS_PER_US)
#define SLOW_FOR_NS (2 * BD_NS_PER_S)

/* Batches that are asked for at one time: twice and more what is opened, so the distance is reached soon. */
#define CLAIM_BATCHES 4

/* The kernel cuts one call short at the device's read-ahead size, which is at least this by default. */
#define ASK_BYTES (128u << 10)

void bd_readahead_init(struct bd_readahead *ret_readahead, const struct bd_records *records, uint32_t rows, uint64_t host_bytes)
{
	uint64_t batch_bytes = records->bytes / records->records * rows + 1;
	uint64_t reach = bd_min_u64(BD_READAHEAD_BYTES, host_bytes / 8);
	*ret_readahead = (struct bd_readahead){ .drops = records->bytes > host_bytes / 2 };
	ret_readahead->distance = (uint32_t)bd_max_u64(1, bd_min_u64(reach / batch_bytes, UINT32_MAX));
}

void bd_readahead_observe(struct bd_readahead *readahead, uint64_t now_ns, uint64_t bytes, uint64_t took_ns)
{
	/* relaxed: a hint */
	if (took_ns > SLOW_LEAST_NS && bytes < took_ns / BD_NS_PER_US * SLOW_BYTES_PER_US)
		atomic_store_explicit(&readahead->slow_until_ns, now_ns + SLOW_FOR_NS, memory_order_relaxed);
}

bool bd_readahead_is_slow(const struct bd_readahead *readahead, uint64_t now_ns)
{
	return now_ns < atomic_load_explicit(&readahead->slow_until_ns, memory_order_relaxed);
}

struct bd_readahead_claim bd_readahead_claim(struct bd_readahead *readahead, const struct bd_order *order,
                                             struct bd_order_position behind, uint64_t now_ns)
{
	struct bd_readahead_claim claim = { .count = 0 };
	struct bd_order_batch batch;
	if (!bd_readahead_is_slow(readahead, now_ns)) {
		readahead->valid = false;
		return claim;
	}
	if (!readahead->valid || readahead->ahead == 0) {
		readahead->next = behind;
		readahead->ahead = 0;
		readahead->valid = true;
	} else {
		readahead->ahead--;
	}
	claim.first = readahead->next;
	while (claim.count < CLAIM_BATCHES && readahead->ahead < readahead->distance &&
	       bd_order_batch_at(order, readahead->next, &batch, &readahead->next) == 0) {
		claim.count++;
		readahead->ahead++;
	}
	return claim;
}

/* Neighbours become one extent. */
struct extent {
	uint32_t file;
	uint64_t begin, end;
};

static void ask_extent(struct bd_records *records, const struct extent *extent, uint64_t now_ns)
{
	struct bd_error ignored;
	bool must_close;
	int fd;
	if (extent->begin == extent->end || bd_records_borrow(records, extent->file, now_ns, &fd, &must_close, &ignored) < 0)
		return;
	for (uint64_t at = extent->begin; at < extent->end; at += ASK_BYTES)
		posix_fadvise(fd, (off_t)at, (off_t)bd_min_u64(ASK_BYTES, extent->end - at), POSIX_FADV_WILLNEED);
	if (must_close)
		close(fd);
}

static void add_record(struct bd_records *records, struct extent *extent, uint64_t record, uint64_t now_ns)
{
	struct bd_place place = bd_records_place(records, record);
	uint64_t end = place.offset + place.length + BD_TFRECORD_FOOTER_BYTES;
	if (place.damage || bd_records_is_compressed(records, place.file))
		return;
	if (place.file == extent->file && place.offset >= extent->begin &&
	    place.offset <= extent->end + BD_TFRECORD_FRAMING_BYTES) {
		extent->end = bd_max_u64(extent->end, end);
		return;
	}
	ask_extent(records, extent, now_ns);
	*extent = (struct extent){ place.file, place.offset, end };
}

void bd_readahead_ask(struct bd_records *records, const struct bd_order *order, const struct bd_readahead_claim *claim,
                      uint64_t now_ns)
{
	struct extent extent = { 0 };
	struct bd_order_position position = claim->first;
	struct bd_order_batch batch;
	for (uint32_t i = 0; i < claim->count && bd_order_batch_at(order, position, &batch, &position) == 0; i++) {
		for (uint32_t row = 0; row < batch.rows; row++) {
			uint64_t epoch, record;
			bd_order_row(order, &batch, row, &epoch, &record);
			add_record(records, &extent, record, now_ns);
		}
	}
	ask_extent(records, &extent, now_ns);
}
