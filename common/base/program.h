/*
 * program.h - the surroundings of a program: its standard streams, at its start and at its end.
 *
 * Why: cron jobs and supervisors start programs with standard input, output or error closed. The next file that is opened then
 * gets the number 0, 1 or 2, and whatever prints to a standard stream writes into that file. And a result that went to a full
 * disk is lost at the last flush, after which the command would say that it is done.
 * Threads: called by main, before and after everything else.
 */
#ifndef BD_BASE_PROGRAM_H
#define BD_BASE_PROGRAM_H

#include <batchd/error.h>

/*
 * First call of every main. Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed, and ignores SIGXFSZ, so
 * that a write past RLIMIT_FSIZE is EFBIG with a message in place of the program's death. Returns 0, or -errno where
 * /dev/null cannot be opened: main returns BD_EXIT_FAILED then, and has nowhere to say why.
 */
BD_MUST_CHECK int bd_program_begin(void);

/*
 * Last call of every main: closes standard output. Returns `status`, or, in place of BD_EXIT_DONE where the output could not be
 * written whole, BD_EXIT_FAILED, and says so on standard error.
 */
int bd_program_end(const char *program, int status);

#endif
