/*
 * The torrents that are searched for.
 */
#include <stdlib.h>

#include "dht_parts.h"

#define SEARCH_FEW (5 * CLOCK_S)	/* after few nodes answered */
#define SEARCH_NONE (30 * CLOCK_S)	/* after no peers were found */
#define SEARCH_JITTER_S 60

struct search *
dht_find_search(struct dht *d, const struct dht_id *hash)
{
	for (size_t i = 0; i < d->search_count; i++)
		if (dht_id_equal(&d->searches[i].hash, hash))
			return &d->searches[i];
	return NULL;
}

/* The others learn it when it is new. */
static void
set_port(struct search *s, int which, uint16_t port, int64_t now)
{
	if (s->port[which] != port)
		s->at[which] = now;
	s->port[which] = port;
}

int
dht_search(struct dht *d, const struct dht_wish *wish, int64_t now)
{
	struct dht_id hash = dht_id_from(wish->info_hash);
	struct search *s = dht_find_search(d, &hash);

	if (!s) {
		if (d->search_count == DHT_SEARCHES_MAX)
			return -1;
		if (d->search_count == d->search_size) {
			size_t size = d->search_size ? d->search_size * 2 : 4;
			struct search *more =
			    realloc(d->searches, size * sizeof(*more));

			if (!more)
				return -1;
			d->searches = more;
			d->search_size = size;
		}
		s = &d->searches[d->search_count++];
		*s = (struct search){.hash = hash, .at = {now, now},
				     .few = {SIZE_MAX, SIZE_MAX}};
	}
	/* That we have everything now, the others learn when it is time. */
	set_port(s, NET4, wish->port, now);
	set_port(s, NET6, wish->port6, now);
	s->seed = wish->seed;
	dht_wake_at(d, now);
	return 0;
}

void
dht_stop_search(struct dht *d, const uint8_t info_hash[20])
{
	struct dht_id hash = dht_id_from(info_hash);
	struct search *s = dht_find_search(d, &hash);

	if (!s)
		return;
	for (size_t i = d->job_count; i-- > 0;)
		if (d->jobs[i].kind == JOB_SEARCH &&
		    dht_id_equal(dht_lookup_target(d->jobs[i].lookup), &hash))
			dht_drop_job(d, &d->jobs[i]);
	*s = d->searches[--d->search_count];
}

/* The one that has waited longest, in either network: hundreds may be due, and
 * those that find nobody soon are again. */
static struct search *
longest_due(struct dht *d, int *which, int64_t now)
{
	struct search *first = NULL;

	for (int net = 0; net < NETS; net++) {
		if (!dht_has_nodes(&d->nets[net]))
			continue;
		for (size_t i = 0; i < d->search_count; i++) {
			struct search *s = &d->searches[i];

			if (s->running[net] || s->at[net] > now ||
			    (first && s->at[net] >= first->at[*which]))
				continue;
			first = s;
			*which = net;
		}
	}
	return first;
}

void
dht_start_searches(struct dht *d, int64_t now)
{
	struct search *s;
	int which = 0;

	while (d->job_count < JOBS_MAX && budget_has(&d->for_queries, now) &&
	       (s = longest_due(d, &which, now))) {
		s->running[which] = true;
		s->seen[which].count = 0;
		s->news[which] = 0;
		if (dht_start_lookup(d, JOB_SEARCH, which, &s->hash, now))
			continue;
		s->running[which] = false;
		return;
	}
}

void
dht_search_node(struct dht *d, int which, const struct dht_node *n,
		int64_t now)
{
	/* Downwards, since one that is done leaves its place to the last. */
	for (size_t i = d->job_count; i-- > 0;) {
		struct job *job = &d->jobs[i];

		if (job->kind == JOB_SEARCH && job->net == which &&
		    dht_lookup_add(job->lookup, n, true, 0))
			dht_advance(d, job, now);
	}
}

void
dht_search_again(struct dht *d, int which, int64_t now)
{
	struct dht_table_counts c;

	dht_table_count(d->nets[which].table, now, &c);
	for (size_t i = 0; i < d->search_count; i++) {
		struct search *s = &d->searches[i];

		/* They may have been many, and none was there any more. */
		if (!s->running[which] && s->few[which] != SIZE_MAX &&
		    (c.good > s->few[which] || c.good >= DHT_K))
			s->at[which] = clock_min(s->at[which], now);
	}
}

void
dht_search_hurry(struct dht *d, int which, int64_t now)
{
	for (size_t i = 0; i < d->search_count; i++) {
		struct search *s = &d->searches[i];

		if (s->running[which])
			s->wait[which] = 0;
		if (s->running[which] || s->few[which] == SIZE_MAX)
			continue;
		s->wait[which] = 0;
		s->at[which] = clock_min(s->at[which], now);
	}
}

static void
announce(struct dht *d, const struct job *job, const struct search *s,
	     int64_t now)
{
	struct dht_lookup_result found[DHT_LOOKUP_RESULTS];
	size_t n = dht_lookup_results(job->lookup, found, DHT_LOOKUP_RESULTS);

	for (size_t i = 0; i < n && s->port[job->net] != 0; i++) {
		struct query q = {.method = KRPC_ANNOUNCE_PEER,
				  .to = found[i].node,
				  .known = true,
				  .target = s->hash};

		if (found[i].token_size == 0)
			continue;
		d->out.port = s->port[job->net];
		d->out.seed = s->seed;
		d->out.implied_port = false;
		d->out.token = (struct krpc_text){found[i].token,
						  found[i].token_size};
		(void)dht_ask(d, &q, now);
	}
}

static bool
is_seen(const struct seen *seen, uint32_t hash)
{
	for (size_t i = 0; i < seen->count; i++)
		if (seen->hashes[i] == hash)
			return true;
	return false;
}

/* We announce ourselves, and are found by ourselves. */
static bool
is_us(const struct dht *d, const struct search *s, int which,
      const struct addr *us, const struct addr *peer)
{
	return peer->port == s->port[which] &&
	       (addr_same_ip(peer, us) ||
		addr_same_ip(peer, &d->nets[which].external));
}

void
dht_search_found(struct dht *d, struct search *s, int which,
		 const struct addr *us, const struct addr *peers, size_t n)
{
	struct seen *seen = &s->seen[which];

	for (size_t i = 0; i < n; i++) {
		uint32_t hash = addr_hash(&peers[i]);

		if (is_us(d, s, which, us, &peers[i]) ||
		    is_seen(seen, hash))
			continue;
		if (seen->count < SEEN_MAX)
			seen->hashes[seen->count++] = hash;
		s->news[which] += !is_seen(&s->before[which], hash);
	}
	d->config.peers(d->config.ctx, s->hash.raw, peers, n);
}

/* Who was there before may be dead, and what a first look finds was there
 * before unless it is plenty. */
static bool
found_news(struct search *s, int which, bool answered)
{
	size_t enough = s->looked[which] ? 1 : DHT_K;
	bool news = answered && s->news[which] >= enough;

	s->looked[which] |= answered;
	if (s->seen[which].count > 0)
		s->before[which] = s->seen[which];
	return news;
}

/* When to look again: soon while few nodes or no new peers are found. */
static void
searched(struct dht *d, const struct job *job, struct search *s, int64_t now)
{
	struct dht_lookup_counts c;
	struct dht_table_counts nodes;
	int64_t first = SEARCH_NONE, *wait = &s->wait[job->net];
	uint32_t random;

	dht_lookup_count(job->lookup, &c);
	d->stats.lookup_queries = c.queries;
	d->stats.lookup_depth = c.depth;
	dht_random(d, &random, sizeof(random));
	dht_table_count(d->nets[job->net].table, now, &nodes);
	s->few[job->net] = c.replies < DHT_K ? nodes.good : SIZE_MAX;
	if (c.replies < DHT_K)
		first = SEARCH_FEW;
	*wait = *wait ? 2 * *wait : first;
	if (found_news(s, job->net, c.replies >= DHT_K) ||
	    *wait > DHT_ANNOUNCE_EVERY)
		*wait = DHT_ANNOUNCE_EVERY;
	s->running[job->net] = false;
	s->at[job->net] = now + *wait;
	if (*wait == DHT_ANNOUNCE_EVERY)
		s->at[job->net] += random % SEARCH_JITTER_S * CLOCK_S;
}

/* We may be among the closest nodes ourselves. */
static void
own_peers(struct dht *d, const struct job *job, struct search *s, int64_t now)
{
	struct dht_store_query q = {.hash = s->hash,
				    .family = d->nets[job->net].family};
	struct addr peers[KRPC_SEND_VALUES4];
	size_t n;

	dht_random(d, &q.random, sizeof(q.random));
	n = dht_store_get(d->store, &q, peers, KRPC_SEND_VALUES4, now);
	if (n > 0)
		dht_search_found(d, s, job->net, &(struct addr){0}, peers, n);
}

void
dht_search_done(struct dht *d, const struct job *job, int64_t now)
{
	struct search *s =
	    dht_find_search(d, dht_lookup_target(job->lookup));

	if (!s)
		return;
	announce(d, job, s, now);
	own_peers(d, job, s, now);
	searched(d, job, s, now);
}
