#include <string.h>

#include "dht_parts.h"

#define BUDGET_LONGEST (60 * 60 * CLOCK_S)	/* that adds up */

/* ---- budgets of bytes ---- */

void
budget_init(struct budget *b, int64_t rate, int64_t burst, int64_t now)
{
	b->rate = rate;
	b->burst = burst;
	b->left = burst;
	b->at = now;
}

bool
budget_has(struct budget *b, int64_t now)
{
	int64_t bytes;

	if (now - b->at > BUDGET_LONGEST)
		b->at = now - BUDGET_LONGEST;
	bytes = (now - b->at) * b->rate / CLOCK_S;
	if (bytes > 0) {
		/* Not further than they have taken: in a flood we are asked
		 * before there is a whole one. */
		b->at += bytes * CLOCK_S / b->rate;
		b->left += bytes;
		if (b->left > b->burst)
			b->left = b->burst;
	}
	return b->left > 0;
}

void
budget_take(struct budget *b, size_t bytes)
{
	b->left -= (int64_t)bytes;
}

/* When there is something again, after budget_has said no. */
int64_t
budget_due(const struct budget *b)
{
	if (b->left > 0)
		return b->at;
	return b->at + (-b->left * 1000 / b->rate + 20) * CLOCK_MS;
}

/* ---- hosts that lie ---- */

static struct ban *
find_ban(struct dht *d, const struct addr *a)
{
	for (size_t i = 0; i < d->ban_count; i++)
		if (dht_same_host(&d->bans[i].host, a))
			return &d->bans[i];
	return NULL;
}

bool
dht_banned(const struct dht *d, const struct addr *a, int64_t now)
{
	for (size_t i = 0; i < d->ban_count; i++) {
		const struct ban *b = &d->bans[i];

		if (b->strikes >= BAN_STRIKES && now < b->until &&
		    dht_same_host(&b->host, a))
			return true;
	}
	return false;
}

void
dht_strike(struct dht *d, const struct addr *a, const struct dht_id *claimed,
	   int64_t now)
{
	struct ban *b = find_ban(d, a);
	struct net *net = dht_net_of(d, a->family);

	if (b && now >= b->until)
		b->strikes = 0;
	if (b && claimed && b->strikes > 0 &&
	    dht_id_equal(&b->claimed, claimed))
		return;
	if (!b) {
		b = &d->bans[0];
		if (d->ban_count < BANS_MAX)
			b = &d->bans[d->ban_count++];
		else
			for (size_t i = 1; i < BANS_MAX; i++)
				if (d->bans[i].until < b->until)
					b = &d->bans[i];
		b->host = *a;
		b->strikes = 0;
	}
	if (claimed)
		b->claimed = *claimed;
	b->strikes++;
	b->until = now + BAN_TIME;
	if (b->strikes >= BAN_STRIKES && net)
		dht_table_forget(net->table, a);
}

/* ---- sources that ask too often ---- */

/* Alike for what dht_same_host takes for one host. */
static struct addr
source_key(const struct addr *from)
{
	struct addr key = *from;

	if (addr_is_local(&key))
		return key;
	key.port = 0;
	if (key.family == AF_INET6)
		memset(key.ip + 8, 0, 8);
	return key;
}

static struct source *
source_of(struct dht *d, const struct addr *key)
{
	return &d->sources[(addr_hash(key) ^ d->source_salt) % SOURCES_MAX];
}

/* A slot is taken over unless its owner pauses, so that a flood from many
 * addresses only costs us their being counted. */
bool
dht_admit(struct dht *d, const struct addr *from, int64_t now)
{
	struct addr key = source_key(from);
	struct source *s = source_of(d, &key);

	if (!addr_equal(&s->addr, &key) && now >= s->paused_until) {
		s->addr = key;
		s->since = now;
		s->count = 0;
	}
	if (!addr_equal(&s->addr, &key))
		return true;
	if (now < s->paused_until)
		return false;
	if (now - s->since >= SOURCE_WINDOW) {
		s->since = now;
		s->count = 0;
	}
	if (++s->count <= SOURCE_QUERIES)
		return true;
	s->paused_until = now + SOURCE_PAUSE;
	return false;
}

void
dht_init_answers(struct dht *d, int64_t now)
{
	budget_init(&d->for_answers, ANSWER_RATE, ANSWER_BURST, now);
	for (size_t i = 0; i < SOURCES_MAX; i++)
		budget_init(&d->sources[i].for_answers,
			    ANSWER_RATE / ANSWER_PARTS,
			    ANSWER_BURST / ANSWER_PARTS, now);
}

static bool
answers_has(struct budget *b, bool ping, int64_t now)
{
	return budget_has(b, now) &&
	       (ping || b->left > b->burst / ANSWER_PARTS);
}

bool
dht_may_answer(struct dht *d, const struct addr *to, bool ping, int64_t now)
{
	struct addr key = source_key(to);

	return answers_has(&d->for_answers, ping, now) &&
	       answers_has(&source_of(d, &key)->for_answers, ping, now);
}

void
dht_charge_answer(struct dht *d, const struct addr *to, size_t bytes)
{
	struct addr key = source_key(to);

	budget_take(&d->for_answers, bytes);
	budget_take(&source_of(d, &key)->for_answers, bytes);
}

/* ---- our own address ---- */

void
dht_settle(struct dht *d, struct net *net, const struct addr *address,
	   int64_t now)
{
	struct dht_id random = dht_random_id(d);

	net->external = *address;
	net->external.port = 0;
	net->self = dht_id_for(address, &random);
	net->moved_at = now;
	dht_table_move(net->table, &net->self, now);
	dht_reach_moved(&net->reach, now);
	net->moved = true;	/* a lookup under way goes for the old one */
	net->join_at = now;
	dht_wake_at(d, now);
}

/* Each network has a voice, and the latest VOTES_MAX of them count. */
static void
record_vote(struct net *net, const struct addr *voter,
	    const struct addr *address)
{
	struct vote *v = NULL;

	for (size_t i = 0; i < net->vote_count; i++)
		if (dht_same_host(&net->votes[i].voter, voter) ||
		    dht_same_network(&net->votes[i].voter, voter))
			v = &net->votes[i];
	if (!v && net->vote_count < VOTES_MAX)
		v = &net->votes[net->vote_count++];
	if (!v) {
		v = &net->votes[net->vote_next];
		net->vote_next = (net->vote_next + 1) % VOTES_MAX;
	}
	v->voter = *voter;
	v->address = *address;
}

void
dht_vote(struct dht *d, const struct addr *voter, const struct addr *address,
	 int64_t now)
{
	struct net *net = dht_net_of(d, voter->family);
	size_t same = 0;

	if (!net || address->family != voter->family ||
	    addr_is_local(address) || addr_is_local(voter))
		return;
	record_vote(net, voter, address);
	for (size_t i = 0; i < net->vote_count; i++)
		same += addr_same_ip(&net->votes[i].address, address);
	if (same < VOTES_NEEDED || same * 2 <= net->vote_count ||
	    addr_same_ip(&net->external, address))
		return;
	if (dht_id_valid(&net->self, address)) {
		net->external = *address;
		net->external.port = 0;
	} else if (net->moved_at == 0 || now - net->moved_at > MOVE_PAUSE) {
		dht_settle(d, net, address, now);
	}
}
