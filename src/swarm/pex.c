#include "swarm/pex.h"

#include <stdbool.h>
#include <string.h>

#include "meta/bencode.h"

static void
put_addrs(struct buffer *out, const char *key, const struct pex_peer *peers,
	  size_t n, int family)
{
	uint8_t raw[PEX_MAX * ADDR_COMPACT6];
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (peers[i].addr.family == family)
			used += addr_to_compact(&peers[i].addr, raw + used);
	bencode_put_str(out, key);
	bencode_put_bytes(out, raw, used);
}

static void
put_flags(struct buffer *out, const char *key, const struct pex_peer *peers,
	  size_t n, int family)
{
	uint8_t raw[PEX_MAX];
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		if (peers[i].addr.family == family)
			raw[used++] = peers[i].flags;
	bencode_put_str(out, key);
	bencode_put_bytes(out, raw, used);
}

void
pex_put(struct buffer *out, const struct pex_message *m)
{
	bencode_put_dict(out);
	put_addrs(out, "added", m->added, m->added_count, AF_INET);
	put_flags(out, "added.f", m->added, m->added_count, AF_INET);
	put_addrs(out, "added6", m->added, m->added_count, AF_INET6);
	put_flags(out, "added6.f", m->added, m->added_count, AF_INET6);
	put_addrs(out, "dropped", m->dropped, m->dropped_count, AF_INET);
	put_addrs(out, "dropped6", m->dropped, m->dropped_count, AF_INET6);
	bencode_put_end(out);
}

static size_t
take_addrs(struct pex_peer *out, size_t used, struct bencode list,
	   struct bencode flags, size_t each)
{
	const uint8_t *at, *flag = NULL;
	size_t size, flag_size = 0, most = used + PEX_MAX;

	if (!bencode_str(list, &at, &size))
		return used;
	bencode_str(flags, &flag, &flag_size);
	for (size_t i = 0; i < size / each && used < most; i++) {
		struct addr a = each == ADDR_COMPACT4
					? addr_from_compact4(at + i * each)
					: addr_from_compact6(at + i * each);

		if (!addr_usable(&a))
			continue;
		out[used].addr = a;
		out[used++].flags = i < flag_size ? flag[i] : 0;
	}
	return used;
}

enum key { ADDED, ADDED_F, ADDED6, ADDED6_F, DROPPED, DROPPED6, KEYS };

int
pex_parse(struct pex_message *m, const void *data, size_t size,
	  struct error *e)
{
	static const struct bencode_key keys[KEYS] = {
		[ADDED] = BENCODE_KEY("added"),
		[ADDED_F] = BENCODE_KEY("added.f"),
		[ADDED6] = BENCODE_KEY("added6"),
		[ADDED6_F] = BENCODE_KEY("added6.f"),
		[DROPPED] = BENCODE_KEY("dropped"),
		[DROPPED6] = BENCODE_KEY("dropped6"),
	};
	struct bencode dict, v[KEYS], none = {0};

	memset(m, 0, sizeof(*m));
	if (bencode_read_prefix(&dict, data, size, e) < 0 ||
	    bencode_pick(dict, keys, v, KEYS, e) < 0)
		return -1;
	m->added_count = take_addrs(m->added, 0, v[ADDED], v[ADDED_F],
				    ADDR_COMPACT4);
	m->added_count = take_addrs(m->added, m->added_count, v[ADDED6],
				    v[ADDED6_F], ADDR_COMPACT6);
	m->dropped_count = take_addrs(m->dropped, 0, v[DROPPED], none,
				      ADDR_COMPACT4);
	m->dropped_count = take_addrs(m->dropped, m->dropped_count,
				      v[DROPPED6], none, ADDR_COMPACT6);
	return 0;
}

static bool
has(const struct pex_peer *list, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (addr_equal(&list[i].addr, a))
			return true;
	return false;
}

size_t
pex_diff(struct pex_message *m, struct pex_peer *told, size_t count,
	 const struct pex_peer *now, size_t now_count, size_t max)
{
	memset(m, 0, sizeof(*m));
	for (size_t i = count; i-- > 0 && m->dropped_count < PEX_MAX;) {
		if (has(now, now_count, &told[i].addr))
			continue;
		m->dropped[m->dropped_count++].addr = told[i].addr;
		told[i] = told[--count];
	}
	for (size_t i = 0; i < now_count && m->added_count < PEX_MAX &&
			   count < max; i++) {
		if (has(told, count, &now[i].addr))
			continue;
		m->added[m->added_count++] = now[i];
		told[count++] = now[i];
	}
	return count;
}
