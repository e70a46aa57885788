#include "discover/dht_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "discover/dht_table.h"

#define NETWORK_MAX 3
#define LIES_MAX 4	/* silent nodes, before what one named is dropped */

enum state { NEW, ASKED, REPLIED, FAILED };

struct candidate {
	struct dht_node node;
	enum state state;
	bool known;		/* the id is; else it sorts last */
	bool granted;		/* the id is */
	unsigned number;	/* from 1 */
	unsigned by;		/* who named it; 0: nobody */
	unsigned depth;
	unsigned missed;	/* of those it named: were silent */
	unsigned met;		/* answered, or others named them too */
	bool blamed;		/* its silence was counted */
	int64_t asked;
	size_t token_size;
	uint8_t token[KRPC_TOKEN_MAX];
};

struct dht_lookup {
	struct dht_id target;
	unsigned numbers;	/* given so far */
	unsigned queries;
	unsigned replies;
	size_t count;
	struct candidate list[DHT_LOOKUP_CANDIDATES];
};

struct dht_lookup *
dht_lookup_new(const struct dht_id *target)
{
	struct dht_lookup *l = calloc(1, sizeof(*l));

	if (l)
		l->target = *target;
	return l;
}

void
dht_lookup_free(struct dht_lookup *l)
{
	free(l);
}

const struct dht_id *
dht_lookup_target(const struct dht_lookup *l)
{
	return &l->target;
}

static struct candidate *
numbered(struct dht_lookup *l, unsigned number)
{
	for (size_t i = 0; number != 0 && i < l->count; i++)
		if (l->list[i].number == number)
			return &l->list[i];
	return NULL;
}

static bool
closer(const struct dht_lookup *l, const struct candidate *a,
       const struct candidate *b)
{
	if (!a->known || !b->known)
		return a->known;
	return dht_id_compare(&l->target, &a->node.id, &b->node.id) < 0;
}

static void
take_out(struct dht_lookup *l, size_t i)
{
	l->count--;
	memmove(&l->list[i], &l->list[i + 1],
		(l->count - i) * sizeof(*l->list));
}

/* A full list gives up the farthest that is not being asked. */
static bool
make_room(struct dht_lookup *l, const struct candidate *c)
{
	if (l->count < DHT_LOOKUP_CANDIDATES)
		return true;
	for (size_t i = l->count; i-- > 0;) {
		if (!closer(l, c, &l->list[i]))
			return false;
		if (l->list[i].state != ASKED) {
			take_out(l, i);
			return true;
		}
	}
	return false;
}

static bool
put_in(struct dht_lookup *l, const struct candidate *c)
{
	size_t at;

	if (!make_room(l, c))
		return false;
	for (at = l->count; at > 0 && closer(l, c, &l->list[at - 1]); at--)
		;
	memmove(&l->list[at + 1], &l->list[at],
		(l->count - at) * sizeof(*l->list));
	l->list[at] = *c;
	l->count++;
	return true;
}

bool
dht_lookup_add(struct dht_lookup *l, const struct dht_node *n, bool known,
	       unsigned by)
{
	struct candidate c = {.node = *n, .known = known, .by = by};
	struct candidate *namer = numbered(l, by);
	unsigned network = 0;

	for (size_t i = 0; i < l->count; i++) {
		struct candidate *have = &l->list[i];

		if (dht_same_host(&have->node.addr, &n->addr) ||
		    (known && have->known &&
		     dht_id_equal(&have->node.id, &n->id))) {
			/* Named by others too: whoever says so does not make
			 * everything up. */
			if (namer && have->state != FAILED &&
			    have->by != by && have != namer &&
			    addr_equal(&have->node.addr, &n->addr))
				namer->met++;
			return false;
		}
		network += dht_same_network(&have->node.addr, &n->addr);
	}
	if (network >= NETWORK_MAX)
		return false;
	c.granted = known && dht_id_valid(&n->id, &n->addr);
	c.number = ++l->numbers;
	c.depth = namer ? namer->depth + 1 : 0;
	return put_in(l, &c);
}

/* Is it still waited for? */
static bool
in_flight(const struct candidate *c, int64_t now)
{
	return c->state == ASKED && now - c->asked < DHT_LOOKUP_SHORT;
}

/* How many of the closest matter: enough of these have answered, or all. */
static size_t
reach(const struct dht_lookup *l)
{
	unsigned granted = 0, answered = 0;
	size_t i;

	for (i = 0; i < l->count; i++) {
		const struct candidate *c = &l->list[i];

		if (granted >= DHT_K || answered >= 2u * DHT_K)
			break;
		if (c->state != REPLIED)
			continue;
		answered++;
		granted += c->granted;
	}
	return i;
}

/* The first that may be asked: nobody (the count), once enough closer ones
 * have answered. */
static size_t
next_new(const struct dht_lookup *l)
{
	size_t end = reach(l);

	if (l->queries >= DHT_LOOKUP_QUERIES)
		return l->count;
	/* Saved nodes may all be dead: every other of the first queries goes
	 * to an address of which we know no more than that. */
	for (size_t i = 0; l->replies == 0 && l->queries % 2 == 1 &&
			   i < l->count; i++)
		if (l->list[i].state == NEW && !l->list[i].known)
			return i;
	for (size_t i = 0; i < end; i++)
		if (l->list[i].state == NEW)
			return i;
	return l->count;
}

/* Of the first ones so many. */
static unsigned
flying(const struct dht_lookup *l, size_t end, int64_t now)
{
	unsigned n = 0;

	for (size_t i = 0; i < end; i++)
		n += in_flight(&l->list[i], now);
	return n;
}

bool
dht_lookup_next(struct dht_lookup *l, int64_t now,
		struct dht_lookup_query *out)
{
	size_t i = next_new(l);
	struct candidate *c;

	/* Who is farther, and silent, holds up nobody who is closer. */
	if (i == l->count || flying(l, i, now) >= DHT_LOOKUP_ALPHA ||
	    flying(l, l->count, now) >= DHT_LOOKUP_FLYING)
		return false;
	c = &l->list[i];
	c->state = ASKED;
	c->asked = now;
	l->queries++;
	out->node = c->node;
	out->known = c->known;
	out->number = c->number;
	return true;
}

void
dht_lookup_replied(struct dht_lookup *l, unsigned number,
		   const struct dht_id *id, struct krpc_text token)
{
	struct candidate *c = numbered(l, number), *namer, moved;

	if (!c || c->state != ASKED)
		return;
	namer = numbered(l, c->by);
	if (namer)
		namer->met++;
	l->replies++;
	c->state = REPLIED;
	c->token_size = token.size <= sizeof(c->token) ? token.size : 0;
	if (c->token_size > 0)
		memcpy(c->token, token.at, c->token_size);
	if (c->known)
		return;
	moved = *c;
	moved.known = true;
	moved.node.id = *id;
	moved.granted = dht_id_valid(id, &moved.node.addr);
	take_out(l, (size_t)(c - l->list));
	(void)put_in(l, &moved);
}

/* Counts a silent node against who named it. */
static void
blame(struct dht_lookup *l, struct candidate *c)
{
	struct candidate *namer = numbered(l, c->by);
	unsigned number;

	if (c->blamed || !namer)
		return;
	c->blamed = true;
	namer->missed++;
	if (namer->missed < LIES_MAX || namer->met > 0)
		return;
	number = namer->number;
	for (size_t i = l->count; i-- > 0;)
		if (l->list[i].by == number && l->list[i].state == NEW)
			take_out(l, i);
}

void
dht_lookup_slow(struct dht_lookup *l, unsigned number)
{
	struct candidate *c = numbered(l, number);

	if (c && c->state == ASKED)
		blame(l, c);
}

void
dht_lookup_failed(struct dht_lookup *l, unsigned number)
{
	struct candidate *c = numbered(l, number);

	if (!c || c->state != ASKED)
		return;
	c->state = FAILED;
	blame(l, c);
}

bool
dht_lookup_done(const struct dht_lookup *l, int64_t now)
{
	if (next_new(l) < l->count || flying(l, reach(l), now) > 0)
		return false;
	if (l->replies > 0)
		return true;
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].state == ASKED)
			return false;
	return true;
}

size_t
dht_lookup_results(const struct dht_lookup *l, struct dht_lookup_result *out,
		   size_t max)
{
	size_t n = 0, granted = 0;

	for (size_t i = 0; i < l->count && n < max && granted < DHT_K; i++) {
		const struct candidate *c = &l->list[i];

		if (c->state != REPLIED)
			continue;
		out[n].node = c->node;
		out[n].token_size = c->token_size;
		memcpy(out[n].token, c->token, c->token_size);
		n++;
		granted += c->granted;
	}
	return n;
}

void
dht_lookup_count(const struct dht_lookup *l, struct dht_lookup_counts *out)
{
	unsigned seen = 0;

	*out = (struct dht_lookup_counts){.queries = l->queries,
					  .replies = l->replies};
	for (size_t i = 0; i < l->count && seen < DHT_K; i++) {
		const struct candidate *c = &l->list[i];

		if (c->state != REPLIED)
			continue;
		seen++;
		if (c->depth > out->depth)
			out->depth = c->depth;
	}
}
