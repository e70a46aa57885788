/*
 * measure COMMAND...: runs it, its output thrown away, and prints what it
 * cost: wall and CPU nanoseconds, the peak of its resident memory in KiB.
 *
 * A program of its own, because a child's peak begins with its parent's
 * memory, which for a script is more than what is to be measured.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

static long long
ns(const struct timeval *t)
{
	return t->tv_sec * 1000000000LL + t->tv_usec * 1000LL;
}

int
main(int argc, char **argv)
{
	int64_t began = now_ns();
	struct rusage use;
	int status, null;
	pid_t pid;

	if (argc < 2)
		die("usage: measure COMMAND...");
	pid = fork();
	if (pid < 0)
		die("cannot fork: %m");
	if (pid == 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
			_exit(127);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &use) != pid)
		die("cannot wait: %m");
	printf("%lld %lld %ld\n", (long long)(now_ns() - began),
	       ns(&use.ru_utime) + ns(&use.ru_stime), use.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
