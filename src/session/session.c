#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "discover/announce.h"
#include "discover/blocklist.h"
#include "net/mse.h"
#include "net/names.h"
#include "session/blocklist_file.h"
#include "session/readers.h"
#include "session/session_parts.h"
#include "session/watch.h"
#include "session/worker.h"

/* ---- what all torrents share ---- */

/* Lives within the limit of descriptors, whatever it is. */
static void
share_out(struct session *s)
{
	struct rlimit limit = {0};

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = 1024;
	share_descriptors(&s->share, limit.rlim_cur, s->config->use_utp);
	atomic_store(&s->files_left.left, (long)s->share.files);
	pool_init(&s->pool, (unsigned)s->share.places);
}

/* Plain is what all else allows: it leaves sendfile to us and a second of
 * processor time for each gibibyte to both sides. */
unsigned
session_methods(const struct session *s)
{
	return s->config->encryption == ENCRYPTION_REQUIRE
		       ? MSE_RC4 : MSE_RC4 | MSE_PLAIN;
}

static int
make_encryption(struct session *s, struct error *e)
{
	if (s->config->encryption == ENCRYPTION_OFF)
		return 0;
	s->rc4 = rc4_library_new(e);
	if (s->rc4)
		return 0;
	if (s->config->encryption == ENCRYPTION_REQUIRE) {
		error_prefix(e, "cannot encrypt");
		return -1;
	}
	log_write(s->log, LOG_WARNING, NULL, "no encrypted connections: %s",
		  e->text);
	return 0;
}

static int
make_blocklist(struct session *s, struct error *e)
{
	if (!s->config->blocklist)
		return 0;
	s->blocklist = blocklist_file_read(s->config->blocklist, s->log,
					   e);
	if (!s->blocklist) {
		error_prefix(e, "--blocklist");
		return -1;
	}
	s->way.refusal = (struct http_refusal){blocklist_refuses,
					       s->blocklist};
	log_write(s->log, LOG_DETAIL, NULL, "%zu ranges of addresses are "
		  "blocked", blocklist_ranges(s->blocklist));
	return 0;
}

/* ---- the network ---- */

static bool
has_udp(const struct session *s)
{
	const struct session_config *c = s->config;

	return (c->use_dht || c->use_lsd || c->use_utp) &&
	       session_goes_direct(s);
}

static int
make_listener(struct session *s, struct error *e)
{
	struct listener_config config = {
		.port_min = s->config->port_min,
		.port_max = s->config->port_max,
		.udp = has_udp(s),
		.events = session_listener_events(s),
		.mse = {.library = s->rc4,
			.methods = session_methods(s),
			.preferred = MSE_PLAIN},
		.finder = {s, session_find_secret},
		.blocklist = s->blocklist,
		.dials_max = s->share.dials,
		.waiting_max = s->share.waiting,
		.route = s->route,
		.proxy = session_goes_direct(s) ? NULL : s->proxy,
	};

	s->listener = listener_new(&config, s->log, e);
	if (s->listener)
		return 0;
	/* Others can do without reaching us, and so can we. */
	config.port_min = config.port_max = 0;
	s->listener = listener_new(&config, s->log, NULL);
	config.deaf = s->listener == NULL;
	log_write(s->log, LOG_WARNING, NULL, "%s; %s", e->text,
		  config.deaf ? "nobody can connect to us"
			      : "using another one");
	if (config.deaf)
		s->listener = listener_new(&config, s->log, e);
	return s->listener ? 0 : -1;
}

/* Without, peers come from elsewhere. */
static void
make_udp(struct session *s)
{
	const struct session_config *c = s->config;
	struct udp_config config = {
		.port = listener_port(s->listener),
		.dht = c->use_dht,
		.lsd = c->use_lsd,
		.utp = c->use_utp,
		.utp_max = s->share.utp,
		.nodes = c->dht_nodes,
		.node_count = c->dht_node_count,
		.cache = c->cache,
		.blocklist = s->blocklist,
		.route = s->route,
		.events = {s, session_on_found, session_on_utp_incoming,
			   session_on_utp_dialled, session_on_utp_unheard},
	};
	struct error e;

	if (!has_udp(s))
		return;
	s->udp = udp_new(&config, s->log, &e);
	if (s->udp && config.port != 0 && udp_port(s->udp) != config.port)
		log_write(s->log, LOG_WARNING, NULL, "UDP port %u is taken; "
			  "using %u for the DHT and uTP", config.port,
			  udp_port(s->udp));
	if (s->udp && udp_start(s->udp, &e) == 0)
		return;
	udp_free(s->udp);
	s->udp = NULL;
	log_write(s->log, LOG_WARNING, NULL,
		  "no DHT, local discovery and uTP: %s", e.text);
}

static int
start_listener(struct session *s, struct error *e)
{
	if (make_listener(s, e) < 0)
		return -1;
	if (listener_start(s->listener, e) == 0)
		return 0;
	listener_free(s->listener);
	s->listener = NULL;
	return -1;
}

int
session_open_network(struct torrent_env *env, struct error *e)
{
	struct session *s = env->session;

	if (!s->listener) {
		if (start_listener(s, e) < 0)
			return -1;
		announcer_set_ports(s->announcer, listener_port(s->listener),
				    listener_port(s->listener));
		make_udp(s);
	}
	env->listener = s->listener;
	env->udp = s->udp;
	return 0;
}

/* ---- making and freeing ---- */

static int
make_watch(struct session *s, struct error *e)
{
	struct watch_config config = {
		.dir = s->config->watch,
		.inotify = true,
		.refused = session_refused,
		.ctx = s,
	};

	if (!config.dir)
		return 0;
	s->watch = watch_new(&config, s->log, e);
	return s->watch ? 0 : -1;
}

static void
wake_main(void *ctx)
{
	wake_up(ctx);
}

struct session *
session_new(const struct session_config *config, struct log *log,
	    const struct session_events *events, struct error *e)
{
	struct session *s = calloc(1, sizeof(*s));
	struct announcer_config announcer = {0};

	if (!s) {
		error_memory(e);
		return NULL;
	}
	s->config = config;
	s->events = events;
	s->log = log;
	s->wake.fd = s->stop.fd = s->route_fd = -1;
	s->begun_at = clock_ns();
	s->slept = clock_slept_ns();
	mutex_init(&s->lock);
	room_init(&s->room);
	ratelimit_init(&s->down, config->down_limit);
	ratelimit_init(&s->up, config->up_limit);
	share_out(s);
	if (wake_init(&s->wake, e) < 0 || wake_init(&s->stop, e) < 0 ||
	    session_route_begin(s, e) < 0 || make_blocklist(s, e) < 0 ||
	    make_encryption(s, e) < 0)
		goto fail;
	announcer.connections_max = s->share.http;
	announcer.route = s->route;
	announcer.proxy = s->proxy;
	announcer.blocklist = s->blocklist;
	s->announcer = announcer_new(&announcer, log, e);
	s->worker = worker_new(wake_main, &s->wake, e);
	if (!s->announcer || !s->worker || make_watch(s, e) < 0)
		goto fail;
	return s;
fail:
	session_free(s);
	return NULL;
}

void
session_free(struct session *s)
{
	if (!s)
		return;
	if (s->stop.fd >= 0)
		wake_up(&s->stop);
	outside_stop(s->outside);
	if (s->listener)
		listener_stop(s->listener);
	if (s->udp)
		udp_stop(s->udp);
	worker_free(s->worker);
	for (size_t i = 0; i < s->count; i++)
		torrent_free(s->torrents[i]);
	free(s->torrents);
	session_past_release(s);
	names_free(s->names);
	announcer_free(s->announcer);
	readers_free(s->readers);
	outside_free(s->outside);
	listener_free(s->listener);
	udp_free(s->udp);
	rc4_library_free(s->rc4);
	blocklist_free(s->blocklist);
	watch_free(s->watch);
	session_route_release(s);
	free(s->given);
	ratelimit_release(&s->down);
	ratelimit_release(&s->up);
	wake_release(&s->wake);
	wake_release(&s->stop);
	room_release(&s->room);
	mutex_release(&s->lock);
	free(s);
}

void
session_set_hooks(struct session *s, struct hooks *hooks)
{
	s->hooks = hooks;
}
