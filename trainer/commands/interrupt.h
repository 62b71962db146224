/*
 * interrupt.h - Ctrl-C as a number that the loops look at.
 *
 * The first SIGINT, SIGTERM or SIGHUP (a terminal that was closed, a connection that broke; not under nohup) sets it: work ends at the next
 * good point and the state is saved. So do SIGUSR1 and SIGXCPU, which Slurm and other schedulers send some time before the limit. A second
 * SIGINT or SIGTERM kills as usual; the others come more than once (a shell that hands SIGHUP on, SIGXCPU each second) and do not.
 */
#ifndef BD_COMMANDS_INTERRUPT_H
#define BD_COMMANDS_INTERRUPT_H

/* Installs the handlers, ignores SIGPIPE, and returns the number: 0, or the signal. */
const volatile int *bd_interrupt_watch(void);

#endif
