#include "dht_parts.h"

/* ---- sending ---- */

static void
drop_query(struct dht *d, struct query *q)
{
	*q = d->queries[--d->query_count];
}

/* Among too many queries, the oldest that nobody waits for. */
static struct query *
to_give_up(struct dht *d)
{
	struct query *oldest = NULL;

	for (size_t i = 0; i < d->query_count; i++)
		if (d->queries[i].slow &&
		    (!oldest || d->queries[i].sent < oldest->sent))
			oldest = &d->queries[i];
	return oldest;
}

static bool
has_room(struct dht *d)
{
	return d->query_count < QUERIES_MAX || to_give_up(d);
}

static struct job *
find_job(struct dht *d, unsigned id)
{
	for (size_t i = 0; id != 0 && i < d->job_count; i++)
		if (d->jobs[i].id == id)
			return &d->jobs[i];
	return NULL;
}

/* Its lookup is told, and goes on with the next beat: it may be the one that
 * makes us ask. */
static bool
make_room(struct dht *d, int64_t now)
{
	struct query *oldest = NULL, q;
	struct job *job;
	struct net *net;

	if (d->query_count < QUERIES_MAX)
		return true;
	oldest = to_give_up(d);
	if (!oldest)
		return false;
	q = *oldest;
	drop_query(d, oldest);
	net = dht_net_of(d, q.to.addr.family);
	if (net && now - q.sent >= DHT_LOOKUP_SHORT)
		dht_table_failed(net->table, &q.to.addr, now);
	job = find_job(d, q.job);
	if (job)
		dht_lookup_failed(job->lookup, q.number);
	d->gave_up = true;
	dht_wake_at(d, now);
	return true;
}

static void
fill_query(struct dht *d, const struct query *q, const struct net *net,
	   const uint8_t transaction[4])
{
	struct krpc *m = &d->out;

	m->type = KRPC_QUERY;
	m->method = q->method;
	m->transaction = (struct krpc_text){transaction, 4};
	m->id = net->self;
	m->target = q->target;
	m->external = (struct addr){0};
	m->read_only = net->reach.read_only;
	m->node_count = 0;
	m->node6_count = 0;
	m->value_count = 0;
	if (q->method != KRPC_ANNOUNCE_PEER) {
		m->token.size = 0;
		m->port = 0;
		m->implied_port = false;
		m->seed = false;
	}
	m->scrape = false;
	if (q->method != KRPC_GET_PEERS)
		m->noseed = false;
	/* Where both networks are wanted, each helps into the other. */
	m->want = 0;
	if (q->method == KRPC_FIND_NODE && d->nets[NET4].table &&
	    d->nets[NET6].table)
		m->want = KRPC_WANT4 | KRPC_WANT6;
}

bool
dht_ask(struct dht *d, const struct query *q, int64_t now)
{
	struct net *net = dht_net_of(d, q->to.addr.family);
	struct query *sent;
	struct buffer out;
	uint8_t transaction[4];

	if (!net || !make_room(d, now))
		return false;
	dht_random(d, transaction, sizeof(transaction));
	fill_query(d, q, net, transaction);
	buffer_init(&out, KRPC_PACKET_MAX);
	if (krpc_write(&out, &d->out) < 0) {
		buffer_release(&out);
		return false;
	}
	sent = &d->queries[d->query_count++];
	*sent = *q;
	sent->transaction = get_u32(transaction);
	sent->sent = now;
	sent->slow = q->job == 0;
	dht_reach_asked(&net->reach, &q->to.addr, now);
	if (d->unanswered++ == 0)
		d->silent_since = now;
	d->stats.sent_bytes += out.used;
	budget_take(&d->for_queries, out.used);
	dht_wake_at(d, now + (q->job ? DHT_LOOKUP_SHORT : QUERY_TIMEOUT));
	d->config.send(d->config.ctx, &q->to.addr, out.data, out.used);
	buffer_release(&out);
	return true;
}

void
dht_ping(struct dht *d, const struct dht_node *n, bool known, int64_t now)
{
	struct query q = {.method = KRPC_PING, .to = *n, .known = known};

	(void)dht_ask(d, &q, now);
}

/* ---- lookups ---- */

struct job *
dht_start_job(struct dht *d, enum job_kind kind, int net,
	      const struct dht_id *target)
{
	struct job *job = &d->jobs[d->job_count];

	if (d->job_count == JOBS_MAX)
		return NULL;
	job->lookup = dht_lookup_new(target);
	if (!job->lookup)
		return NULL;
	if (++d->job_ids == 0)
		d->job_ids = 1;
	job->id = d->job_ids;
	job->kind = kind;
	job->net = net;
	d->job_count++;
	return job;
}

void
dht_drop_job(struct dht *d, struct job *job)
{
	dht_lookup_free(job->lookup);
	*job = d->jobs[--d->job_count];
	dht_wake_at(d, 0);	/* another may be waiting for its place */
}

void
dht_advance(struct dht *d, struct job *job, int64_t now)
{
	struct query q = {.job = job->id,
			  .method = job->kind == JOB_SEARCH ? KRPC_GET_PEERS
							    : KRPC_FIND_NODE,
			  .target = *dht_lookup_target(job->lookup)};
	struct dht_lookup_query next;
	struct search *s = NULL;

	if (job->kind == JOB_SEARCH)
		s = dht_find_search(d, &q.target);
	while (budget_has(&d->for_queries, now) && has_room(d) &&
	       dht_lookup_next(job->lookup, now, &next)) {
		q.to = next.node;
		q.known = next.known;
		q.number = next.number;
		d->out.noseed = s && s->seed;
		if (dht_banned(d, &q.to.addr, now) || !dht_ask(d, &q, now))
			dht_lookup_failed(job->lookup, next.number);
	}
	if (!dht_lookup_done(job->lookup, now))
		return;
	dht_job_done(d, job, now);
	dht_drop_job(d, job);
}

/* ---- answers ---- */

static struct query *
find_query(struct dht *d, const struct addr *from)
{
	struct krpc_text t = d->in.transaction;

	if (t.size != 4)
		return NULL;
	for (size_t i = 0; i < d->query_count; i++)
		if (d->queries[i].transaction == get_u32(t.at) &&
		    addr_equal(&d->queries[i].to.addr, from))
			return &d->queries[i];
	return NULL;
}

/* A node may name local addresses only if it is in that network itself. */
static bool
credible(const struct addr *from, const struct addr *named)
{
	return addr_is_local(from) || !addr_is_local(named);
}

static void
take_nodes(struct dht *d, const struct query *q, struct job *job,
	   const struct dht_node *nodes, size_t n, int64_t now)
{
	for (size_t i = 0; i < n && i < DHT_K; i++) {
		struct net *net = dht_net_of(d, nodes[i].addr.family);

		if (!net || !credible(&q->to.addr, &nodes[i].addr) ||
		    dht_id_equal(&nodes[i].id, &net->self))
			continue;
		if (job && nodes[i].addr.family == q->to.addr.family)
			(void)dht_lookup_add(job->lookup, &nodes[i], true,
					     q->number);
		else if (nodes[i].addr.family != q->to.addr.family)
			dht_add_entrance(d, &nodes[i], true, now);
	}
}

static void
take_values(struct dht *d, const struct query *q)
{
	struct search *s = dht_find_search(d, &q->target);
	struct krpc *m = &d->in;
	size_t n = 0;

	if (!s || q->method != KRPC_GET_PEERS)
		return;
	for (size_t i = 0; i < m->value_count; i++)
		if (credible(&q->to.addr, &m->values[i]))
			m->values[n++] = m->values[i];
	if (n > 0)
		dht_search_found(d, s,
				 q->to.addr.family == AF_INET ? NET4 : NET6,
				 &m->external, m->values, n);
}

/* The node is not what it was said to be, or has nothing for us. */
static void
give_up(struct dht *d, const struct query *q, int64_t now)
{
	struct net *net = dht_net_of(d, q->to.addr.family);
	struct job *job = find_job(d, q->job);

	if (net)
		dht_table_failed(net->table, &q->to.addr, now);
	if (!job)
		return;
	dht_lookup_failed(job->lookup, q->number);
	dht_advance(d, job, now);
}

static void
take_response(struct dht *d, const struct query *q, struct net *net,
	      int64_t now)
{
	struct krpc *m = &d->in;
	struct dht_node node = {.id = m->id, .addr = q->to.addr};
	struct job *job = find_job(d, q->job);
	bool first = !dht_table_alive(net->table), joining;

	dht_table_replied(net->table, &node, now);
	dht_reach_answered(&net->reach, &node.addr, now);
	dht_wake_at(d, net->reach.due);
	if (first)
		dht_wake_at(d, now);	/* searches may have waited for it */
	take_values(d, q);
	if (job) {
		bool get_peers = q->method == KRPC_GET_PEERS;

		dht_lookup_replied(job->lookup, q->number, &m->id,
				   get_peers ? m->token
					     : (struct krpc_text){0});
	}
	take_nodes(d, q, job, m->nodes, m->node_count, now);
	take_nodes(d, q, job, m->nodes6, m->node6_count, now);
	joining = job && job->kind == JOB_JOIN;
	if (job)
		dht_advance(d, job, now);
	if (joining)
		dht_search_node(d, net == &d->nets[NET4] ? NET4 : NET6, &node,
				now);
}

/* The node lives, under another id than the one that was looked for. */
static void
changed_id(struct dht *d, const struct query *q, struct net *net, int64_t now)
{
	struct dht_node node = {.id = d->in.id, .addr = q->to.addr};
	struct job *job = find_job(d, q->job);

	dht_table_replied(net->table, &node, now);
	dht_strike(d, &node.addr, &node.id, now);
	if (!job)
		return;
	dht_lookup_failed(job->lookup, q->number);
	dht_advance(d, job, now);
}

void
dht_take_answer(struct dht *d, const struct addr *from, int64_t now)
{
	struct net *net = dht_net_of(d, from->family);
	struct query *found = find_query(d, from), q;

	if (!found || !net)
		return;
	q = *found;
	drop_query(d, found);
	d->unanswered = 0;
	d->answered = true;
	if (d->in.external.family != 0)
		dht_vote(d, from, &d->in.external, now);
	if (d->in.type == KRPC_ERROR) {
		if (q.method != KRPC_ANNOUNCE_PEER)
			give_up(d, &q, now);
	} else if (dht_id_equal(&d->in.id, &net->self)) {
		give_up(d, &q, now);
	} else if (q.known && !dht_id_equal(&d->in.id, &q.to.id)) {
		changed_id(d, &q, net, now);
	} else {
		take_response(d, &q, net, now);
	}
}

void
dht_take_garbage(struct dht *d, const struct addr *from, int64_t now)
{
	struct query *found = find_query(d, from), q;

	if (!found)
		return;
	q = *found;
	drop_query(d, found);
	dht_strike(d, from, NULL, now);
	give_up(d, &q, now);
}

/* Removes one query whose time is over, or marks one as slow; false when
 * there is none. */
static bool
expire_one(struct dht *d, int64_t now)
{
	for (size_t i = 0; i < d->query_count; i++) {
		struct query q = d->queries[i];
		struct job *job;

		if (now - q.sent < (q.slow ? QUERY_TIMEOUT : DHT_LOOKUP_SHORT))
			continue;
		if (now - q.sent >= QUERY_TIMEOUT) {
			drop_query(d, &d->queries[i]);
			give_up(d, &q, now);
			return true;
		}
		d->queries[i].slow = true;
		job = find_job(d, q.job);
		if (!job)
			return true;
		dht_lookup_slow(job->lookup, q.number);
		dht_advance(d, job, now);
		return true;
	}
	return false;
}

void
dht_expire_queries(struct dht *d, int64_t now)
{
	while (expire_one(d, now))
		;
}
