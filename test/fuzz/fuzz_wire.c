/* Reads any bytes as a stream of messages of a torrent whose size the first
 * two bytes say, and as a handshake.  A message that was taken must not have
 * been taken any sooner, and what is written of it must read the same. */
#include <stdlib.h>
#include <string.h>

#include "swarm/extension.h"
#include "swarm/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
check_handshake(const uint8_t *data, size_t size)
{
	uint8_t raw[HANDSHAKE_SIZE];
	struct handshake h, again;

	if (size < HANDSHAKE_SIZE || !handshake_parse(data, &h))
		return;
	handshake_put(raw, &h);
	must(handshake_parse(raw, &again));
	must(again.fast == h.fast && again.extended == h.extended &&
	     again.dht == h.dht && again.v2 == h.v2);
	must(memcmp(raw + HANDSHAKE_PREFIX + 8, data + HANDSHAKE_PREFIX + 8,
		    40) == 0);
}

static void
check_extension(const struct wire_message *m)
{
	struct extension_handshake h = {0}, again = {0};
	struct buffer out;

	if (extension_parse_handshake(&h, m->data, m->size, NULL) < 0)
		return;
	must(memchr(h.client, '\0', sizeof(h.client)) != NULL);
	buffer_init(&out, EXTENSION_HANDSHAKE_MAX);
	extension_put_handshake(&out, &h);
	must(!out.failed);
	must(extension_parse_handshake(&again, out.data, out.used, NULL) == 0);
	must(strcmp(h.client, again.client) == 0 && h.port == again.port &&
	     h.reqq == again.reqq && h.upload_only == again.upload_only);
	buffer_release(&out);
}

static void
check_message(const uint8_t *data, size_t used, size_t pieces,
	      const struct wire_message *m)
{
	uint8_t out[WIRE_HASHES_HEADER];
	struct wire_hashes h;
	struct wire_message less;
	size_t wanted;

	must(used >= WIRE_HEADER);
	must(wire_parse(data, used - 1, pieces, &less, &wanted) == WIRE_MORE);
	must(wanted > used - 1 && wanted <= used);
	if (m->data)
		must(m->data >= data && m->data + m->size == data + used);
	switch (m->id) {
	case WIRE_REQUEST:
	case WIRE_CANCEL:
	case WIRE_REJECT:
		must(wire_put_block(out, m->id, m->piece, m->offset,
				    m->length) == used);
		must(memcmp(out, data, used) == 0);
		break;
	case WIRE_HAVE:
		must(m->piece < pieces);
		must(wire_put_index(out, m->id, m->piece) == used);
		must(memcmp(out, data, used) == 0);
		break;
	case WIRE_PIECE:
		must(m->piece < pieces && m->length <= WIRE_BLOCK_MAX);
		must(m->length == m->size);
		break;
	case WIRE_HASH_REQUEST:
	case WIRE_HASHES:
	case WIRE_HASH_REJECT:
		h = wire_get_hashes(m);
		wire_proofs(&h);
		must(wire_put_hashes(out, m->id, &h,
				     (m->size - WIRE_HASHES_SIZE) / 32) ==
		     WIRE_HASHES_HEADER);
		must(memcmp(out, data, sizeof(out)) == 0);
		break;
	case WIRE_EXTENDED:
		if (m->extended == EXTENSION_HANDSHAKE)
			check_extension(m);
		break;
	default:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t pieces;

	check_handshake(data, size);
	if (size < 2)
		return 0;
	pieces = (size_t)(data[0] << 8 | data[1]) + 1;
	data += 2;
	size -= 2;
	for (;;) {
		struct wire_message m;
		enum wire_status status;
		size_t used;

		status = wire_parse(data, size, pieces, &m, &used);
		if (status == WIRE_MORE)
			must(used > size);
		if (status != WIRE_OK)
			return 0;
		must(used <= size);
		check_message(data, used, pieces, &m);
		data += used;
		size -= used;
	}
}
