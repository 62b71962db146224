/*
 * log.h - the daemon's log: one line an event on stderr.
 *
 * $BATCHD_LOG (error | warn | info | debug) says from which level on lines are written. Under systemd
 * (stderr is the journal: $JOURNAL_STREAM names it) each line carries sd-daemon's "<N>" priority; elsewhere the
 * program's name. Only daemon/control logs: data stages return errors, and the loop writes them down.
 * Threads: any; a line is one write(2), so that lines never mix.
 */
#ifndef BD_CONTROL_LOG_H
#define BD_CONTROL_LOG_H

#include <stdbool.h>

#include <batchd/error.h>

enum bd_log_level { BD_LOG_ERROR, BD_LOG_WARN, BD_LOG_INFO, BD_LOG_DEBUG };

/*
 * Reads the environment; `fallback` is the level where $BATCHD_LOG says none. `quiet` (--quiet) writes errors only, whatever it says.
 * Call once, before threads start.
 */
void bd_log_start(enum bd_log_level fallback, bool quiet);

/* One line; control characters in it become '?', so that a hostile name cannot forge lines. */
void bd_log(enum bd_log_level level, const char *format, ...) BD_PRINTF(2, 3);

#endif
