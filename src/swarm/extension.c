#include "swarm/extension.h"

#include <string.h>

#include "base/text.h"
#include "meta/bencode.h"

#define REQQ_MAX 65536

static const char *const names[EXTENSION_COUNT] = {
	[EXTENSION_DONTHAVE] = "lt_donthave",
	[EXTENSION_HOLEPUNCH] = "ut_holepunch",
	[EXTENSION_METADATA] = "ut_metadata",
	[EXTENSION_PEX] = "ut_pex",
};

/* By their names, as a dictionary has its keys. */
static const enum extension_id sorted[] = {
	EXTENSION_DONTHAVE,
	EXTENSION_HOLEPUNCH,
	EXTENSION_METADATA,
	EXTENSION_PEX,
};

static void
put_ids(struct buffer *out, const struct extension_handshake *h)
{
	bencode_put_str(out, "m");
	bencode_put_dict(out);
	for (size_t i = 0; i < sizeof(sorted) / sizeof(*sorted); i++) {
		enum extension_id id = sorted[i];

		if (h->ids[id] == 0)
			continue;
		bencode_put_str(out, names[id]);
		bencode_put_int(out, h->ids[id]);
	}
	bencode_put_end(out);
}

void
extension_put_handshake(struct buffer *out,
			const struct extension_handshake *h)
{
	bencode_put_dict(out);
	put_ids(out, h);
	if (h->metadata_size) {
		bencode_put_str(out, "metadata_size");
		bencode_put_int(out, h->metadata_size);
	}
	if (h->port) {
		bencode_put_str(out, "p");
		bencode_put_int(out, h->port);
	}
	bencode_put_str(out, "reqq");
	bencode_put_int(out, h->reqq);
	if (h->upload_only) {
		bencode_put_str(out, "upload_only");
		bencode_put_int(out, 1);
	}
	bencode_put_str(out, "v");
	bencode_put_str(out, h->client);
	if (h->yourip.family) {
		bencode_put_str(out, "yourip");
		bencode_put_bytes(out, h->yourip.ip, addr_ip_size(&h->yourip));
	}
	bencode_put_end(out);
}

static void
parse_ids(struct extension_handshake *h, struct bencode dict)
{
	int64_t number;

	for (int id = 1; id < EXTENSION_COUNT; id++)
		if (bencode_find_int(dict, names[id], &number) &&
		    number >= 0 && number <= UINT8_MAX)
			h->ids[id] = (uint8_t)number;
}

static void
parse_yourip(struct extension_handshake *h, struct bencode v)
{
	uint8_t raw[ADDR_COMPACT6] = {0};
	const uint8_t *at;
	size_t size;

	if (!bencode_str(v, &at, &size))
		return;
	if (size == 4) {
		memcpy(raw, at, size);
		h->yourip = addr_from_compact4(raw);
	} else if (size == 16) {
		memcpy(raw, at, size);
		h->yourip = addr_from_compact6(raw);
	}
}

enum key {
	KEY_M,
	KEY_SIZE,
	KEY_P,
	KEY_REQQ,
	KEY_UPLOAD_ONLY,
	KEY_V,
	KEY_YOURIP,
	KEYS
};

int
extension_parse_handshake(struct extension_handshake *h, const void *data,
			  size_t size, struct error *e)
{
	static const struct bencode_key keys[KEYS] = {
		[KEY_M] = BENCODE_KEY("m"),
		[KEY_SIZE] = BENCODE_KEY("metadata_size"),
		[KEY_P] = BENCODE_KEY("p"),
		[KEY_REQQ] = BENCODE_KEY("reqq"),
		[KEY_UPLOAD_ONLY] = BENCODE_KEY("upload_only"),
		[KEY_V] = BENCODE_KEY("v"),
		[KEY_YOURIP] = BENCODE_KEY("yourip"),
	};
	struct bencode dict, v[KEYS];
	const uint8_t *at;
	size_t n;
	int64_t number;

	if (bencode_read_prefix(&dict, data, size, e) < 0 ||
	    bencode_pick(dict, keys, v, KEYS, e) < 0)
		return -1;
	parse_ids(h, v[KEY_M]);
	if (bencode_int(v[KEY_SIZE], &number) && number > 0 &&
	    number <= UINT32_MAX)
		h->metadata_size = (uint32_t)number;
	if (bencode_int(v[KEY_P], &number) && number > 0 &&
	    number <= UINT16_MAX)
		h->port = (uint16_t)number;
	if (bencode_int(v[KEY_REQQ], &number) && number > 0)
		h->reqq = number < REQQ_MAX ? (uint32_t)number : REQQ_MAX;
	if (bencode_int(v[KEY_UPLOAD_ONLY], &number))
		h->upload_only = number != 0;
	if (bencode_str(v[KEY_V], &at, &n))
		text_clean_n(h->client, sizeof(h->client), at, n);
	parse_yourip(h, v[KEY_YOURIP]);
	return 0;
}
