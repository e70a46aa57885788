#include "cli/plain.h"

#include "base/clock.h"
#include "base/text.h"

#define REPEAT_NS (60 * CLOCK_S)
#define CHECK_NS (CLOCK_S / 2)	/* a check that is over sooner is no news */

/* Rounded down, so that 100 means that nothing is missing. */
static unsigned
percent(uint64_t part, uint64_t whole)
{
	uint64_t n;

	if (part >= whole)
		return 100;
	n = whole <= UINT64_MAX / 100 ? part * 100 / whole :
	    part / (whole / 100);
	return n > 99 ? 99 : (unsigned)n;
}

static void
put_count(struct buffer *out, unsigned n, const char *noun)
{
	buffer_printf(out, ", %u %s%s", n, noun, n == 1 ? "" : "s");
}

static void
put_downloading(struct buffer *out, const struct stats_torrent *t)
{
	char done[32];
	char length[32];
	char rate[32];
	char eta[32];

	buffer_printf(out, "%u%%, %s of %s", percent(t->done, t->length),
		      text_size(done, sizeof(done), t->done),
		      text_size(length, sizeof(length), t->length));
	if (t->state == TORRENT_FINISHING) {
		buffer_str(out, ", finishing");
		return;
	}
	if (t->stalled) {
		buffer_printf(out, ", stalled%s%s", t->reason[0] ? ": " : "",
			      t->reason);
		return;
	}
	buffer_printf(out, ", %s",
		      text_rate(rate, sizeof(rate), t->down_rate));
	put_count(out, t->peers, "peer");
	put_count(out, t->seeds, "seed");
	if (t->eta >= 0)
		buffer_printf(out, ", %s left",
			      text_duration(eta, sizeof(eta),
					    (uint64_t)t->eta));
}

static void
put_seeding(struct buffer *out, const struct stats_torrent *t)
{
	char length[32];
	char sent[32];
	char rate[32];

	buffer_printf(out, "complete, %s; seeding, %s sent, %s",
		      text_size(length, sizeof(length), t->length),
		      text_size(sent, sizeof(sent), t->uploaded),
		      text_rate(rate, sizeof(rate), t->up_rate));
	put_count(out, t->peers, "peer");
}

static void
put_end(struct buffer *out, const struct stats_torrent *t)
{
	char length[32];
	char sent[32];

	text_size(length, sizeof(length), t->length);
	if (t->state == TORRENT_COMPLETE)
		buffer_printf(out, "complete, %s", length);
	else if (t->state == TORRENT_STOPPED && t->complete)
		buffer_printf(out, "stopped, complete, %s", length);
	else
		buffer_str(out, t->state == TORRENT_FAILED ? "failed" :
			   "stopped");
	if (t->state != TORRENT_COMPLETE && !t->complete && t->length)
		buffer_printf(out, " at %u%% of %s",
			      percent(t->done, t->length), length);
	if (t->uploaded)
		buffer_printf(out, ", %s sent",
			      text_size(sent, sizeof(sent), t->uploaded));
	if (t->state != TORRENT_COMPLETE && t->reason[0])
		buffer_printf(out, ": %s", t->reason);
}

/* One line of the state as it is: "NAME: 42% of 1.0 GiB, ..." */
static void
put_line(struct buffer *out, const struct stats_torrent *t)
{
	buffer_printf(out, "%s: ", t->name);
	switch (t->state) {
	case TORRENT_LOADING:
		buffer_str(out, "loading");
		break;
	case TORRENT_CHECKING:
		buffer_printf(out, "checking, %u%%",
			      t->length ? percent(t->checked, t->length) : 0);
		break;
	case TORRENT_METADATA:
		buffer_str(out, "asking peers what it holds");
		put_count(out, t->peers, "peer");
		break;
	case TORRENT_DOWNLOADING:
	case TORRENT_FINISHING:
		put_downloading(out, t);
		break;
	case TORRENT_SEEDING:
		put_seeding(out, t);
		break;
	case TORRENT_STOPPED:
	case TORRENT_COMPLETE:
	case TORRENT_FAILED:
		put_end(out, t);
		break;
	}
	buffer_u8(out, '\n');
}

void
plain_start(struct buffer *out, const struct stats_torrent *t)
{
	char done[32];
	char length[32];

	buffer_printf(out, "%s: started at %u%%, %s of %s\n", t->name,
		      percent(t->done, t->length),
		      text_size(done, sizeof(done), t->done),
		      text_size(length, sizeof(length), t->length));
}

static bool
has_ended(const struct stats_torrent *t)
{
	return t->state == TORRENT_STOPPED || t->state == TORRENT_COMPLETE ||
	       t->state == TORRENT_FAILED;
}

void
plain_update(struct plain *p, struct buffer *out,
	     const struct stats_torrent *t, int64_t now)
{
	bool downloads = t->state == TORRENT_DOWNLOADING;
	unsigned tenth = downloads ? percent(t->done, t->length) / 10 : 0;
	bool due;

	if (p->ended || t->state == TORRENT_LOADING)
		return;
	/* What is found on disk is told as it starts; that this will take a
	 * while, now. */
	due = !p->started && t->state == TORRENT_METADATA;
	if (!p->started) {
		p->started = true;
		p->told_at = now;
	}
	if (t->state == TORRENT_CHECKING && !p->checks &&
	    now - p->told_at >= CHECK_NS) {
		p->checks = true;
		due = true;
	}
	due = due || now - p->told_at >= REPEAT_NS;
	if (downloads && !p->downloads) {
		/* What was there at the start is no news. */
		p->downloads = true;
		p->told_tenth = tenth;
	}
	if (downloads && tenth > p->told_tenth && tenth < 10) {
		p->told_tenth = tenth;
		due = true;
	}
	if (t->state == TORRENT_SEEDING && !p->seeds) {
		p->seeds = true;
		due = true;
	}
	p->ended = has_ended(t);
	if (!due && !p->ended)
		return;
	p->told_at = now;
	put_line(out, t);
}
