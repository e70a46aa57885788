/*
 * While we fetch something, what we send has no more of our line than leaves
 * its queue short: see net/uplink.
 */
#include "base/clock.h"
#include "session/session_parts.h"

static void
set_limit(struct session *s, uint64_t bps, int64_t now)
{
	uint64_t users = s->config->up_limit;

	if (bps == 0 || (users != 0 && users < bps))
		bps = users;
	if (ratelimit_rate(&s->up) != bps)
		ratelimit_set(&s->up, bps, now);
	/* What is being felt for says nothing of what the line takes. */
	s->up_known = s->uplink.state == UPLINK_FEEL ? users : bps;
}

static void
tell(struct session *s, enum uplink_state before, int64_t delay)
{
	const struct uplink *u = &s->uplink;

	if (u->state == before)
		return;
	if (u->state == UPLINK_FEEL)
		log_write(s->log, LOG_DEBUG, NULL, "what the line takes is not "
			  "known: %llu bytes/s are sent at first",
			  (unsigned long long)u->limit_bps);
	else if (u->state == UPLINK_CUT)
		log_write(s->log, LOG_DEBUG, NULL, "data waits for %lld ms: "
			  "%llu bytes/s are sent for now, to see whether that "
			  "is the cause", (long long)(delay / CLOCK_MS),
			  (unsigned long long)u->limit_bps);
	else if (u->state == UPLINK_FREE)
		log_write(s->log, LOG_DEBUG, NULL, "what is sent has no limit "
			  "of its own any more");
	else
		log_write(s->log, s->uplink_told ? LOG_DEBUG : LOG_DETAIL,
			  NULL, "our line takes %llu bytes/s: a little less is "
			  "sent, so that what we fetch does not wait",
			  (unsigned long long)u->full_bps);
	s->uplink_told = s->uplink_told || u->state == UPLINK_HELD;
}

static bool
is_wanted(const struct session *s, int64_t now)
{
	bool fetches = false, gives = false;

	for (size_t i = 0; i < s->count; i++) {
		fetches = fetches || torrent_fetches(s->torrents[i], now);
		gives = gives || torrent_gives(s->torrents[i]);
	}
	return fetches && gives;
}

/* uTP feels for itself. */
static void
begin(struct session *s, const struct torrent_uplink *seen, int64_t now)
{
	if (s->uplink_begun || seen->tcp_takers <= seen->utp_takers)
		return;
	s->uplink_begun = true;
	uplink_begin(&s->uplink, seen->up_bps, now);
}

int64_t
session_uplink_mind(struct session *s, int64_t now)
{
	struct torrent_uplink seen = {0};
	enum uplink_state before = s->uplink.state;
	int64_t delay;

	if (now < s->uplink_due)
		return s->uplink_due;
	if (!is_wanted(s, now)) {
		uplink_rest(&s->uplink);
		s->uplink_begun = false;
		set_limit(s, 0, now);
		return CLOCK_NEVER;
	}
	for (size_t i = 0; i < s->count; i++)
		torrent_look_at_uplink(s->torrents[i], now, &seen);
	begin(s, &seen, now);
	delay = uplink_common(seen.delays, seen.count);
	set_limit(s, uplink_look(&s->uplink, seen.sent,
				 ratelimit_is_ahead(&s->up, now), delay, now),
		  now);
	tell(s, before, delay);
	s->uplink_due = now + uplink_pause(&s->uplink);
	return s->uplink_due;
}
