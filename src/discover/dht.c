#include "discover/dht.h"

#include <stdlib.h>

#include "base/hash.h"
#include "dht_parts.h"

#define PING_PAUSE (3 * CLOCK_S)
#define HINT_PAUSE (500 * CLOCK_MS)	/* between addresses we are told */
#define EXPIRE_EVERY (60 * CLOCK_S)
#define JOIN_FIRST (5 * CLOCK_S)
#define JOIN_LONGEST (5 * 60 * CLOCK_S)
#define JOIN_AGAIN (30 * 60 * CLOCK_S)	/* once there are enough nodes */
#define LONELY_AFTER (3 * CLOCK_S)
#define ASK_AGAIN (1500 * CLOCK_MS)	/* and as long as it took so far */
#define ASK_AGAIN_MOST 8	/* entrances at a time */
#define REFRESH_JOBS (JOBS_MAX / 2)	/* the rest is for searches */

/* ---- set-up ---- */

void
dht_random(struct dht *d, void *out, size_t n)
{
	if (d->config.random)
		d->config.random(d->config.ctx, out, n);
	else
		random_bytes(out, n);
}

struct dht_id
dht_random_id(struct dht *d)
{
	struct dht_id id = {{0}};

	dht_random(d, id.raw, sizeof(id.raw));
	return id;
}

static void
turn_tokens(struct dht *d, int64_t now)
{
	uint8_t secret[DHT_SECRET_SIZE];

	dht_random(d, secret, sizeof(secret));
	dht_tokens_turn(&d->tokens, secret, now);
}

static int
init_net(struct dht *d, int which, int64_t now)
{
	struct net *net = &d->nets[which];

	net->family = which == NET4 ? AF_INET : AF_INET6;
	net->self = dht_random_id(d);
	net->join_at = now;
	net->join_wait = JOIN_FIRST;
	dht_reach_init(&net->reach, now);
	net->table = dht_table_new(net->family, &net->self);
	return net->table ? 0 : -1;
}

struct dht *
dht_new(const struct dht_config *config, int64_t now)
{
	struct dht *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->config = *config;
	d->store = dht_store_new();
	d->due = now;
	d->expire_at = now + EXPIRE_EVERY;
	dht_random(d, &d->source_salt, sizeof(d->source_salt));
	turn_tokens(d, now);
	turn_tokens(d, now);
	budget_init(&d->for_queries, QUERY_RATE, QUERY_BURST, now);
	dht_init_answers(d, now);
	if (!d->store || (config->ipv4 && init_net(d, NET4, now) < 0) ||
	    (config->ipv6 && init_net(d, NET6, now) < 0)) {
		dht_free(d);
		return NULL;
	}
	return d;
}

void
dht_free(struct dht *d)
{
	if (!d)
		return;
	while (d->job_count > 0)
		dht_drop_job(d, &d->jobs[d->job_count - 1]);
	for (int i = 0; i < NETS; i++)
		dht_table_free(d->nets[i].table);
	dht_store_free(d->store);
	free(d->searches);
	free(d);
}

struct net *
dht_net_of(struct dht *d, int family)
{
	struct net *net = &d->nets[family == AF_INET6 ? NET6 : NET4];

	return net->table && net->family == family ? net : NULL;
}

void
dht_wake_at(struct dht *d, int64_t when)
{
	d->due = clock_min(d->due, when);
}

int64_t
dht_due(const struct dht *d)
{
	return d->due;
}

/* ---- what comes in ---- */

void
dht_packet(struct dht *d, const struct addr *from, const void *data, size_t n,
	   int64_t now)
{
	d->stats.received_bytes += n;
	if (!dht_net_of(d, from->family) || !addr_usable(from) ||
	    dht_banned(d, from, now))
		return;
	if (krpc_read(&d->in, data, n, NULL) < 0) {
		if (d->in.type != KRPC_QUERY || d->in.transaction.size == 0)
			dht_take_garbage(d, from, now);
		else if (dht_admit(d, from, now))
			dht_refuse(d, from, KRPC_PROTOCOL, now);
	} else if (d->in.type != KRPC_QUERY) {
		dht_take_answer(d, from, now);
	} else if (dht_admit(d, from, now)) {
		dht_take_query(d, from, now);
	}
}

/* ---- the way in ---- */

/* The ones of a net: enough that know us? */
static bool
connected(const struct net *net, int64_t now)
{
	struct dht_table_counts c;

	dht_table_count(net->table, now, &c);
	return c.good >= DHT_K;
}

bool
dht_has_nodes(const struct net *net)
{
	return net->table && dht_table_alive(net->table);
}

static struct job *
join_job(struct dht *d, const struct net *net)
{
	for (size_t i = 0; i < d->job_count; i++)
		if (d->jobs[i].kind == JOB_JOIN &&
		    &d->nets[d->jobs[i].net] == net)
			return &d->jobs[i];
	return NULL;
}

void
dht_add_entrance(struct dht *d, const struct dht_node *n, bool known,
		 int64_t now)
{
	struct net *net = dht_net_of(d, n->addr.family);
	struct job *job;
	size_t at;

	if (!net || !addr_usable(&n->addr) || connected(net, now))
		return;
	for (at = 0; at < net->entrance_count; at++)
		if (addr_equal(&net->entrances[at].node.addr, &n->addr))
			return;
	if (at == ENTRANCES_MAX) {
		at = net->entrance_next;
		net->entrance_next = (at + 1) % ENTRANCES_MAX;
	} else {
		net->entrance_count++;
	}
	net->entrances[at] = (struct entrance){*n, known};
	job = join_job(d, net);
	if (job)
		(void)dht_lookup_add(job->lookup, n, known, 0);
	else
		net->join_at = clock_min(net->join_at,
					 net->begun ? now + JOIN_FIRST : now);
	dht_wake_at(d, now);
}

void
dht_add_node(struct dht *d, const struct addr *a, int64_t now)
{
	struct dht_node node = {.addr = *a};
	struct net *net = dht_net_of(d, a->family);

	if (!net || !addr_usable(a) || dht_banned(d, a, now))
		return;
	dht_add_entrance(d, &node, false, now);
	if (!net->begun || now < net->hint_at ||
	    !budget_has(&d->for_queries, now))
		return;
	net->hint_at = now + HINT_PAUSE;
	dht_ping(d, &node, false, now);
}

bool
dht_lonely(const struct dht *d, int64_t now)
{
	for (int i = 0; i < NETS; i++) {
		const struct net *net = &d->nets[i];

		if (!net->table)
			continue;
		if (dht_has_nodes(net) || !net->tried)
			return false;
		if (net->joining && now - net->joining_since < LONELY_AFTER)
			return false;
	}
	return true;
}

/* Where the lookup begins: the nodes closest to its target; for one's own
 * id whatever else there is. */
static void
seed_lookup(struct net *net, struct job *job, int64_t now)
{
	struct dht_node nodes[4 * DHT_K];
	size_t n = dht_table_closest(net->table,
				     dht_lookup_target(job->lookup), nodes,
				     DHT_K);

	for (size_t i = 0; i < n; i++)
		(void)dht_lookup_add(job->lookup, &nodes[i], true, 0);
	if (job->kind != JOB_JOIN)
		return;
	/* After the network was away, every node of the table may be bad. */
	n = dht_table_nodes(net->table, now, nodes,
			    sizeof(nodes) / sizeof(*nodes));
	for (size_t i = 0; i < n; i++)
		(void)dht_lookup_add(job->lookup, &nodes[i], true, 0);
	for (size_t i = 0; i < net->entrance_count; i++)
		(void)dht_lookup_add(job->lookup, &net->entrances[i].node,
				     net->entrances[i].known, 0);
}

bool
dht_start_lookup(struct dht *d, enum job_kind kind, int which,
	     const struct dht_id *target, int64_t now)
{
	struct job *job = dht_start_job(d, kind, which, target);

	if (!job)
		return false;
	seed_lookup(&d->nets[which], job, now);
	dht_advance(d, job, now);
	return true;
}

static void
joined(struct dht *d, int which, int64_t now)
{
	struct net *net = &d->nets[which];

	net->joining = false;
	dht_search_again(d, which, now);
	if (net->moved) {
		net->join_at = now;
		return;
	}
	if (connected(net, now)) {
		net->join_wait = JOIN_FIRST;
		net->join_at = now + JOIN_AGAIN;
		return;
	}
	net->join_at = now + net->join_wait;
	net->join_wait = clock_min(2 * net->join_wait, JOIN_LONGEST);
}

/* A datagram may be lost, and the only node may be about to come up: a query
 * is given up after many seconds, and nothing can begin before. */
static void
ask_entrances_again(struct dht *d, struct net *net, int64_t now)
{
	size_t n = net->entrance_count;

	if (dht_has_nodes(net) || now < net->again_at)
		return;
	net->again_at = now + (now - net->joining_since);
	net->again = true;
	if (n > ASK_AGAIN_MOST)
		n = ASK_AGAIN_MOST;
	for (size_t i = 0; i < n && budget_has(&d->for_queries, now); i++) {
		size_t at = net->again_next++ % net->entrance_count;

		if (dht_banned(d, &net->entrances[at].node.addr, now))
			continue;
		dht_ping(d, &net->entrances[at].node,
			 net->entrances[at].known, now);
	}
}

static void
join(struct dht *d, int which, int64_t now)
{
	struct net *net = &d->nets[which];
	struct dht_table_counts c;

	if (!dht_has_nodes(net) && net->join_at != CLOCK_NEVER)
		net->join_at = clock_min(net->join_at, now + net->join_wait);
	if (net->joining)
		ask_entrances_again(d, net, now);
	if (net->joining && net->again && dht_has_nodes(net)) {
		/* The lookup still waits for what was lost. */
		dht_drop_job(d, join_job(d, net));
		net->joining = false;
		net->join_at = now;
	}
	if (net->joining || now < net->join_at || d->job_count == JOBS_MAX)
		return;
	net->tried = true;
	dht_table_count(net->table, now, &c);
	if (c.nodes == 0 && net->entrance_count == 0) {
		net->join_at = CLOCK_NEVER;	/* until there is an entrance */
		return;
	}
	net->joining = net->begun = true;
	net->moved = false;
	net->joining_since = now;
	net->again_at = now + ASK_AGAIN;
	net->again = false;
	if (!dht_start_lookup(d, JOB_JOIN, which, &net->self, now))
		joined(d, which, now);
}

/* Keeps the table alive: a ping or a lookup every few seconds, if any is
 * due. */
static void
maintain(struct dht *d, int which, int64_t now)
{
	struct net *net = &d->nets[which];
	struct dht_id target, random;
	struct dht_node node;

	if (now < net->ping_at || dht_table_due(net->table) > now)
		return;
	net->ping_at = now + PING_PAUSE;
	if (!budget_has(&d->for_queries, now))
		return;
	if (dht_table_to_ping(net->table, now, &node))
		dht_ping(d, &node, true, now);
	if (d->job_count >= REFRESH_JOBS || net->joining)
		return;
	random = dht_random_id(d);
	if (dht_table_to_refresh(net->table, now, &random, &target))
		(void)dht_start_lookup(d, JOB_REFRESH, which, &target, now);
}

void
dht_job_done(struct dht *d, const struct job *job, int64_t now)
{
	if (job->kind == JOB_JOIN) {
		joined(d, job->net, now);
		return;
	}
	if (job->kind == JOB_REFRESH)
		return;
	dht_search_done(d, job, now);
}

/* ---- the beat ---- */

static int64_t
net_due(struct dht *d, int which, int64_t due, int64_t now)
{
	struct net *net = &d->nets[which];

	if (!net->table)
		return due;
	due = clock_min(due, net->reach.due);
	if (!net->joining && d->job_count < JOBS_MAX)
		due = clock_min(due, net->join_at);
	if (net->joining && !dht_has_nodes(net))
		due = clock_min(due, net->again_at);
	if (net->ping_at < due) {
		int64_t table = dht_table_due(net->table);

		due = clock_min(due, table > net->ping_at ? table
							  : net->ping_at);
	}
	if (!dht_has_nodes(net) || d->job_count == JOBS_MAX)
		return due;
	for (size_t i = 0; i < d->search_count; i++) {
		const struct search *s = &d->searches[i];
		int64_t at = s->at[which];

		if (s->running[which])
			continue;
		if (!budget_has(&d->for_queries, now) &&
		    at < budget_due(&d->for_queries))
			at = budget_due(&d->for_queries);
		due = clock_min(due, at);
	}
	return due;
}

static int64_t
find_due(struct dht *d, int64_t now)
{
	int64_t due = clock_min(d->tokens.turned + DHT_TOKEN_TURN,
				d->expire_at);

	for (size_t i = 0; i < d->query_count; i++)
		due = clock_min(due, d->queries[i].sent +
					 (d->queries[i].slow
					      ? QUERY_TIMEOUT
					      : DHT_LOOKUP_SHORT));
	if (d->job_count > 0 && !budget_has(&d->for_queries, now))
		due = clock_min(due, budget_due(&d->for_queries));
	for (int i = 0; i < NETS; i++)
		due = net_due(d, i, due, now);
	return due;
}

/* Lookups that wait for their budget, or had nobody to ask. */
static void
advance_all(struct dht *d, int64_t now)
{
	for (size_t i = d->job_count; i-- > 0;)
		if (i < d->job_count)
			dht_advance(d, &d->jobs[i], now);
}

void
dht_tick(struct dht *d, int64_t now)
{
	if (now < d->due)
		return;
	d->gave_up = false;
	if (now - d->tokens.turned >= DHT_TOKEN_TURN)
		turn_tokens(d, now);
	if (now >= d->expire_at) {
		dht_store_expire(d->store, now);
		d->expire_at = now + EXPIRE_EVERY;
	}
	dht_expire_queries(d, now);
	advance_all(d, now);
	for (int i = 0; i < NETS; i++) {
		if (!d->nets[i].table)
			continue;
		dht_reach_tick(&d->nets[i].reach, now);
		join(d, i, now);
		maintain(d, i, now);
	}
	dht_start_searches(d, now);
	d->due = d->gave_up ? now : find_due(d, now);
}

void
dht_hurry(struct dht *d, int64_t now)
{
	for (int i = 0; i < NETS; i++) {
		struct net *net = &d->nets[i];

		if (!net->table)
			continue;
		net->join_wait = JOIN_FIRST;
		if (!connected(net, now))
			net->join_at = now;
		net->again_at = now;
		dht_search_hurry(d, i, now);
	}
	dht_wake_at(d, now);
}

void
dht_slept(struct dht *d, int64_t ns, int64_t now)
{
	for (size_t i = 0; i < d->search_count; i++)
		for (int net = 0; net < NETS; net++)
			d->searches[i].at[net] -= ns;
	dht_wake_at(d, now);
}

/* ---- for others to see ---- */

bool
dht_external(const struct dht *d, int family, struct addr *out)
{
	*out = d->nets[family == AF_INET6 ? NET6 : NET4].external;
	return out->family == family;
}

void
dht_mapped(struct dht *d, int family, bool mapped, int64_t now)
{
	struct net *net = dht_net_of(d, family);

	if (!net)
		return;
	dht_reach_mapped(&net->reach, mapped, now);
	dht_wake_at(d, net->reach.due);
}

bool
dht_read_only(const struct dht *d, int family)
{
	return d->nets[family == AF_INET6 ? NET6 : NET4].reach.read_only;
}

void
dht_get_stats(const struct dht *d, int64_t now, struct dht_stats *out)
{
	*out = d->stats;
	out->searches = d->search_count;
	out->lookups = d->job_count;
	out->stored = dht_store_peers(d->store);
	out->silent_since = d->answered && d->unanswered >= SILENT_QUERIES
				    ? d->silent_since : CLOCK_NEVER;
	for (int i = 0; i < NETS; i++) {
		struct dht_table_counts c;

		if (!d->nets[i].table)
			continue;
		dht_table_count(d->nets[i].table, now, &c);
		out->good += c.good;
		out->nodes += c.nodes;
	}
	for (size_t i = 0; i < d->ban_count; i++)
		out->banned += d->bans[i].strikes >= BAN_STRIKES &&
			       now < d->bans[i].until;
	for (size_t i = 0; i < SOURCES_MAX; i++)
		out->banned += now < d->sources[i].paused_until;
}
