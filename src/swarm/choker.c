#include "swarm/choker.h"

#include <stdlib.h>

#include "base/hash.h"

#define MIX 0x9e3779b97f4a7c15ULL
#define AVERAGE_NS (20 * CLOCK_S)
#define SLOT_BYTES 24576	/* of the limit for each slot, a second */
#define NEW_WEIGHT 3
#define LAGS_BPS 65536		/* who is faster has a slot for it */
#define TURN_MOST_NS (3 * CHOKER_TURN_NS)	/* however slow it is */

/* What a peer is sorted by, the highest first. */
enum rank {
	RANK_NONE,		/* no slot */
	RANK_SPARE,		/* only what nobody else needs */
	RANK_LAST,		/* had its turn, or owes us */
	RANK_WAITS,
	RANK_EARNED,		/* gives to us, or is in its turn */
	RANK_HELD,		/* may not change yet */
};

/* A rank in the top bits and a value that decides within it. */
static uint64_t
key(enum rank rank, uint64_t value)
{
	if (value >> 56)
		value = (1ULL << 56) - 1;
	return (uint64_t)rank << 56 | value;
}

static enum rank
rank_of(const struct choker_peer *c)
{
	return (enum rank)(c->order >> 56);
}

static uint64_t
random_of(const struct choker_config *c, const struct choker_peer *peer)
{
	return hash_mix(c->seed + (peer->id + 1ULL) * MIX) >> 8;
}

static int
by_order(const void *a, const void *b)
{
	const struct choker_peer *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static bool
held(const struct choker_config *c, const struct choker_peer *peer)
{
	return peer->changed_at != 0 &&
	    c->now - peer->changed_at < CHOKER_HOLD_NS;
}

/* Peers that have no say in who gets a slot: true, and their order is set. */
static bool
rank_fixed(const struct choker_config *c, struct choker_peer *peer)
{
	if (held(c, peer)) {
		peer->order = key(peer->unchoked ? RANK_HELD : RANK_NONE, 0);
		return true;
	}
	if (peer->interested && !peer->upload_only)
		return false;
	/* It may find something tomorrow: that then needs no new round. */
	peer->order = key(peer->unchoked && !peer->upload_only ? RANK_SPARE :
	    RANK_NONE, random_of(c, peer));
	return true;
}

/* Gives slots to the first of at least this rank, as long as there are. */
static size_t
give(struct choker_peer *peers, size_t n, size_t slots, enum rank least)
{
	for (size_t i = 0; i < n && slots > 0; i++) {
		if (rank_of(&peers[i]) < least)
			break;
		if (peers[i].unchoke)
			continue;
		peers[i].unchoke = true;
		slots--;
	}
	return slots;
}

/* What is held stays, even over the number of slots. */
static size_t
give_held(struct choker_peer *peers, size_t n, size_t slots)
{
	for (size_t i = 0; i < n && rank_of(&peers[i]) == RANK_HELD; i++) {
		peers[i].unchoke = true;
		peers[i].unchoke_optimistic = peers[i].optimistic;
		if (slots > 0)
			slots--;
	}
	return slots;
}

/* ---- while downloading ---- */

/* Who gives us something; the one inside has a tenth of an advantage, so
 * that equals do not push each other out each time. */
static void
rank_by_return(const struct choker_config *c, struct choker_peer *peer)
{
	uint64_t bps = peer->down_bps >> 8 ? peer->down_bps : 256;

	if (rank_fixed(c, peer))
		return;
	if (peer->snubbed || peer->down_bps == 0)
		peer->order = key(RANK_WAITS, random_of(c, peer));
	else if (peer->unchoked && !peer->optimistic)
		peer->order = key(RANK_EARNED, bps + bps / 10);
	else
		peer->order = key(RANK_EARNED, bps);
}

/* Optimistic slots: who has one keeps it for its turn, newcomers have three
 * chances, who had the last turn comes last. */
static void
rank_by_chance(const struct choker_config *c, struct choker_peer *peer)
{
	uint64_t luck = random_of(c, peer), again;
	struct choker_config other = *c;

	if (rank_fixed(c, peer))
		return;
	for (unsigned k = 1; k < NEW_WEIGHT; k++) {
		other.seed = c->seed ^ k * MIX;
		again = random_of(&other, peer);
		if (c->now - peer->connected_at < CHOKER_NEW_NS &&
		    again > luck)
			luck = again;
	}
	if (!peer->optimistic || !peer->unchoked)
		peer->order = key(RANK_WAITS, luck);
	else if (c->now - peer->optimistic_at < CHOKER_OPTIMISTIC_NS)
		peer->order = key(RANK_EARNED, luck);
	else
		peer->order = key(RANK_LAST, luck);
}

static void
run_downloading(const struct choker_config *c, struct choker_peer *peers,
		size_t n)
{
	size_t slots = c->slots, regular, left;

	for (size_t i = 0; i < n; i++)
		rank_by_return(c, &peers[i]);
	qsort(peers, n, sizeof(*peers), by_order);
	slots = give_held(peers, n, slots);
	regular = slots > c->optimistic ? slots - c->optimistic : 0;
	left = give(peers, n, regular, RANK_EARNED);
	slots -= regular - left;
	for (size_t i = 0; i < n; i++)
		rank_by_chance(c, &peers[i]);
	qsort(peers, n, sizeof(*peers), by_order);
	for (size_t i = 0; i < n && slots > 0; i++) {
		if (rank_of(&peers[i]) < RANK_LAST)
			break;
		if (peers[i].unchoke)
			continue;
		peers[i].unchoke = peers[i].unchoke_optimistic = true;
		slots--;
	}
	give(peers, n, slots, RANK_SPARE);
}

/* ---- while seeding ---- */

/* Under a limit the others may leave nothing for it: a turn, then. */
static bool
takes_nothing(const struct choker_config *c, const struct choker_peer *peer)
{
	int64_t since = peer->took_at > peer->changed_at ? peer->took_at :
	    peer->changed_at;

	return c->now - since >=
	    (c->limited ? CHOKER_TURN_NS : CHOKER_IDLE_NS);
}

static bool
turn_is_over(const struct choker_config *c, const struct choker_peer *peer,
	     uint64_t mean_bps)
{
	int64_t turn = c->now - peer->changed_at;

	if (takes_nothing(c, peer))
		return true;
	if (turn < CHOKER_TURN_NS)
		return false;
	return turn >= TURN_MOST_NS || peer->up_bps < mean_bps / 4 ||
	    peer->sent_since_unchoke >=
	    (uint64_t)CHOKER_TURN_PIECES * c->piece_length;
}

static uint64_t
mean_up(const struct choker_peer *peers, size_t n)
{
	uint64_t sum = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		if (!peers[i].unchoked || !peers[i].interested)
			continue;
		sum += peers[i].up_bps;
		count++;
	}
	return count ? sum / count : 0;
}

/* Who waits longest is next; in a turn the fastest are the safest. */
static void
rank_by_turn(const struct choker_config *c, struct choker_peer *peer,
	     uint64_t mean_bps)
{
	int64_t since = peer->changed_at ? peer->changed_at :
	    peer->connected_at;
	uint64_t waited = since < c->now ? (uint64_t)(c->now - since) : 0;

	if (rank_fixed(c, peer))
		return;
	if (!peer->unchoked)
		peer->order = key(RANK_WAITS, waited / CLOCK_S << 32 |
		    (random_of(c, peer) & UINT32_MAX));
	else if (turn_is_over(c, peer, mean_bps))
		peer->order = key(RANK_LAST, peer->up_bps);
	else
		peer->order = key(RANK_EARNED, peer->up_bps);
}

/* They keep nobody from anything. */
static size_t
laggards(const struct choker_peer *peers, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += peers[i].unchoked && peers[i].interested &&
			 peers[i].lags && peers[i].up_bps < LAGS_BPS;
	return count;
}

static void
run_seeding(const struct choker_config *c, struct choker_peer *peers,
	    size_t n)
{
	uint64_t mean_bps = mean_up(peers, n);
	size_t slots;

	for (size_t i = 0; i < n; i++)
		rank_by_turn(c, &peers[i], mean_bps);
	qsort(peers, n, sizeof(*peers), by_order);
	slots = give_held(peers, n, c->slots + laggards(peers, n));
	slots = give(peers, n, slots, RANK_LAST);
	give(peers, n, slots, RANK_SPARE);
}

void
choker_run(const struct choker_config *c, struct choker_peer *peers,
	   size_t n)
{
	for (size_t i = 0; i < n; i++)
		peers[i].unchoke = peers[i].unchoke_optimistic = false;
	if (n == 0)
		return;
	if (c->seeding)
		run_seeding(c, peers, n);
	else
		run_downloading(c, peers, n);
}

int64_t
choker_pause(const struct choker_config *c, const struct choker_peer *peers,
	     size_t n)
{
	bool any = false, waits = false;

	for (size_t i = 0; i < n; i++) {
		any = any || peers[i].interested || peers[i].unchoke;
		waits = waits || (peers[i].interested && !peers[i].unchoke &&
				  !peers[i].upload_only);
	}
	if (!any)
		return CLOCK_NEVER;
	return c->seeding && waits && laggards(peers, n) > 0
	    ? CHOKER_SOON_NS : CHOKER_PERIOD_NS;
}

size_t
choker_slots(uint64_t up_limit_bps)
{
	uint64_t slots = up_limit_bps / SLOT_BYTES;

	if (up_limit_bps == 0 || slots > CHOKER_SLOTS_MAX)
		return CHOKER_SLOTS_MAX;
	return slots < CHOKER_SLOTS_MIN ? CHOKER_SLOTS_MIN : (size_t)slots;
}

uint64_t
choker_average(uint64_t bps, uint64_t sample_bps, int64_t span)
{
	double share = (double)span / AVERAGE_NS;

	if (share >= 1)
		return sample_bps;
	return (uint64_t)((double)bps * (1 - share) +
			  (double)sample_bps * share);
}

size_t
choker_optimistic(size_t slots)
{
	return slots / 8 > 0 ? slots / 8 : 1;
}
