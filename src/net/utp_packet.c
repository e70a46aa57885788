#include "net/utp_packet.h"

#include <string.h>

#include "base/bytes.h"

#define VERSION 1
#define EXTENSION_NONE 0
#define EXTENSION_SACK 1

/* Walks the chain; each takes two bytes at least, so it ends. */
static bool
read_extensions(struct utp_packet *p, struct bytes *in, uint8_t kind)
{
	while (kind != EXTENSION_NONE) {
		uint8_t next = bytes_u8(in);
		size_t size = bytes_u8(in);
		const uint8_t *at = bytes_take(in, size);

		if (bytes_failed(in))
			return false;
		/* A multiple of four says BEP 29; libtorrent sends any. */
		if (kind == EXTENSION_SACK && size > 0) {
			p->sack = at;
			p->sack_size = size;
		}
		kind = next;
	}
	return true;
}

int
utp_packet_read(struct utp_packet *p, const void *data, size_t n)
{
	struct bytes in = bytes_over(data, n);
	uint8_t extension;

	memset(p, 0, sizeof(*p));
	if (!utp_is_packet(data, n))
		return -1;
	p->type = (enum utp_type)(bytes_u8(&in) >> 4);
	extension = bytes_u8(&in);
	p->id = bytes_u16(&in);
	p->sent_us = bytes_u32(&in);
	p->delay_us = bytes_u32(&in);
	p->window = bytes_u32(&in);
	p->seq = bytes_u16(&in);
	p->ack = bytes_u16(&in);
	if (!read_extensions(p, &in, extension))
		return -1;
	p->size = in.left;
	p->data = bytes_take(&in, in.left);
	/* It would take a number and carry nothing. */
	if (p->type == UTP_DATA && p->size == 0)
		return -1;
	return 0;
}

size_t
utp_packet_write(uint8_t *out, const struct utp_packet *p)
{
	out[0] = (uint8_t)(p->type << 4 | VERSION);
	out[1] = p->sack_size ? EXTENSION_SACK : EXTENSION_NONE;
	put_u16(out + 2, p->id);
	put_u32(out + 4, p->sent_us);
	put_u32(out + 8, p->delay_us);
	put_u32(out + 12, p->window);
	put_u16(out + 16, p->seq);
	put_u16(out + 18, p->ack);
	if (p->sack_size == 0)
		return UTP_HEADER;
	out[UTP_HEADER] = EXTENSION_NONE;
	out[UTP_HEADER + 1] = (uint8_t)p->sack_size;
	memcpy(out + UTP_HEADER + 2, p->sack, p->sack_size);
	return UTP_HEADER + 2 + p->sack_size;
}
