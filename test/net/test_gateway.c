#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/gateway.h"

#define HEAD \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\t" \
	"MTU\tWindow\tIRTT\n"
#define LAN "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"

/* The kernel writes numbers of the host's order: so these tests are for
 * machines that have the lower byte first. */
static int
find_over(const char *table, const char *interface, char out[ADDR_TEXT_MAX])
{
	char path[] = "/tmp/btget-gateway-XXXXXX";
	int fd = mkstemp(path);
	size_t size = strlen(table);
	struct addr a;
	int status;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, table, size), size);
	close(fd);
	status = gateway_find(path, interface, &a, NULL);
	unlink(path);
	if (status == 0)
		addr_format_ip(&a, out);
	return status;
}

static int
find(const char *table, char out[ADDR_TEXT_MAX])
{
	return find_over(table, NULL, out);
}

static void
finds_the_gateway_of_the_default_route(void **state)
{
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(find(HEAD LAN "eth0\t00000000\t0101A8C0\t0003\t0\t0\t"
			      "100\t00000000\t0\t0\t0\n", ip), 0);
	assert_string_equal(ip, "192.168.1.1");
}

static void
prefers_the_lowest_metric(void **state)
{
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(find(HEAD "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t"
			      "600\t00000000\t0\t0\t0\n"
			      "eth0\t00000000\t0101A8C0\t0003\t0\t0\t"
			      "100\t00000000\t0\t0\t0\n"
			      "eth1\t00000000\t0103A8C0\t0003\t0\t0\t"
			      "200\t00000000\t0\t0\t0\n", ip), 0);
	assert_string_equal(ip, "192.168.1.1");
}

static void
routes_that_lead_to_no_gateway_are_none(void **state)
{
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(find(HEAD LAN, ip), -1);
	assert_int_equal(find("", ip), -1);
	/* A line without a gateway, one that is down, half a default. */
	assert_int_equal(find(HEAD "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t"
			      "00000000\t0\t0\t0\n", ip), -1);
	assert_int_equal(find(HEAD "eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t"
			      "00000000\t0\t0\t0\n", ip), -1);
	assert_int_equal(find(HEAD "tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t"
			      "00000080\t0\t0\t0\n", ip), -1);
}

static void
loopback_is_no_gateway(void **state)
{
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(find(HEAD "lo\t00000000\t0100007F\t0003\t0\t0\t0\t"
			      "00000000\t0\t0\t0\n", ip), -1);
}

/* Whatever the metrics are. */
static void
routes_over_another_interface_do_not_count(void **state)
{
	static const char table[] =
		HEAD "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t"
		     "00000000\t0\t0\t0\n"
		     "eth01\t00000000\t0102A8C0\t0003\t0\t0\t0\t"
		     "00000000\t0\t0\t0\n";
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(find_over(table, "eth0", ip), 0);
	assert_string_equal(ip, "192.168.1.1");
	assert_int_equal(find_over(table, "eth01", ip), 0);
	assert_string_equal(ip, "192.168.2.1");
	assert_int_equal(find_over(table, "tun0", ip), -1);
}

static void
missing_table_is_an_error(void **state)
{
	struct addr a;
	struct error e;

	(void)state;
	assert_int_equal(gateway_find("/nowhere/route", NULL, &a, &e), -1);
	assert_int_equal(e.kind, ERROR_NETWORK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_gateway_of_the_default_route),
		cmocka_unit_test(prefers_the_lowest_metric),
		cmocka_unit_test(routes_that_lead_to_no_gateway_are_none),
		cmocka_unit_test(loopback_is_no_gateway),
		cmocka_unit_test(routes_over_another_interface_do_not_count),
		cmocka_unit_test(missing_table_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
