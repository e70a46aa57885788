/*
 * Who has a place among the requests under way, who waits for one, and which
 * one makes room.
 */
#include <stdio.h>

#include "base/clock.h"
#include "http_parts.h"

void
http_queue_leave(struct http *h, struct http_job *job)
{
	if (job->state == JOB_WAITS) {
		TAILQ_REMOVE(&h->waiting, job, entry);
		job->host->waiting--;
	}
	if (job->state == JOB_UNDER_WAY) {
		TAILQ_REMOVE(&h->under_way, job, entry);
		h->under_way_count--;
		h->seconds -= job->request.second;
		h->may_begin = true;
	}
	job->state = JOB_IN_NO_LIST;
}

void
http_queue_heard(struct http_job *job)
{
	if (!job->silent)
		return;
	job->silent = false;
	http_hosts_heard(&job->http->hosts, job->host);
	job->http->may_begin = true;
}

void
http_queue_end_silence(struct http_job *job, bool failed)
{
	if (!job->silent)
		return;
	job->silent = false;
	http_hosts_silent(&job->http->hosts, job->host, failed);
	job->http->may_begin = true;
}

static bool
seconds_are_full(const struct http *h)
{
	return h->seconds >= (h->most + 1) / 2;
}

bool
http_queue_has_place(const struct http *h, const struct http_job *job)
{
	return h->under_way_count < h->most &&
	       (!job->request.second || !seconds_are_full(h)) &&
	       http_hosts_has_place(&h->hosts, job->host);
}

void
http_queue_wait(struct http *h, struct http_job *job)
{
	TAILQ_INSERT_TAIL(&h->waiting, job, entry);
	job->state = JOB_WAITS;
	job->host->waiting++;
	h->may_begin = true;
}

static size_t
group_share(const struct http *h, const void *group)
{
	const struct http_job *job;
	size_t n = 0;

	TAILQ_FOREACH(job, &h->under_way, entry)
		n += job->request.group == group;
	return n;
}

/* NULL: there is no place for any. */
static struct http_job *
next_in_turn(const struct http *h)
{
	struct http_job *job, *best = NULL;
	size_t rank, lowest = SIZE_MAX, share = 0, least = SIZE_MAX;
	const void *counted = h;	/* which is no group */

	TAILQ_FOREACH(job, &h->waiting, entry) {
		if (!http_queue_has_place(h, job))
			continue;
		rank = http_hosts_rank(job->host);
		if (rank > lowest)
			continue;
		/* Most that wait side by side are of one group. */
		if (job->request.group != counted)
			share = group_share(h, job->request.group);
		counted = job->request.group;
		if (rank == lowest && share >= least)
			continue;
		best = job;
		lowest = rank;
		least = share;
		if (lowest == 0 && least == 0)
			break;
	}
	return best;
}

/* It says nothing, and has a place that one which waits could have. */
static bool
is_in_the_way(const struct http *h, const struct http_job *job)
{
	if (!job->silent)
		return false;
	return h->under_way_count >= h->most || job->host->waiting > 0 ||
	       (job->request.second && seconds_are_full(h)) ||
	       http_hosts_crowds(&h->hosts, job->host);
}

/* The first of these, in the order of their beginnings. */
static struct http_job *
first_in_the_way(const struct http *h)
{
	struct http_job *job;

	if (TAILQ_EMPTY(&h->waiting))
		return NULL;
	TAILQ_FOREACH(job, &h->under_way, entry)
		if (is_in_the_way(h, job))
			break;
	return job;
}

int64_t
http_queue_patience_ends(const struct http *h)
{
	const struct http_job *job = first_in_the_way(h);

	return job ? job->begun_at + h->patience : CLOCK_NEVER;
}

void
http_queue_give_up(struct http *h)
{
	int64_t now = clock_ns();

	while (http_queue_patience_ends(h) <= now) {
		struct http_job *job = first_in_the_way(h);

		snprintf(job->why, sizeof(job->why), "no answer, and others "
			 "wait to be asked");
		http_job_finish(h, job, CURLE_OPERATION_TIMEDOUT);
	}
}

void
http_queue_begin(struct http *h)
{
	while (h->may_begin) {
		struct http_job *job = NULL;
		CURLcode bad = CURLE_OK;

		if (h->under_way_count < h->most)
			job = next_in_turn(h);
		h->may_begin = job != NULL;
		if (job)
			bad = http_job_begin(h, job);
		if (bad)
			http_job_finish(h, job, bad);
	}
}
