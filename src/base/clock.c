#include "base/clock.h"

#include <time.h>

#define POLL_MAX_MS 3600000

int64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * CLOCK_S + t.tv_nsec;
}

int64_t
clock_slept_ns(void)
{
	struct timespec all;

	if (clock_gettime(CLOCK_BOOTTIME, &all) < 0)
		return 0;
	return all.tv_sec * CLOCK_S + all.tv_nsec - clock_ns();
}

double
clock_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int
clock_poll_ms(int64_t now, int64_t when)
{
	int64_t ms;

	if (when == CLOCK_NEVER)
		return -1;
	if (when <= now)
		return 0;
	ms = (when - now + CLOCK_MS - 1) / CLOCK_MS;
	return ms < POLL_MAX_MS ? (int)ms : POLL_MAX_MS;
}
