/*
 * budget.h - the one account that all memory of the data plane is taken from.
 *
 * Why: datasets larger than memory stream through a bound that is promised (`--memory`), so whoever needs bytes that grow with the
 * data asks here first and is refused with a reason in place of being killed later. What is taken is what will be touched at most.
 * Threads: any; one atomic number.
 */
#ifndef BD_DATA_BUDGET_H
#define BD_DATA_BUDGET_H

#include <stdatomic.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_budget {
	uint64_t limit_bytes;
	_Atomic uint64_t used_bytes;
};

void bd_budget_init(struct bd_budget *budget, uint64_t limit_bytes);

/* 0, or -ENOMEM: "WHAT needs 1.5 GiB, and of the daemon's 1 GiB (--memory) 700 MiB are free". `what` is the start of that sentence. */
BD_MUST_CHECK int bd_budget_take(struct bd_budget *budget, uint64_t bytes, const char *what, struct bd_error *error);

/* Gives back what was taken. */
void bd_budget_give(struct bd_budget *budget, uint64_t bytes);

uint64_t bd_budget_free(const struct bd_budget *budget);

#endif
