#include "daemon/data/clocks.h"

#include "common/base/clock.h"

void bd_clocks_worked(struct bd_clocks *clocks, uint64_t disk_ns, uint64_t decode_ns)
{
	clocks->total.disk_ns += disk_ns;
	clocks->total.decode_ns += decode_ns;
	clocks->recent.disk_ns += disk_ns;
	clocks->recent.decode_ns += decode_ns;
}

void bd_clocks_published(struct bd_clocks *clocks, uint64_t records)
{
	clocks->total.records += records;
	clocks->recent.records += records;
}

static void halve(struct bd_clock_sums *sums)
{
	sums->disk_ns /= 2;
	sums->decode_ns /= 2;
	sums->ring_full_ns /= 2;
	sums->ring_empty_ns /= 2;
	sums->records /= 2;
	sums->elapsed_ns /= 2;
}

static void roll(struct bd_clocks *clocks, uint64_t now_ns)
{
	if (!clocks->rolled_ns)
		clocks->rolled_ns = now_ns;
	if (now_ns - clocks->rolled_ns < BD_NS_PER_S)
		return;
	clocks->recent.elapsed_ns += now_ns - clocks->rolled_ns;
	clocks->rolled_ns = now_ns;
	halve(&clocks->recent);
}

/* Adds the time since the last look to the sums while the state lasts. */
static void tick(uint64_t *since_ns, uint64_t now_ns, bool on, uint64_t *total_ns, uint64_t *recent_ns)
{
	if (*since_ns && now_ns > *since_ns) {
		*total_ns += now_ns - *since_ns;
		*recent_ns += now_ns - *since_ns;
	}
	*since_ns = on ? now_ns : 0;
}

void bd_clocks_ring(struct bd_clocks *clocks, uint64_t now_ns, bool full, bool empty)
{
	tick(&clocks->full_since_ns, now_ns, full, &clocks->total.ring_full_ns, &clocks->recent.ring_full_ns);
	tick(&clocks->empty_since_ns, now_ns, empty, &clocks->total.ring_empty_ns, &clocks->recent.ring_empty_ns);
	roll(clocks, now_ns);
}

const char *bd_clocks_bottleneck(const struct bd_clocks *clocks)
{
	const struct bd_clock_sums *recent = &clocks->recent;
	if (recent->ring_full_ns > recent->ring_empty_ns)
		return "trainer";
	return recent->disk_ns > recent->decode_ns ? "disk" : "decode";
}

double bd_clocks_records_per_s(const struct bd_clocks *clocks, uint64_t now_ns)
{
	uint64_t elapsed_ns = clocks->recent.elapsed_ns;
	if (clocks->rolled_ns && now_ns > clocks->rolled_ns)
		elapsed_ns += now_ns - clocks->rolled_ns;
	return elapsed_ns ? (double)clocks->recent.records * (double)BD_NS_PER_S / (double)elapsed_ns : 0;
}
