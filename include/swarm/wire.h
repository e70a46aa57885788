/*
 * wire: the messages of the peer protocol, as bytes and as structs.
 *
 * A message is a length of four bytes, an id and a payload.  The decoder
 * looks at what has arrived so far and judges a message by its first bytes,
 * so that a length that no honest peer sends is refused before any of it is
 * stored.  Pure; payloads are borrowed from the caller's bytes.
 *
 * Source: BEP 3, 5 (PORT), 6 (Fast), 10 (EXTENDED), 52 (hashes).
 */
#ifndef BTGET_SWARM_WIRE_H
#define BTGET_SWARM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitfield.h"

#define WIRE_BLOCK_MAX 16384	/* larger requests are refused by everyone */
#define WIRE_HEADER 4
#define WIRE_PIECE_HEADER 13	/* length, id, piece, offset */
#define WIRE_MESSAGE_MAX 17	/* the longest one without a payload */
#define WIRE_EXTENDED_MAX (128 * 1024)

enum wire_id {
	WIRE_CHOKE = 0,
	WIRE_UNCHOKE = 1,
	WIRE_INTERESTED = 2,
	WIRE_NOT_INTERESTED = 3,
	WIRE_HAVE = 4,
	WIRE_BITFIELD = 5,
	WIRE_REQUEST = 6,
	WIRE_PIECE = 7,
	WIRE_CANCEL = 8,
	WIRE_PORT = 9,
	WIRE_SUGGEST = 13,
	WIRE_HAVE_ALL = 14,
	WIRE_HAVE_NONE = 15,
	WIRE_REJECT = 16,
	WIRE_ALLOWED_FAST = 17,
	WIRE_EXTENDED = 20,
	WIRE_HASH_REQUEST = 21,
	WIRE_HASHES = 22,
	WIRE_HASH_REJECT = 23,
	WIRE_KEEPALIVE = 256,	/* not on the wire: length 0 */
	WIRE_UNKNOWN = 257,	/* not on the wire: skipped */
};

/*
 * Which hashes of a file's tree: `count` of the layer `base`, from `index`
 * on, and what leads from there up to `proofs` layers above: one hash for
 * each of them that the count hashes do not make whole.
 */
struct wire_hashes {
	uint8_t root[32];
	uint32_t base;		/* layers above the blocks' hashes */
	uint32_t index;		/* a multiple of count */
	uint32_t count;		/* a power of two */
	uint32_t proofs;
};

#define WIRE_HASHES_SIZE 48	/* of that on the wire */
#define WIRE_HASHES_MAX 512	/* we ask for no more, nor give */
#define WIRE_PROOFS_MAX 64

struct wire_message {
	enum wire_id id;
	uint32_t piece;		/* HAVE, REQUEST, PIECE, … */
	uint32_t offset;	/* REQUEST, PIECE, CANCEL, REJECT */
	uint32_t length;	/* the same; of PIECE the payload's size */
	uint16_t port;
	uint8_t extended;	/* EXTENDED: the message's own id */
	const uint8_t *data;	/* BITFIELD, PIECE, EXTENDED; HASH… */
	size_t size;
};

enum wire_status {
	WIRE_OK,
	WIRE_MORE,		/* not whole yet */
	WIRE_BAD,		/* no honest peer sends this */
};

/* A torrent of which only the hash is known: any index, any bitfield. */
#define WIRE_PIECES_UNKNOWN SIZE_MAX
#define WIRE_BITFIELD_MAX (2u << 20)

/*
 * Reads the message at the start of data.  *used is its whole size on the
 * wire, known as soon as the length is: with WIRE_MORE, how many bytes to
 * wait for.  `pieces` is the torrent's number of pieces.
 */
enum wire_status wire_parse(const uint8_t *data, size_t size, size_t pieces,
			    struct wire_message *m, size_t *used);

/* Each writes one message and returns its size (at most WIRE_MESSAGE_MAX). */
size_t wire_put_keepalive(uint8_t *out);
size_t wire_put_plain(uint8_t *out, enum wire_id id);
size_t wire_put_index(uint8_t *out, enum wire_id id, uint32_t piece);
size_t wire_put_block(uint8_t *out, enum wire_id id, uint32_t piece,
		      uint32_t offset, uint32_t length);
size_t wire_put_piece_header(uint8_t *out, uint32_t piece, uint32_t offset,
			     uint32_t length);
size_t wire_put_port(uint8_t *out, uint16_t port);
/* The header of a message whose payload of that size the caller adds. */
size_t wire_put_header(uint8_t *out, enum wire_id id, size_t payload);

/* The start of one of the messages about hashes, of WIRE_HASHES_HEADER
 * bytes; behind it the caller adds so many hashes. */
#define WIRE_HASHES_HEADER (WIRE_HEADER + 1 + WIRE_HASHES_SIZE)
size_t wire_put_hashes(uint8_t *out, enum wire_id id,
		       const struct wire_hashes *h, size_t hashes);

/* What such a message is about; the hashes of HASHES lie in m->data behind
 * WIRE_HASHES_SIZE bytes. */
struct wire_hashes wire_get_hashes(const struct wire_message *m);

/* How many hashes follow those that were asked for, as proof. */
size_t wire_proofs(const struct wire_hashes *h);

const char *wire_name(enum wire_id id);

/* The handshake's 68 bytes. */
#define HANDSHAKE_SIZE 68
#define HANDSHAKE_PREFIX 20	/* the length byte and the protocol's name */
#define HANDSHAKE_HASH_END 48	/* the bytes up to and with the info hash */

struct handshake {
	uint8_t info_hash[20];
	uint8_t peer_id[20];
	bool extended;		/* BEP 10 */
	bool fast;		/* BEP 6 */
	bool dht;		/* BEP 5 */
	bool v2;		/* BEP 52 */
};

void handshake_put(uint8_t out[HANDSHAKE_SIZE], const struct handshake *h);
bool handshake_is_plain(const uint8_t *data, size_t size);
/* False if it is not BitTorrent's. */
bool handshake_parse(const uint8_t data[HANDSHAKE_SIZE], struct handshake *h);

/*
 * The pieces that a peer at this IPv4 address may ask for while choked
 * (BEP 6); returns how many were written to out, none for other families.
 */
size_t wire_allowed_fast(uint32_t *out, size_t max, const uint8_t ip[4],
			 const uint8_t info_hash[20], size_t pieces);

#endif
