#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/iface.h"

/* The loopback interface alone is everywhere; 192.0.2.0/24 nowhere. */

static bool untold;

/* In the place of libc's: a sandbox may refuse the kernel's list. */
int
getifaddrs(struct ifaddrs **out)
{
	int (*real)(struct ifaddrs **);

	if (untold) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getifaddrs");
	return real(out);
}

static struct iface
iface(const char *text)
{
	struct iface r;

	assert_int_equal(iface_set(&r, text, NULL), 0);
	return r;
}

static int
open_socket(int type)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static struct addr
bound_to(int fd)
{
	struct sockaddr_storage sa;
	socklen_t size = sizeof(sa);
	struct addr a = {0};

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	assert_true(addr_from_sockaddr(&a, (struct sockaddr *)&sa));
	return a;
}

static void
device_of(int fd, char out[IF_NAMESIZE])
{
	socklen_t size = IF_NAMESIZE;

	memset(out, 0, IF_NAMESIZE);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, out,
				    &size), 0);
}

static void
names_and_addresses_are_told_apart(void **state)
{
	struct iface r;

	(void)state;
	r = iface("tun0");
	assert_string_equal(r.name, "tun0");
	r = iface("wg-home.1");
	assert_string_equal(r.name, "wg-home.1");
	r = iface("10.8.0.2");
	assert_int_equal(r.ip.family, AF_INET);
	assert_int_equal(r.name[0], '\0');
	r = iface("2001:db8::1");
	assert_int_equal(r.ip.family, AF_INET6);
}

static void
what_can_be_neither_is_refused(void **state)
{
	static const char *const texts[] = {
		"", ".", "..", "a/b", "a b", "eth0:1", "tun\n", "t\xc3\xbcn0",
		"sixteen-letters0", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
		"10.8.0.2/24", "1:2", "[::1", "fe80::1%nowhere",
	};
	struct iface r;
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(iface_set(&r, texts[i], &e), -1);
		assert_int_equal(e.kind, ERROR_USAGE);
	}
}

static void
the_loopback_interface_is_found(void **state)
{
	static const char *const texts[] = {"lo", "127.0.0.1", "127.9.9.9"};
	struct iface_state s;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct iface r = iface(texts[i]);

		assert_true(iface_look(&r, &s));
		assert_string_equal(s.name, "lo");
		assert_int_equal(s.index, if_nametoindex("lo"));
		assert_int_equal(s.ip[0].family, AF_INET);
		assert_true(addr_is_loopback(&s.ip[0]));
		assert_int_equal(iface_check(&r, NULL), 0);
	}
}

static void
what_is_away_is_told(void **state)
{
	struct iface name = iface("nowhere0"), ip = iface("192.0.2.1");
	struct iface_state s;
	struct error e;

	(void)state;
	assert_false(iface_look(&name, &s));
	assert_int_equal(iface_check(&name, &e), -1);
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "there is no interface 'nowhere0'");
	assert_int_equal(iface_check(&ip, &e), -1);
	assert_string_equal(e.text, "no interface has the address 192.0.2.1");
}

static void
what_the_system_does_not_tell_is_not_called_away(void **state)
{
	struct iface r = iface("lo");
	struct error e;

	(void)state;
	untold = true;
	assert_int_equal(iface_check(&r, &e), -1);
	untold = false;
	assert_int_equal(e.kind, ERROR_INTERNAL);
	assert_string_equal(e.text, "cannot list the system's interfaces: "
				    "Address family not supported by protocol");
}

static void
without_one_all_is_free(void **state)
{
	int fd = open_socket(SOCK_STREAM);
	char device[IF_NAMESIZE];

	(void)state;
	assert_int_equal(iface_leave(NULL, fd, AF_INET), 0);
	device_of(fd, device);
	assert_string_equal(device, "");
	assert_int_equal(iface_bind(NULL, fd, AF_INET, 0), 0);
	assert_int_not_equal(bound_to(fd).port, 0);
	assert_int_equal(iface_family(NULL), AF_UNSPEC);
	assert_int_equal(iface_check(NULL, NULL), 0);
	assert_false(iface_away(NULL));
	close(fd);
}

static void
a_socket_is_tied_to_the_interface(void **state)
{
	struct iface r = iface("lo");
	int fd = open_socket(SOCK_DGRAM);
	char device[IF_NAMESIZE];

	(void)state;
	assert_int_equal(iface_leave(&r, fd, AF_INET), 0);
	device_of(fd, device);
	assert_string_equal(device, "lo");
	close(fd);
}

static void
an_address_is_bound_as_well(void **state)
{
	struct iface r = iface("127.9.9.9");
	int fd = open_socket(SOCK_STREAM);
	char device[IF_NAMESIZE];
	struct addr a;

	(void)state;
	assert_int_equal(iface_bind(&r, fd, AF_INET, 0), 0);
	device_of(fd, device);
	assert_string_equal(device, "lo");
	a = bound_to(fd);
	assert_true(addr_same_ip(&a, &r.ip));
	assert_int_not_equal(a.port, 0);
	close(fd);
}

static void
one_that_is_away_binds_nothing(void **state)
{
	static const char *const texts[] = {"nowhere0", "192.0.2.1"};
	int fd = open_socket(SOCK_STREAM);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct iface r = iface(texts[i]);

		errno = 0;
		assert_int_equal(iface_leave(&r, fd, AF_INET), -1);
		assert_int_equal(errno, ENETDOWN);
		assert_int_equal(iface_bind(&r, fd, AF_INET, 0), -1);
	}
	close(fd);
}

static void
a_family_that_it_lacks_is_refused(void **state)
{
	struct iface r = iface("127.0.0.1");
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(iface_family(&r), AF_INET);
	errno = 0;
	assert_int_equal(iface_leave(&r, fd, AF_INET6), -1);
	assert_int_equal(errno, EAFNOSUPPORT);
	if (fd >= 0)
		close(fd);
}

/*
 * A system that lets nobody tie sockets: without rights, one that is tied
 * already cannot be tied again.  0 if the address was bound instead.
 */
static int
bind_without_rights(void)
{
	struct iface r = iface("lo");
	int fd = open_socket(SOCK_STREAM);
	struct addr a;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0 ||
	    (geteuid() == 0 && setuid(65534) < 0))
		return 77;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) == 0)
		return 77;
	if (iface_leave(&r, fd, AF_INET) < 0)
		return 1;
	a = bound_to(fd);
	return addr_is_loopback(&a) ? 0 : 2;
}

static void
where_sockets_cannot_be_tied_an_address_is_bound(void **state)
{
	int status = -1;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(bind_without_rights());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
what_it_is_can_be_compared(void **state)
{
	struct iface r = iface("lo");
	struct iface_state a, b;

	(void)state;
	assert_true(iface_look(&r, &a));
	b = a;
	assert_true(iface_same(&a, &b));
	b.index++;
	assert_false(iface_same(&a, &b));
	b = a;
	b.ip[0].ip[3]++;
	assert_false(iface_same(&a, &b));
	b = a;
	b.ip[1].family = b.ip[1].family ? 0 : AF_INET6;
	assert_false(iface_same(&a, &b));
}

static void
a_watch_begins_empty(void **state)
{
	int fd = iface_watch();
	char byte;

	(void)state;
	assert_true(fd >= 0);
	assert_false(iface_watch_drain(fd));
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	close(fd);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_and_addresses_are_told_apart),
		TEST(what_can_be_neither_is_refused),
		TEST(the_loopback_interface_is_found),
		TEST(what_is_away_is_told),
		TEST(what_the_system_does_not_tell_is_not_called_away),
		TEST(without_one_all_is_free),
		TEST(a_socket_is_tied_to_the_interface),
		TEST(an_address_is_bound_as_well),
		TEST(one_that_is_away_binds_nothing),
		TEST(a_family_that_it_lacks_is_refused),
		TEST(where_sockets_cannot_be_tied_an_address_is_bound),
		TEST(what_it_is_can_be_compared),
		TEST(a_watch_begins_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
