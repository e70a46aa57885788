#include "discover/announce.h"

#include <stdlib.h>
#include <string.h>

#include "announce_parts.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "discover/blocklist.h"
#include "net/http.h"
#include "net/iface.h"
#include "net/proxy.h"
#include "net/resolve.h"

#define CALLER_FDS_MAX 32
/* What is always waited for: the UDP sockets and the resolver. */
#define OWN_FDS_MAX (UDP_TRACKERS_FDS + 1)

struct announcer *
announcer_new(const struct announcer_config *config, struct log *log,
	      struct error *e)
{
	struct http_config http = {.route = config->route,
				   .proxy = config->proxy,
				   .refusal = {blocklist_refuses,
					       config->blocklist},
				   .connections_max = config->connections_max};
	struct announcer *a = calloc(1, sizeof(*a));

	if (!a) {
		error_memory(e);
		return NULL;
	}
	a->log = log;
	a->port = a->port6 = config->port;
	a->route = config->route;
	a->proxy = config->proxy;
	a->blocklist = config->blocklist;
	a->http = http_new(&http, e);
	a->resolver = a->http ? resolver_new(e) : NULL;
	if (!a->resolver) {
		announcer_free(a);
		return NULL;
	}
	resolver_set_route(a->resolver, a->route);
	return a;
}

void
announcer_free(struct announcer *a)
{
	if (!a)
		return;
	udp_trackers_free(a->udp);
	resolver_free(a->resolver);
	http_free(a->http);
	free(a);
}

void
announcer_set_ports(struct announcer *a, uint16_t port, uint16_t port6)
{
	int64_t now = clock_ns();

	if (a->port == port && a->port6 == port6)
		return;
	a->port = port;
	a->port6 = port6;
	for (struct announce *an = a->announces; an; an = an->next)
		tiers_news(an->tiers, now);
}

void
announcer_rebind(struct announcer *a)
{
	if (a->udp)
		udp_trackers_rebind(a->udp);
}

struct http *
announcer_http(struct announcer *a)
{
	return a->http;
}

struct resolver *
announcer_resolver(struct announcer *a)
{
	return a->resolver;
}

static void
warn_unusable(const struct announcer *a,
	      const struct announce_torrent *torrent)
{
	char shown[TRACKER_URL_MAX];
	size_t count = 0;

	for (size_t i = 0; i < torrent->tier_count; i++)
		count += torrent->tier_sizes[i];
	for (size_t i = 0; i < count; i++) {
		const char *why = NULL;

		if (!tracker_url_usable(torrent->urls[i]))
			why = "not an http, https or udp URL";
		else if (a->proxy && tracker_url_is_udp(torrent->urls[i]))
			why = "no proxy carries UDP";
		if (why)
			log_write(torrent->log, LOG_DETAIL, torrent->name,
				  "tracker '%s' cannot be asked: %s",
				  text_tracker_url(shown, sizeof(shown),
						   torrent->urls[i]), why);
	}
}

struct announce *
announce_new(struct announcer *a, const struct announce_torrent *torrent,
	     const struct announce_callbacks *callbacks, struct error *e)
{
	struct tiers_config config = {.no_udp = a->proxy != NULL,
				      .urls = torrent->urls,
				      .sizes = torrent->tier_sizes,
				      .count = torrent->tier_count,
				      .seed = random_u64()};
	struct announce *an = calloc(1, sizeof(*an));

	if (!an) {
		error_memory(e);
		return NULL;
	}
	an->announcer = a;
	an->log = torrent->log;
	an->callbacks = *callbacks;
	memcpy(an->info_hash, torrent->info_hash, sizeof(an->info_hash));
	memcpy(an->peer_id, torrent->peer_id, sizeof(an->peer_id));
	an->quiet = torrent->quiet;
	an->hasten_at = CLOCK_NEVER;
	an->key = (uint32_t)random_u64();
	an->name = torrent->name;
	an->owner = torrent->owner;
	an->tiers = tiers_new(&config, e);
	if (!an->tiers) {
		free(an);
		return NULL;
	}
	warn_unusable(a, torrent);
	an->next = a->announces;
	a->announces = an;
	return an;
}

void
announce_free(struct announce *an)
{
	if (!an)
		return;
	for (struct announce **at = &an->announcer->announces; *at;
	     at = &(*at)->next) {
		if (*at == an) {
			*at = an->next;
			break;
		}
	}
	announce_drop_names(an);
	for (size_t i = 0; i < an->roads_count; i++)
		tracker_roads_free(an->roads[i]);
	free(an->roads);
	tiers_free(an->tiers);
	free(an);
}

void
announce_rename(struct announce *an, const char *name)
{
	an->name = name;
}

int
announce_add(struct announce *an, const struct announce_torrent *more,
	     struct error *e)
{
	struct tiers_config config = {.urls = more->urls,
				      .sizes = more->tier_sizes,
				      .count = more->tier_count};

	return tiers_add(an->tiers, &config, clock_ns(), e);
}

void
announce_start(struct announce *an)
{
	tiers_start(an->tiers, clock_ns());
}

void
announce_completed(struct announce *an)
{
	tiers_completed(an->tiers, clock_ns());
}

void
announce_want_peers(struct announce *an)
{
	tiers_want_peers(an->tiers, clock_ns());
}

void
announce_hurry(struct announce *an)
{
	tiers_hurry(an->tiers, clock_ns());
}

void
announce_slept(struct announce *an, int64_t ns)
{
	tiers_slept(an->tiers, ns);
}

void
announce_stop(struct announce *an)
{
	if (an->stopping)
		return;
	for (size_t i = 0; i < an->roads_count; i++)
		if (an->roads[i] && tracker_roads_stop(an->roads[i]))
			tiers_await(an->tiers, i);
	announce_drop_names(an);
	an->stopping = true;
	an->hasten_at = clock_ns() + ANNOUNCE_STARTED_PATIENCE;
	tiers_stop(an->tiers);
}

bool
announce_idle(const struct announce *an)
{
	for (size_t i = 0; i < an->roads_count; i++)
		if (an->roads[i] && !tracker_roads_idle(an->roads[i]))
			return false;
	return tiers_idle(an->tiers);
}

/* While the interface is away, nothing is tried that would only fail; but
 * whoever ends does not wait for it. */
static bool
rests(const struct announce *an)
{
	return iface_away(an->announcer->route) && !an->stopping;
}

static void
run_due(struct announcer *a)
{
	int64_t now = clock_ns();
	struct tiers_job tj;

	for (struct announce *an = a->announces; an; an = an->next) {
		if (rests(an))
			continue;
		while (tiers_next(an->tiers, now, &tj))
			announce_begin(an, &tj);
	}
}

int64_t
announcer_next_due(const struct announcer *a)
{
	int64_t due = a->udp ? udp_trackers_due(a->udp) : CLOCK_NEVER;

	for (const struct announce *an = a->announces; an; an = an->next)
		if (!rests(an))
			due = clock_min(due, clock_min(an->hasten_at,
						tiers_due(an->tiers)));
	return due;
}

int
announcer_wait(struct announcer *a, struct pollfd *fds, size_t n,
	       int64_t deadline, struct error *e)
{
	struct pollfd all[OWN_FDS_MAX + CALLER_FDS_MAX];
	size_t own = 0;
	int timeout_ms;

	if (n > CALLER_FDS_MAX)
		return error_set(e, ERROR_INTERNAL, "too many fds to wait for");
	run_due(a);
	if (a->udp)
		own = udp_trackers_fds(a->udp, all);
	all[own++] = (struct pollfd){.fd = resolver_fd(a->resolver),
				     .events = POLLIN};
	for (size_t i = 0; i < n; i++)
		all[own + i] = fds[i];
	timeout_ms = clock_poll_ms(clock_ns(), clock_min(deadline,
						announcer_next_due(a)));
	if (http_wait(a->http, all, own + n, timeout_ms, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		fds[i].revents = all[own + i].revents;
	resolver_run(a->resolver);
	if (a->udp)
		udp_trackers_run(a->udp, clock_ns());
	for (struct announce *an = a->announces; an; an = an->next)
		if (an->stopping)
			announce_let_go(an, clock_ns());
	return 0;
}

void
announce_get_status(const struct announce *an, struct announce_status *out)
{
	memset(out, 0, sizeof(*out));
	out->seeds = -1;
	out->answered_at = INT64_MIN;
	out->next_due = tiers_due(an->tiers);
	for (size_t i = 0; i < tiers_trackers(an->tiers); i++) {
		const struct tiers_tracker *v = tiers_tracker(an->tiers, i);

		out->trackers++;
		out->working += v->working ? 1 : 0;
		out->busy += v->busy ? 1 : 0;
		if (v->working && v->answered_at > out->answered_at)
			out->answered_at = v->answered_at;
		if (v->seeds > out->seeds)
			out->seeds = v->seeds;
	}
	memcpy(out->error, an->error, sizeof(out->error));
}

bool
announce_get_tracker(const struct announce *an, size_t i,
		     struct announce_tracker *out)
{
	const struct tiers_tracker *v;

	if (i >= tiers_trackers(an->tiers))
		return false;
	v = tiers_tracker(an->tiers, i);
	text_tracker_url(out->url, sizeof(out->url), v->url);
	out->tier = v->tier;
	out->working = v->working;
	out->busy = v->busy;
	out->failures = v->failures;
	out->seeds = v->seeds;
	out->leechers = v->leechers;
	out->next_due = tiers_tracker_due(an->tiers, i);
	memcpy(out->error, v->error, sizeof(out->error));
	return true;
}
