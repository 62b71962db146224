#include "trainer/commands/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* sig_atomic_t is int here; the readers take a plain pointer. */
static volatile int caught;

static void catch (int number)
{
	caught = number;
}

const volatile int *bd_interrupt_watch(void)
{
	struct sigaction action = { .sa_handler = catch, .sa_flags = (int)SA_RESETHAND };
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* nohup means what it says; and of a closed terminal both the kernel and the shell tell */
	struct sigaction hangup;
	action.sa_flags = 0;
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGXCPU, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	return &caught;
}
