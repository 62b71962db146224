/*
 * notes.h - what a person should know although it is no error: an empty shard, an index that was made anew.
 *
 * Why: libraries do not log, and an error text is only read after a failure. Whoever works keeps notes; the program shows them on
 * standard error, the daemon sends them with the schema.
 * Notes are optional: without memory, and past BD_NOTES_MAX of them, they are counted only.
 * Threads: bd_notes_add may be called by any; the rest when nobody adds.
 */
#ifndef BD_BASE_NOTES_H
#define BD_BASE_NOTES_H

#include <pthread.h>
#include <stddef.h>

#define BD_NOTES_MAX 31u /* with the last line as many as a schema carries */

struct bd_notes {
	pthread_mutex_t lock;
	char *texts[BD_NOTES_MAX + 1]; /* one line each */
	size_t count;
	size_t left_out;
};

void bd_notes_init(struct bd_notes *ret_notes);
void bd_notes_finish(struct bd_notes *notes);

/* `notes` NULL: nobody wants them. Control characters become '?'. */
__attribute__((format(printf, 2, 3))) void bd_notes_add(struct bd_notes *notes, const char *format, ...);

/* The last line says how many were left out. Once, when nobody adds any more. */
void bd_notes_close(struct bd_notes *notes);

#endif
