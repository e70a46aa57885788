#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_FIRST_SIZE 256

void
put_u16(uint8_t *out, uint16_t v)
{
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
}

void
put_u32(uint8_t *out, uint32_t v)
{
	out[0] = (uint8_t)(v >> 24);
	out[1] = (uint8_t)(v >> 16);
	out[2] = (uint8_t)(v >> 8);
	out[3] = (uint8_t)v;
}

void
put_u64(uint8_t *out, uint64_t v)
{
	put_u32(out, (uint32_t)(v >> 32));
	put_u32(out + 4, (uint32_t)v);
}

uint16_t
get_u16(const uint8_t *in)
{
	return (uint16_t)(in[0] << 8 | in[1]);
}

uint32_t
get_u32(const uint8_t *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 |
	       (uint32_t)in[2] << 8 | in[3];
}

uint64_t
get_u64(const uint8_t *in)
{
	return (uint64_t)get_u32(in) << 32 | get_u32(in + 4);
}

struct bytes
bytes_over(const void *data, size_t size)
{
	return (struct bytes){.at = data, .left = size};
}

const uint8_t *
bytes_take(struct bytes *b, size_t n)
{
	const uint8_t *at = b->at;

	if (b->failed || n > b->left) {
		b->failed = true;
		return NULL;
	}
	if (n > 0)
		b->at += n;
	b->left -= n;
	return at;
}

bool
bytes_copy(struct bytes *b, void *out, size_t n)
{
	const uint8_t *at = bytes_take(b, n);

	if (b->failed) {
		memset(out, 0, n);
		return false;
	}
	if (n > 0)
		memcpy(out, at, n);
	return true;
}

uint8_t
bytes_u8(struct bytes *b)
{
	const uint8_t *at = bytes_take(b, 1);

	return at ? at[0] : 0;
}

uint16_t
bytes_u16(struct bytes *b)
{
	const uint8_t *at = bytes_take(b, 2);

	return at ? get_u16(at) : 0;
}

uint32_t
bytes_u32(struct bytes *b)
{
	const uint8_t *at = bytes_take(b, 4);

	return at ? get_u32(at) : 0;
}

uint64_t
bytes_u64(struct bytes *b)
{
	const uint8_t *at = bytes_take(b, 8);

	return at ? get_u64(at) : 0;
}

void
buffer_init(struct buffer *b, size_t cap)
{
	*b = (struct buffer){.cap = cap};
}

void
buffer_init_count(struct buffer *b, size_t cap)
{
	*b = (struct buffer){.cap = cap, .counts = true};
}

void
buffer_release(struct buffer *b)
{
	free(b->data);
	buffer_init(b, b->cap);
}

void
buffer_clear(struct buffer *b)
{
	b->used = 0;
	b->failed = false;
}

void
buffer_drop(struct buffer *b, size_t n)
{
	if (n >= b->used) {
		b->used = 0;
		return;
	}
	memmove(b->data, b->data + n, b->used - n);
	b->used -= n;
}

uint8_t *
buffer_room(struct buffer *b, size_t n)
{
	size_t size;
	uint8_t *data;

	if (b->failed || b->counts || n > b->cap - b->used) {
		b->failed = true;
		return NULL;
	}
	if (n < b->size - b->used)	/* one to spare, for buffer_text */
		return b->data + b->used;
	size = b->size ? b->size : BUFFER_FIRST_SIZE;
	while (size - b->used <= n)
		size = size > b->cap / 2 ? b->cap + 1 : 2 * size;
	if (size > b->cap + 1)
		size = b->cap + 1;
	data = realloc(b->data, size);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->size = size;
	return b->data + b->used;
}

void
buffer_added(struct buffer *b, size_t n)
{
	b->used += n;
}

void
buffer_put(struct buffer *b, const void *data, size_t n)
{
	uint8_t *to;

	if (b->counts) {
		b->failed = b->failed || n > b->cap - b->used;
		b->used += b->failed ? 0 : n;
		return;
	}
	to = buffer_room(b, n);
	if (!to || n == 0)
		return;
	memcpy(to, data, n);
	b->used += n;
}

void
buffer_u8(struct buffer *b, uint8_t v)
{
	buffer_put(b, &v, 1);
}

void
buffer_u16(struct buffer *b, uint16_t v)
{
	uint8_t raw[2];

	put_u16(raw, v);
	buffer_put(b, raw, sizeof(raw));
}

void
buffer_u32(struct buffer *b, uint32_t v)
{
	uint8_t raw[4];

	put_u32(raw, v);
	buffer_put(b, raw, sizeof(raw));
}

void
buffer_u64(struct buffer *b, uint64_t v)
{
	uint8_t raw[8];

	put_u64(raw, v);
	buffer_put(b, raw, sizeof(raw));
}

void
buffer_str(struct buffer *b, const char *text)
{
	buffer_put(b, text, strlen(text));
}

void
buffer_printf(struct buffer *b, const char *fmt, ...)
{
	va_list ap;
	int n;
	uint8_t *to;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	to = buffer_room(b, (size_t)n);
	if (!to)
		return;
	va_start(ap, fmt);
	vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->used += (size_t)n;
}

void
buffer_url(struct buffer *b, const char *url, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)url[i];

		if (c < 0x80)
			buffer_u8(b, c);
		else
			buffer_printf(b, "%%%02X", c);
	}
}

const char *
buffer_text(struct buffer *b)
{
	if (!buffer_room(b, 0))
		return NULL;
	b->data[b->used] = '\0';
	return (const char *)b->data;
}

void
hex_encode(char *out, const uint8_t *in, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(uint8_t *out, size_t n, const char *text, size_t length)
{
	if (length != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
