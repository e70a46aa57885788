/*
 * The network goes and comes back.  Whoever cannot be reached is tried less
 * and less often, which after a night without network would take an hour to
 * undo.  So all are tried anew when the machine has another address towards
 * the Internet than before, when somebody answers after nobody did for a
 * while (no peer, no tracker, no node of the DHT), and when the machine was
 * suspended.
 */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/names.h"
#include "net/nameserver.h"
#include "session/outside.h"
#include "session/session_parts.h"

#define LOOK_EACH (20 * CLOCK_S)
#define HURRY_EACH (10 * CLOCK_S)
#define SILENT_LONG (5 * 60 * CLOCK_S)
/* By what the DHT tells; where it never answers, that alone is no silence. */
#define SILENT_BACK (4 * 60 * CLOCK_S)
#define SILENT_DHT (30 * CLOCK_S)	/* slow nodes have answered by then */
#define SLEPT_LONG (60 * CLOCK_S)

/* Of ranges for documentation: the default route leads there, and as nothing
 * is sent, nobody is asked. */
static const struct addr far_away[2] = {
	{.family = AF_INET, .port = 9, .ip = {192, 0, 2, 1}},
	{.family = AF_INET6, .port = 9,
	 .ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
};

void
session_hurry(struct session *s)
{
	int64_t now = clock_ns();

	log_write(s->log, LOG_DETAIL, NULL, "the network is back: peers and "
		  "trackers are tried anew");
	for (size_t i = 0; i < s->count; i++)
		if (torrent_online(s->torrents[i]))
			torrent_hurry(s->torrents[i], now);
	if (s->names)
		names_hurry(s->names, now);
	if (s->udp)
		udp_hurry(s->udp);
	if (s->outside)
		outside_hurry(s->outside);
	s->silent_at = 0;
}

/* True when there is an address that was not there before. */
static bool
look_at_addresses(struct session *s)
{
	bool news = false;

	for (int i = 0; i < 2; i++) {
		struct addr now = {0};

		if (!nameserver_from(&far_away[i], &now))
			now.family = 0;
		if (now.family != 0 && (s->reach_ip[i].family == 0 ||
					!addr_same_ip(&now, &s->reach_ip[i])))
			news = true;
		s->reach_ip[i] = now;
	}
	return news;
}

/* The DHT, of which many are always asked, knows first that nobody answers;
 * what trackers said before that is no sign of life. */
static bool
anybody_answers(const struct session *s, int64_t silent_since)
{
	bool silent = silent_since != CLOCK_NEVER;

	if (s->udp && !silent && udp_nodes(s->udp) > 0)
		return true;
	for (size_t i = 0; i < s->count; i++)
		if (torrent_online(s->torrents[i]) &&
		    torrent_is_answered(s->torrents[i],
					silent ? silent_since : INT64_MIN))
			return true;
	return false;
}

bool
session_silence_over(int64_t *silent_at, bool answered, int64_t silent_since,
		     int64_t now)
{
	bool over = answered && *silent_at != 0 &&
		    now - *silent_at >= SILENT_LONG;

	if (answered)
		*silent_at = 0;
	else if (*silent_at == 0)
		*silent_at = silent_since < now - SILENT_BACK
				     ? now - SILENT_BACK
				     : clock_min(silent_since, now);
	return over;
}

/* True when a long silence is over. */
static bool
look_at_answers(struct session *s, int64_t now)
{
	int64_t since = s->udp ? udp_silent_since(s->udp) : CLOCK_NEVER;

	if (since != CLOCK_NEVER && now - since < SILENT_DHT)
		since = CLOCK_NEVER;
	return session_silence_over(&s->silent_at, anybody_answers(s, since),
				    since, now);
}

/* What others count down while the machine is suspended, of trackers, the DHT
 * and the router, is over sooner; and so is the deadline, which is for the
 * user's clock. */
void
session_mind_sleep(struct session *s)
{
	int64_t slept = clock_slept_ns() - s->slept;
	char span[32];

	if (slept < SLEPT_LONG)
		return;
	s->slept += slept;
	s->woke = true;
	log_write(s->log, LOG_DETAIL, NULL, "the machine slept for %s",
		  text_span(span, sizeof(span), slept));
	s->begun_at -= slept;
	for (size_t i = 0; i < s->count; i++)
		torrent_slept(s->torrents[i], slept);
	if (s->udp)
		udp_slept(s->udp, slept);
}

void
session_reach_soon(struct session *s)
{
	if (s->reach_due != 0)
		s->reach_due = clock_min(s->reach_due, s->hurry_from);
}

int64_t
session_reach_mind(struct session *s, bool online)
{
	int64_t now = clock_ns();
	bool first = s->reach_due == 0;
	bool woke = s->woke, address, answer;

	s->woke = false;
	if (!online)
		return CLOCK_NEVER;
	if (now < s->reach_due && !woke)
		return s->reach_due;
	s->reach_due = now + LOOK_EACH;
	if (first)
		s->hurry_from = now;
	/* With --interface its own coming and going counts. */
	address = !s->route && look_at_addresses(s);
	answer = look_at_answers(s, now);
	if (first || (!address && !answer && !woke))
		return s->reach_due;
	s->hurry_from = now + HURRY_EACH;
	session_hurry(s);
	return now;
}
