/*
 * bytes: reading and writing bytes with every bound checked in one place.
 *
 * A reader walks over borrowed memory.  After its first failure (reading
 * past the end) it stays failed, returns zeros, and moves no further: parse
 * straight through and ask bytes_failed once at the end.
 *
 * A buffer grows up to a cap; it too stays failed after the first failure
 * (cap reached or out of memory), so that callers ask once.
 *
 * Integers are big-endian, as BitTorrent has them.  Not thread-safe.
 */
#ifndef BTGET_BASE_BYTES_H
#define BTGET_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	const uint8_t *at;
	size_t left;
	bool failed;
};

struct bytes bytes_over(const void *data, size_t size);
uint8_t bytes_u8(struct bytes *b);
uint16_t bytes_u16(struct bytes *b);
uint32_t bytes_u32(struct bytes *b);
uint64_t bytes_u64(struct bytes *b);

/* Borrows the next n bytes, or NULL (and failed) if there are fewer. */
const uint8_t *bytes_take(struct bytes *b, size_t n);

/* Copies the next n bytes to out; out is zeroed on failure. */
bool bytes_copy(struct bytes *b, void *out, size_t n);

static inline bool
bytes_failed(const struct bytes *b)
{
	return b->failed;
}

struct buffer {
	uint8_t *data;
	size_t used;
	size_t size;		/* allocated */
	size_t cap;		/* used never goes over it */
	bool failed;
	bool counts;		/* and keeps nothing */
};

void buffer_init(struct buffer *b, size_t cap);
/* One that takes no memory: `used` is what would be in it, nothing can be
 * read, and what is put there may be NULL.  Only for buffer_put and what
 * has a fixed size. */
void buffer_init_count(struct buffer *b, size_t cap);
void buffer_release(struct buffer *b);	/* frees; the buffer is empty again */
void buffer_clear(struct buffer *b);	/* keeps memory; no longer failed */
void buffer_drop(struct buffer *b, size_t n);	/* takes n off the front */

/* Makes room for n more bytes and returns where they go, or NULL. The
 * caller then adds what it wrote with buffer_added. */
uint8_t *buffer_room(struct buffer *b, size_t n);
void buffer_added(struct buffer *b, size_t n);

void buffer_put(struct buffer *b, const void *data, size_t n);
void buffer_u8(struct buffer *b, uint8_t v);
void buffer_u16(struct buffer *b, uint16_t v);
void buffer_u32(struct buffer *b, uint32_t v);
void buffer_u64(struct buffer *b, uint64_t v);
void buffer_str(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A URL, or a part of one, that is escaped already; bytes that are no ASCII are
 * seen all the same, and become %XX. */
void buffer_url(struct buffer *b, const char *url, size_t n);

/* The text, NUL-terminated (the NUL is not counted in used), or NULL when
 * the buffer has failed.  Valid until the next change. */
const char *buffer_text(struct buffer *b);

void put_u16(uint8_t *out, uint16_t v);
void put_u32(uint8_t *out, uint32_t v);
void put_u64(uint8_t *out, uint64_t v);
uint16_t get_u16(const uint8_t *in);
uint32_t get_u32(const uint8_t *in);
uint64_t get_u64(const uint8_t *in);

/* Lower-case hex of n bytes into out (2n + 1 characters). */
void hex_encode(char *out, const uint8_t *in, size_t n);

/* Reads exactly 2n hex digits; false if there are others. */
bool hex_decode(uint8_t *out, size_t n, const char *text, size_t length);

#endif
