#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "net/upnp_codec.h"

#define TYPE "urn:schemas-upnp-org:service:"
#define IP1 TYPE "WANIPConnection:1"
#define IP2 TYPE "WANIPConnection:2"
#define PPP TYPE "WANPPPConnection:1"
#define SERVICE(type, control) \
	"<service><serviceType>" type "</serviceType>" \
	"<controlURL>" control "</controlURL></service>"

static struct addr
router(void)
{
	struct addr a;

	assert_true(addr_parse(&a, "192.168.1.1", 5000));
	return a;
}

/* ---- the search ---- */

static void
search_asks_for_gateways_of_both_versions(void **state)
{
	struct buffer b;

	(void)state;
	buffer_init(&b, 1024);
	upnp_put_search(&b, 0);
	assert_non_null(strstr(buffer_text(&b), "M-SEARCH * HTTP/1.1\r\n"));
	assert_non_null(strstr(buffer_text(&b),
			       "ST: urn:schemas-upnp-org:device:"
			       "InternetGatewayDevice:1\r\n\r\n"));
	upnp_put_search(&b, 1);
	assert_non_null(strstr(buffer_text(&b), "InternetGatewayDevice:2\r\n"));
	buffer_release(&b);
}

static bool
found(const char *location, char out[UPNP_URL_MAX])
{
	struct addr from = router();
	struct upnp_url url;
	char text[2048];
	bool good;

	snprintf(text, sizeof(text),
		 "HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: %s\r\nEXT:\r\n\r\n",
		 location);
	good = upnp_read_found(text, strlen(text), &from, &url);
	if (good)
		upnp_format_url(&url, out);
	return good;
}

static void
found_names_its_description(void **state)
{
	char url[UPNP_URL_MAX];

	(void)state;
	assert_true(found("http://192.168.1.1:5000/desc.xml?a=b", url));
	assert_string_equal(url, "http://192.168.1.1:5000/desc.xml?a=b");
	assert_true(found("HTTP://192.168.1.1", url));
	assert_string_equal(url, "http://192.168.1.1:80/");
	assert_true(found("http://192.168.1.1?x#y", url));
	assert_string_equal(url, "http://192.168.1.1:80/?x");
}

static void
found_leads_to_nobody_but_who_answered(void **state)
{
	static const char *const bad[] = {
		"http://192.168.1.2/d.xml", "http://127.0.0.1/d.xml",
		"http://router.lan/d.xml", "https://192.168.1.1/d.xml",
		"file:///etc/passwd", "http://192.168.1.1@10.0.0.1/",
		"http://10.0.0.1#@192.168.1.1/", "http://[::1]/",
		"http://192.168.1.1:0/", "http://192.168.1.1:99999/",
		"http://192.168.1.1:80:80/", "http:///d.xml", "/d.xml", "",
		"http://0300.0250.1.1/", "http://3232235777/",
		"http://192.168.1.1/a b", "http://192.168.1.1\\@10.0.0.1/",
	};
	char url[UPNP_URL_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (found(bad[i], url))
			fail_msg("took '%s' for '%s'", bad[i], url);
}

static void
found_that_is_too_long_is_none(void **state)
{
	char location[1024], url[UPNP_URL_MAX];

	(void)state;
	memset(location, 'a', sizeof(location));
	memcpy(location, "http://192.168.1.1/", 19);
	location[sizeof(location) - 1] = '\0';
	assert_false(found(location, url));
}

static void
found_must_be_an_answer(void **state)
{
	static const char *const bad[] = {
		"NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/\r\n\r\n",
		"HTTP/1.1 404 No\r\nLOCATION: http://192.168.1.1/\r\n\r\n",
		"HTTP/1.1 200 OK\r\nST: x\r\n\r\n", "HTTP/1.", "",
	};
	struct addr from = router();
	struct upnp_url url;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(upnp_read_found(bad[i], strlen(bad[i]), &from,
					     &url));
}

/* ---- descriptions ---- */

/* The services as "type-number url" lines, without the common parts. */
static const char *
services(const char *xml)
{
	static char out[4096];
	struct upnp_url from = {.host = router(), .path = "/a/desc.xml?q/r"};
	struct upnp_service list[UPNP_SERVICES_MAX];
	size_t n = upnp_read_description(xml, strlen(xml), &from, list);
	char url[UPNP_URL_MAX];
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(
		    out + used, sizeof(out) - used, "%s %s\n",
		    list[i].type + strlen(TYPE),
		    upnp_format_url(&list[i].control, url) +
			strlen("http://192.168.1.1"));
	return out;
}

static void
description_gives_the_control_url(void **state)
{
	(void)state;
	assert_string_equal(
	    services("<root>" SERVICE(TYPE "Layer3Forwarding:1", "/no")
		     SERVICE(IP1, "/yes?a=1&amp;b=2") "</root>"),
	    "WANIPConnection:1 :5000/yes?a=1&b=2\n");
}

static void
control_urls_are_relative_to_the_description(void **state)
{
	(void)state;
	assert_string_equal(services(SERVICE(IP1, "ctl")),
			    "WANIPConnection:1 :5000/a/ctl\n");
	assert_string_equal(
	    services(SERVICE(IP1, "http://192.168.1.1:49152/ctl")),
	    "WANIPConnection:1 :49152/ctl\n");
	assert_string_equal(
	    services("<URLBase> http://192.168.1.1:80/b/ </URLBase>"
		     SERVICE(IP1, "ctl")),
	    "WANIPConnection:1 :80/b/ctl\n");
}

static void
control_urls_lead_to_nobody_else(void **state)
{
	(void)state;
	assert_string_equal(services(SERVICE(IP1, "http://10.0.0.1/ctl")), "");
	assert_string_equal(services(SERVICE(IP1, "//10.0.0.1/ctl")), "");
	assert_string_equal(services(SERVICE(IP1, "ftp://192.168.1.1/")), "");
	assert_string_equal(services(SERVICE(IP1, "/a\r\nHost: b")), "");
	assert_string_equal(services(SERVICE(IP1, "")), "");
	assert_string_equal(
	    services("<URLBase>http://10.0.0.1/</URLBase>"
		     SERVICE(IP1, "/ctl")),
	    "WANIPConnection:1 :5000/ctl\n");
}

static void
services_come_in_the_order_of_preference(void **state)
{
	(void)state;
	assert_string_equal(
	    services(SERVICE(PPP, "/p") SERVICE(IP1, "/1")
		     SERVICE(IP2, "/2")),
	    "WANIPConnection:2 :5000/2\nWANIPConnection:1 :5000/1\n"
	    "WANPPPConnection:1 :5000/p\n");
}

static void
services_are_no_more_than_there_is_room_for(void **state)
{
	(void)state;
	assert_string_equal(
	    services(SERVICE(IP1, "/1") SERVICE(IP1, "/2") SERVICE(IP1, "/3")
		     SERVICE(IP1, "/4") SERVICE(IP1, "/5")),
	    "WANIPConnection:1 :5000/1\nWANIPConnection:1 :5000/2\n"
	    "WANIPConnection:1 :5000/3\nWANIPConnection:1 :5000/4\n");
}

static void
markup_that_is_none_is_passed_over(void **state)
{
	(void)state;
	assert_string_equal(
	    services("<?xml version=\"1.0\"?><!DOCTYPE x>"
		     "<!--" SERVICE(IP1, "/comment") "-->"
		     "<![CDATA[" SERVICE(IP1, "/cdata") "]]>"
		     "<x a=\"" SERVICE(IP1, "/attribute") "\"/>"
		     "<d:service q='>'><d:serviceType> " IP1
		     "\n</d:serviceType><d:controlURL>/c</d:controlURL>"
		     "</d:service>"),
	    "WANIPConnection:1 :5000/c\n");
}

static void
halves_of_services_are_none(void **state)
{
	(void)state;
	assert_string_equal(services("<service><serviceType>" IP1
				     "</serviceType></service>"
				     "<service><controlURL>/c</controlURL>"
				     "</service>"), "");
	assert_string_equal(services("<service><serviceType>" IP1
				     "</serviceType><controlURL>/c"), "");
	assert_string_equal(services("<!--"), "");
	assert_string_equal(services("<a b='"), "");
	assert_string_equal(services("<"), "");
	assert_string_equal(services(""), "");
}

/* ---- orders ---- */

static void
orders_hold_what_is_wanted(void **state)
{
	struct upnp_mapping m = {.protocol = PORTMAP_UDP,
				 .external_port = 1000,
				 .internal_port = 2000,
				 .client = router(),
				 .lifetime = 3000};
	struct buffer b;

	(void)state;
	buffer_init(&b, 4096);
	upnp_put_add(&b, IP1, &m);
	assert_non_null(strstr(buffer_text(&b),
			       "<u:AddPortMapping xmlns:u=\"" IP1 "\">"));
	assert_non_null(strstr(buffer_text(&b),
			       "<NewExternalPort>1000</NewExternalPort>"
			       "<NewProtocol>UDP</NewProtocol>"
			       "<NewInternalPort>2000</NewInternalPort>"
			       "<NewInternalClient>192.168.1.1"
			       "</NewInternalClient>"));
	assert_non_null(strstr(buffer_text(&b),
			       "<NewLeaseDuration>3000</NewLeaseDuration>"
			       "</u:AddPortMapping></s:Body></s:Envelope>"));
	buffer_clear(&b);
	upnp_put_delete(&b, IP2, &m);
	assert_non_null(strstr(buffer_text(&b),
			       "<NewProtocol>UDP</NewProtocol>"
			       "</u:DeletePortMapping>"));
	buffer_release(&b);
}

static bool
reply(const char *xml, struct upnp_reply *out)
{
	return upnp_read_reply(xml, strlen(xml), out);
}

static void
replies_are_read(void **state)
{
	struct upnp_reply r;
	char ip[ADDR_TEXT_MAX];

	(void)state;
	assert_true(reply("<s:Envelope><s:Body><u:AddPortMappingResponse "
			  "xmlns:u=\"x\"/></s:Body></s:Envelope>", &r));
	assert_int_equal(r.fault, 0);
	assert_int_equal(r.external_ip.family, 0);
	assert_true(reply("<u:GetExternalIPAddressResponse>"
			  "<NewExternalIPAddress>203.0.113.7"
			  "</NewExternalIPAddress>"
			  "</u:GetExternalIPAddressResponse>", &r));
	assert_string_equal(addr_format_ip(&r.external_ip, ip),
			    "203.0.113.7");
	assert_true(reply("<s:Fault><UPnPError><errorCode>718</errorCode>"
			  "</UPnPError></s:Fault>", &r));
	assert_int_equal(r.fault, UPNP_CONFLICT);
}

static void
other_replies_are_none(void **state)
{
	struct upnp_reply r;

	(void)state;
	assert_false(reply("", &r));
	assert_false(reply("<html>Response</html>", &r));
	assert_false(reply("<s:Fault><errorCode>x</errorCode></s:Fault>", &r));
	assert_true(reply("<aResponse><NewExternalIPAddress>0.0.0.0"
			  "</NewExternalIPAddress></aResponse>", &r));
	assert_int_equal(r.external_ip.family, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(search_asks_for_gateways_of_both_versions),
		cmocka_unit_test(found_names_its_description),
		cmocka_unit_test(found_leads_to_nobody_but_who_answered),
		cmocka_unit_test(found_that_is_too_long_is_none),
		cmocka_unit_test(found_must_be_an_answer),
		cmocka_unit_test(description_gives_the_control_url),
		cmocka_unit_test(control_urls_are_relative_to_the_description),
		cmocka_unit_test(control_urls_lead_to_nobody_else),
		cmocka_unit_test(services_come_in_the_order_of_preference),
		cmocka_unit_test(services_are_no_more_than_there_is_room_for),
		cmocka_unit_test(markup_that_is_none_is_passed_over),
		cmocka_unit_test(halves_of_services_are_none),
		cmocka_unit_test(orders_hold_what_is_wanted),
		cmocka_unit_test(replies_are_read),
		cmocka_unit_test(other_replies_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
