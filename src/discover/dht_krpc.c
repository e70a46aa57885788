#include "discover/dht_krpc.h"

#include <string.h>

#include "meta/bencode.h"

/* "bg" and the version, as BEP 5 asks for. */
#define CLIENT "bg01"

static const char *const methods[] = {
    [KRPC_PING] = "ping",
    [KRPC_FIND_NODE] = "find_node",
    [KRPC_GET_PEERS] = "get_peers",
    [KRPC_ANNOUNCE_PEER] = "announce_peer",
};

/* ---- reading ---- */

static bool
text(struct bencode v, struct krpc_text *out, size_t max)
{
	if (!bencode_str(v, &out->at, &out->size) || out->size > max)
		*out = (struct krpc_text){0};
	return out->size > 0;
}

static void
take_bloom(struct bencode v, struct krpc_text *out)
{
	text(v, out, DHT_BLOOM_SIZE);
	if (out->size != DHT_BLOOM_SIZE)
		*out = (struct krpc_text){0};
}

static bool
flag(struct bencode v)
{
	int64_t number;

	return bencode_int(v, &number) && number == 1;
}

static bool
take_id(struct bencode v, struct dht_id *id)
{
	const uint8_t *at;
	size_t size;

	if (!bencode_str(v, &at, &size) || size != DHT_ID_SIZE)
		return false;
	*id = dht_id_from(at);
	return true;
}

size_t
krpc_take_nodes(struct dht_node *out, size_t max, const uint8_t *data,
		size_t size, int family)
{
	size_t step = DHT_ID_SIZE + (family == AF_INET ? ADDR_COMPACT4
						       : ADDR_COMPACT6);
	struct bytes in = bytes_over(data, size);
	size_t n = 0;

	while (n < max && in.left >= step) {
		const uint8_t *at = bytes_take(&in, step);

		out[n].id = dht_id_from(at);
		out[n].addr = family == AF_INET
				  ? addr_from_compact4(at + DHT_ID_SIZE)
				  : addr_from_compact6(at + DHT_ID_SIZE);
		if (addr_usable(&out[n].addr) &&
		    out[n].addr.family == family)
			n++;
	}
	return n;
}

static size_t
take_node_list(struct bencode v, struct dht_node *out, int family, bool *there)
{
	const uint8_t *at;
	size_t size;

	*there = bencode_str(v, &at, &size);
	return *there ? krpc_take_nodes(out, KRPC_NODES_MAX, at, size, family)
		      : 0;
}

static size_t
take_values(struct bencode v, struct addr *out)
{
	struct bencode_iter it = bencode_items(v);
	struct bencode item;
	const uint8_t *at;
	size_t size, n = 0;

	while (n < KRPC_VALUES_MAX && bencode_next(&it, &item)) {
		if (!bencode_str(item, &at, &size))
			continue;
		if (size == ADDR_COMPACT4)
			out[n] = addr_from_compact4(at);
		else if (size == ADDR_COMPACT6)
			out[n] = addr_from_compact6(at);
		else
			continue;
		if (addr_usable(&out[n]))
			n++;
	}
	return n;
}

static unsigned
take_want(struct bencode v)
{
	struct bencode_iter it = bencode_items(v);
	struct bencode item;
	unsigned want = 0;

	while (bencode_next(&it, &item)) {
		if (bencode_str_is(item, "n4"))
			want |= KRPC_WANT4;
		else if (bencode_str_is(item, "n6"))
			want |= KRPC_WANT6;
	}
	return want;
}

static enum krpc_method
take_method(struct bencode v)
{
	for (int i = KRPC_PING; i < KRPC_UNKNOWN; i++)
		if (bencode_str_is(v, methods[i]))
			return (enum krpc_method)i;
	return KRPC_UNKNOWN;
}

static int
read_query(struct krpc *m, struct bencode q, struct bencode a,
	   struct error *e)
{
	enum { ID, IMPLIED, HASH, NOSEED, PORT, SCRAPE, SEED, TARGET, TOKEN,
	       WANT, N };
	static const struct bencode_key keys[N] = {
	    [ID] = BENCODE_KEY("id"),
	    [IMPLIED] = BENCODE_KEY("implied_port"),
	    [HASH] = BENCODE_KEY("info_hash"),
	    [NOSEED] = BENCODE_KEY("noseed"),
	    [PORT] = BENCODE_KEY("port"),
	    [SCRAPE] = BENCODE_KEY("scrape"),
	    [SEED] = BENCODE_KEY("seed"),
	    [TARGET] = BENCODE_KEY("target"),
	    [TOKEN] = BENCODE_KEY("token"),
	    [WANT] = BENCODE_KEY("want"),
	};
	struct bencode v[N];
	int64_t port;

	m->method = take_method(q);
	if (bencode_pick(a, keys, v, N, e) < 0)
		return -1;
	if (!take_id(v[ID], &m->id))
		return error_set(e, ERROR_PROTOCOL, "query without an id");
	m->implied_port = flag(v[IMPLIED]);
	m->noseed = flag(v[NOSEED]);
	m->scrape = m->method == KRPC_GET_PEERS && flag(v[SCRAPE]);
	m->seed = flag(v[SEED]);
	m->want = take_want(v[WANT]);
	text(v[TOKEN], &m->token, KRPC_TOKEN_MAX);
	if (bencode_int(v[PORT], &port) && port > 0 && port <= UINT16_MAX)
		m->port = (uint16_t)port;
	/* Any method that has a target is answered with nodes. */
	if (!take_id(v[HASH], &m->target) && !take_id(v[TARGET], &m->target) &&
	    m->method != KRPC_PING && m->method != KRPC_UNKNOWN)
		return error_set(e, ERROR_PROTOCOL, "query without a target");
	if (m->method == KRPC_ANNOUNCE_PEER &&
	    (m->token.size == 0 || (m->port == 0 && !m->implied_port)))
		return error_set(e, ERROR_PROTOCOL,
				 "announce without token or port");
	return 0;
}

static int
read_response(struct krpc *m, struct bencode r, struct error *e)
{
	enum { BFPE, BFSD, ID, NODES, NODES6, TOKEN, VALUES, N };
	static const struct bencode_key keys[N] = {
	    [BFPE] = BENCODE_KEY("BFpe"),
	    [BFSD] = BENCODE_KEY("BFsd"),
	    [ID] = BENCODE_KEY("id"),
	    [NODES] = BENCODE_KEY("nodes"),
	    [NODES6] = BENCODE_KEY("nodes6"),
	    [TOKEN] = BENCODE_KEY("token"),
	    [VALUES] = BENCODE_KEY("values"),
	};
	struct bencode v[N];

	if (bencode_pick(r, keys, v, N, e) < 0)
		return -1;
	if (!take_id(v[ID], &m->id))
		return error_set(e, ERROR_PROTOCOL, "response without an id");
	take_bloom(v[BFSD], &m->seeds);
	take_bloom(v[BFPE], &m->peers);
	text(v[TOKEN], &m->token, KRPC_TOKEN_MAX);
	m->node_count =
	    take_node_list(v[NODES], m->nodes, AF_INET, &m->has_nodes);
	m->node6_count =
	    take_node_list(v[NODES6], m->nodes6, AF_INET6, &m->has_nodes6);
	m->value_count = take_values(v[VALUES], m->values);
	return 0;
}

static void
read_error(struct krpc *m, struct bencode list)
{
	struct bencode_iter it = bencode_items(list);
	struct bencode item;
	int64_t code;

	m->code = KRPC_GENERIC;
	if (bencode_next(&it, &item) && bencode_int(item, &code) && code > 0 &&
	    code < 1000)
		m->code = (int)code;
}

static struct addr
take_external(struct bencode v)
{
	struct addr a = {0};
	const uint8_t *at;
	size_t size;

	if (!bencode_str(v, &at, &size))
		return a;
	if (size == ADDR_COMPACT4)
		a = addr_from_compact4(at);
	else if (size == ADDR_COMPACT6)
		a = addr_from_compact6(at);
	return addr_usable(&a) ? a : (struct addr){0};
}

/* Everything but the lists, which are long and have counts. */
static void
clear(struct krpc *m)
{
	memset(m, 0, offsetof(struct krpc, nodes));
}

int
krpc_read(struct krpc *m, const void *data, size_t size, struct error *e)
{
	enum { A, E, IP, Q, R, RO, T, Y, N };
	static const struct bencode_key keys[N] = {
	    [A] = BENCODE_KEY("a"), [E] = BENCODE_KEY("e"),
	    [IP] = BENCODE_KEY("ip"), [Q] = BENCODE_KEY("q"),
	    [R] = BENCODE_KEY("r"), [RO] = BENCODE_KEY("ro"),
	    [T] = BENCODE_KEY("t"), [Y] = BENCODE_KEY("y"),
	};
	struct bencode dict, v[N];

	clear(m);
	if (size > KRPC_INCOMING_MAX)
		return error_set(e, ERROR_PROTOCOL, "packet too large");
	/* Some put a byte or two behind the message. */
	if (bencode_read_prefix(&dict, data, size, e) < 0 ||
	    bencode_pick(dict, keys, v, N, e) < 0)
		return -1;
	if (!text(v[T], &m->transaction, KRPC_TRANSACTION_MAX))
		return error_set(e, ERROR_PROTOCOL, "no transaction id");
	m->external = take_external(v[IP]);
	m->read_only = flag(v[RO]);
	if (bencode_str_is(v[Y], "q")) {
		m->type = KRPC_QUERY;
		return read_query(m, v[Q], v[A], e);
	}
	if (bencode_str_is(v[Y], "r")) {
		m->type = KRPC_RESPONSE;
		return read_response(m, v[R], e);
	}
	m->type = KRPC_ERROR;
	if (!bencode_str_is(v[Y], "e"))
		return error_set(e, ERROR_PROTOCOL, "unknown type of message");
	read_error(m, v[E]);
	return 0;
}

/* ---- writing ---- */

static void
put_text(struct buffer *out, const char *key, struct krpc_text t)
{
	if (t.size == 0)
		return;
	bencode_put_str(out, key);
	bencode_put_bytes(out, t.at, t.size);
}

static void
put_id(struct buffer *out, const char *key, const struct dht_id *id)
{
	bencode_put_str(out, key);
	bencode_put_bytes(out, id->raw, sizeof(id->raw));
}

static void
put_flag(struct buffer *out, const char *key, bool set)
{
	if (!set)
		return;
	bencode_put_str(out, key);
	bencode_put_int(out, 1);
}

void
krpc_put_nodes(struct buffer *out, const struct dht_node *nodes, size_t n)
{
	size_t size = n == 0 ? 0
			     : n * (DHT_ID_SIZE + 2 +
				    addr_ip_size(&nodes[0].addr));
	uint8_t raw[ADDR_COMPACT6];

	buffer_printf(out, "%zu:", size);
	for (size_t i = 0; i < n; i++) {
		buffer_put(out, nodes[i].id.raw, DHT_ID_SIZE);
		buffer_put(out, raw, addr_to_compact(&nodes[i].addr, raw));
	}
}

static void
put_addr(struct buffer *out, const struct addr *a)
{
	uint8_t raw[ADDR_COMPACT6];

	bencode_put_bytes(out, raw, addr_to_compact(a, raw));
}

static void
put_want(struct buffer *out, unsigned want)
{
	if (want == 0)
		return;
	bencode_put_str(out, "want");
	bencode_put_list(out);
	if (want & KRPC_WANT4)
		bencode_put_str(out, "n4");
	if (want & KRPC_WANT6)
		bencode_put_str(out, "n6");
	bencode_put_end(out);
}

static void
put_query(struct buffer *out, const struct krpc *m)
{
	bool lookup = m->method == KRPC_FIND_NODE ||
		      m->method == KRPC_GET_PEERS;

	bencode_put_str(out, "a");
	bencode_put_dict(out);
	put_id(out, "id", &m->id);
	put_flag(out, "implied_port", m->implied_port);
	if (m->method == KRPC_GET_PEERS || m->method == KRPC_ANNOUNCE_PEER)
		put_id(out, "info_hash", &m->target);
	put_flag(out, "noseed", m->noseed);
	if (m->method == KRPC_ANNOUNCE_PEER) {
		bencode_put_str(out, "port");
		bencode_put_int(out, m->port);
	}
	put_flag(out, "scrape", m->scrape);
	put_flag(out, "seed", m->seed);
	if (m->method == KRPC_FIND_NODE)
		put_id(out, "target", &m->target);
	put_text(out, "token", m->token);
	if (lookup)
		put_want(out, m->want);
	bencode_put_end(out);
}

static void
put_response(struct buffer *out, const struct krpc *m)
{
	bencode_put_str(out, "r");
	bencode_put_dict(out);
	put_text(out, "BFpe", m->peers);
	put_text(out, "BFsd", m->seeds);
	put_id(out, "id", &m->id);
	if (m->has_nodes) {
		bencode_put_str(out, "nodes");
		krpc_put_nodes(out, m->nodes, m->node_count);
	}
	if (m->has_nodes6) {
		bencode_put_str(out, "nodes6");
		krpc_put_nodes(out, m->nodes6, m->node6_count);
	}
	put_text(out, "token", m->token);
	if (m->value_count > 0) {
		bencode_put_str(out, "values");
		bencode_put_list(out);
		for (size_t i = 0; i < m->value_count; i++)
			put_addr(out, &m->values[i]);
		bencode_put_end(out);
	}
	bencode_put_end(out);
}

static const char *
code_text(int code)
{
	if (code == KRPC_PROTOCOL)
		return "protocol error";
	if (code == KRPC_METHOD_UNKNOWN)
		return "method unknown";
	return code == KRPC_SERVER ? "server error" : "generic error";
}

static void
put_error(struct buffer *out, const struct krpc *m)
{
	bencode_put_str(out, "e");
	bencode_put_list(out);
	bencode_put_int(out, m->code);
	bencode_put_str(out, code_text(m->code));
	bencode_put_end(out);
}

int
krpc_write(struct buffer *out, const struct krpc *m)
{
	static const char *const types[] = {
	    [KRPC_QUERY] = "q", [KRPC_RESPONSE] = "r", [KRPC_ERROR] = "e"};

	bencode_put_dict(out);
	if (m->type == KRPC_QUERY)
		put_query(out, m);
	else if (m->type == KRPC_ERROR)
		put_error(out, m);
	if (m->external.family != 0) {
		bencode_put_str(out, "ip");
		put_addr(out, &m->external);
	}
	if (m->type == KRPC_QUERY) {
		bencode_put_str(out, "q");
		bencode_put_str(out, methods[m->method]);
	} else if (m->type == KRPC_RESPONSE) {
		put_response(out, m);
	}
	put_flag(out, "ro", m->read_only);
	put_text(out, "t", m->transaction);
	bencode_put_str(out, "v");
	bencode_put_str(out, CLIENT);
	bencode_put_str(out, "y");
	bencode_put_str(out, types[m->type]);
	bencode_put_end(out);
	return out->failed ? -1 : 0;
}
