/*
 * isolated.h - runs work that may crash or hang in a process of its own.
 *
 * Why: the HDF5 library dereferences what damaged files say (measured: 3 % of small files with a few random bytes changed crash it, 0.5 %
 * keep it busy for ever). A weight file comes from anywhere; it must end in a line of text, not in a dead training run.
 * The child has the caller's memory, writes its results into an anonymous file and ends; it leaves no core file and prints nothing.
 */
#ifndef BD_MODEL_ISOLATED_H
#define BD_MODEL_ISOLATED_H

#include <stdio.h>

#include <batchd/error.h>

/* Processor seconds that the child may use: half a gigabyte of weights takes one. */
#define BD_ISOLATED_CPU_SECONDS 20

/*
 * work(context, output, error) runs in the child and returns 0 or -errno. On 0 *ret_output is what it wrote, positioned at its
 * beginning, closed by the caller. -EBADMSG: the child died or used up its time, `what` (a path) is damaged then; else work's own error.
 */
BD_MUST_CHECK int bd_isolated(const char *what, int (*work)(void *context, FILE *output, struct bd_error *error), void *context,
                              FILE **ret_output, struct bd_error *error);

#endif
