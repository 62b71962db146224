/*
 * progress.h - how far a long task is, for a person.
 *
 * On a terminal a bar on standard error, redrawn at most ten times a second; elsewhere one plain line every few seconds; with
 * quiet nothing. A note's parts, between commas, that do not fit a narrow terminal are left out whole. NO_COLOR is heeded. Threads: one user at a time.
 */
#ifndef BD_BASE_PROGRESS_H
#define BD_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct bd_progress;

/* `total` 0: unknown. `unit` stands behind the rate ("records"). NULL where quiet or without memory: the others take NULL. */
struct bd_progress *bd_progress_create(const char *label, uint64_t total, const char *unit, bool quiet);

/* Done so far, and a note behind the rate (may be NULL). Cheap: one clock reading. */
void bd_progress_update(struct bd_progress *progress, uint64_t done, const char *note);

/* A task that goes on from an earlier run: so much of the total was done there, and is left out of the rate. Before the first update. */
void bd_progress_go_on(struct bd_progress *progress, uint64_t done);

/* A later estimate of the total. */
void bd_progress_set_total(struct bd_progress *progress, uint64_t total);

/* Draws the last state, ends the line and frees. */
void bd_progress_finish(struct bd_progress *progress);

/* Ends what is drawn so that another line can be printed; the next update draws anew. */
void bd_progress_clear(struct bd_progress *progress);

#endif
