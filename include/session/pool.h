/*
 * pool: the places that connections have under the limit of descriptors, of
 * which all torrents take theirs.
 *
 * While there are some, a torrent takes as many as it likes.  But where one
 * that has none at all wants one, it comes first: who has some takes no more
 * than what is left beside that, and gives back what is of no use to it, and
 * what is more than its even share.  Who has given back so waits a little
 * before it wants one itself, so that all have their turn.
 *
 * A torrent at work takes places of its own, for its folder and its locks, and
 * there is one for a connection of each.
 *
 * Threads: any; a sum is as of some moment.
 */
#ifndef BTGET_SESSION_POOL_H
#define BTGET_SESSION_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct pool {
	_Atomic unsigned left;
	_Atomic unsigned torrents;	/* at work */
	_Atomic unsigned taken;		/* by connections */
	_Atomic unsigned holders;	/* torrents that have some of these */
	_Atomic unsigned wanted;	/* by torrents that have none */
};

/* A torrent. */
struct pool_member {
	_Atomic unsigned held;		/* connections */
	_Atomic unsigned wants;		/* places, and has no connection */
	_Atomic bool at_work;
	_Atomic int64_t waits_until;	/* has given back */
};

void pool_init(struct pool *p, unsigned places);

/* A torrent begins to work; false: there is no room, or not yet. */
bool pool_join(struct pool *p, struct pool_member *m);
void pool_leave(struct pool *p, struct pool_member *m);

/* A place for a connection. */
bool pool_may_take(const struct pool *p, const struct pool_member *m,
		   int64_t now);
bool pool_take(struct pool *p, struct pool_member *m, int64_t now);
void pool_give(struct pool *p, struct pool_member *m);

/* It has none, and wants one, or no more. */
void pool_want(struct pool *p, struct pool_member *m, bool wants);
bool pool_wants(const struct pool_member *m);

/* Should it give some back, for one that has none?  Of no use, or any. */
bool pool_is_short(const struct pool *p, const struct pool_member *m);
bool pool_is_too_much(const struct pool *p, const struct pool_member *m);
/* It gives one back for that. */
void pool_yield(struct pool_member *m, int64_t now);

#endif
