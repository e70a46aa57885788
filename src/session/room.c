#include "session/room.h"

#include <stddef.h>

#include "base/clock.h"

#define STALLED (60 * CLOCK_S)

void
room_init(struct room *r)
{
	r->claims = NULL;
	mutex_init(&r->lock);
}

void
room_release(struct room *r)
{
	mutex_release(&r->lock);
}

uint64_t
room_claimed(struct room *r, dev_t disk, int64_t now)
{
	uint64_t sum = 0;

	mutex_lock(&r->lock);
	for (const struct room_claim *c = r->claims; c; c = c->next)
		if (c->disk == disk && now - c->news_at < STALLED)
			sum += c->left;
	mutex_unlock(&r->lock);
	return sum;
}

void
room_claim(struct room *r, struct room_claim *c, dev_t disk, uint64_t bytes,
	   int64_t now)
{
	mutex_lock(&r->lock);
	*c = (struct room_claim){r->claims, true, disk, bytes, now};
	r->claims = c;
	mutex_unlock(&r->lock);
}

void
room_shrink(struct room *r, struct room_claim *c, uint64_t left, bool news,
	    int64_t now)
{
	mutex_lock(&r->lock);
	if (left < c->left)
		c->left = left;
	if (news)
		c->news_at = now;
	mutex_unlock(&r->lock);
}

void
room_give_back(struct room *r, struct room_claim *c)
{
	struct room_claim **at = &r->claims;

	mutex_lock(&r->lock);
	if (c->made) {
		while (*at != c)
			at = &(*at)->next;
		*at = c->next;
		*c = (struct room_claim){0};
	}
	mutex_unlock(&r->lock);
}
