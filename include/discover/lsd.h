/*
 * lsd: local service discovery, without its sockets.
 *
 * Says into the local network which torrents we are in, and hears the same
 * of others.  A torrent is told once in five minutes, several in one packet;
 * packets are a minute apart.  Our own come back to us and are known by
 * their cookie.  What is heard only counts for torrents that were added.
 *
 * Threads: one thread's.  Callbacks come from within lsd_tick and
 *          lsd_packet and must not call back.
 * Units:   times are clock_ns.
 * Source:  BEP 14.
 */
#ifndef BTGET_DISCOVER_LSD_H
#define BTGET_DISCOVER_LSD_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/clock.h"

#define LSD_PORT 6771
#define LSD_PACKET_MAX 1400
#define LSD_COOKIE_MAX 32
#define LSD_HASHES_MAX 20	/* in one packet */
#define LSD_EVERY (5 * 60 * CLOCK_S)
#define LSD_PAUSE (60 * CLOCK_S)
#define LSD_FIRST (1 * CLOCK_S)	/* torrents that come together */
#define LSD_TORRENTS_MAX 1000

struct lsd_message {
	uint16_t port;
	char cookie[LSD_COOKIE_MAX + 1];	/* "": none */
	size_t count;
	uint8_t hashes[LSD_HASHES_MAX][20];
};

/* 239.192.152.143 or ff15::efc0:988f, with the port. */
struct addr lsd_group(int family);

/* -1 when it is no announce, or has no hash or port in it. */
int lsd_read(struct lsd_message *m, const void *data, size_t size);
int lsd_write(struct buffer *out, int family, const struct lsd_message *m);

struct lsd;

struct lsd_config {
	void *ctx;
	/* To the group of this family, on every interface. */
	void (*send)(void *ctx, int family, const void *data, size_t n);
	void (*found)(void *ctx, const uint8_t info_hash[20],
		      const struct addr *peer);
	uint16_t port;		/* where we listen */
	uint64_t cookie;	/* random */
};

struct lsd *lsd_new(const struct lsd_config *config);
void lsd_free(struct lsd *l);

/* -1 when there are too many. */
int lsd_add(struct lsd *l, const uint8_t info_hash[20], int64_t now);
void lsd_remove(struct lsd *l, const uint8_t info_hash[20]);

void lsd_packet(struct lsd *l, const struct addr *from, const void *data,
		size_t n, int64_t now);
void lsd_tick(struct lsd *l, int64_t now);
int64_t lsd_due(const struct lsd *l);

#endif
