/*
 * bencode: reading bencoded values where they lie, and writing them.
 *
 * There is no tree.  bencode_read walks over the bytes once and checks all
 * of them; from then on a value is a span of those bytes, and its parts are
 * found by walking again.  So memory is fixed whatever the input, depth is
 * bounded, and the raw bytes of any value (the info dictionary) are at hand.
 *
 * Strict: no leading zeros, no "-0", keys are strings, at most
 * BENCODE_DEPTH_MAX levels.  Keys may be unsorted, since such files and
 * trackers exist, but a key that is asked for and there twice is refused.
 * Integers have no limit, and a counter that fell below zero is sent as
 * 2^64 - 1: one that does not fit int64_t matters only if it is asked for.
 *
 * A value that is absent has size 0, and every question about it or about a
 * value of another type is answered "no", so that lookups can be chained.
 *
 * Ownership: values borrow the bytes they were read from.  No locks.
 * Source:    BEP 3.
 */
#ifndef BTGET_META_BENCODE_H
#define BTGET_META_BENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* A file tree of 256 folders has five levels more. */
#define BENCODE_DEPTH_MAX 264

enum bencode_type {
	BENCODE_NONE,
	BENCODE_INT,
	BENCODE_STR,
	BENCODE_LIST,
	BENCODE_DICT,
};

/* Only from the functions below: they trust that the bytes were checked. */
struct bencode {
	const uint8_t *at;
	size_t size;		/* of the raw value, 0 if there is none */
};

/* Reads one value that takes all the bytes; ERROR_PROTOCOL otherwise. */
int bencode_read(struct bencode *v, const void *data, size_t size,
		 struct error *e);

/* Reads one value at the front and allows anything behind it: v->size bytes
 * were used. */
int bencode_read_prefix(struct bencode *v, const void *data, size_t size,
			struct error *e);

enum bencode_type bencode_type(struct bencode v);
/* Not one that does not fit. */
bool bencode_int(struct bencode v, int64_t *number);
/* The string's bytes, borrowed; any byte may be among them. */
bool bencode_str(struct bencode v, const uint8_t **at, size_t *size);
bool bencode_str_is(struct bencode v, const char *text);

/*
 * Walks over the items of a list or the entries of a dict:
 *
 *	struct bencode_iter it = bencode_items(list);
 *	while (bencode_next(&it, &item))
 *		...
 *
 * A value that is no list (or dict) has no items (entries).
 */
struct bencode_iter {
	const uint8_t *at;
	const uint8_t *end;
};

struct bencode_iter bencode_items(struct bencode list);
bool bencode_next(struct bencode_iter *it, struct bencode *item);
struct bencode_iter bencode_entries(struct bencode dict);
bool bencode_next_entry(struct bencode_iter *it, struct bencode *key,
			struct bencode *value);

/* The value of a key that is there exactly once; false if it is absent or
 * there twice.  Walks over the dict: for several keys use bencode_pick. */
bool bencode_find(struct bencode dict, const char *key,
		  struct bencode *value);
bool bencode_find_int(struct bencode dict, const char *key, int64_t *number);
bool bencode_find_str(struct bencode dict, const char *key,
		      const uint8_t **at, size_t *size);

struct bencode_key {
	const char *text;
	size_t size;
};

#define BENCODE_KEY(text) {(text), sizeof(text) - 1}

/* Gets the values of n keys in one walk; absent ones have size 0.
 * ERROR_PROTOCOL if one of them is there twice or v is no dict. */
int bencode_pick(struct bencode v, const struct bencode_key *keys,
		 struct bencode *values, size_t n, struct error *e);

/* The same for the item that comes next: 1, 0 at the end, or -1.  Saves a
 * walk over each item of a long list. */
int bencode_pick_next(struct bencode_iter *it, const struct bencode_key *keys,
		      struct bencode *values, size_t n, struct error *e);

/* Steps into the dict that comes next, whose entries are then what `it`
 * walks over (keys and values in turn, by bencode_next); false if there is
 * none.  bencode_leave goes on behind it.  So a tree takes one walk. */
bool bencode_enter_dict(struct bencode_iter *it);
void bencode_leave(struct bencode_iter *it);

/* Writing; the caller puts dict keys in order.  Ask out->failed once. */
void bencode_put_int(struct buffer *out, int64_t number);
void bencode_put_bytes(struct buffer *out, const void *data, size_t size);
void bencode_put_str(struct buffer *out, const char *text);
void bencode_put_list(struct buffer *out);
void bencode_put_dict(struct buffer *out);
void bencode_put_end(struct buffer *out);

#endif
