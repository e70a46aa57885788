#include "session/pool.h"

#include "base/clock.h"
#include "session/share.h"

#define YIELDS_FOR (10 * CLOCK_S)	/* others look each second */

void
pool_init(struct pool *p, unsigned places)
{
	*p = (struct pool){0};
	atomic_store(&p->left, places);
}

/* So many, if `keep` are left then; or none. */
static bool
take(struct pool *p, unsigned places, unsigned keep)
{
	unsigned left = atomic_load(&p->left);

	while (left >= places && left - places >= keep)
		if (atomic_compare_exchange_weak(&p->left, &left,
						 left - places))
			return true;
	return false;
}

/* In this order: another thread may change it at the same moment, and the sum
 * must not pass below nothing. */
static void
want(struct pool *p, struct pool_member *m, unsigned places)
{
	atomic_fetch_add(&p->wanted, places);
	atomic_fetch_sub(&p->wanted, atomic_exchange(&m->wants, places));
}

bool
pool_join(struct pool *p, struct pool_member *m)
{
	unsigned all = atomic_load(&p->left) + atomic_load(&p->taken);
	unsigned others = atomic_load(&p->torrents);
	bool fits = all >= SHARE_TORRENT_PLACES + others + 1;

	/* One place is for a peer: without any it would be of no use. */
	if (!fits || !take(p, SHARE_TORRENT_PLACES, 1)) {
		want(p, m, fits ? SHARE_TORRENT_PLACES + 1 : 0);
		return false;
	}
	want(p, m, 0);
	atomic_fetch_add(&p->torrents, 1);
	atomic_store(&m->at_work, true);
	return true;
}

void
pool_leave(struct pool *p, struct pool_member *m)
{
	want(p, m, 0);
	if (!atomic_exchange(&m->at_work, false))
		return;
	atomic_fetch_sub(&p->torrents, 1);
	atomic_fetch_add(&p->left, SHARE_TORRENT_PLACES);
}

/* What it leaves to others. */
static unsigned
to_keep(const struct pool *p, const struct pool_member *m)
{
	return atomic_load(&m->held) > 0 ? atomic_load(&p->wanted) : 0;
}

static bool
waits(const struct pool *p, const struct pool_member *m, int64_t now)
{
	return now < atomic_load(&m->waits_until) &&
	       atomic_load(&p->wanted) > 0;
}

bool
pool_may_take(const struct pool *p, const struct pool_member *m, int64_t now)
{
	return !waits(p, m, now) &&
	       atomic_load(&p->left) > to_keep(p, m);
}

bool
pool_take(struct pool *p, struct pool_member *m, int64_t now)
{
	if (waits(p, m, now) || !take(p, 1, to_keep(p, m)))
		return false;
	want(p, m, 0);
	atomic_fetch_add(&p->taken, 1);
	if (atomic_fetch_add(&m->held, 1) == 0)
		atomic_fetch_add(&p->holders, 1);
	return true;
}

void
pool_give(struct pool *p, struct pool_member *m)
{
	if (atomic_fetch_sub(&m->held, 1) == 1)
		atomic_fetch_sub(&p->holders, 1);
	atomic_fetch_sub(&p->taken, 1);
	atomic_fetch_add(&p->left, 1);
}

void
pool_want(struct pool *p, struct pool_member *m, bool wants)
{
	want(p, m, wants && atomic_load(&m->held) == 0);
}

bool
pool_wants(const struct pool_member *m)
{
	return atomic_load(&m->wants) > 0;
}

bool
pool_is_short(const struct pool *p, const struct pool_member *m)
{
	return atomic_load(&m->held) > 0 &&
	       atomic_load(&p->left) < atomic_load(&p->wanted);
}

bool
pool_is_too_much(const struct pool *p, const struct pool_member *m)
{
	unsigned all = atomic_load(&p->left) + atomic_load(&p->taken);
	unsigned who = atomic_load(&p->holders) + atomic_load(&p->wanted);
	unsigned share = who > 0 ? all / who : all;

	return pool_is_short(p, m) &&
	       atomic_load(&m->held) > (share > 0 ? share : 1);
}

void
pool_yield(struct pool_member *m, int64_t now)
{
	atomic_store(&m->waits_until, now + YIELDS_FOR);
}
