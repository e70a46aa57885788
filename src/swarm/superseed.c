#include "swarm/superseed.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"

#define GIVEN_MAX 64		/* pieces asked for and not yet had */
#define PATIENCE_LEAST (50 * CLOCK_MS)	/* below, nobody is waited for */

struct piece {
	uint32_t holder;	/* id of who was pointed to it last, or 0 */
	uint16_t copies;	/* joined peers that have it */
	uint16_t given;		/* peers that were pointed to it, and lack it */
};

/* A piece that the peer was pointed to and that is not yet done with: it
 * lacks it, or (showing) it has it and nobody else does. */
struct given {
	uint32_t piece;
	bool asked;
	bool had;
};

struct superseed_peer {
	uint32_t id;
	uint32_t count;		/* pieces it has */
	struct bitfield have;
	struct bitfield shown;
	struct given given[GIVEN_MAX];	/* oldest first */
	unsigned givens;
};

struct superseed {
	uint32_t n;
	bool show;
	_Atomic bool over;
	struct mutex lock;
	/* All below: lock. */
	uint64_t random;
	struct piece *pieces;
	uint32_t lonely;	/* pieces that no peer has */
	uint32_t fresh;		/* of these, nobody was pointed to them */
	uint32_t leeches;	/* peers that lack something */
	int64_t news_at;	/* a piece came to somebody; 0: never */
	int64_t patience;
	unsigned open;		/* pieces of a peer at a time */
};

struct superseed *
superseed_new(uint32_t pieces, bool show, uint64_t seed, struct error *e)
{
	struct superseed *s = calloc(1, sizeof(*s));

	if (s)
		s->pieces = calloc(pieces ? pieces : 1, sizeof(*s->pieces));
	if (!s || !s->pieces) {
		free(s);
		error_memory(e);
		return NULL;
	}
	mutex_init(&s->lock);
	s->n = s->lonely = s->fresh = pieces;
	s->show = show;
	s->random = seed;
	s->patience = SUPERSEED_PATIENCE_NS;
	s->open = SUPERSEED_OPEN;
	return s;
}

void
superseed_free(struct superseed *s)
{
	if (!s)
		return;
	mutex_release(&s->lock);
	free(s->pieces);
	free(s);
}

struct superseed_peer *
superseed_join(struct superseed *s, uint32_t id)
{
	struct superseed_peer *sp = calloc(1, sizeof(*sp));

	if (!sp)
		return NULL;
	sp->id = id;
	if (bitfield_init(&sp->have, s->n) < 0 ||
	    bitfield_init(&sp->shown, s->n) < 0) {
		bitfield_release(&sp->have);
		free(sp);
		return NULL;
	}
	mutex_lock(&s->lock);
	s->leeches++;
	mutex_unlock(&s->lock);
	return sp;
}

/* ---- what peers were pointed to ---- */

static bool
is_fresh(const struct piece *q)
{
	return q->copies == 0 && q->given == 0;
}

/* The i-th of a peer's is done with. */
static void
forget(struct superseed *s, struct superseed_peer *sp, unsigned i)
    REQUIRES(s->lock)
{
	struct piece *q = &s->pieces[sp->given[i].piece];

	if (!sp->given[i].had) {
		q->given--;
		s->fresh += is_fresh(q);
	}
	sp->givens--;
	for (; i < sp->givens; i++)
		sp->given[i] = sp->given[i + 1];
}

static unsigned
find(const struct superseed_peer *sp, uint32_t piece)
{
	unsigned i = 0;

	while (i < sp->givens && sp->given[i].piece != piece)
		i++;
	return i;
}

static void
give(struct superseed *s, struct superseed_peer *sp, uint32_t piece,
     bool asked) REQUIRES(s->lock)
{
	if (sp->givens == GIVEN_MAX)
		forget(s, sp, 0);
	sp->given[sp->givens++] = (struct given){piece, asked, false};
	s->fresh -= is_fresh(&s->pieces[piece]);
	s->pieces[piece].given++;
	s->pieces[piece].holder = sp->id;
}

void
superseed_leave(struct superseed *s, struct superseed_peer *sp)
{
	if (!sp)
		return;
	mutex_lock(&s->lock);
	while (sp->givens > 0)
		forget(s, sp, sp->givens - 1);
	for (size_t i = bitfield_next(&sp->have, NULL, 0); i < s->n;
	     i = bitfield_next(&sp->have, NULL, i + 1)) {
		s->lonely += --s->pieces[i].copies == 0;
		s->fresh += is_fresh(&s->pieces[i]);
	}
	s->leeches -= sp->count < s->n;
	mutex_unlock(&s->lock);
	bitfield_release(&sp->have);
	bitfield_release(&sp->shown);
	free(sp);
}

static uint32_t
have_locked(struct superseed *s, struct superseed_peer *sp, uint32_t piece,
	    int64_t now) REQUIRES(s->lock)
{
	struct piece *q = &s->pieces[piece];
	unsigned i = find(sp, piece);
	bool told = q->copies <= 1 && q->holder != sp->id;

	bitfield_set(&sp->have, piece);
	s->fresh -= is_fresh(q);
	s->lonely -= q->copies++ == 0;
	s->news_at = now;
	if (++sp->count == s->n)
		s->leeches--;
	if (s->lonely == 0 || sp->count == s->n)
		atomic_store(&s->over, true);
	if (i < sp->givens) {
		q->given--;
		sp->given[i].had = true;
		if (!s->show)
			forget(s, sp, i);
	}
	if (!told || q->holder == 0)
		return 0;
	s->patience = SUPERSEED_PATIENCE_NS;
	return q->holder;
}

uint32_t
superseed_have(struct superseed *s, struct superseed_peer *sp, uint32_t piece,
	       int64_t now)
{
	uint32_t id;

	if (piece >= s->n || bitfield_get(&sp->have, piece))
		return 0;
	mutex_lock(&s->lock);
	id = have_locked(s, sp, piece, now);
	mutex_unlock(&s->lock);
	return id;
}

void
superseed_asked(struct superseed *s, struct superseed_peer *sp,
		uint32_t piece)
{
	unsigned i;

	if (piece >= s->n || bitfield_get(&sp->have, piece))
		return;
	mutex_lock(&s->lock);
	i = find(sp, piece);
	if (i < sp->givens)
		sp->given[i].asked = true;
	else if (!s->show)
		give(s, sp, piece, true);
	mutex_unlock(&s->lock);
}

/* ---- pointing ---- */

static uint32_t
random_below(struct superseed *s, uint32_t bound) REQUIRES(s->lock)
{
	s->random = s->random * 6364136223846793005ULL +
	    1442695040888963407ULL;
	return (uint32_t)((s->random >> 33) * bound >> 31);
}

/* The rarest piece that the peer lacks and was not pointed to, from a random
 * one on; how rare it is goes to *rank: 0 if nobody has or gets it. */
static uint32_t
rarest(struct superseed *s, const struct superseed_peer *sp, uint32_t *rank)
    REQUIRES(s->lock)
{
	uint32_t i = random_below(s, s->n), best = SUPERSEED_NONE;

	*rank = UINT32_MAX;
	for (uint32_t k = 0; k < s->n && *rank > 0; k++, i++) {
		const struct piece *q = &s->pieces[i == s->n ? i = 0 : i];
		uint32_t its = (uint32_t)q->copies + q->given;

		if (its >= *rank || bitfield_get(&sp->have, i) ||
		    find(sp, i) < sp->givens ||
		    (s->show && bitfield_get(&sp->shown, i)))
			continue;
		*rank = its;
		best = i;
	}
	return best;
}

/* Drops what is done with. */
static void
settle(struct superseed *s, struct superseed_peer *sp) REQUIRES(s->lock)
{
	for (unsigned i = 0; i < sp->givens;) {
		const struct given *g = &sp->given[i];
		const struct piece *q = &s->pieces[g->piece];
		bool done;

		if (!s->show)		/* somebody else was quicker */
			done = !g->asked && q->copies + q->given > 1;
		else if (g->had)
			done = q->copies > 1 || s->leeches < 2;
		else
			done = q->copies > 0;
		if (done)
			forget(s, sp, i);
		else
			i++;
	}
}

static unsigned
open_hints(const struct superseed_peer *sp)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sp->givens; i++)
		n += !sp->given[i].asked;
	return n;
}

/* Hints that it cannot follow now are free for others. */
static void
drop_hints(struct superseed *s, struct superseed_peer *sp) REQUIRES(s->lock)
{
	for (unsigned i = 0; i < sp->givens;) {
		if (sp->given[i].asked)
			i++;
		else
			forget(s, sp, i);
	}
}

static uint32_t
hint(struct superseed *s, struct superseed_peer *sp, bool choked)
    REQUIRES(s->lock)
{
	uint32_t rank, piece;

	if (choked)
		drop_hints(s, sp);
	if (choked || s->fresh == 0 || open_hints(sp) >= SUPERSEED_OPEN)
		return SUPERSEED_NONE;
	piece = rarest(s, sp, &rank);
	return rank == 0 ? piece : SUPERSEED_NONE;
}

/* The line is idle, or a piece is stuck: more at a time, and sooner. */
static void
hurry(struct superseed *s, int64_t now) REQUIRES(s->lock)
{
	s->news_at = now;
	s->patience /= 2;
	if (s->patience < PATIENCE_LEAST)
		s->patience = 0;
	if (s->open < SUPERSEED_OPEN_MAX)
		s->open *= 2;
}

/* A piece that the peer has and did not pass on. */
static unsigned
kept(const struct superseed_peer *sp)
{
	unsigned i = 0;

	while (i < sp->givens && !sp->given[i].had)
		i++;
	return i;
}

/* Pieces of a peer at a time.  One that is alone has nobody to pass them on
 * to, and may look for new ones each ten seconds only. */
static unsigned
most_open(const struct superseed *s, const struct superseed_peer *sp)
    REQUIRES(s->lock)
{
	unsigned alone = SUPERSEED_OPEN + sp->count;

	if (s->leeches > 1 || alone < s->open)
		return s->open;
	return alone < SUPERSEED_OPEN_MAX ? alone : SUPERSEED_OPEN_MAX;
}

static uint32_t
show(struct superseed *s, struct superseed_peer *sp, bool choked,
     int64_t now) REQUIRES(s->lock)
{
	bool stalled = s->news_at != 0 && now - s->news_at >= s->patience;
	unsigned most = choked ? 1 : most_open(s, sp);
	uint32_t rank, piece;

	if (sp->givens >= most && (!stalled || kept(sp) == sp->givens))
		return SUPERSEED_NONE;
	if (s->fresh == 0 && !stalled)
		return SUPERSEED_NONE;
	piece = rarest(s, sp, &rank);
	if (piece == SUPERSEED_NONE || (rank > 0 && !stalled))
		return SUPERSEED_NONE;
	if (sp->givens >= most)
		forget(s, sp, kept(sp));
	else if (rank == 0)
		return piece;
	hurry(s, now);
	return piece;
}

uint32_t
superseed_next(struct superseed *s, struct superseed_peer *sp, bool choked,
	       int64_t now)
{
	uint32_t piece = SUPERSEED_NONE;

	mutex_lock(&s->lock);
	if (sp->count == s->n ||
	    (!s->show && (s->lonely == 0 || s->leeches < 2)))
		goto out;
	settle(s, sp);
	if (!s->show)
		piece = hint(s, sp, choked);
	else if (!atomic_load(&s->over))
		piece = show(s, sp, choked, now);
	if (piece == SUPERSEED_NONE)
		goto out;
	give(s, sp, piece, false);
	bitfield_set(&sp->shown, piece);
	if (s->news_at == 0)
		s->news_at = now;
out:
	mutex_unlock(&s->lock);
	return piece;
}

bool
superseed_shown(const struct superseed *s, const struct superseed_peer *sp,
		uint32_t piece)
{
	return piece < s->n && bitfield_get(&sp->shown, piece);
}

bool
superseed_hides(const struct superseed *s)
{
	return s->show && !atomic_load(&s->over);
}
