/* Whole sessions over loopback: one seeds, one downloads from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "session/config.h"
#include "session/exit.h"
#include "session/session.h"
#include "session/stats.h"
#include "support/clock_ahead.h"

#define PATIENCE (20 * CLOCK_S)
#define PIECE 32768
#define LENGTH (100 * PIECE + 5)
#define PIECES 101

struct world {
	char dir[64];
	char torrent[96];
	char full[96];			/* a folder that has the data */
	char empty[96];			/* and one that has not */
	uint8_t *data;
};

/* A session in a thread of its own. */
struct side {
	struct session_config config;
	struct session_events events;
	struct session *session;
	struct thread thread;
	int code;
	struct mutex lock;
	struct cond changed;
	unsigned started;		/* lock */
	unsigned completed;		/* lock */
	unsigned ended;			/* lock */
	char reason[256];		/* lock */
};

static void
count(struct side *s, unsigned *what)
{
	mutex_lock(&s->lock);
	(*what)++;
	cond_broadcast(&s->changed);
	mutex_unlock(&s->lock);
}

static void
on_start(void *ctx, const struct stats_torrent *t)
{
	struct side *s = ctx;

	(void)t;
	count(s, &s->started);
}

static void
on_complete(void *ctx, const struct stats_torrent *t)
{
	struct side *s = ctx;

	(void)t;
	count(s, &s->completed);
}

static void
on_ended(void *ctx, const struct stats_torrent *t, int code,
	 const char *reason)
{
	struct side *s = ctx;

	(void)t;
	(void)code;
	mutex_lock(&s->lock);
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	mutex_unlock(&s->lock);
	count(s, &s->ended);
}

static void
await(struct side *s, const unsigned *what)
{
	int64_t until = clock_ns() + PATIENCE;
	bool in_time = true;

	mutex_lock(&s->lock);
	while (*what == 0 && in_time)
		in_time = cond_wait(&s->changed, &s->lock, until);
	mutex_unlock(&s->lock);
	assert_true(in_time);
}

static void
run(void *arg)
{
	struct side *s = arg;

	s->code = session_run(s->session);
}

static void
side_init(struct side *s, const char *dir)
{
	memset(s, 0, sizeof(*s));
	mutex_init(&s->lock);
	cond_init(&s->changed);
	session_config_init(&s->config);
	s->config.dir = dir;
	s->config.use_dht = false;
	s->config.use_lsd = false;
	s->config.port_min = s->config.port_max = 0;
	s->config.seed_ratio = 0;
	s->config.seed_time_ns = 0;
	s->config.deadline_ns = PATIENCE;
	s->events = (struct session_events){
		.ctx = s,
		.start = on_start,
		.complete = on_complete,
		.ended = on_ended,
	};
}

static void
side_start(struct side *s, struct world *w)
{
	struct error e;

	error_clear(&e);
	s->session = session_new(&s->config, NULL, &s->events, &e);
	assert_string_equal(e.text, "");
	assert_non_null(s->session);
	session_add(s->session, w->torrent);
	assert_int_equal(thread_start(&s->thread, "main", THREAD_STACK_LARGE,
				      run, s, NULL), 0);
}

/* Waits for the end; the exit code. */
static int
side_end(struct side *s)
{
	thread_join(&s->thread);
	session_free(s->session);
	cond_release(&s->changed);
	mutex_release(&s->lock);
	return s->code;
}

static uint16_t
free_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static void
put_file(const char *dir, const char *name, const void *data, size_t n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static void
put_torrent(struct world *w)
{
	struct buffer b;

	buffer_init(&b, 65536);
	buffer_printf(&b, "d4:infod6:lengthi%de4:name4:data12:piece length"
			  "i%de6:pieces%d:", LENGTH, PIECE, PIECES * SHA1_SIZE);
	for (size_t at = 0; at < LENGTH; at += PIECE) {
		uint8_t digest[SHA1_SIZE];

		hash_sha1(digest, w->data + at,
			  LENGTH - at < PIECE ? LENGTH - at : PIECE);
		buffer_put(&b, digest, sizeof(digest));
	}
	buffer_str(&b, "ee");
	assert_false(b.failed);
	put_file(w->dir, "x.torrent", b.data, b.used);
	buffer_release(&b);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	w->data = malloc(LENGTH);
	for (size_t i = 0; i < LENGTH; i++)
		w->data[i] = (uint8_t)((i + 1) * 0x9e3779b97f4a7c15ull >> 56);
	strcpy(w->dir, "/tmp/btget-torrent-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	snprintf(w->torrent, sizeof(w->torrent), "%s/x.torrent", w->dir);
	snprintf(w->full, sizeof(w->full), "%s/full", w->dir);
	snprintf(w->empty, sizeof(w->empty), "%s/empty", w->dir);
	mkdir(w->full, 0777);
	mkdir(w->empty, 0777);
	put_file(w->full, "data", w->data, LENGTH);
	put_torrent(w);
	return 0;
}

static int
drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	nftw(w->dir, drop, 16, FTW_DEPTH | FTW_PHYS);
	free(w->data);
	free(w);
	return 0;
}

static bool
holds_data(const struct world *w, const char *dir)
{
	uint8_t *is = malloc(LENGTH + 1);
	char path[128];
	bool same;
	int fd;

	snprintf(path, sizeof(path), "%s/data", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	same = fd >= 0 && read(fd, is, LENGTH + 1) == LENGTH &&
	       memcmp(is, w->data, LENGTH) == 0;
	if (fd >= 0)
		close(fd);
	free(is);
	return same;
}

/* Its port opens only then. */
static void
await_seeding(struct side *s)
{
	int64_t until = clock_ns() + PATIENCE;
	struct stats_torrent t = {0};

	while (t.state != TORRENT_SEEDING) {
		assert_true(clock_ns() < until);
		assert_true(session_stats(s->session, 0, &t));
		usleep(1000);
	}
}

static void
start_seed(struct side *s, struct world *w, uint16_t port)
{
	side_init(s, w->full);
	s->config.port_min = s->config.port_max = port;
	s->config.seed_time_ns = PATIENCE;
	side_start(s, w);
	await(s, &s->completed);
	await_seeding(s);
}

static void
session_downloads_from_another(void **state)
{
	struct session_peer peer = {.host = "127.0.0.1"};
	struct world *w = *state;
	struct stats_torrent t;
	struct side seed, leech;

	peer.port = free_port();
	start_seed(&seed, w, peer.port);
	side_init(&leech, w->empty);
	leech.config.peers = &peer;
	leech.config.peer_count = 1;
	side_start(&leech, w);
	await(&leech, &leech.ended);
	assert_true(session_stats(leech.session, 0, &t));
	assert_int_equal(t.state, TORRENT_COMPLETE);
	assert_int_equal(side_end(&leech), EXIT_COMPLETE);
	assert_true(holds_data(w, w->empty));
	session_interrupt(seed.session, SIGTERM);
	assert_int_equal(side_end(&seed), EXIT_SIGNAL + SIGTERM);
	assert_string_equal(seed.reason, "stopped by signal 15");
}

/* Neither knows of the other but by the DHT, which is these two. */
static void
sessions_meet_through_the_dht(void **state)
{
	struct session_peer nodes[2] = {{.host = "127.0.0.1"},
					{.host = "127.0.0.1"}};
	struct world *w = *state;
	struct side seed, leech;

	nodes[0].port = free_port();
	do
		nodes[1].port = free_port();
	while (nodes[1].port == nodes[0].port);
	side_init(&seed, w->full);
	seed.config.port_min = seed.config.port_max = nodes[0].port;
	seed.config.seed_time_ns = PATIENCE;
	seed.config.use_dht = true;
	seed.config.dht_nodes = &nodes[1];
	seed.config.dht_node_count = 1;
	side_start(&seed, w);
	side_init(&leech, w->empty);
	leech.config.port_min = leech.config.port_max = nodes[1].port;
	leech.config.use_dht = true;
	leech.config.dht_nodes = &nodes[0];
	leech.config.dht_node_count = 1;
	side_start(&leech, w);
	await(&leech, &leech.ended);
	assert_int_equal(side_end(&leech), EXIT_COMPLETE);
	assert_true(holds_data(w, w->empty));
	session_interrupt(seed.session, SIGTERM);
	assert_int_equal(side_end(&seed), EXIT_SIGNAL + SIGTERM);
}

/* The one way between both: a display that looks all the time. */
static void
session_can_be_watched(void **state)
{
	struct session_peer peer = {.host = "127.0.0.1"};
	struct world *w = *state;
	struct stats_torrent t;
	struct side seed, leech;
	uint8_t cells[40];
	uint64_t done = 0;

	peer.port = free_port();
	start_seed(&seed, w, peer.port);
	side_init(&leech, w->empty);
	leech.config.peers = &peer;
	leech.config.peer_count = 1;
	side_start(&leech, w);
	do {
		assert_true(session_stats(leech.session, 0, &t));
		session_cells(leech.session, 0, cells, sizeof(cells));
		assert_true(t.state != TORRENT_DOWNLOADING || t.done >= done);
		if (t.state == TORRENT_DOWNLOADING)
			done = t.done;
	} while (t.state != TORRENT_COMPLETE && t.state != TORRENT_FAILED);
	session_cells(leech.session, 0, cells, sizeof(cells));
	assert_int_equal(cells[0], SESSION_CELL_FULL);
	assert_int_equal(side_end(&leech), EXIT_COMPLETE);
	session_interrupt(seed.session, SIGINT);
	assert_int_equal(side_end(&seed), EXIT_SIGNAL + SIGINT);
}

static void
session_gives_up_when_there_is_nobody(void **state)
{
	struct world *w = *state;
	struct side s;

	side_init(&s, w->empty);
	s.config.deadline_ns = CLOCK_MS * 50;
	side_start(&s, w);
	assert_int_equal(side_end(&s), EXIT_NO_PEERS);
}

static void
session_does_not_talk_to_itself(void **state)
{
	struct session_peer peer = {.host = "127.0.0.1"};
	struct world *w = *state;
	struct side s;

	peer.port = free_port();
	side_init(&s, w->empty);
	s.config.port_min = s.config.port_max = peer.port;
	s.config.peers = &peer;
	s.config.peer_count = 1;
	s.config.deadline_ns = CLOCK_MS * 200;
	side_start(&s, w);
	assert_int_equal(side_end(&s), EXIT_NO_PEERS);
}

static void
session_resumes_where_it_was_interrupted(void **state)
{
	struct world *w = *state;
	struct side s;

	side_init(&s, w->empty);
	side_start(&s, w);
	await(&s, &s.started);
	session_interrupt(s.session, SIGHUP);
	assert_int_equal(side_end(&s), EXIT_SIGNAL + SIGHUP);
	session_downloads_from_another(state);
	/* The next run finds all there. */
	side_init(&s, w->empty);
	side_start(&s, w);
	assert_int_equal(side_end(&s), EXIT_COMPLETE);
	assert_int_equal(s.completed, 1);
}

/* What the one state that is there says was uploaded. */
static uint64_t
saved_uploaded(const char *dir)
{
	uint8_t head[60] = {0};
	char pattern[128];
	glob_t found;
	int fd;

	snprintf(pattern, sizeof(pattern), "%s/.btget/*.state", dir);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, head, sizeof(head)), sizeof(head));
	close(fd);
	globfree(&found);
	return get_u64(head + 52);
}

static void
a_seed_saves_what_it_sent_now_and_then(void **state)
{
	struct session_peer peer = {.host = "127.0.0.1"};
	struct world *w = *state;
	struct side seed, leech;
	int64_t until;

	peer.port = free_port();
	side_init(&seed, w->full);
	seed.config.port_min = seed.config.port_max = peer.port;
	seed.config.seed_time_ns = 86400 * CLOCK_S;
	seed.config.deadline_ns = 0;
	side_start(&seed, w);
	await(&seed, &seed.completed);
	await_seeding(&seed);
	side_init(&leech, w->empty);
	leech.config.peers = &peer;
	leech.config.peer_count = 1;
	side_start(&leech, w);
	assert_int_equal(side_end(&leech), EXIT_COMPLETE);
	assert_int_equal(saved_uploaded(w->full), 0);
	atomic_fetch_add(&ahead_s, 601);
	session_interrupt(seed.session, 0);	/* looks at the time */
	until = clock_ns() + PATIENCE;
	while (saved_uploaded(w->full) < LENGTH && clock_ns() < until)
		usleep(1000);
	assert_int_equal(saved_uploaded(w->full), LENGTH);
	session_interrupt(seed.session, SIGTERM);
	assert_int_equal(side_end(&seed), EXIT_SIGNAL + SIGTERM);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(session_downloads_from_another),
		TEST(session_can_be_watched),
		TEST(sessions_meet_through_the_dht),
		TEST(session_gives_up_when_there_is_nobody),
		TEST(session_does_not_talk_to_itself),
		TEST(session_resumes_where_it_was_interrupted),
		TEST(a_seed_saves_what_it_sent_now_and_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
