/* Who makes room for others, and who is told of whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/clock.h"
#include "discover/peerlist.h"
#include "session/torrent_parts.h"
#include "swarm/peer_parts.h"
#include "swarm/pex.h"

#define PEERS 10
#define NOW (1000 * CLOCK_S)

/* Its peers have no thread: what they are is what the test says. */
struct fixture {
	struct torrent *t;
	struct torrent_peer peers[PEERS];
};

static void
begin(struct fixture *f)
{
	struct peerlist_config config = {.max = 10};

	f->t = calloc(1, sizeof(*f->t));
	assert_non_null(f->t);
	mutex_init(&f->t->peers_lock);
	f->t->peerlist = peerlist_new(&config, NULL);
	assert_non_null(f->t->peerlist);
	atomic_store(&f->t->swarm.complete, true);
	torrent_swarm_init(f->t);
	f->t->peers = f->peers;
}

static void
end(struct fixture *f)
{
	for (size_t i = 0; i < f->t->peer_count; i++)
		free(f->peers[i].peer);
	peerlist_free(f->t->peerlist);
	mutex_release(&f->t->peers_lock);
	free(f->t);
}

static struct peer *
make_peer(struct fixture *f, const char *ip)
{
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->wake.fd = -1;
	assert_true(addr_parse(&p->addr, ip, 6881));
	p->source = peerlist_key(f->t->peerlist, &p->addr);
	return p;
}

/* Connected for a minute; its number is the place that it has. */
static void
add(struct fixture *f, const char *ip)
{
	struct peer *p = make_peer(f, ip);

	p->id = (uint32_t)f->t->peer_count;
	p->connected_at = NOW - 60 * CLOCK_S;
	atomic_store(&p->admitted, true);
	f->peers[f->t->peer_count++] = (struct torrent_peer){
		.peer = p, .source = PEER_INCOMING, .admitted = true};
}

/* ---- room ---- */

/* Does one of six that have these places, which are most of them, leave for
 * a newcomer? */
static bool
one_leaves(const char *const six[6], const char *newcomer)
{
	struct fixture f;
	struct peer *p;
	bool leaves;

	begin(&f);
	add(&f, "1.2.3.4");
	add(&f, "5.6.7.8");
	for (size_t i = 0; i < 6; i++)
		add(&f, six[i]);
	p = make_peer(&f, newcomer);
	mutex_lock(&f.t->peers_lock);
	leaves = torrent_turn_over_locked(f.t, p, NOW);
	mutex_unlock(&f.t->peers_lock);
	assert_false(f.peers[0].leaving || f.peers[1].leaving);
	free(p);
	end(&f);
	return leaves;
}

static void
one_of_a_crowd_leaves_for_another(void **state)
{
	static const char *const crowd[6] = {"9.9.9.9", "9.9.9.9", "9.9.9.9",
					     "9.9.9.9", "9.9.9.9", "9.9.9.9"};
	static const char *const some[6] = {"9.9.9.9", "9.9.9.9", "9.9.9.8",
					    "9.9.9.7", "9.9.9.6", "9.9.9.9"};

	(void)state;
	assert_true(one_leaves(crowd, "9.9.9.8"));
	assert_false(one_leaves(crowd, "9.9.9.9"));
	assert_false(one_leaves(some, "9.9.9.1"));
}

/* Who has one address of it has them all. */
static void
a_network_of_ipv6_is_one_crowd(void **state)
{
	static const char *const crowd[6] = {
		"2001:db8::1", "2001:db8::2", "2001:db8::3",
		"2001:db8::4", "2001:db8::5", "2001:db8::6"};
	static const char *const home[6] = {"fd00::1", "fd00::2", "fd00::3",
					    "fd00::4", "fd00::5", "fd00::6"};

	(void)state;
	assert_true(one_leaves(crowd, "2001:db8:0:1::1"));
	assert_true(one_leaves(crowd, "9.9.9.9"));
	assert_false(one_leaves(crowd, "2001:db8::7"));
	assert_false(one_leaves(home, "9.9.9.9"));
}

/* ---- peer exchange ---- */

/* How many of the others one at this address is told of. */
static size_t
told(const char *ip, const char *const *others, size_t n)
{
	struct pex_peer out[PEERS];
	struct fixture f;
	size_t count;

	begin(&f);
	add(&f, ip);
	for (size_t i = 0; i < n; i++)
		add(&f, others[i]);
	count = f.t->swarm.events.connected(f.t, 0, out, PEERS);
	end(&f);
	return count;
}

static void
strangers_are_not_told_of_our_own_network(void **state)
{
	static const char *const ours[] = {"192.168.1.2", "10.0.0.2",
					   "100.64.0.2", "fe80::2", "fd00::2",
					   "127.0.0.2", "::1"};
	static const char *const worlds[] = {"1.2.3.4", "2001:db8::1"};

	(void)state;
	assert_int_equal(told("5.6.7.8", ours, 7), 0);
	assert_int_equal(told("2001:db8::2", ours, 7), 0);
	assert_int_equal(told("5.6.7.8", worlds, 2), 2);
	/* Who is in it itself reaches them, but not what is on our host. */
	assert_int_equal(told("192.168.1.9", ours, 7), 5);
	assert_int_equal(told("192.168.1.9", worlds, 2), 2);
	assert_int_equal(told("127.0.0.9", ours, 7), 7);
}

static void
a_seed_that_hangs_up_at_once_is_full(void **state)
{
	struct peer_view v = {.useful = true, .seed = true,
			      .end = PEER_END_CLOSED, .connected_at = NOW};

	(void)state;
	assert_false(torrent_was_useful(&v, NOW + CLOCK_S));
	assert_true(torrent_was_useful(&v, NOW + 60 * CLOCK_S));
	v.downloaded = 1;
	assert_true(torrent_was_useful(&v, NOW + CLOCK_S));
	v = (struct peer_view){.useful = true, .end = PEER_END_CLOSED,
			       .connected_at = NOW};
	assert_true(torrent_was_useful(&v, NOW + CLOCK_S));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_a_crowd_leaves_for_another),
		cmocka_unit_test(a_network_of_ipv6_is_one_crowd),
		cmocka_unit_test(strangers_are_not_told_of_our_own_network),
		cmocka_unit_test(a_seed_that_hangs_up_at_once_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
