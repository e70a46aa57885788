/*
 * rc4: the cipher of encrypted connections, by libcrypto.
 *
 * OpenSSL 3 keeps RC4 in its legacy provider, which an installation may
 * lack.  It is loaded into a library context of its own, so that nothing
 * else in the process (TLS least of all) sees the old ciphers.
 *
 * Ownership: a library outlives its ciphers.
 * Threads:   a library may be shared; a cipher is one thread's at a time.
 */
#ifndef BTGET_NET_RC4_H
#define BTGET_NET_RC4_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct rc4_library;
struct rc4;

/* NULL where libcrypto has no RC4 at run time. */
struct rc4_library *rc4_library_new(struct error *e);
void rc4_library_free(struct rc4_library *l);

/* A cipher with that key whose first `drop` bytes are thrown away; NULL: no
 * memory. */
struct rc4 *rc4_new(const struct rc4_library *l, const void *key, size_t size,
		    size_t drop);
void rc4_free(struct rc4 *r);		/* forgets the key */

/* The next n bytes, in place; both directions are the same. */
void rc4_crypt(struct rc4 *r, void *data, size_t n);

#endif
