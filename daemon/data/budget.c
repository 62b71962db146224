#include "daemon/data/budget.h"

#include <errno.h>

#include "common/base/units.h"

void bd_budget_init(struct bd_budget *budget, uint64_t limit_bytes)
{
	budget->limit_bytes = limit_bytes;
	atomic_init(&budget->used_bytes, 0);
}

int bd_budget_take(struct bd_budget *budget, uint64_t bytes, const char *what, struct bd_error *error)
{
	/* relaxed: the number guards no other memory */
	uint64_t used = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
	do {
		if (bytes > budget->limit_bytes - used) {
			char need[32], limit[32], rest[32];
			bd_format_size(bytes, need, sizeof need);
			bd_format_size(budget->limit_bytes, limit, sizeof limit);
			bd_format_size(budget->limit_bytes - used, rest, sizeof rest);
			return bd_error_set(error, -ENOMEM,
			                    "%s: %s are needed, and of the memory bound of %s (--memory) %s are free", what, need,
			                    limit, rest);
		}
	} while (!atomic_compare_exchange_weak_explicit(&budget->used_bytes, &used, used + bytes, memory_order_relaxed,
	                                                memory_order_relaxed));
	return 0;
}

void bd_budget_give(struct bd_budget *budget, uint64_t bytes)
{
	atomic_fetch_sub_explicit(&budget->used_bytes, bytes, memory_order_relaxed);
}

uint64_t bd_budget_free(const struct bd_budget *budget)
{
	return budget->limit_bytes - atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
}
