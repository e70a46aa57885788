#include "discover/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define EARLY_DOUBLINGS_MAX 8

enum state {
	WAITING,	/* not started yet */
	RUNNING,
	STOPPING,
};

struct tracker {
	struct tiers_tracker view;
	char *url;
	char id[TRACKER_ID_MAX];
	enum tracker_event event;	/* under way, when busy */
	bool tell_stop;
	bool awaited;			/* what is under way, at the end */
	bool late;			/* another one has answered meanwhile */
	bool unreachable;		/* that is how it failed last */
	unsigned news;			/* it hears, of those there were */
};

struct tier {
	size_t *order;		/* indexes of trackers, best first */
	size_t count;
	size_t busy;		/* trackers that are waited for */
	bool tell_completed;
	bool early;		/* `due` is before its time */
	unsigned early_count;	/* early ones in a row */
	int64_t due;		/* while none is waited for */
	int64_t patience;	/* while some are: until then */
};

struct tiers {
	enum state state;
	uint64_t random;
	struct tier *tiers;
	size_t tier_count;
	size_t shared;		/* tiers that came when all were taken */
	struct tracker *trackers;
	size_t tracker_count;
	size_t tracker_room;
	size_t busy;		/* trackers under way */
	unsigned news;		/* there were */
	bool no_udp;
};

/* splitmix64: enough for shuffling and jitter. */
static uint64_t
next_random(struct tiers *t)
{
	return hash_mix(t->random += 0x9e3779b97f4a7c15ull);
}

static bool
known(const struct tiers *t, const char *url)
{
	for (size_t i = 0; i < t->tracker_count; i++) {
		if (strcmp(t->trackers[i].url, url) == 0)
			return true;
	}
	return false;
}

static struct tracker *
new_tracker(struct tiers *t)
{
	size_t room = t->tracker_room ? 2 * t->tracker_room : 4;
	struct tracker *more;

	if (t->tracker_count == t->tracker_room) {
		more = realloc(t->trackers, room * sizeof(*more));
		if (!more)
			return NULL;
		t->trackers = more;
		t->tracker_room = room;
	}
	t->trackers[t->tracker_count] = (struct tracker){0};
	return &t->trackers[t->tracker_count];
}

static int
add_tracker(struct tiers *t, size_t index, const char *url)
{
	struct tracker *tr = new_tracker(t);
	struct tier *tier = &t->tiers[index];
	size_t *order;

	if (!tr)
		return -1;
	tr->url = strdup(url);
	if (!tr->url)
		return -1;
	order = realloc(tier->order, (tier->count + 1) * sizeof(*order));
	if (!order) {
		free(tr->url);
		return -1;
	}
	tier->order = order;
	tr->view.url = tr->url;
	tr->view.tier = index;
	tr->view.seeds = -1;
	tr->view.leechers = -1;
	tier->order[tier->count++] = t->tracker_count++;
	return 0;
}

/* Those from this one on. */
static void
shuffle(struct tiers *t, struct tier *tier, size_t from)
{
	for (size_t i = tier->count; i > from + 1; i--) {
		size_t j = from + (size_t)(next_random(t) % (i - from));
		size_t swap = tier->order[i - 1];

		tier->order[i - 1] = tier->order[j];
		tier->order[j] = swap;
	}
}

static int
add_tier(struct tiers *t, const char *const *urls, size_t n, int64_t due)
{
	bool shares = t->tier_count == TIERS_MAX;
	size_t index = shares ? t->shared++ % TIERS_MAX : t->tier_count;
	struct tier *tier = &t->tiers[index];
	size_t before = tier->count, added = 0;
	int status = 0;

	for (size_t i = 0; status == 0 && i < n; i++) {
		if (!tracker_url_usable(urls[i]) || known(t, urls[i]) ||
		    (t->no_udp && tracker_url_is_udp(urls[i])))
			continue;
		status = add_tracker(t, index, urls[i]);
		added += status == 0;
	}
	if (added == 0)
		return status;
	/* What is under way has its order. */
	shuffle(t, tier, t->state == WAITING ? 0 : before);
	if (!shares)
		t->tier_count++;
	if (tier->busy == 0 && !t->trackers[tier->order[0]].view.working)
		tier->due = due;
	return status;
}

static int
add_tiers(struct tiers *t, const char *const *urls, const size_t *sizes,
	  size_t count, int64_t due)
{
	for (size_t i = 0; i < count; i++) {
		if (add_tier(t, urls, sizes[i], due) != 0)
			return -1;
		urls += sizes[i];
	}
	return 0;
}

struct tiers *
tiers_new(const struct tiers_config *config, struct error *e)
{
	struct tiers *t = calloc(1, sizeof(*t));

	if (!t)
		goto out;
	t->random = config->seed;
	t->no_udp = config->no_udp;
	t->tiers = calloc(TIERS_MAX, sizeof(*t->tiers));
	if (t->tiers && add_tiers(t, config->urls, config->sizes,
				  config->count, CLOCK_NEVER) == 0)
		return t;
out:
	tiers_free(t);
	error_memory(e);
	return NULL;
}

void
tiers_free(struct tiers *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->tier_count; i++)
		free(t->tiers[i].order);
	for (size_t i = 0; i < t->tracker_count; i++)
		free(t->trackers[i].url);
	free(t->tiers);
	free(t->trackers);
	free(t);
}

void
tiers_start(struct tiers *t, int64_t now)
{
	if (t->state != WAITING)
		return;
	t->state = RUNNING;
	for (size_t i = 0; i < t->tier_count; i++)
		t->tiers[i].due = now;
}

int
tiers_add(struct tiers *t, const struct tiers_config *more, int64_t now,
	  struct error *e)
{
	int64_t due = t->state == RUNNING ? now : CLOCK_NEVER;

	if (add_tiers(t, more->urls, more->sizes, more->count, due) != 0)
		return error_memory(e);
	return 0;
}

void
tiers_completed(struct tiers *t, int64_t now)
{
	if (t->state != RUNNING)
		return;
	for (size_t i = 0; i < t->tier_count; i++) {
		t->tiers[i].tell_completed = true;
		t->tiers[i].due = now;
	}
}

/* How long after an answer a tier may be asked again ahead of time. */
static int64_t
early_wait(const struct tier *tier, const struct tiers_tracker *v)
{
	uint32_t wait = v->min_interval;

	if (wait == 0)
		wait = TIERS_EARLY << tier->early_count;
	if (wait < TIERS_INTERVAL_MIN)
		wait = TIERS_INTERVAL_MIN;
	return (wait < v->interval ? wait : v->interval) * CLOCK_S;
}

/* Before its time, if it works and is not being asked. */
static void
ask_early(struct tiers *t, struct tier *tier, int64_t now)
{
	const struct tiers_tracker *v = &t->trackers[tier->order[0]].view;
	int64_t when;

	if (tier->busy > 0 || !v->working)
		return;
	when = v->answered_at + early_wait(tier, v);
	if (when < now)
		when = now;
	if (when < tier->due) {
		tier->due = when;
		tier->early = true;
	}
}

void
tiers_want_peers(struct tiers *t, int64_t now)
{
	for (size_t i = 0; t->state == RUNNING && i < t->tier_count; i++)
		ask_early(t, &t->tiers[i], now);
}

void
tiers_news(struct tiers *t, int64_t now)
{
	t->news++;
	tiers_want_peers(t, now);
}

void
tiers_hurry(struct tiers *t, int64_t now)
{
	for (size_t i = 0; t->state == RUNNING && i < t->tracker_count; i++) {
		struct tracker *tr = &t->trackers[i];
		struct tier *tier = &t->tiers[tr->view.tier];

		if (tr->view.working || tr->view.dead || !tr->unreachable)
			continue;
		tr->view.retry_at = 0;
		tr->view.failures = 1;
		/* One that works is asked when it wants to be. */
		if (tier->busy == 0 &&
		    !t->trackers[tier->order[0]].view.working)
			tier->due = now;
	}
}

void
tiers_slept(struct tiers *t, int64_t ns)
{
	for (size_t i = 0; t->state == RUNNING && i < t->tier_count; i++)
		if (t->tiers[i].due != CLOCK_NEVER)
			t->tiers[i].due -= ns;
	for (size_t i = 0; i < t->tracker_count; i++) {
		struct tiers_tracker *v = &t->trackers[i].view;

		v->answered_at -= ns;
		v->retry_at -= ns;
	}
}

void
tiers_await(struct tiers *t, size_t tracker)
{
	t->trackers[tracker].awaited = true;
}

void
tiers_let_go(struct tiers *t, size_t tracker)
{
	struct tracker *tr = &t->trackers[tracker];

	if (tr->view.busy && tr->event == TRACKER_COMPLETED)
		t->tiers[tr->view.tier].tell_completed = false;
	tr->view.busy = false;
}

void
tiers_stop(struct tiers *t)
{
	if (t->state == STOPPING)
		return;
	t->state = STOPPING;
	for (size_t i = 0; i < t->tracker_count; i++) {
		struct tracker *tr = &t->trackers[i];

		tr->view.busy = tr->view.busy && tr->awaited;
		tr->tell_stop = tr->view.started ||
				(tr->view.busy &&
				 tr->event == TRACKER_STARTED);
	}
}

static bool
begin(struct tracker *tr, size_t index, enum tracker_event event,
      struct tiers_job *out)
{
	tr->event = event;
	tr->awaited = false;
	tr->late = false;
	tr->view.busy = true;
	out->tracker = index;
	out->url = tr->url;
	out->id = tr->id;
	out->event = event;
	return true;
}

/* Who has answered before gets its time; for others the next one is asked
 * soon, since many lists begin with a tracker that is gone. */
static void
wait_for(struct tiers *t, struct tier *tier, const struct tracker *tr,
	 int64_t now)
{
	t->busy++;
	tier->busy++;
	tier->patience = CLOCK_NEVER;
	if (!tr->view.working)
		tier->patience = now + TIERS_PATIENCE * CLOCK_S;
}

/* What one tracker had to say; false: others have answered in its place. */
static bool
waited_for(struct tiers *t, struct tier *tier, const struct tracker *tr)
{
	const struct tracker *first = &t->trackers[tier->order[0]];

	t->busy--;
	if (!tr->late)
		tier->busy--;
	return !tr->late || !first->view.working;
}

/* The tier has its answer. */
static void
wait_no_longer(struct tiers *t, struct tier *tier)
{
	for (size_t i = 0; i < tier->count; i++)
		t->trackers[tier->order[i]].late = true;
	tier->busy = 0;
}

/* When it is the turn of the next one of a tier. */
static int64_t
tier_due(const struct tiers *t, const struct tier *tier)
{
	if (t->busy >= TIERS_MAX)
		return CLOCK_NEVER;
	return tier->busy > 0 ? tier->patience : tier->due;
}

static bool
next_in_tier(struct tiers *t, struct tier *tier, int64_t now,
	     struct tiers_job *out)
{
	int64_t retry = CLOCK_NEVER;

	if (now < tier_due(t, tier))
		return false;
	for (size_t i = 0; i < tier->count; i++) {
		struct tracker *tr = &t->trackers[tier->order[i]];
		enum tracker_event event = TRACKER_NONE;

		if (tr->view.dead || tr->view.busy)
			continue;
		if (now < tr->view.retry_at) {
			retry = clock_min(retry, tr->view.retry_at);
			continue;
		}
		if (!tr->view.started)
			event = TRACKER_STARTED;
		else if (tier->tell_completed)
			event = TRACKER_COMPLETED;
		wait_for(t, tier, tr, now);
		tr->news = t->news;
		return begin(tr, tier->order[i], event, out);
	}
	if (tier->busy > 0)
		tier->patience = retry;
	else
		tier->due = retry;
	return false;
}

/* Is there a `completed` to tell this tracker before its `stopped`? */
static bool
owes_completed(const struct tiers *t, size_t index)
{
	const struct tiers_tracker *v = &t->trackers[index].view;
	const struct tier *tier = &t->tiers[v->tier];

	return tier->tell_completed && tier->order[0] == index &&
	       v->started && v->working;
}

static bool
next_stopped(struct tiers *t, struct tiers_job *out)
{
	for (size_t i = 0; i < t->tracker_count; i++) {
		struct tracker *tr = &t->trackers[i];

		if (tr->view.busy || !tr->tell_stop)
			continue;
		if (owes_completed(t, i))
			return begin(tr, i, TRACKER_COMPLETED, out);
		tr->tell_stop = false;
		return begin(tr, i, TRACKER_STOPPED, out);
	}
	return false;
}

bool
tiers_next(struct tiers *t, int64_t now, struct tiers_job *out)
{
	if (t->state == STOPPING)
		return next_stopped(t, out);
	for (size_t i = 0; t->state == RUNNING && i < t->tier_count; i++) {
		if (next_in_tier(t, &t->tiers[i], now, out))
			return true;
	}
	return false;
}

static void
promote(struct tier *tier, size_t tracker)
{
	size_t at = 0;

	while (at + 1 < tier->count && tier->order[at] != tracker)
		at++;
	memmove(tier->order + 1, tier->order, at * sizeof(*tier->order));
	tier->order[0] = tracker;
}

static uint32_t
bounded(uint32_t interval)
{
	if (interval == 0)
		return TIERS_INTERVAL_DEFAULT;
	if (interval < TIERS_INTERVAL_MIN)
		return TIERS_INTERVAL_MIN;
	return interval < TIERS_INTERVAL_MAX ? interval : TIERS_INTERVAL_MAX;
}

static void
take_answer(struct tracker *tr, const struct tracker_answer *answer,
	    int64_t now)
{
	struct tiers_tracker *v = &tr->view;

	v->busy = false;
	v->working = true;
	v->failures = 0;
	v->retry_at = 0;
	v->answered_at = now;
	v->error[0] = '\0';
	v->interval = bounded(answer->interval);
	v->min_interval = answer->min_interval;
	if (v->min_interval > v->interval)
		v->interval = bounded(v->min_interval);
	v->seeds = answer->seeds;
	v->leechers = answer->leechers;
	if (tr->event == TRACKER_STARTED)
		v->started = true;
	if (tr->event == TRACKER_STOPPED)
		v->started = false;
	if (answer->id[0] != '\0')
		memcpy(tr->id, answer->id, sizeof(tr->id));
}

void
tiers_answered(struct tiers *t, size_t tracker,
	       const struct tracker_answer *answer, int64_t now)
{
	struct tracker *tr = &t->trackers[tracker];
	struct tier *tier = &t->tiers[tr->view.tier];

	take_answer(tr, answer, now);
	if (tr->event == TRACKER_COMPLETED)
		tier->tell_completed = false;
	if (t->state == STOPPING && tr->event == TRACKER_STARTED)
		promote(tier, tracker);
	if (t->state != RUNNING || !waited_for(t, tier, tr))
		return;
	promote(tier, tracker);
	wait_no_longer(t, tier);
	if (!tier->early)
		tier->early_count = 0;
	else if (tier->early_count < EARLY_DOUBLINGS_MAX)
		tier->early_count++;
	tier->early = false;
	tier->due = now + tr->view.interval * CLOCK_S;
	if (tr->news != t->news)
		ask_early(t, tier, now);
	/* It has only just heard of us: the news comes behind. */
	if (tier->tell_completed)
		tier->due = now;
}

static int64_t
backoff(struct tiers *t, unsigned failures)
{
	int64_t n = failures < 17 ? failures : 17;
	int64_t wait = 5 * CLOCK_S + n * n * 12500 * CLOCK_MS;
	int64_t percent = 80 + (int64_t)(next_random(t) % 41);

	return clock_min(wait, 3600 * CLOCK_S) / 100 * percent;
}

void
tiers_failed(struct tiers *t, size_t tracker, const struct error *why,
	     const struct tracker_answer *answer, int64_t now)
{
	uint32_t retry_in = answer ? answer->retry_in : 0, wait = retry_in;
	struct tracker *tr = &t->trackers[tracker];
	struct tiers_tracker *v = &tr->view;
	struct tier *tier = &t->tiers[v->tier];

	v->busy = false;
	v->working = false;
	v->failures++;
	tr->unreachable = why->kind == ERROR_NETWORK && retry_in == 0;
	snprintf(v->error, sizeof(v->error), "%s", why->text);
	if (retry_in == TRACKER_RETRY_NEVER) {
		v->dead = true;
	} else {
		v->retry_at = now + backoff(t, v->failures);
		if (answer && wait < answer->interval)
			wait = bounded(answer->interval);
		if (v->retry_at < now + wait * CLOCK_S)
			v->retry_at = now + wait * CLOCK_S;
	}
	if (tr->event == TRACKER_STARTED)
		tr->tell_stop = false;
	if (t->state != RUNNING || !waited_for(t, tier, tr))
		return;
	/* Now the next one of the tier, if one may be asked. */
	tier->early = false;
	tier->due = now;
	tier->patience = now;
}

int64_t
tiers_due(const struct tiers *t)
{
	int64_t due = CLOCK_NEVER;

	if (t->state == STOPPING) {
		for (size_t i = 0; i < t->tracker_count; i++) {
			const struct tracker *tr = &t->trackers[i];

			if (tr->tell_stop && !tr->view.busy)
				return 0;
		}
		return CLOCK_NEVER;
	}
	for (size_t i = 0; t->state == RUNNING && i < t->tier_count; i++) {
		due = clock_min(due, tier_due(t, &t->tiers[i]));
	}
	return due;
}

int64_t
tiers_tracker_due(const struct tiers *t, size_t tracker)
{
	const struct tiers_tracker *v = &t->trackers[tracker].view;
	const struct tier *tier = &t->tiers[v->tier];

	if (t->state != RUNNING || tier->busy > 0 || v->dead)
		return CLOCK_NEVER;
	return tier->due > v->retry_at ? tier->due : v->retry_at;
}

bool
tiers_idle(const struct tiers *t)
{
	if (t->state != STOPPING)
		return t->state == WAITING;
	for (size_t i = 0; i < t->tracker_count; i++) {
		if (t->trackers[i].tell_stop || t->trackers[i].view.busy)
			return false;
	}
	return true;
}

size_t
tiers_trackers(const struct tiers *t)
{
	return t->tracker_count;
}

const struct tiers_tracker *
tiers_tracker(const struct tiers *t, size_t i)
{
	return &t->trackers[i].view;
}
