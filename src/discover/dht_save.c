#include "dht_parts.h"
#include "meta/bencode.h"

#define SAVED_MAX 64		/* nodes of a network */

/* Not our ids: two runs at a time would be the same node, and for the
 * address that is saved a new one is as good. */
static void
save_address(const struct net *net, const char *key, struct buffer *out)
{
	uint8_t raw[ADDR_COMPACT6];
	struct addr a = net->external;

	if (!net->table || a.family == 0)
		return;
	a.port = 1;
	bencode_put_str(out, key);
	bencode_put_bytes(out, raw, addr_to_compact(&a, raw));
}

static void
save_nodes(const struct net *net, const char *key, int64_t now,
	   struct buffer *out)
{
	struct dht_node nodes[SAVED_MAX];

	if (!net->table)
		return;
	bencode_put_str(out, key);
	krpc_put_nodes(out, nodes, dht_table_nodes(net->table, now, nodes,
						   SAVED_MAX));
}

int
dht_save(const struct dht *d, int64_t now, struct buffer *out)
{
	bencode_put_dict(out);
	save_address(&d->nets[NET4], "ip", out);
	save_address(&d->nets[NET6], "ip6", out);
	save_nodes(&d->nets[NET4], "nodes", now, out);
	save_nodes(&d->nets[NET6], "nodes6", now, out);
	bencode_put_end(out);
	return out->failed ? -1 : 0;
}

static void
load_address(struct dht *d, int which, struct bencode v, int64_t now)
{
	struct addr a = {0};
	const uint8_t *at;
	size_t size;

	if (!d->nets[which].table || !bencode_str(v, &at, &size))
		return;
	if (which == NET4 && size == ADDR_COMPACT4)
		a = addr_from_compact4(at);
	else if (which == NET6 && size == ADDR_COMPACT6)
		a = addr_from_compact6(at);
	if (a.family != d->nets[which].family || !addr_usable(&a) ||
	    addr_is_local(&a))
		return;
	dht_settle(d, &d->nets[which], &a, now);
	d->nets[which].moved_at = 0;	/* it may have changed since */
}

static void
load_nodes(struct dht *d, int family, struct bencode v, int64_t now)
{
	struct dht_node nodes[SAVED_MAX];
	const uint8_t *at;
	size_t size, n;

	if (!bencode_str(v, &at, &size))
		return;
	n = krpc_take_nodes(nodes, SAVED_MAX, at, size, family);
	for (size_t i = 0; i < n; i++)
		dht_add_entrance(d, &nodes[i], true, now);
}

int
dht_load(struct dht *d, const void *data, size_t n, int64_t now)
{
	enum { IP, IP6, NODES, NODES6, N };
	static const struct bencode_key keys[N] = {
	    [IP] = BENCODE_KEY("ip"), [IP6] = BENCODE_KEY("ip6"),
	    [NODES] = BENCODE_KEY("nodes"), [NODES6] = BENCODE_KEY("nodes6"),
	};
	struct bencode dict, v[N];

	if (n > DHT_SAVE_MAX || bencode_read(&dict, data, n, NULL) < 0 ||
	    bencode_pick(dict, keys, v, N, NULL) < 0)
		return -1;
	load_address(d, NET4, v[IP], now);
	load_address(d, NET6, v[IP6], now);
	load_nodes(d, AF_INET, v[NODES], now);
	load_nodes(d, AF_INET6, v[NODES6], now);
	return 0;
}
