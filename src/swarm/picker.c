#include "swarm/picker.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "picker_impl.h"

#define MIX 0x9e3779b97f4a7c15ULL

/* splitmix64, scaled to 0 .. bound - 1; nothing here needs more. */
uint32_t
picker_random(struct picker *p, uint32_t bound)
{
	uint64_t z = hash_mix(p->random += MIX);

	return (uint32_t)((z >> 32) * bound >> 32);
}

/* ---- life ---- */

/* Do the lengths add up? */
static bool
sound_shorts(const struct picker_geometry *g)
{
	const struct picker_short *s = g->shorts;
	uint64_t sum = (uint64_t)g->piece_count * g->piece_length;

	for (size_t i = 0; i < g->short_count; i++) {
		if (s[i].piece >= g->piece_count || s[i].length == 0 ||
		    s[i].length > g->piece_length ||
		    (i > 0 && s[i].piece <= s[i - 1].piece))
			return false;
		sum -= g->piece_length - s[i].length;
	}
	return g->piece_count < NONE && g->length == sum;
}

/* Each run behind the one before, and in its piece. */
static bool
sound_padding(const struct picker_geometry *g)
{
	const struct picker_padding *s = g->padding;

	for (size_t i = 0; i < g->padding_count; i++) {
		uint64_t end = (uint64_t)s[i].first + s[i].count;

		if (s[i].piece >= g->piece_count || s[i].count == 0 ||
		    end > (g->piece_length - 1) / PICKER_BLOCK + 1)
			return false;
		if (i > 0 && (s[i].piece < s[i - 1].piece ||
			      (s[i].piece == s[i - 1].piece &&
			       s[i].first < s[i - 1].first + s[i - 1].count)))
			return false;
	}
	return g->short_count == 0 || g->padding_count == 0;
}

static bool
sound(const struct picker_geometry *g)
{
	uint64_t n = g->piece_count, size = g->piece_length;

	if (!sound_padding(g))
		return false;
	if (n == 0)
		return g->length == 0;
	if (g->short_count > 0)
		return sound_shorts(g);
	return size > 0 && n < NONE && g->length > (n - 1) * size &&
	    g->length <= n * size;
}

/* Every piece open and wanted, in an order of chance. */
static int
fill_order(struct picker *p) REQUIRES(p->lock)
{
	uint32_t *order = malloc((p->n + 1) * sizeof(*order));

	if (!order)
		return -1;
	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t j = picker_random(p, i + 1);

		order[i] = order[j];
		order[j] = i;
		p->pieces[i].priority = PICKER_PRIORITY_NORMAL;
	}
	for (uint32_t i = 0; i < p->n; i++) {
		order_append(p, order[i]);
		bitfield_set(&p->askable, i);
	}
	free(order);
	p->level[PICKER_PRIORITY_NORMAL] = p->n;
	p->askables = p->n;
	p->missing = p->n;
	p->wanted_bytes = p->wanted_left = p->length;
	return 0;
}

/* A copy in *out, NULL of nothing; -1 when out of memory. */
static int
copy(void **out, const void *list, size_t size)
{
	if (size == 0)
		return 0;
	*out = malloc(size);
	if (!*out)
		return -1;
	memcpy(*out, list, size);
	return 0;
}

static int
copy_lists(struct picker *p, const struct picker_geometry *g)
{
	p->short_count = g->short_count;
	p->padding_count = g->padding_count;
	if (copy((void **)&p->shorts, g->shorts,
		 g->short_count * sizeof(*g->shorts)) < 0)
		return -1;
	return copy((void **)&p->padding, g->padding,
		    g->padding_count * sizeof(*g->padding));
}

struct picker *
picker_new(const struct picker_geometry *g, struct error *e)
{
	struct picker *p;
	int status;

	if (!sound(g)) {
		error_set(e, ERROR_INTERNAL, "cannot pick from %u pieces of "
		    "%u bytes: their sum is not %llu", g->piece_count,
		    g->piece_length, (unsigned long long)g->length);
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&p->lock);
	p->n = g->piece_count;
	p->piece_length = g->piece_length ? g->piece_length : 1;
	p->piece_blocks = (p->piece_length - 1) / PICKER_BLOCK + 1;
	p->length = g->length;
	p->sequential = g->sequential;
	mutex_lock(&p->lock);
	p->random = g->seed;
	p->pieces = calloc((size_t)p->n + 1, sizeof(*p->pieces));
	status = p->pieces ? copy_lists(p, g) : -1;
	if (bitfield_init(&p->good, p->n) < 0 ||
	    bitfield_init(&p->askable, p->n) < 0 || order_stride(p, 1) < 0 ||
	    status < 0 || fill_order(p) < 0)
		status = -1;
	mutex_unlock(&p->lock);
	if (status < 0) {
		error_memory(e);
		picker_free(p);
		return NULL;
	}
	return p;
}

static void
free_peer(struct picker_peer *pp)
{
	bitfield_release(&pp->have);
	free(pp->requests);
	free(pp);
}

void
picker_free(struct picker *p)
{
	struct active *a;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->peer_size; i++)
		if (p->by_index[i])
			free_peer(p->by_index[i]);
	for (uint32_t i = 0; i < p->actives; i++)
		free(p->active[i]);
	while ((a = p->spare) != NULL) {
		p->spare = a->own_next;
		free(a);
	}
	free(p->active);
	free(p->ready);
	free(p->by_index);
	free(p->free_index);
	free(p->partial);
	free(p->busy);
	free(p->buckets);
	free(p->bucket_bits);
	free(p->pieces);
	free(p->shorts);
	free(p->padding);
	bitfield_release(&p->good);
	bitfield_release(&p->askable);
	mutex_release(&p->lock);
	free(p);
}

static uint32_t
listed_length(const struct picker *p, uint32_t piece)
{
	size_t low = 0, high = p->short_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->shorts[middle].piece == piece)
			return p->shorts[middle].length;
		if (p->shorts[middle].piece < piece)
			low = middle + 1;
		else
			high = middle;
	}
	return p->piece_length;
}

uint32_t
picker_piece_length(const struct picker *p, uint32_t piece)
{
	uint64_t left;

	if (p->shorts)
		return listed_length(p, piece);
	left = p->length - (uint64_t)piece * p->piece_length;
	return left < p->piece_length ? (uint32_t)left : p->piece_length;
}

uint32_t
picker_piece_blocks(const struct picker *p, uint32_t piece)
{
	return (picker_piece_length(p, piece) - 1) / PICKER_BLOCK + 1;
}

/* ---- peers come and go ---- */

static int
grow_lists(struct picker *p, uint32_t size) REQUIRES(p->lock)
{
	struct picker_peer **peers;
	struct partial *partial;
	uint16_t *indexes;

	peers = realloc(p->by_index, size * sizeof(struct picker_peer *));
	if (!peers)
		return -1;
	p->by_index = peers;
	peers = realloc(p->busy, size * sizeof(struct picker_peer *));
	if (!peers)
		return -1;
	p->busy = peers;
	partial = realloc(p->partial, size * sizeof(*partial));
	if (!partial)
		return -1;
	p->partial = partial;
	indexes = realloc(p->free_index, size * sizeof(*indexes));
	if (!indexes)
		return -1;
	p->free_index = indexes;
	return 0;
}

static int
grow_peers(struct picker *p) REQUIRES(p->lock)
{
	uint32_t was = p->peer_size, size = was ? was * 2 : 64;

	if (p->free_indexes > 0)
		return 0;
	if (size > PICKER_PEERS_MAX)
		size = PICKER_PEERS_MAX;
	if (size == was || order_stride(p, size + 1) < 0 ||
	    grow_lists(p, size) < 0)
		return -1;
	for (uint32_t i = size; i-- > was;) {
		p->by_index[i] = NULL;
		p->free_index[p->free_indexes++] = (uint16_t)i;
	}
	p->peer_size = size;
	return 0;
}

struct picker_peer *
picker_join(struct picker *p, uint32_t id, uint64_t source)
{
	struct picker_peer *pp = calloc(1, sizeof(*pp));

	if (!pp)
		return NULL;
	pp->id = id;
	pp->source = source;
	pp->partial = pp->busy = pp->run_piece = NONE;
	pp->have.count = p->n;
	mutex_lock(&p->lock);
	if (grow_peers(p) < 0) {
		free(pp);
		pp = NULL;
	} else {
		pp->index = p->free_index[--p->free_indexes];
		p->by_index[pp->index] = pp;
	}
	mutex_unlock(&p->lock);
	return pp;
}

/* ---- what they have ---- */

bool
asker_has(const struct picker_peer *pp, uint32_t piece)
{
	return pp->seed || (pp->have.bits && bitfield_get(&pp->have, piece));
}

bool
asker_interesting(const struct picker *p, const struct picker_peer *pp)
{
	return pp->seed ? p->missing > 0 : pp->useful > 0;
}

static bool
is_useful(const struct picker *p, uint32_t piece) REQUIRES(p->lock)
{
	return p->pieces[piece].state != PIECE_GOOD &&
	    p->pieces[piece].priority > 0;
}

/* A piece is useful from now on, or no more: tells every peer with it. */
void
askers_useful(struct picker *p, uint32_t piece, bool useful)
{
	uint8_t bit = (uint8_t)(128 >> (piece & 7));

	for (uint32_t i = 0; i < p->partials; i++) {
		if (!(p->partial[i].bits[piece >> 3] & bit))
			continue;
		if (useful)
			p->partial[i].peer->useful++;
		else
			p->partial[i].peer->useful--;
	}
}

/* It has nothing, as far as anyone knows. */
static void
forget_have(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	struct partial *last;

	pp->seed = false;
	pp->count = pp->useful = 0;
	if (!pp->have.bits)
		return;
	for (size_t i = bitfield_next(&pp->have, NULL, 0); i < p->n;
	    i = bitfield_next(&pp->have, NULL, i + 1))
		order_copies(p, (uint32_t)i, -1);
	last = &p->partial[--p->partials];
	last->peer->partial = pp->partial;
	p->partial[pp->partial] = *last;
	pp->partial = NONE;
	bitfield_release(&pp->have);
	pp->have.count = p->n;
}

static int
need_bitfield(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	if (pp->have.bits)
		return 0;
	if (bitfield_init(&pp->have, p->n) < 0)
		return -1;
	pp->partial = p->partials++;
	p->partial[pp->partial].bits = pp->have.bits;
	p->partial[pp->partial].peer = pp;
	return 0;
}

static void
add_have(struct picker *p, struct picker_peer *pp, uint32_t piece)
    REQUIRES(p->lock)
{
	bitfield_set(&pp->have, piece);
	order_copies(p, piece, 1);
	pp->count++;
	pp->useful += is_useful(p, piece);
}

static void
become_seed(struct picker *p, struct picker_peer *pp) REQUIRES(p->lock)
{
	forget_have(p, pp);
	pp->seed = true;
	pp->count = p->n;
}

int
picker_peer_have(struct picker *p, struct picker_peer *pp, uint32_t piece)
{
	int status = 0;

	if (piece >= p->n || asker_has(pp, piece))
		return 0;
	mutex_lock(&p->lock);
	status = need_bitfield(p, pp);
	if (status == 0)
		add_have(p, pp, piece);
	mutex_unlock(&p->lock);
	return status;
}

int
picker_peer_bitfield(struct picker *p, struct picker_peer *pp,
		     const struct bitfield *b)
{
	int status = 0;

	if (b->count != p->n)
		return 0;
	mutex_lock(&p->lock);
	if (bitfield_full(b)) {
		become_seed(p, pp);
		goto out;
	}
	forget_have(p, pp);
	if (bitfield_next(b, NULL, 0) == p->n)
		goto out;
	status = need_bitfield(p, pp);
	if (status < 0)
		goto out;
	for (size_t i = bitfield_next(b, NULL, 0); i < p->n;
	    i = bitfield_next(b, NULL, i + 1))
		add_have(p, pp, (uint32_t)i);
out:
	mutex_unlock(&p->lock);
	return status;
}

void
picker_peer_have_all(struct picker *p, struct picker_peer *pp)
{
	mutex_lock(&p->lock);
	become_seed(p, pp);
	mutex_unlock(&p->lock);
}

void
picker_peer_have_none(struct picker *p, struct picker_peer *pp)
{
	mutex_lock(&p->lock);
	forget_have(p, pp);
	mutex_unlock(&p->lock);
}

int
picker_peer_donthave(struct picker *p, struct picker_peer *pp,
		     uint32_t piece)
{
	int status = 0;

	if (piece >= p->n || !asker_has(pp, piece))
		return 0;
	mutex_lock(&p->lock);
	if (pp->seed) {
		forget_have(p, pp);
		status = need_bitfield(p, pp);
		for (uint32_t i = 0; status == 0 && i < p->n; i++)
			add_have(p, pp, i);
	}
	if (status == 0) {
		bitfield_unset(&pp->have, piece);
		order_copies(p, piece, -1);
		pp->count--;
		pp->useful -= is_useful(p, piece);
	}
	mutex_unlock(&p->lock);
	return status;
}

bool
picker_peer_has(const struct picker *p, const struct picker_peer *pp,
		uint32_t piece)
{
	return piece < p->n && asker_has(pp, piece);
}

bool
picker_peer_is_seed(const struct picker *p, const struct picker_peer *pp)
{
	return pp->count == p->n;
}

uint32_t
picker_peer_count(const struct picker *p, const struct picker_peer *pp)
{
	(void)p;
	return pp->count;
}

bool
picker_interesting(struct picker *p, struct picker_peer *pp)
{
	bool yes;

	mutex_lock(&p->lock);
	yes = asker_interesting(p, pp);
	mutex_unlock(&p->lock);
	return yes;
}

bool
picker_has_free(struct picker *p, struct picker_peer *pp)
{
	size_t i = 0;

	mutex_lock(&p->lock);
	while ((i = bitfield_next(&p->askable, NULL, i)) < p->n &&
	       !asker_has(pp, (uint32_t)i))
		i++;
	mutex_unlock(&p->lock);
	return i < p->n;
}

/* ---- what they owe ---- */

size_t
picker_peer_asked(struct picker *p, struct picker_peer *pp)
{
	size_t n;

	mutex_lock(&p->lock);
	n = pp->requested;
	mutex_unlock(&p->lock);
	return n;
}

size_t
picker_return_all(struct picker *p, struct picker_peer *pp)
{
	return picker_return_but(p, pp, 0);
}

size_t
picker_return_but(struct picker *p, struct picker_peer *pp, size_t keep)
{
	size_t freed;

	mutex_lock(&p->lock);
	freed = asker_give_back(p, pp, keep);
	freed += asker_disown(p, pp);
	mutex_unlock(&p->lock);
	return freed;
}

size_t
picker_leave(struct picker *p, struct picker_peer *pp)
{
	size_t freed;

	mutex_lock(&p->lock);
	freed = asker_give_back(p, pp, 0) + asker_stop_writing(p, pp);
	freed += asker_disown(p, pp);
	forget_have(p, pp);
	p->rate_sum -= pp->rate_bps;
	p->by_index[pp->index] = NULL;
	p->free_index[p->free_indexes++] = pp->index;
	mutex_unlock(&p->lock);
	free_peer(pp);
	return freed;
}
