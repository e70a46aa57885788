#include "net/utp_pace.h"

#include <string.h>

#include "base/clock.h"

#define BUCKET (10 * CLOCK_S)
#define WINDOW_MAX (4.0 * 1024 * 1024)
/* Slow start doubles: by the time a queue is seen, it is twice as long. */
#define SLOW_START_US (UTP_TARGET_US / 2)
/* A clock that drifts moves the base by little; more is another path. */
#define DRIFT_MAX_US 10000
/* How long a queue may stand, and how long we wait for it to go. */
#define STANDING_MAX (60 * CLOCK_S)
#define DRAIN_MAX (1 * CLOCK_S)
#define EMPTY_US (UTP_TARGET_US / 4)
#define DRAIN_PACKETS 2
/* How much faster than it grows may it shrink, at most. */
#define SHRINK_MAX 10.0

static bool
less(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

void
utp_delays_add(struct utp_delays *d, uint32_t sample, int64_t now)
{
	if (d->turn_at == 0)
		d->turn_at = now + BUCKET;
	for (int i = 0; now >= d->turn_at && i < UTP_DELAY_BUCKETS; i++) {
		d->at = (d->at + 1) % UTP_DELAY_BUCKETS;
		d->known[d->at] = false;
		d->turn_at += BUCKET;
	}
	if (now >= d->turn_at)		/* after a long silence */
		d->turn_at = now + BUCKET;
	if (!d->known[d->at] || less(sample, d->least[d->at]))
		d->least[d->at] = sample;
	d->known[d->at] = true;
}

bool
utp_delays_base(const struct utp_delays *d, uint32_t *out)
{
	bool known = false;

	for (int i = 0; i < UTP_DELAY_BUCKETS; i++)
		if (d->known[i] && (!known || less(d->least[i], *out))) {
			*out = d->least[i];
			known = true;
		}
	return known;
}

static void
shift(struct utp_delays *d, uint32_t by)
{
	for (int i = 0; i < UTP_DELAY_BUCKETS; i++)
		d->least[i] += by;
}

void
utp_pace_init(struct utp_pace *p, uint32_t packet)
{
	memset(p, 0, sizeof(*p));
	p->packet = packet;
	p->window = (double)packet * UTP_START_PACKETS;
	p->threshold = WINDOW_MAX;
	p->slow_start = true;
}

/*
 * Theirs becomes shorter: their clock falls behind ours.  Then ours becomes
 * longer by as much, which is no queue.
 */
void
utp_pace_theirs(struct utp_pace *p, uint32_t sample, int64_t now)
{
	uint32_t before = 0, after = 0;
	bool known = utp_delays_base(&p->theirs, &before);

	utp_delays_add(&p->theirs, sample, now);
	(void)utp_delays_base(&p->theirs, &after);
	if (known && less(after, before) && before - after <= DRIFT_MAX_US)
		shift(&p->ours, before - after);
}

uint32_t
utp_pace_queue_us(const struct utp_pace *p)
{
	unsigned size = sizeof(p->recent) / sizeof(*p->recent);
	uint32_t base = 0, now;

	if (p->recent_count == 0 || !utp_delays_base(&p->ours, &base))
		return 0;
	if (p->recent_count < size)
		size = p->recent_count;
	now = p->recent[0];
	for (unsigned i = 1; i < size; i++)
		if (less(p->recent[i], now))
			now = p->recent[i];
	/* The base may have been shifted over it. */
	return less(now, base) ? 0 : now - base;
}

static void
keep_bounds(struct utp_pace *p)
{
	if (p->window < p->packet)
		p->window = p->packet;
	if (p->window > WINDOW_MAX)
		p->window = WINDOW_MAX;
}

/* From a queue that stands to one that does not; then up to where it was. */
static void
watch_queue(struct utp_pace *p, int64_t now)
{
	bool empty = utp_pace_queue_us(p) < EMPTY_US;

	if (empty || p->empty_at == 0 ||
	    (p->draining && now - p->empty_at > DRAIN_MAX)) {
		p->slow_start = p->slow_start || p->draining;
		p->draining = false;
		p->empty_at = now;
	} else if (!p->draining && now - p->empty_at > STANDING_MAX) {
		p->draining = true;
		p->empty_at = now;
		p->threshold = p->window;
		if (p->window > DRAIN_PACKETS * (double)p->packet)
			p->window = DRAIN_PACKETS * (double)p->packet;
	}
}

void
utp_pace_ours(struct utp_pace *p, uint32_t sample, int64_t now)
{
	const unsigned size = sizeof(p->recent) / sizeof(*p->recent);

	utp_delays_add(&p->ours, sample, now);
	p->recent[p->recent_count % size] = sample;
	p->recent_count++;
	if (p->recent_count == 2 * size)	/* it only has to be full */
		p->recent_count = size;
	watch_queue(p, now);
}

void
utp_pace_acked(struct utp_pace *p, size_t bytes, uint32_t rtt_us,
	       bool limited)
{
	uint32_t queue = utp_pace_queue_us(p);
	double factor, share, gain;

	if (p->draining)
		return;
	/* No queue takes longer than there and back. */
	if (rtt_us > 0 && queue > rtt_us)
		queue = rtt_us;
	if (p->slow_start && queue > SLOW_START_US) {
		p->slow_start = false;
		p->threshold = p->window;
	}
	factor = ((double)UTP_TARGET_US - queue) / UTP_TARGET_US;
	if (factor < -SHRINK_MAX)
		factor = -SHRINK_MAX;
	share = (double)bytes < p->window ? (double)bytes / p->window : 1;
	gain = UTP_GAIN * factor * share;
	if (p->slow_start)
		gain = (double)bytes;
	if (gain > 0 && !limited)
		return;
	p->window += gain;
	if (p->slow_start && p->window >= p->threshold)
		p->slow_start = false;
	keep_bounds(p);
}

void
utp_pace_lost(struct utp_pace *p)
{
	p->window /= 2;
	keep_bounds(p);
	p->threshold = p->window;
	p->slow_start = false;
}

void
utp_pace_timeout(struct utp_pace *p)
{
	p->threshold = p->window / 2;
	if (p->threshold < 2.0 * p->packet)
		p->threshold = 2.0 * p->packet;
	p->window = p->packet;
	p->slow_start = true;
}

void
utp_pace_sending(struct utp_pace *p, int64_t now, int64_t idle_ns)
{
	double start = (double)p->packet * UTP_START_PACKETS;

	if (p->sent_at != 0 && now - p->sent_at > idle_ns &&
	    p->window > start) {
		p->threshold = p->window;
		p->window = start;
		p->slow_start = true;
	}
	p->sent_at = now;
}
