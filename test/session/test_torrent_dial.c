/* What comes of a dial, by what is then known of whom it went to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "discover/peerlist.h"
#include "session/torrent_parts.h"

struct fixture {
	struct torrent *t;
	struct wake wake;
	struct addr to;
};

/* One peer, handed out to be dialled. */
static void
begin(struct fixture *f, unsigned flags)
{
	struct peerlist_config config = {.max = 10};
	struct peer_candidate c;
	int64_t now = clock_ns();

	f->t = calloc(1, sizeof(*f->t));
	assert_non_null(f->t);
	mutex_init(&f->t->peers_lock);
	assert_int_equal(wake_init(&f->wake, NULL), 0);
	f->t->env.wake = &f->wake;
	f->t->peerlist = peerlist_new(&config, NULL);
	assert_non_null(f->t->peerlist);
	f->t->utp_dialling = 1;
	assert_true(addr_parse(&f->to, "10.0.0.1", 6881));
	assert_true(peerlist_add(f->t->peerlist, &f->to, PEER_TRACKER, flags,
				 now));
	assert_true(peerlist_next(f->t->peerlist, now, &c));
}

static void
end(struct fixture *f)
{
	assert_int_equal(f->t->utp_dialling, 0);
	peerlist_free(f->t->peerlist);
	wake_release(&f->wake);
	mutex_release(&f->t->peers_lock);
	free(f->t);
}

/* As it is handed out the next time, and in how long. */
static struct peer_candidate
next(struct fixture *f, int64_t *wait)
{
	int64_t now = clock_ns();
	int64_t due = peerlist_next_due(f->t->peerlist, now);
	struct peer_candidate c;

	assert_true(due != CLOCK_NEVER);
	*wait = due - now;
	assert_true(peerlist_next(f->t->peerlist, due, &c));
	return c;
}

static void
who_found_no_place_for_utp_has_not_failed(void **state)
{
	struct peer_candidate c;
	struct fixture f;
	int64_t wait;

	(void)state;
	begin(&f, PEERLIST_BY_UTP);
	torrent_utp_dialled(f.t, &f.to, -1, ENOBUFS);
	c = next(&f, &wait);
	assert_int_equal(c.failures, 0);
	assert_true(c.flags & PEERLIST_BY_UTP);
	assert_true(wait <= 5 * CLOCK_S);
	end(&f);
}

/* Not over and over, and for two minutes at most. */
static void
whom_tcp_did_not_reach_either_waits_for_minutes(void **state)
{
	struct peer_candidate c;
	struct fixture f;
	int64_t wait;

	(void)state;
	begin(&f, 0);
	for (unsigned i = 0; i < 10; i++) {
		f.t->utp_dialling = 1;
		torrent_utp_dialled(f.t, &f.to, -1, ENOBUFS);
		c = next(&f, &wait);
		assert_int_equal(c.failures, i < 3 ? i + 1 : 3);
		assert_true(wait > 5 * CLOCK_S && wait < 180 * CLOCK_S);
	}
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_found_no_place_for_utp_has_not_failed),
		cmocka_unit_test(
		    whom_tcp_did_not_reach_either_waits_for_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
