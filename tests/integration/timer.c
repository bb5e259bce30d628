// SPDX-License-Identifier: GPL-2.0
/* timer MICROSECONDS: a timer interrupt as often as that on the processor that this runs on, until it is killed. */
#include <err.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static void wake_up(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	struct itimerval period = { 0 };

	if (argc != 2 || (period.it_interval.tv_usec = atoi(argv[1])) <= 0)
		errx(2, "usage: timer MICROSECONDS");
	period.it_value = period.it_interval;
	if (signal(SIGALRM, wake_up) == SIG_ERR || setitimer(ITIMER_REAL, &period, NULL))
		err(1, "the timer");
	for (;;)
		pause();
}
