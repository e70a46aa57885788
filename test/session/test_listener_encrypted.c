/* What comes in encrypted: the listener carries it until its torrent is
 * known, beside what is plain, garbage or silent. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/sync.h"
#include "net/stream.h"
#include "session/listener.h"
#include "swarm/wire.h"

#define PATIENCE (20 * CLOCK_S)
#define BOTH (MSE_PLAIN | MSE_RC4)

static const uint8_t info_hash[20] = "the only torrent";

struct desk {
	struct rc4_library *library;
	struct listener *l;
	struct mutex lock;
	struct cond changed;
	int fd;			/* guarded by lock */
	struct mse *mse;	/* guarded by lock; NULL: it was plain */
	unsigned came;		/* guarded by lock */
};

static bool
find(void *ctx, const uint8_t hash[MSE_HASH_SIZE], uint8_t out[20])
{
	uint8_t ours[MSE_HASH_SIZE];

	(void)ctx;
	mse_torrent_hash(ours, info_hash);
	memcpy(out, info_hash, 20);
	return memcmp(ours, hash, sizeof(ours)) == 0;
}

static void
on_encrypted(void *ctx, int fd, const struct addr *from, struct mse *mse)
{
	struct desk *d = ctx;

	(void)from;
	mutex_lock(&d->lock);
	if (d->fd >= 0)
		close(d->fd);
	mse_free(d->mse);
	d->fd = fd;
	d->mse = mse;
	d->came++;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static void
on_incoming(void *ctx, int fd, const struct addr *from,
	    const uint8_t prefix[LISTENER_PREFIX])
{
	assert_true(handshake_is_plain(prefix, LISTENER_PREFIX));
	on_encrypted(ctx, fd, from, NULL);
}

static void
on_dialled(void *ctx, uint32_t owner, const struct addr *to, int fd, int sys)
{
	(void)ctx;
	(void)owner;
	(void)to;
	(void)sys;
	if (fd >= 0)
		close(fd);
}

static int
setup(void **state)
{
	static struct desk desk;
	struct listener_config config = {
		.events = {&desk, on_incoming, on_dialled, on_encrypted},
		.mse = {.methods = BOTH, .preferred = MSE_PLAIN},
		.finder = {NULL, find},
	};

	desk = (struct desk){.fd = -1, .library = desk.library};
	if (!desk.library)
		desk.library = rc4_library_new(NULL);
	config.mse.library = desk.library;
	mutex_init(&desk.lock);
	cond_init(&desk.changed);
	desk.l = listener_new(&config, NULL, NULL);
	*state = &desk;
	return desk.l ? listener_start(desk.l, NULL) : -1;
}

static int
teardown(void **state)
{
	struct desk *d = *state;

	listener_free(d->l);
	mse_free(d->mse);
	if (d->fd >= 0)
		close(d->fd);
	rc4_library_free(d->library);
	d->library = NULL;
	cond_release(&d->changed);
	mutex_release(&d->lock);
	return 0;
}

static void
await(struct desk *d, unsigned n)
{
	int64_t until = clock_ns() + PATIENCE;
	bool in_time = true;

	mutex_lock(&d->lock);
	while (d->came < n && in_time)
		in_time = cond_wait(&d->changed, &d->lock, until);
	mutex_unlock(&d->lock);
	assert_true(in_time);
}

static int
connect_to(struct desk *d)
{
	struct addr a = {.ip = {127, 0, 0, 1}, .family = AF_INET};
	struct sockaddr_storage sa;
	socklen_t size;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.port = listener_port(d->l);
	size = addr_to_sockaddr(&a, &sa);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, size), 0);
	return fd;
}

/* The calling side; `step` bytes at a time, or all that there is. */
static void
call(struct desk *d, int fd, unsigned methods, size_t step, struct stream *s)
{
	struct mse_config config = {.library = d->library,
				    .methods = methods};
	struct mse *m = mse_new_outgoing(&config, info_hash, "beginning ", 10);
	uint8_t in[256];
	size_t n, used;

	assert_non_null(m);
	stream_init(s, fd);
	for (;;) {
		const uint8_t *out = mse_output(m, &n);

		if (n > 0) {
			n = n < step ? n : step;
			assert_int_equal(send(fd, out, n, MSG_NOSIGNAL), n);
			mse_sent(m, n);
			continue;
		}
		if (mse_status(m) != MSE_MORE)
			break;
		/* Its answer ends where the stream begins: nothing is sent
		 * behind it yet. */
		n = (size_t)recv(fd, in, sizeof(in), 0);
		assert_in_range(n, 1, sizeof(in));
		mse_feed(m, in, n, &used);
		assert_int_equal(used, n);
	}
	assert_int_equal(mse_status(m), MSE_DONE);
	stream_secure(s, m);
	mse_free(m);
}

/* What the called side reads, once it has been handed over. */
static void
expect(struct desk *d, const char *text)
{
	struct stream s;
	char got[64] = {0};
	size_t n = 0;

	stream_init(&s, d->fd);
	stream_secure(&s, d->mse);
	while (n < strlen(text)) {
		struct pollfd in = {.fd = d->fd, .events = POLLIN};
		ssize_t more;

		assert_int_equal(poll(&in, 1, (int)(PATIENCE / CLOCK_MS)), 1);
		more = stream_recv(&s, got + n, sizeof(got) - 1 - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_string_equal(got, text);
	stream_release(&s);
}

static void
meet(struct desk *d, unsigned methods, size_t step)
{
	struct stream s;
	int fd = connect_to(d);

	call(d, fd, methods, step, &s);
	assert_int_equal(stream_send(&s, "and more", 8, false), 8);
	await(d, 1);
	assert_non_null(d->mse);
	assert_memory_equal(mse_info_hash(d->mse), info_hash, 20);
	expect(d, "beginning and more");
	stream_release(&s);
	close(fd);
}

static void
an_encrypted_one_is_handed_over_with_its_torrent(void **state)
{
	meet(*state, MSE_RC4, SIZE_MAX);
	assert_int_equal(mse_method(((struct desk *)*state)->mse), MSE_RC4);
}

static void
the_preferred_method_is_selected(void **state)
{
	meet(*state, BOTH, SIZE_MAX);
	assert_int_equal(mse_method(((struct desk *)*state)->mse), MSE_PLAIN);
}

static void
it_may_come_in_small_pieces(void **state)
{
	meet(*state, MSE_RC4, 50);
}

static void
a_plain_one_is_none(void **state)
{
	struct desk *d = *state;
	uint8_t raw[HANDSHAKE_SIZE];
	struct handshake h = {.fast = true};
	int fd = connect_to(d);

	handshake_put(raw, &h);
	assert_int_equal(send(fd, raw, sizeof(raw), 0), sizeof(raw));
	await(d, 1);
	assert_null(d->mse);
	close(fd);
}

static void
garbage_is_closed(void **state)
{
	struct desk *d = *state;
	uint8_t noise[2000];
	struct pollfd in = {.events = POLLIN};
	ssize_t n;

	memset(noise, 0x55, sizeof(noise));
	in.fd = connect_to(d);
	assert_int_equal(send(in.fd, noise, sizeof(noise), MSG_NOSIGNAL),
			 sizeof(noise));
	do {
		assert_int_equal(poll(&in, 1, (int)(PATIENCE / CLOCK_MS)), 1);
		n = recv(in.fd, noise, sizeof(noise), 0);
	} while (n > 0);
	assert_true(n == 0 || errno == ECONNRESET);
	assert_int_equal(d->came, 0);
	close(in.fd);
}

static void
a_torrent_that_is_none_of_ours_is_closed(void **state)
{
	struct desk *d = *state;
	struct mse_config config = {.library = d->library, .methods = BOTH};
	uint8_t other[20] = "another torrent", in[2000];
	struct mse *m = mse_new_outgoing(&config, other, "", 0);
	int fd = connect_to(d);
	size_t used;
	ssize_t n;

	assert_non_null(m);
	do {
		size_t size;
		const uint8_t *out = mse_output(m, &size);

		if (size > 0)
			assert_int_equal(send(fd, out, size, MSG_NOSIGNAL),
					 size);
		mse_sent(m, size);
		n = recv(fd, in, sizeof(in), 0);
		if (n > 0)
			mse_feed(m, in, (size_t)n, &used);
	} while (n > 0);
	assert_int_equal(mse_status(m), MSE_MORE);
	assert_int_equal(d->came, 0);
	mse_free(m);
	close(fd);
}

static void
half_a_handshake_is_closed_with_the_listener(void **state)
{
	struct desk *d = *state;
	uint8_t half[90] = {0x55};
	struct stream s;
	int fd = connect_to(d), other = connect_to(d);

	assert_int_equal(send(fd, half, sizeof(half), 0), sizeof(half));
	call(d, other, MSE_RC4, SIZE_MAX, &s);
	await(d, 1);
	listener_stop(d->l);
	assert_true(recv(fd, half, sizeof(half), 0) <= 0);
	stream_release(&s);
	close(fd);
	close(other);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_encrypted_one_is_handed_over_with_its_torrent),
		TEST(the_preferred_method_is_selected),
		TEST(it_may_come_in_small_pieces),
		TEST(a_plain_one_is_none),
		TEST(garbage_is_closed),
		TEST(a_torrent_that_is_none_of_ours_is_closed),
		TEST(half_a_handshake_is_closed_with_the_listener),
	};
	struct rc4_library *l = rc4_library_new(NULL);

	if (!l) {
		printf("no RC4 on this machine: nothing to test\n");
		return 0;
	}
	rc4_library_free(l);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
