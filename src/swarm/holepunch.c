#include "swarm/holepunch.h"

#include <string.h>

enum { TYPE_IPV4, TYPE_IPV6 };

void
holepunch_put(struct buffer *out, const struct holepunch *m)
{
	uint8_t raw[ADDR_COMPACT6];
	size_t n = addr_to_compact(&m->addr, raw);

	buffer_u8(out, (uint8_t)m->kind);
	buffer_u8(out, n == ADDR_COMPACT4 ? TYPE_IPV4 : TYPE_IPV6);
	buffer_put(out, raw, n);
	buffer_u32(out, m->kind == HOLEPUNCH_ERROR ? m->error : 0);
}

static bool
take_addr(struct addr *a, struct bytes *b)
{
	uint8_t type = bytes_u8(b);
	size_t n = type == TYPE_IPV4 ? ADDR_COMPACT4 : ADDR_COMPACT6;
	const uint8_t *raw = bytes_take(b, n);

	if (!raw || type > TYPE_IPV6)
		return false;
	*a = type == TYPE_IPV4 ? addr_from_compact4(raw)
			       : addr_from_compact6(raw);
	/* IPv4 in the clothes of IPv6 could not be given back as it came. */
	return a->family == (type == TYPE_IPV4 ? AF_INET : AF_INET6);
}

bool
holepunch_parse(struct holepunch *m, const void *data, size_t size)
{
	struct bytes b = bytes_over(data, size);
	uint8_t kind = bytes_u8(&b);

	memset(m, 0, sizeof(*m));
	if (kind > HOLEPUNCH_ERROR || !take_addr(&m->addr, &b))
		return false;
	m->kind = (enum holepunch_kind)kind;
	if (m->kind == HOLEPUNCH_ERROR)
		m->error = bytes_u32(&b);
	return !bytes_failed(&b);
}

const char *
holepunch_error_name(uint32_t error)
{
	static const char *const names[] = {
		[HOLEPUNCH_NO_SUCH_PEER] = "no such peer",
		[HOLEPUNCH_NOT_CONNECTED] = "not connected to it",
		[HOLEPUNCH_NO_SUPPORT] = "it does not know how",
		[HOLEPUNCH_NO_SELF] = "that is the relay itself",
	};

	if (error >= sizeof(names) / sizeof(*names) || !names[error])
		return "unknown error";
	return names[error];
}
