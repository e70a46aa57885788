#include <string.h>

#include "dht_parts.h"

static void
send_answer(struct dht *d, const struct addr *to)
{
	struct buffer out;

	buffer_init(&out, KRPC_PACKET_MAX);
	if (krpc_write(&out, &d->out) == 0) {
		d->stats.sent_bytes += out.used;
		dht_charge_answer(d, to, out.used);
		d->config.send(d->config.ctx, to, out.data, out.used);
	}
	buffer_release(&out);
}

/* d->out, empty but for what every answer has. */
static struct krpc *
begin(struct dht *d, const struct addr *to)
{
	struct krpc *m = &d->out;
	struct net *net = dht_net_of(d, to->family);

	memset(m, 0, offsetof(struct krpc, nodes));
	m->type = KRPC_RESPONSE;
	m->transaction = d->in.transaction;
	m->id = net->self;
	m->external = *to;
	return m;
}

void
dht_refuse(struct dht *d, const struct addr *to, int code, int64_t now)
{
	struct krpc *m;

	if (dht_net_of(d, to->family)->reach.read_only ||
	    !dht_may_answer(d, to, false, now))
		return;
	m = begin(d, to);
	m->type = KRPC_ERROR;
	m->code = code;
	send_answer(d, to);
}

/* Nodes close to what was asked for; local ones only for who is local. */
static size_t
put_nodes(struct dht *d, int which, const struct addr *to,
	  struct dht_node *out)
{
	size_t max = d->in.scrape ? KRPC_SCRAPE_NODES : KRPC_SEND_NODES;
	size_t n = dht_table_closest(d->nets[which].table, &d->in.target, out,
				     max), kept = 0;

	for (size_t i = 0; i < n; i++)
		if (addr_is_local(to) || !addr_is_local(&out[i].addr))
			out[kept++] = out[i];
	return kept;
}

static void
answer_nodes(struct dht *d, struct krpc *m, const struct addr *to)
{
	unsigned want = d->in.want;

	if (want == 0)
		want = to->family == AF_INET ? KRPC_WANT4 : KRPC_WANT6;
	if ((want & KRPC_WANT4) && d->nets[NET4].table) {
		m->has_nodes = true;
		m->node_count = put_nodes(d, NET4, to, m->nodes);
	}
	if ((want & KRPC_WANT6) && d->nets[NET6].table) {
		m->has_nodes6 = true;
		m->node6_count = put_nodes(d, NET6, to, m->nodes6);
	}
}

static size_t
values_max(const struct dht *d, const struct addr *to)
{
	if (to->family == AF_INET)
		return d->in.scrape ? KRPC_SCRAPE_VALUES4 : KRPC_SEND_VALUES4;
	return d->in.scrape ? KRPC_SCRAPE_VALUES6 : KRPC_SEND_VALUES6;
}

static void
answer_get_peers(struct dht *d, const struct addr *to, int64_t now)
{
	struct krpc *m = begin(d, to);
	struct dht_store_query q = {.hash = d->in.target,
				    .family = to->family,
				    .noseed = d->in.noseed};
	uint8_t token[DHT_TOKEN_SIZE];

	d->in.scrape = d->in.scrape &&
		       dht_store_scrape(d->store, &q.hash, &d->scrape, now);
	if (d->in.scrape) {
		m->seeds = (struct krpc_text){d->scrape.seeds, DHT_BLOOM_SIZE};
		m->peers = (struct krpc_text){d->scrape.peers, DHT_BLOOM_SIZE};
	}
	dht_tokens_make(&d->tokens, to, &d->in.target, token);
	m->token = (struct krpc_text){token, sizeof(token)};
	answer_nodes(d, m, to);
	dht_random(d, &q.random, sizeof(q.random));
	m->value_count = dht_store_get(d->store, &q, m->values,
				       values_max(d, to), now);
	send_answer(d, to);
}

static void
answer_announce(struct dht *d, const struct addr *from, int64_t now)
{
	const struct krpc *m = &d->in;
	struct addr peer = *from;

	if (!dht_tokens_check(&d->tokens, from, &m->target, m->token.at,
			      m->token.size)) {
		dht_refuse(d, from, KRPC_PROTOCOL, now);
		return;
	}
	if (!m->implied_port)
		peer.port = m->port;
	if (dht_store_add(d->store, &m->target, &peer, m->seed, now) &&
	    dht_find_search(d, &m->target))
		d->config.peers(d->config.ctx, m->target.raw, &peer, 1);
	(void)begin(d, from);
	send_answer(d, from);
}

void
dht_take_query(struct dht *d, const struct addr *from, int64_t now)
{
	struct net *net = dht_net_of(d, from->family);
	struct dht_node node = {.id = d->in.id, .addr = *from};

	dht_reach_heard(&net->reach, from, now);
	dht_wake_at(d, net->reach.due);
	/* BEP 43: whoever cannot be reached does not answer either. */
	if (net->reach.read_only || dht_id_equal(&d->in.id, &net->self))
		return;
	if (!d->in.read_only) {
		dht_table_heard(net->table, &node, now);
		dht_wake_at(d, net->ping_at);
	}
	if (!dht_may_answer(d, from, d->in.method == KRPC_PING, now))
		return;
	switch (d->in.method) {
	case KRPC_PING:
		(void)begin(d, from);
		send_answer(d, from);
		break;
	case KRPC_FIND_NODE:
		answer_nodes(d, begin(d, from), from);
		send_answer(d, from);
		break;
	case KRPC_GET_PEERS:
		answer_get_peers(d, from, now);
		break;
	case KRPC_ANNOUNCE_PEER:
		answer_announce(d, from, now);
		break;
	case KRPC_UNKNOWN:
		dht_refuse(d, from, KRPC_METHOD_UNKNOWN, now);
		break;
	}
}
