#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "net/datagram.h"
#include "net/datagram_batch.h"

#define PATIENCE_MS 20000
#define COUNT 120

/* What the system does with runs, in place of what it would do. */
static struct {
	int refuse;		/* errno for each run of several, or 0 */
	bool old;		/* it knows of no runs, and sends what came */
	int full;		/* a socket that takes nothing, or -1 */
	unsigned runs;		/* of several, that were asked for */
	unsigned singles;	/* that went */
} fake = {.full = -1};

int
getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	if (level != IPPROTO_UDP || !fake.old)
		return (int)syscall(SYS_getsockopt, fd, level, name, value,
				    size);
	errno = ENOPROTOOPT;
	return -1;
}

#ifdef __GLIBC__
#define FLAGS int
#else
#define FLAGS unsigned
#endif

int
sendmmsg(int fd, struct mmsghdr *m, unsigned n, FLAGS flags)
{
	unsigned i = 0;

	while (i < n && m[i].msg_hdr.msg_controllen == 0)
		i++;
	fake.runs += i < n;
	if (fd == fake.full)
		errno = EAGAIN;
	else if (i == 0 && n > 0 && fake.refuse)
		errno = fake.refuse;
	else {
		if (fake.refuse)
			n = i;
		fake.singles += n;
		return (int)syscall(SYS_sendmmsg, fd, m, n, flags);
	}
	return -1;
}

/* One that receives, and what it got: each datagram begins with its number
 * and is as long as that says. */
struct end {
	int fd;
	struct addr addr;
	struct datagram_batch *batch;
	unsigned count;
	bool wrong;
};

static size_t
size_of(uint32_t number)
{
	return number % 7 == 6 ? 300 : 1400;
}

static void
begin(struct end *e)
{
	memset(e, 0, sizeof(*e));
	e->fd = datagram_bind(NULL, AF_INET, 0);
	assert_true(e->fd >= 0);
	datagram_batch_tune(e->fd, AF_INET);
	assert_true(addr_parse(&e->addr, "127.0.0.1", datagram_port(e->fd)));
	e->batch = datagram_batch_new();
	assert_non_null(e->batch);
}

static void
release(struct end *e)
{
	datagram_batch_free(e->batch);
	close(e->fd);
}

static void
take(void *ctx, const struct addr *from, const uint8_t *data, size_t n)
{
	struct end *e = ctx;
	uint32_t number = n >= 4 ? get_u32(data) : 0;

	if (!addr_is_loopback(from) || n != size_of(number) ||
	    (number >> 16) != e->addr.port || data[n - 1] != (number & 0xff))
		e->wrong = true;
	e->count++;
}

static void
receive_all(struct end *e, unsigned count)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};

	while (e->count < count) {
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		datagram_batch_read(e->batch, e->fd, e, take);
	}
}

static void
put(struct end *from, const struct end *to, uint32_t i)
{
	uint8_t data[1400] = {0};
	uint32_t number = (uint32_t)to->addr.port << 16 | i;

	put_u32(data, number);
	data[size_of(number) - 1] = (uint8_t)i;
	assert_true(datagram_batch_add(from->batch, &to->addr, data,
				       size_of(number)));
}

/* Runs of one address and runs of two, full ones and short ones. */
static void
each_datagram_arrives_as_it_was(void **state)
{
	struct end a, b, c;
	int sockets[2];

	(void)state;
	begin(&a);
	begin(&b);
	begin(&c);
	sockets[0] = a.fd;
	sockets[1] = -1;
	assert_true(datagram_batch_empty(a.batch));
	for (uint32_t i = 0; i < COUNT; i++)
		put(&a, i < COUNT / 2 || i % 2 ? &b : &c, i);
	assert_false(datagram_batch_empty(a.batch));
	assert_true(datagram_batch_flush(a.batch, sockets));
	assert_true(datagram_batch_empty(a.batch));
	receive_all(&b, COUNT / 2 + COUNT / 4);
	receive_all(&c, COUNT / 4);
	assert_false(b.wrong || c.wrong);
	release(&a);
	release(&b);
	release(&c);
}

static void
what_no_socket_is_there_for_is_dropped(void **state)
{
	struct addr to = {.family = AF_INET6, .port = 9, .ip = {[15] = 1}};
	struct end a, b;
	int sockets[2];

	(void)state;
	begin(&a);
	begin(&b);
	sockets[0] = a.fd;
	sockets[1] = -1;
	assert_true(datagram_batch_add(a.batch, &to, "x", 1));
	put(&a, &b, 1);
	assert_true(datagram_batch_flush(a.batch, sockets));
	assert_true(datagram_batch_empty(a.batch));
	receive_all(&b, 1);
	release(&a);
	release(&b);
}

static void
there_is_an_end_to_it(void **state)
{
	static const uint8_t data[1400];
	struct end a;
	size_t n = 0, small = 0;

	(void)state;
	begin(&a);
	while (datagram_batch_add(a.batch, &a.addr, data, sizeof(data)))
		n++;
	while (datagram_batch_add(a.batch, &a.addr, data, 1))
		small++;
	assert_in_range(n, 100, 1000);
	assert_in_range(n + small, n, 1024);
	release(&a);
}

/* How often runs were tried: ten datagrams, and ten more. */
static unsigned
tries_of_runs(int refusal)
{
	struct end a, b;
	int sockets[2];

	begin(&a);
	begin(&b);
	sockets[0] = a.fd;
	sockets[1] = -1;
	fake.refuse = refusal;
	fake.runs = fake.singles = 0;
	for (uint32_t i = 0; i < 20; i++) {
		put(&a, &b, 7 * i);
		if (i % 10 == 9)
			assert_true(datagram_batch_flush(a.batch, sockets));
	}
	fake.refuse = 0;
	assert_int_equal(fake.singles, 20);
	receive_all(&b, 20);
	assert_false(b.wrong);
	release(&a);
	release(&b);
	return fake.runs;
}

static void
a_run_that_its_way_does_not_take_goes_one_by_one(void **state)
{
	(void)state;
	assert_int_equal(tries_of_runs(EINVAL), 2);
	assert_int_equal(tries_of_runs(EIO), 2);
	assert_int_equal(tries_of_runs(EMSGSIZE), 2);
}

static void
where_no_run_can_go_none_is_tried_again(void **state)
{
	(void)state;
	assert_int_equal(tries_of_runs(EOPNOTSUPP), 1);
}

static void
a_kernel_that_knows_of_no_runs_gets_none(void **state)
{
	(void)state;
	fake.old = true;
	assert_int_equal(tries_of_runs(0), 0);
	fake.old = false;
}

static void
the_socket_that_is_full_is_waited_for_alone(void **state)
{
	struct addr to = {.family = AF_INET6, .port = 9, .ip = {[15] = 1}};
	struct end a, b;
	int sockets[2];

	(void)state;
	begin(&a);
	begin(&b);
	sockets[0] = a.fd;
	sockets[1] = b.fd;
	fake.full = b.fd;
	put(&a, &b, 1);
	assert_true(datagram_batch_add(a.batch, &to, "x", 1));
	put(&a, &b, 2);
	assert_true(datagram_batch_waits_for(a.batch, AF_INET));
	assert_false(datagram_batch_flush(a.batch, sockets));
	fake.full = -1;
	assert_true(datagram_batch_waits_for(a.batch, AF_INET6));
	assert_false(datagram_batch_waits_for(a.batch, AF_INET));
	sockets[1] = -1;
	assert_true(datagram_batch_flush(a.batch, sockets));
	assert_false(datagram_batch_waits_for(a.batch, AF_INET) ||
		     datagram_batch_waits_for(a.batch, AF_INET6));
	receive_all(&b, 2);
	release(&a);
	release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_datagram_arrives_as_it_was),
		cmocka_unit_test(what_no_socket_is_there_for_is_dropped),
		cmocka_unit_test(there_is_an_end_to_it),
		cmocka_unit_test(
		    a_run_that_its_way_does_not_take_goes_one_by_one),
		cmocka_unit_test(where_no_run_can_go_none_is_tried_again),
		cmocka_unit_test(a_kernel_that_knows_of_no_runs_gets_none),
		cmocka_unit_test(the_socket_that_is_full_is_waited_for_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
