#include "session/session.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "base/text.h"
#include "discover/announce.h"
#include "meta/magnet.h"
#include "meta/metainfo.h"
#include "net/mse.h"
#include "net/ratelimit.h"
#include "net/resolve.h"
#include "session/blocklist_file.h"
#include "session/exit.h"
#include "session/hooks.h"
#include "session/listener.h"
#include "session/outside.h"
#include "session/session_parts.h"
#include "session/source.h"
#include "session/torrent.h"
#include "session/udp.h"
#include "session/watch.h"
#include "session/worker.h"
#include "swarm/wire.h"

#define FDS_KEPT 48		/* for all that is neither peer nor file */
#define FILES_MIN 4
#define FILES_MAX 128
#define GIVEN_MAX 1024		/* addresses of -P */
#define FDS_A_PEER 3		/* socket, wake fd, and its share of others */

struct session {
	const struct session_config *config;
	const struct session_events *events;
	struct log *log;
	struct wake wake;
	struct wake stop;	/* ends the reading of a .torrent */
	int64_t begun_at;
	_Atomic int signal;
	_Atomic unsigned peers_left;
	size_t max_open;
	struct ratelimit down;
	struct ratelimit up;
	struct hooks *hooks;		/* or NULL */
	struct blocklist *blocklist;	/* or NULL */
	struct rc4_library *rc4;	/* NULL: all handshakes are plain */
	struct announcer *announcer;
	struct listener *listener;
	struct outside *outside;	/* NULL: not begun, or not wanted */
	bool outside_begun;
	bool peers_resolved;
	struct portmap_news news;	/* tcp_port 0: none yet */
	struct udp *udp;		/* or NULL */
	struct worker *worker;
	int code;		/* of torrents that could not be added */
	struct watch *watch;	/* or NULL */
	int ended_by;		/* the signal that did, or 0 */
	_Atomic bool reopen;	/* the log */
	struct addr *given;	/* what -P led to, for torrents to come */
	size_t given_count;

	struct mutex lock;
	struct torrent **torrents;	/* guarded by lock */
	_Atomic size_t count;		/* grows with lock */
	size_t size;			/* guarded by lock */
};

/* ---- called by the listener's thread ---- */

static struct torrent *
torrent_at(struct session *s, size_t i)
{
	struct torrent *t = NULL;

	mutex_lock(&s->lock);
	if (i < s->count)
		t = s->torrents[i];
	mutex_unlock(&s->lock);
	return t;
}

static struct torrent *
torrent_for(struct session *s, const uint8_t info_hash[20])
{
	struct torrent *t;

	for (size_t i = 0; (t = torrent_at(s, i)) != NULL; i++)
		if (torrent_wants(t, info_hash))
			return t;
	return NULL;
}

static void
on_incoming(void *ctx, int fd, const struct addr *from, const uint8_t *prefix,
	    size_t size)
{
	struct session *s = ctx;
	struct torrent *t = NULL;

	if (s->config->encryption != ENCRYPTION_REQUIRE && size >= HANDSHAKE_HASH_END && handshake_is_plain(prefix, size))
		t = torrent_for(s, prefix + HANDSHAKE_PREFIX + 8);
	if (t)
		torrent_incoming(t, fd, from, NULL);
	else
		close(fd);
}

static bool
find_secret(void *ctx, const uint8_t hash[20], uint8_t info_hash[20])
{
	struct session *s = ctx;
	struct torrent *t;

	for (size_t i = 0; (t = torrent_at(s, i)) != NULL; i++)
		if (torrent_wants_secret(t, hash)) {
			memcpy(info_hash, torrent_id(t), 20);
			return true;
		}
	return false;
}

static void
on_encrypted(void *ctx, int fd, const struct addr *from, struct mse *mse)
{
	struct torrent *t = torrent_for(ctx, mse_info_hash(mse));

	if (t) {
		torrent_incoming(t, fd, from, mse);
		return;
	}
	close(fd);
	mse_free(mse);
}

static void
on_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	struct torrent *t = torrent_at(ctx, owner);

	if (t)
		torrent_dialled(t, to, fd, sys);
	else if (fd >= 0)
		close(fd);
}

/* ---- called by the udp thread ---- */

static void
on_found(void *ctx, const uint8_t info_hash[20], enum udp_source source,
	 const struct addr *peers, size_t n)
{
	struct torrent *t = torrent_for(ctx, info_hash);

	if (t)
		torrent_found(t, source, peers, n);
}

/* ---- making and freeing ---- */

/* Lives within the limit of descriptors, whatever it is. */
static void
share_descriptors(struct session *s)
{
	struct rlimit limit = {0};
	rlim_t usable, files;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = 1024;
	usable = limit.rlim_cur > FDS_KEPT ? limit.rlim_cur - FDS_KEPT : 0;
	if (usable > 1u << 20)
		usable = 1u << 20;
	files = usable / 8;
	if (files < FILES_MIN)
		files = FILES_MIN;
	if (files > FILES_MAX)
		files = FILES_MAX;
	s->max_open = (size_t)files;
	usable = usable > files ? usable - files : 0;
	atomic_store(&s->peers_left, (unsigned)(usable / FDS_A_PEER) + 1);
}

/* Plain is what all else allows: it leaves sendfile to us and a second of
 * processor time for each gibibyte to both sides. */
static unsigned
methods(const struct session *s)
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
	s->blocklist = blocklist_file_read(s->config->blocklist, e);
	if (!s->blocklist)
		return -1;
	log_write(s->log, LOG_DETAIL, NULL, "%zu ranges of addresses are "
		  "blocked", blocklist_ranges(s->blocklist));
	return 0;
}

static int
make_listener(struct session *s, struct error *e)
{
	struct listener_config config = {
		.port_min = s->config->port_min,
		.port_max = s->config->port_max,
		.events = {s, on_incoming, on_dialled, on_encrypted},
		.mse = {.library = s->rc4,
			.methods = methods(s),
			.preferred = MSE_PLAIN},
		.finder = {s, find_secret},
		.blocklist = s->blocklist,
	};

	s->listener = listener_new(&config, s->log, e);
	if (s->listener)
		return 0;
	/* Others can do without reaching us, and so can we. */
	log_write(s->log, LOG_WARNING, NULL, "%s; using another one",
		  e->text);
	config.port_min = config.port_max = 0;
	s->listener = listener_new(&config, s->log, e);
	return s->listener ? 0 : -1;
}

static int
make_watch(struct session *s, struct error *e)
{
	struct watch_config config = {
		.dir = s->config->watch,
		.inotify = true,
	};

	if (!config.dir)
		return 0;
	s->watch = watch_new(&config, s->log, e);
	return s->watch ? 0 : -1;
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
		.nodes = c->dht_nodes,
		.node_count = c->dht_node_count,
		.cache = c->cache,
		.blocklist = s->blocklist,
		.events = {s, on_found},
	};
	struct error e;

	if (!c->use_dht && !c->use_lsd)
		return;
	s->udp = udp_new(&config, s->log, &e);
	if (!s->udp)
		log_write(s->log, LOG_WARNING, NULL,
			  "no DHT and no local discovery: %s", e.text);
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
	s->wake.fd = s->stop.fd = -1;
	s->begun_at = clock_ns();
	mutex_init(&s->lock);
	ratelimit_init(&s->down, config->down_limit);
	ratelimit_init(&s->up, config->up_limit);
	share_descriptors(s);
	if (wake_init(&s->wake, e) < 0 || wake_init(&s->stop, e) < 0 ||
	    make_blocklist(s, e) < 0 ||
	    make_encryption(s, e) < 0 || make_listener(s, e) < 0)
		goto fail;
	make_udp(s);
	announcer.port = listener_port(s->listener);
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
	outside_stop(s->outside);
	if (s->listener)
		listener_stop(s->listener);
	if (s->udp)
		udp_stop(s->udp);
	worker_free(s->worker);
	for (size_t i = 0; i < s->count; i++)
		torrent_free(s->torrents[i]);
	free(s->torrents);
	announcer_free(s->announcer);
	outside_free(s->outside);
	listener_free(s->listener);
	udp_free(s->udp);
	rc4_library_free(s->rc4);
	blocklist_free(s->blocklist);
	watch_free(s->watch);
	free(s->given);
	ratelimit_release(&s->down);
	ratelimit_release(&s->up);
	wake_release(&s->wake);
	wake_release(&s->stop);
	mutex_release(&s->lock);
	free(s);
}

void
session_set_hooks(struct session *s, struct hooks *hooks)
{
	s->hooks = hooks;
}

/* ---- adding ---- */

static int
v2_only(struct error *e)
{
	return error_set(e, ERROR_TORRENT,
			 "a v2-only torrent: these cannot be downloaded yet");
}

int
session_read_link(const char *arg, struct torrent_source *out,
		  struct error *e)
{
	out->link = magnet_parse(arg, e);
	if (!out->link)
		return -1;
	if (out->link->has_v1)
		return 0;
	magnet_free(out->link);
	return v2_only(e);
}

int
session_read_data(struct buffer *data, struct torrent_source *out,
		  struct error *e)
{
	out->meta = metainfo_adopt(data->data, data->used, e);
	*data = (struct buffer){.cap = data->cap};
	if (!out->meta)
		return -1;
	if (out->meta->has_v1)
		return 0;
	metainfo_free(out->meta);
	return v2_only(e);
}

static int
read_torrent(const struct session *s, const char *arg,
	     struct torrent_source *out, struct error *e)
{
	int64_t until = s->config->deadline_ns > 0
				? s->begun_at + s->config->deadline_ns
				: CLOCK_NEVER;
	struct buffer data;

	if (magnet_is(arg))
		return session_read_link(arg, out, e);
	if (source_read_until(arg, s->stop.fd, until, &data, e) < 0) {
		buffer_release(&data);
		return -1;
	}
	return session_read_data(&data, out, e);
}

static void
drop_source(struct torrent_source *source)
{
	metainfo_free(source->meta);
	magnet_free(source->link);
}

static bool
make_room(struct session *s)
{
	size_t size = s->size ? s->size * 2 : 8;
	struct torrent **torrents;

	if (s->count < s->size)
		return true;
	mutex_lock(&s->lock);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	torrents = realloc(s->torrents, size * sizeof(*torrents));
	if (torrents) {
		s->torrents = torrents;
		s->size = size;
	}
	mutex_unlock(&s->lock);
	return torrents != NULL;
}

static bool
is_there(struct session *s, const struct torrent_source *source)
{
	const uint8_t *id = source->link ? source->link->hash_v1
					 : metainfo_id(source->meta);

	for (size_t i = 0; i < s->count; i++)
		if (memcmp(torrent_id(s->torrents[i]), id, 20) == 0 &&
		    !torrent_ended(s->torrents[i]))
			return true;
	return false;
}

int
session_add_source(struct session *s, struct torrent_source *source,
		   struct error *e)
{
	struct torrent_env env = {
		.config = s->config,
		.events = s->events,
		.log = s->log,
		.wake = &s->wake,
		.announcer = s->announcer,
		.listener = s->listener,
		.udp = s->udp,
		.worker = s->worker,
		.down = &s->down,
		.up = &s->up,
		.hooks = s->hooks,
		.blocklist = s->blocklist,
		.rc4 = s->rc4,
		.methods = methods(s),
		.max_open = s->max_open,
		.peers_left = &s->peers_left,
	};
	struct torrent *t;

	if (is_there(s, source)) {	/* named twice: done once */
		drop_source(source);
		return 0;
	}
	if (!make_room(s)) {
		drop_source(source);
		return error_memory(e);
	}
	t = torrent_new(&env, (uint32_t)s->count, source, e);
	if (!t)
		return -1;
	if (s->news.tcp_port)
		torrent_set_outside(t, &s->news.external_ip,
				    s->news.tcp_port);
	for (size_t i = 0; i < s->given_count; i++)
		torrent_add_peer(t, &s->given[i]);
	mutex_lock(&s->lock);
	s->torrents[s->count++] = t;
	mutex_unlock(&s->lock);
	return 0;
}

static void
on_hook_output(void *ctx, enum hook_kind kind, const char *line)
{
	struct session *s = ctx;

	(void)kind;
	log_write(s->log, LOG_WARNING, NULL, "--on-error: %s", line);
}

static void
on_hook_done(void *ctx, enum hook_kind kind, const char *why)
{
	struct session *s = ctx;

	(void)kind;
	if (why)
		log_write(s->log, LOG_WARNING, NULL, "--on-error %s", why);
}

void
session_run_on_error(struct session *s, const char *name, int code)
{
	char dir[PATH_MAX];
	struct hook_job job = {
		.kind = HOOK_ERROR,
		.name = name,
		.dir = realpath(s->config->dir, dir) ? dir : s->config->dir,
		.exit = code,
		.ctx = s,
		.output = on_hook_output,
		.done = on_hook_done,
	};
	struct error e;

	if (hooks_has(s->hooks, HOOK_ERROR) &&
	    hooks_submit(s->hooks, &job, &e) < 0)
		on_hook_done(s, HOOK_ERROR, e.text);
}

/* What no server would give could not be read. */
static int
code_of(const struct error *e)
{
	if (e->kind == ERROR_NETWORK || e->kind == ERROR_PROTOCOL)
		return EXIT_TORRENT;
	return exit_for(e->kind);
}

int
session_add(struct session *s, const char *torrent, struct error *e)
{
	struct torrent_source source = {0};
	char label[256];

	if (read_torrent(s, torrent, &source, e) == 0 &&
	    session_add_source(s, &source, e) == 0)
		return 0;
	if (e->kind == ERROR_STOPPED)
		return -1;
	s->code = exit_merge(s->code, code_of(e));
	source_label(label, sizeof(label), torrent);
	session_run_on_error(s, label, code_of(e));
	return -1;
}

/* ---- -P ---- */

static void
remember_given(struct session *s, const struct addr *addrs, size_t count)
{
	struct addr *more;

	if (count == 0 || count > GIVEN_MAX - s->given_count)
		return;
	more = realloc(s->given, (s->given_count + count) * sizeof(*more));
	if (!more)
		return;
	memcpy(more + s->given_count, addrs, count * sizeof(*more));
	s->given = more;
	s->given_count += count;
}

static void
on_resolved(void *ctx, const struct addr *addrs, size_t count,
	    const struct error *e)
{
	struct session *s = ctx;
	char text[ADDR_TEXT_MAX];

	if (count == 0)
		log_write(s->log, LOG_WARNING, NULL, "%s", e->text);
	for (size_t i = 0; i < count; i++)
		if (blocklist_has(s->blocklist, &addrs[i]))
			log_write(s->log, LOG_WARNING, NULL, "%s is on the "
				  "blocklist", addr_format(&addrs[i], text));
	for (size_t k = 0; k < s->count; k++)
		for (size_t i = 0; i < count; i++)
			torrent_add_peer(s->torrents[k], &addrs[i]);
	if (s->watch)
		remember_given(s, addrs, count);
}

static void
resolve_peers(struct session *s)
{
	struct resolver *r = announcer_resolver(s->announcer);
	struct error e;

	for (size_t i = 0; i < s->config->peer_count; i++) {
		const struct session_peer *p = &s->config->peers[i];

		if (resolver_start(r, p->host, p->port, on_resolved, s, &e) ==
		    0)
			log_write(s->log, LOG_WARNING, NULL, "%s", e.text);
	}
}

/* ---- running ---- */

void
session_interrupt(struct session *s, int signal)
{
	atomic_store(&s->signal, signal);
	wake_up(&s->stop);
	wake_up(&s->wake);
}

void
session_reopen_log(struct session *s)
{
	atomic_store(&s->reopen, true);
	wake_up(&s->wake);
}

static void
follow_signal(struct session *s)
{
	int signal = atomic_exchange(&s->signal, 0);
	char reason[64];
	struct error e;

	if (atomic_exchange(&s->reopen, false) && log_reopen(s->log, &e) < 0)
		log_write(s->log, LOG_WARNING, NULL, "%s", e.text);
	if (signal == 0)
		return;
	s->ended_by = signal;
	snprintf(reason, sizeof(reason), "stopped by signal %d", signal);
	for (size_t i = 0; i < s->count; i++)
		torrent_stop(s->torrents[i], EXIT_SIGNAL + signal, reason);
	outside_stop(s->outside);
}

static bool
any_online(const struct session *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (torrent_online(s->torrents[i]))
			return true;
	return false;
}

/* Where all is complete, not even a name is looked up. */
static void
mind_given_peers(struct session *s)
{
	if (s->peers_resolved || !any_online(s))
		return;
	s->peers_resolved = true;
	resolve_peers(s);
}

/* The router lets our port in, once there is something to be had there. */
static void
mind_port(struct session *s)
{
	uint16_t port = listener_port(s->listener);

	if (s->config->use_portmap && !s->outside_begun && any_online(s)) {
		s->outside_begun = true;
		s->outside = outside_new(port, &s->wake, s->log);
	}
	if (!s->outside || !outside_news(s->outside, &s->news))
		return;
	announcer_set_port(s->announcer, s->news.tcp_port);
	for (size_t i = 0; i < s->count; i++)
		torrent_set_outside(s->torrents[i], &s->news.external_ip,
				    s->news.tcp_port);
}

/* When the next tick is due; *ended when there is none. */
static int64_t
tick_all(struct session *s, bool *ended)
{
	int64_t now = clock_ns(), due = CLOCK_NEVER;

	*ended = true;
	for (size_t i = 0; i < s->count; i++) {
		due = clock_min(due, torrent_tick(s->torrents[i], now));
		*ended = *ended && torrent_ended(s->torrents[i]);
	}
	return due;
}

/* Files that appeared; until it is to end. */
static bool
is_watching(const struct session *s)
{
	return s->watch && !s->ended_by;
}

/* The main thread's one wait. */
static int
wait_for_news(struct session *s, int64_t due, struct error *e)
{
	struct pollfd fds[3] = {{.fd = s->wake.fd, .events = POLLIN}};
	size_t n = 1;

	if (s->hooks && hooks_fd(s->hooks) >= 0)
		fds[n++] = (struct pollfd){.fd = hooks_fd(s->hooks),
					   .events = POLLIN};
	if (is_watching(s)) {
		due = clock_min(due, watch_due(s->watch));
		if (watch_fd(s->watch) >= 0)
			fds[n++] = (struct pollfd){.fd = watch_fd(s->watch),
						   .events = POLLIN};
	}
	if (announcer_wait(s->announcer, fds, n, due, e) < 0)
		return -1;
	if (fds[0].revents)
		wake_drain(&s->wake);
	if (s->hooks)
		hooks_receive(s->hooks);
	return 0;
}

static int
run(struct session *s, struct error *e)
{
	for (;;) {
		bool ended;
		int64_t due;

		follow_signal(s);
		if (is_watching(s))
			watch_look(s->watch, clock_ns(), session_take, s);
		due = tick_all(s, &ended);
		ended = ended && !is_watching(s);
		if (ended && hooks_idle(s->hooks))
			return 0;
		if (ended)
			outside_stop(s->outside);
		mind_given_peers(s);
		mind_port(s);
		if (wait_for_news(s, due, e) < 0)
			return -1;
	}
}

int
session_run(struct session *s)
{
	struct error e;
	int code = s->code;

	if (s->count == 0 && hooks_idle(s->hooks) && !s->watch)
		return code;
	if (listener_start(s->listener, &e) < 0 ||
	    (s->udp && udp_start(s->udp, &e) < 0))
		goto fail;
	if (s->watch)
		log_write(s->log, LOG_NOTICE, NULL, "watching '%s'",
			  s->config->watch);
	if (run(s, &e) < 0)
		goto fail;
	/* That is the one way in which watching ends. */
	if (s->watch)
		return EXIT_SIGNAL + s->ended_by;
	for (size_t i = 0; i < s->count; i++)
		code = exit_merge(code, torrent_exit_code(s->torrents[i]));
	return code;
fail:
	log_write(s->log, LOG_ERROR, NULL, "%s", e.text);
	return EXIT_INTERNAL;
}

/* ---- for the displays ---- */

size_t
session_torrents(const struct session *s)
{
	return atomic_load(&s->count);
}

bool
session_stats(struct session *s, size_t i, struct stats_torrent *out)
{
	struct torrent *t = torrent_at(s, i);

	if (t)
		torrent_stats(t, out);
	return t != NULL;
}

void
session_cells(struct session *s, size_t i, uint8_t *cells, size_t n)
{
	struct torrent *t = torrent_at(s, i);

	memset(cells, 0, n);
	if (t)
		torrent_cells(t, cells, n);
}
