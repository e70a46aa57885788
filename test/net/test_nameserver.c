#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "net/nameserver.h"

static size_t
read_text(const char *text, struct addr out[NAMESERVERS_MAX])
{
	char path[] = "/tmp/btget-nameserver-XXXXXX";
	int fd = mkstemp(path);
	size_t size = strlen(text), n;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
	n = nameserver_read(path, out);
	unlink(path);
	return n;
}

static void
assert_is(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT_MAX];

	assert_string_equal(addr_format(a, text), want);
}

static void
the_servers_of_a_file_are_found(void **state)
{
	struct addr a[NAMESERVERS_MAX];

	(void)state;
	assert_int_equal(read_text("# nameserver 192.0.2.9\n"
				   "search example.org\n"
				   "nameserver 192.0.2.1\n"
				   "nameserver\t2001:db8::1 # ours\r\n"
				   "options edns0", a), 2);
	assert_is(&a[0], "192.0.2.1:53");
	assert_is(&a[1], "[2001:db8::1]:53");
}

static void
what_the_library_does_not_read_is_left_out(void **state)
{
	struct addr a[NAMESERVERS_MAX];

	(void)state;
	assert_int_equal(read_text("nameservers 192.0.2.1\nnameserver\n"
				   "nameserver name.example\n"
				   "nameserver 192.0.2.256\n", a), 0);
	assert_int_equal(read_text("nameserver 192.0.2.1\n"
				   "nameserver 192.0.2.2\n"
				   "nameserver 192.0.2.3\n"
				   "nameserver 192.0.2.4\n", a), 3);
	assert_is(&a[2], "192.0.2.3:53");
	assert_int_equal(nameserver_read("/nowhere/resolv.conf", a), 0);
}

static void
one_on_this_machine_is_asked_from_here(void **state)
{
	struct addr server, from;

	(void)state;
	assert_true(addr_parse(&server, "127.0.0.53", 53));
	assert_true(nameserver_from(&server, &from));
	assert_true(addr_is_loopback(&from));
	assert_int_equal(from.port, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_servers_of_a_file_are_found),
		cmocka_unit_test(what_the_library_does_not_read_is_left_out),
		cmocka_unit_test(one_on_this_machine_is_asked_from_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
