#include "swarm/places.h"

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t
places_until(const struct places_peer *p, bool known)
{
	int64_t until = p->connected_at + PLACES_IDLE;

	if (p->moved_at != 0)
		return p->moved_at + PLACES_MOVED;
	if (!known)
		return p->connected_at + PLACES_UNKNOWN;
	if (p->interesting)
		until = p->connected_at + PLACES_PROMISING;
	if (p->interested && p->unchoked_at == 0)
		until = p->connected_at + PLACES_CHOKED;
	else if (p->interested)
		until = later(until, p->unchoked_at + PLACES_UNCHOKED);
	return until;
}
