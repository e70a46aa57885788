#include "swarm/wire.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

static const char protocol[HANDSHAKE_PREFIX + 1] = "\023BitTorrent protocol";

/* Payload sizes, without the id, that each message may have. */
static bool
size_allowed(unsigned id, size_t size, size_t pieces)
{
	switch (id) {
	case WIRE_CHOKE:
	case WIRE_UNCHOKE:
	case WIRE_INTERESTED:
	case WIRE_NOT_INTERESTED:
	case WIRE_HAVE_ALL:
	case WIRE_HAVE_NONE:
		return size == 0;
	case WIRE_HAVE:
	case WIRE_SUGGEST:
	case WIRE_ALLOWED_FAST:
		return size == 4;
	case WIRE_BITFIELD:
		if (pieces == WIRE_PIECES_UNKNOWN)
			return size <= WIRE_BITFIELD_MAX;
		return size == (pieces + 7) / 8;
	case WIRE_REQUEST:
	case WIRE_CANCEL:
	case WIRE_REJECT:
		return size == 12;
	case WIRE_PIECE:
		return size >= 8 && size <= 8 + WIRE_BLOCK_MAX;
	case WIRE_PORT:
		return size == 2;
	case WIRE_EXTENDED:
		return size >= 1 && size <= WIRE_EXTENDED_MAX;
	case WIRE_HASH_REQUEST:
	case WIRE_HASH_REJECT:
		return size == WIRE_HASHES_SIZE;
	case WIRE_HASHES:
		return size > WIRE_HASHES_SIZE &&
		       (size - WIRE_HASHES_SIZE) % SHA256_SIZE == 0 &&
		       (size - WIRE_HASHES_SIZE) / SHA256_SIZE <=
			       WIRE_HASHES_MAX + WIRE_PROOFS_MAX;
	default:
		return size <= WIRE_BLOCK_MAX;
	}
}

static void
parse_payload(struct wire_message *m, struct bytes b)
{
	switch (m->id) {
	case WIRE_HAVE:
	case WIRE_SUGGEST:
	case WIRE_ALLOWED_FAST:
		m->piece = bytes_u32(&b);
		break;
	case WIRE_REQUEST:
	case WIRE_CANCEL:
	case WIRE_REJECT:
		m->piece = bytes_u32(&b);
		m->offset = bytes_u32(&b);
		m->length = bytes_u32(&b);
		break;
	case WIRE_PIECE:
		m->piece = bytes_u32(&b);
		m->offset = bytes_u32(&b);
		m->length = (uint32_t)b.left;
		break;
	case WIRE_PORT:
		m->port = bytes_u16(&b);
		break;
	case WIRE_EXTENDED:
		m->extended = bytes_u8(&b);
		break;
	default:
		break;
	}
	m->data = b.at;
	m->size = b.left;
}

enum wire_status
wire_parse(const uint8_t *data, size_t size, size_t pieces,
	   struct wire_message *m, size_t *used)
{
	struct bytes b = bytes_over(data, size);
	uint32_t length;
	uint8_t id;

	*used = WIRE_HEADER;
	if (size < WIRE_HEADER)
		return WIRE_MORE;
	memset(m, 0, sizeof(*m));
	length = bytes_u32(&b);
	if (length == 0) {
		m->id = WIRE_KEEPALIVE;
		return WIRE_OK;
	}
	*used = WIRE_HEADER + 1;
	if (b.left < 1)
		return WIRE_MORE;
	id = bytes_u8(&b);
	if (!size_allowed(id, length - 1, pieces))
		return WIRE_BAD;
	*used = WIRE_HEADER + (size_t)length;
	if (size < *used)
		return WIRE_MORE;
	m->id = wire_name((enum wire_id)id) ? (enum wire_id)id : WIRE_UNKNOWN;
	parse_payload(m, bytes_over(b.at, length - 1));
	if ((m->id == WIRE_HAVE || m->id == WIRE_PIECE ||
	     m->id == WIRE_ALLOWED_FAST || m->id == WIRE_SUGGEST) &&
	    m->piece >= pieces)
		return WIRE_BAD;
	return WIRE_OK;
}

size_t
wire_put_keepalive(uint8_t *out)
{
	put_u32(out, 0);
	return WIRE_HEADER;
}

size_t
wire_put_header(uint8_t *out, enum wire_id id, size_t payload)
{
	put_u32(out, (uint32_t)(payload + 1));
	out[4] = (uint8_t)id;
	return WIRE_HEADER + 1;
}

size_t
wire_put_plain(uint8_t *out, enum wire_id id)
{
	return wire_put_header(out, id, 0);
}

size_t
wire_put_index(uint8_t *out, enum wire_id id, uint32_t piece)
{
	size_t n = wire_put_header(out, id, 4);

	put_u32(out + n, piece);
	return n + 4;
}

size_t
wire_put_block(uint8_t *out, enum wire_id id, uint32_t piece, uint32_t offset,
	       uint32_t length)
{
	size_t n = wire_put_header(out, id, 12);

	put_u32(out + n, piece);
	put_u32(out + n + 4, offset);
	put_u32(out + n + 8, length);
	return n + 12;
}

size_t
wire_put_piece_header(uint8_t *out, uint32_t piece, uint32_t offset,
		      uint32_t length)
{
	size_t n = wire_put_header(out, WIRE_PIECE, 8 + (size_t)length);

	put_u32(out + n, piece);
	put_u32(out + n + 4, offset);
	return n + 8;
}

size_t
wire_put_port(uint8_t *out, uint16_t port)
{
	size_t n = wire_put_header(out, WIRE_PORT, 2);

	put_u16(out + n, port);
	return n + 2;
}

size_t
wire_put_hashes(uint8_t *out, enum wire_id id, const struct wire_hashes *h,
		size_t hashes)
{
	size_t n = wire_put_header(out, id, WIRE_HASHES_SIZE +
					    hashes * SHA256_SIZE);

	memcpy(out + n, h->root, sizeof(h->root));
	n += sizeof(h->root);
	put_u32(out + n, h->base);
	put_u32(out + n + 4, h->index);
	put_u32(out + n + 8, h->count);
	put_u32(out + n + 12, h->proofs);
	return n + 16;
}

struct wire_hashes
wire_get_hashes(const struct wire_message *m)
{
	struct bytes b = bytes_over(m->data, m->size);
	struct wire_hashes h = {0};

	bytes_copy(&b, h.root, sizeof(h.root));
	h.base = bytes_u32(&b);
	h.index = bytes_u32(&b);
	h.count = bytes_u32(&b);
	h.proofs = bytes_u32(&b);
	return h;
}

/* The layers that the hashes make whole need none: of 2^k hashes, these are
 * the k - 1 above them.  One alone needs one more, beside itself: BEP 52 has
 * two as the least, but libtorrent asks so for the last of 512k + 1 pieces,
 * and again and again if it gets less. */
size_t
wire_proofs(const struct wire_hashes *h)
{
	size_t whole = 0;

	while (whole < 31 && (1u << whole) < h->count)
		whole++;
	return h->proofs >= whole ? h->proofs - whole + 1 : 0;
}

const char *
wire_name(enum wire_id id)
{
	static const char *const names[] = {
		[WIRE_CHOKE] = "choke",
		[WIRE_UNCHOKE] = "unchoke",
		[WIRE_INTERESTED] = "interested",
		[WIRE_NOT_INTERESTED] = "not interested",
		[WIRE_HAVE] = "have",
		[WIRE_BITFIELD] = "bitfield",
		[WIRE_REQUEST] = "request",
		[WIRE_PIECE] = "piece",
		[WIRE_CANCEL] = "cancel",
		[WIRE_PORT] = "port",
		[WIRE_SUGGEST] = "suggest",
		[WIRE_HAVE_ALL] = "have all",
		[WIRE_HAVE_NONE] = "have none",
		[WIRE_REJECT] = "reject",
		[WIRE_ALLOWED_FAST] = "allowed fast",
		[WIRE_EXTENDED] = "extended",
		[WIRE_HASH_REQUEST] = "hash request",
		[WIRE_HASHES] = "hashes",
		[WIRE_HASH_REJECT] = "hash reject",
	};

	if (id == WIRE_KEEPALIVE)
		return "keepalive";
	return id < sizeof(names) / sizeof(*names) ? names[id] : NULL;
}

void
handshake_put(uint8_t out[HANDSHAKE_SIZE], const struct handshake *h)
{
	uint8_t *reserved = out + HANDSHAKE_PREFIX;

	/* No text: the NUL stays out.
	 * NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(out, protocol, HANDSHAKE_PREFIX);
	memset(reserved, 0, 8);
	if (h->extended)
		reserved[5] |= 0x10;
	if (h->fast)
		reserved[7] |= 0x04;
	if (h->dht)
		reserved[7] |= 0x01;
	if (h->v2)
		reserved[7] |= 0x10;
	memcpy(out + HANDSHAKE_PREFIX + 8, h->info_hash, 20);
	memcpy(out + HANDSHAKE_HASH_END, h->peer_id, 20);
}

bool
handshake_is_plain(const uint8_t *data, size_t size)
{
	return size >= HANDSHAKE_PREFIX &&
	       memcmp(data, protocol, HANDSHAKE_PREFIX) == 0;
}

bool
handshake_parse(const uint8_t data[HANDSHAKE_SIZE], struct handshake *h)
{
	const uint8_t *reserved = data + HANDSHAKE_PREFIX;

	if (!handshake_is_plain(data, HANDSHAKE_SIZE))
		return false;
	h->extended = (reserved[5] & 0x10) != 0;
	h->fast = (reserved[7] & 0x04) != 0;
	h->dht = (reserved[7] & 0x01) != 0;
	h->v2 = (reserved[7] & 0x10) != 0;
	memcpy(h->info_hash, reserved + 8, 20);
	memcpy(h->peer_id, data + HANDSHAKE_HASH_END, 20);
	return true;
}

static bool
already(const uint32_t *set, size_t n, uint32_t piece)
{
	for (size_t i = 0; i < n; i++)
		if (set[i] == piece)
			return true;
	return false;
}

size_t
wire_allowed_fast(uint32_t *out, size_t max, const uint8_t ip[4],
		  const uint8_t info_hash[20], size_t pieces)
{
	uint8_t x[SHA1_SIZE + 4];
	size_t size = 24, n = 0;

	if (max > pieces)
		max = pieces;
	memcpy(x, ip, 3);
	x[3] = 0;		/* the /24 network, as BEP 6 says */
	memcpy(x + 4, info_hash, 20);
	while (n < max) {
		uint8_t digest[SHA1_SIZE];

		hash_sha1(digest, x, size);
		memcpy(x, digest, sizeof(digest));
		size = sizeof(digest);
		for (size_t i = 0; i < 5 && n < max; i++) {
			uint32_t piece = get_u32(x + 4 * i) % (uint32_t)pieces;

			if (!already(out, n, piece))
				out[n++] = piece;
		}
	}
	return n;
}
