/*
 * clock_ahead: a test program whose monotonic clock can be put forward, so
 * that nobody waits for a minute to be over.
 *
 * Include it in one file of the program: it takes the place of libc's
 * clock_gettime.
 */
#ifndef BTGET_TEST_CLOCK_AHEAD_H
#define BTGET_TEST_CLOCK_AHEAD_H

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How far the clock of this test is ahead of the system's. */
static _Atomic time_t ahead_s;

int
clock_gettime(clockid_t id, struct timespec *out)
{
	/* The old call fills in what a long of 32 bits held, and so has it
	 * glibc before 2.34. */
#if defined(SYS_clock_gettime64) && \
	(defined(__USE_TIME_BITS64) || !defined(__GLIBC__))
	int status = (int)syscall(SYS_clock_gettime64, id, out);
#else
	int status = (int)syscall(SYS_clock_gettime, id, out);
#endif

	if (id == CLOCK_MONOTONIC)
		out->tv_sec += atomic_load(&ahead_s);
	return status;
}

#endif
