#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "session/exit.h"

#define AT_ONCE (100 * CLOCK_MS)
#define HUNG_UP CLOCK_S		/* what the shell does before it ends */

/* The one thing that a handler can see. */
static const struct signals *_Atomic current;
static atomic_int caught;
static _Atomic int64_t caught_at;	/* 0: it is just being noted */
static atomic_bool settled;

static const int others[] = { SIGWINCH, SIGTSTP, SIGCONT };
/* Not asked for politely: these end it as they always do, but for the
 * cursor. */
static const int abrupt[] = {
	SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU
};

/* A terminal that is closed hangs up twice: bash tells its jobs, and as it
 * ends, so does the kernel.  The end of a session is TERM and then HUP, and
 * timeout(1) tells us and our group. */
static bool
is_the_same_wish(int signal)
{
	int64_t first = atomic_load(&caught_at);
	int64_t least = signal == SIGHUP ? HUNG_UP : AT_ONCE;

	return first == 0 || clock_ns() - first < least;
}

static void
on_end(int signal)
{
	const struct signals *s = atomic_load(&current);
	int saved = errno;
	int none = 0;

	if (!s)
		_exit(EXIT_SIGNAL + signal);
	if (signal == SIGHUP && s->hangup) {
		if (!atomic_load(&settled))
			s->hangup(s->ctx);
		errno = saved;
		return;
	}
	if (!atomic_compare_exchange_strong(&caught, &none, signal)) {
		if (is_the_same_wish(signal)) {
			errno = saved;
			return;
		}
		if (s->progress)
			progress_restore(s->progress);
		_exit(EXIT_SIGNAL + signal);
	}
	atomic_store(&caught_at, clock_ns());
	if (!atomic_load(&settled))
		s->interrupt(s->ctx, signal);
	if (s->progress)
		progress_hurry(s->progress);
	errno = saved;
}

static void
set_handler(int signal, void (*handler)(int))
{
	struct sigaction act = { .sa_handler = handler };

	sigfillset(&act.sa_mask);
	act.sa_flags = SA_RESTART;
	sigaction(signal, &act, NULL);
}

/* By the default action; of stopping, that knows when nobody could wake us. */
static void
act_as_always(int signal)
{
	sigset_t only;

	set_handler(signal, SIG_DFL);
	raise(signal);
	sigemptyset(&only);
	sigaddset(&only, signal);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

static void
on_abrupt(int signal)
{
	const struct signals *s = atomic_load(&current);

	if (s && s->progress)
		progress_restore(s->progress);
	act_as_always(signal);
}

/* The shell gets the terminal as it was; later we go on below. */
static void
on_other(int signal)
{
	const struct signals *s = atomic_load(&current);
	int saved = errno;

	if (signal == SIGTSTP) {
		if (s && s->progress)
			progress_restore(s->progress);
		act_as_always(signal);
		set_handler(signal, on_other);
	}
	if (s && s->progress)
		progress_resized(s->progress);
	errno = saved;
}

static void
catch_one(int signal, void (*handler)(int))
{
	struct sigaction old;

	if (sigaction(signal, NULL, &old) == 0 &&
	    old.sa_handler == SIG_IGN)
		return;
	set_handler(signal, handler);
}

void
signals_setup(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t none;

	sigaction(SIGPIPE, &ignore, NULL);
	/* `ulimit -f`: the write that is too much fails, which is told. */
	sigaction(SIGXFSZ, &ignore, NULL);
	/* A mask may be inherited, and would make us unstoppable. */
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

void
signals_begin(const struct signals *s)
{
	size_t i;

	atomic_store(&current, s);
	/* Nobody but nohup means it: a script's background jobs have INT
	 * ignored, and whoever sends it by number wants the end. */
	set_handler(SIGINT, on_end);
	set_handler(SIGTERM, on_end);
	/* And nohup means the end, not what else it stands for. */
	if (s->hangup)
		set_handler(SIGHUP, on_end);
	else
		catch_one(SIGHUP, on_end);
	for (i = 0; s->progress && i < sizeof(others) / sizeof(others[0]); i++)
		catch_one(others[i], on_other);
	for (i = 0; s->progress && i < sizeof(abrupt) / sizeof(abrupt[0]); i++)
		catch_one(abrupt[i], on_abrupt);
}

void
signals_settled(void)
{
	atomic_store(&settled, true);
}

void
signals_end(void)
{
	atomic_store(&current, NULL);
	atomic_store(&settled, false);
}

int
signals_caught(void)
{
	return atomic_load(&caught);
}
