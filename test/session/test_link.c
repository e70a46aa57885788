/* The names in a magnet link, where the name server takes its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <netdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "session/config.h"
#include "session/exit.h"
#include "session/session.h"

#define PATIENCE (20 * CLOCK_S)

static _Atomic bool open_gate;
static _Atomic unsigned asked, answered;

/* Instead of libc's: it knows nobody, and is slow to say so. */
int
getaddrinfo(const char *restrict node, const char *restrict service,
	    const struct addrinfo *restrict hints,
	    struct addrinfo **restrict list)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)list;
	atomic_fetch_add(&asked, 1);
	while (!atomic_load(&open_gate))
		usleep(1000);
	atomic_fetch_add(&answered, 1);
	return EAI_AGAIN;
}

static void
on_ended(void *ctx, const struct stats_torrent *t, int code,
	 const char *reason)
{
	_Atomic unsigned *ended = ctx;

	(void)t;
	(void)code;
	(void)reason;
	atomic_fetch_add(ended, 1);
}

static void
run(void *arg)
{
	session_run(arg);
}

static void
await(const _Atomic unsigned *what, unsigned n)
{
	int64_t until = clock_ns() + PATIENCE;

	while (atomic_load(what) < n && clock_ns() < until)
		usleep(1000);
	assert_true(atomic_load(what) >= n);
}

static void
put_link(const char *dir, const char *name, char digit)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "magnet:?xt=urn:btih:%039d%c&x.pe=slow.test:6881\n", 0,
		digit);
	fclose(f);
}

static int
drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* The first torrent has ended, and is gone, when the answer comes; the second
 * one's end says that it was looked at.  A sanitizer sees what is touched. */
static void
an_answer_that_comes_after_the_torrent_is_for_nobody(void **state)
{
	char dir[] = "/tmp/btget-link-XXXXXX";
	_Atomic unsigned ended = 0;
	struct session_events events = {.ctx = &ended, .ended = on_ended};
	struct session_config config;
	struct session *s;
	struct thread thread;

	(void)state;
	assert_non_null(mkdtemp(dir));
	session_config_init(&config);
	config.dir = config.watch = dir;
	config.use_dht = config.use_lsd = config.use_portmap = false;
	config.port_min = config.port_max = 0;
	config.deadline_ns = 1 * CLOCK_S;
	s = session_new(&config, NULL, &events, NULL);
	assert_non_null(s);
	assert_int_equal(thread_start(&thread, "main", THREAD_STACK_LARGE,
				      run, s, NULL), 0);
	put_link(dir, "a.magnet", '1');
	await(&asked, 1);
	await(&ended, 1);
	atomic_store(&open_gate, true);
	await(&answered, 1);
	put_link(dir, "b.magnet", '2');
	await(&ended, 2);
	session_interrupt(s, SIGTERM);
	thread_join(&thread);
	session_free(s);
	nftw(dir, drop, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    an_answer_that_comes_after_the_torrent_is_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
