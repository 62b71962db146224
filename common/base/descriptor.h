/*
 * descriptor.h - file descriptors that keep clear of the standard streams.
 *
 * Why: libbatchd is loaded into programs that may run with standard input, output or error closed. A socket or memfd of the
 * library that got the number 1 would receive what such a program prints.
 * Threads: no state; any thread.
 */
#ifndef BD_BASE_DESCRIPTOR_H
#define BD_BASE_DESCRIPTOR_H

/*
 * Takes what socket(), open() or memfd_create() returned and returns the same file under a number above 2, with CLOEXEC set. A
 * number above 2 is returned as it is. -1 is returned for -1, and where no number is left (`fd` is closed then); errno says why.
 */
int bd_descriptor_take(int fd);

#endif
