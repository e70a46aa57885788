#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discover/tracker_http.h"

static struct tracker_request
request(void)
{
	struct tracker_request r = {.uploaded = 1,
				    .downloaded = 2,
				    .left = UINT64_MAX,
				    .key = 0xabc,
				    .numwant = 200,
				    .port = 6881,
				    .event = TRACKER_NONE};

	memset(r.info_hash, 0xff, sizeof(r.info_hash));
	memcpy(r.peer_id, "-bg0100-abcdefghij k", sizeof(r.peer_id));
	return r;
}

#define REST                                                                 \
	"info_hash=%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff"  \
	"%ff%ff&peer_id=-bg0100-abcdefghij%20k&port=6881&uploaded=1&"       \
	"downloaded=2&left=18446744073709551615&key=00000ABC&numwant=200&"  \
	"compact=1&no_peer_id=1"

static void
expect_url(const char *announce, const struct tracker_request *r,
	   const char *url)
{
	struct buffer out;

	buffer_init(&out, 4096);
	assert_int_equal(tracker_http_url(&out, announce, r, NULL), 0);
	assert_string_equal(buffer_text(&out), url);
	buffer_release(&out);
}

static void
the_url_holds_the_whole_request(void **state)
{
	struct tracker_request r = request();

	(void)state;
	expect_url("http://a/announce", &r, "http://a/announce?" REST);
}

static void
a_query_that_is_there_is_kept(void **state)
{
	struct tracker_request r = request();

	(void)state;
	expect_url("http://a/?pass=x", &r, "http://a/?pass=x&" REST);
	expect_url("http://a/?", &r, "http://a/?" REST);
	expect_url("http://a/?b&", &r, "http://a/?b&" REST);
}

static void
a_fragment_is_left_out(void **state)
{
	struct tracker_request r = request();

	(void)state;
	expect_url("http://a/b#c?d", &r, "http://a/b?" REST);
}

static void
what_is_not_ascii_is_encoded(void **state)
{
	struct tracker_request r = request();

	(void)state;
	expect_url("http://a/\xc3\xa4?p=\xff", &r,
		   "http://a/%C3%A4?p=%FF&" REST);
}

static void
partial_seed_is_paused_until_it_stops(void **state)
{
	struct tracker_request r = request();

	(void)state;
	r.paused = true;
	expect_url("http://a/", &r, "http://a/?" REST "&event=paused");
	r.event = TRACKER_STARTED;
	expect_url("http://a/", &r, "http://a/?" REST "&event=paused");
	r.event = TRACKER_STOPPED;
	expect_url("http://a/", &r, "http://a/?" REST "&event=stopped");
}

static void
event_and_tracker_id_are_sent(void **state)
{
	struct tracker_request r = request();

	(void)state;
	r.event = TRACKER_COMPLETED;
	strcpy(r.id, "a&b");
	expect_url("http://a/", &r,
		   "http://a/?" REST "&event=completed&trackerid=a%26b");
}

static void
bad_urls_are_refused(void **state)
{
	static const char *const bad[] = {"",
					  "http://",
					  "ftp://a/",
					  "http://a/\r\nX: y",
					  "http:///b",
					  "http://\xc3\xa4/",
					  "http://a/\x7f",
					  "http://a/ b"};
	struct tracker_request r = request();
	struct buffer out;
	struct error e;

	(void)state;
	buffer_init(&out, 4096);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(tracker_http_url(&out, bad[i], &r, &e), -1);
	buffer_release(&out);
}

struct fixture {
	struct tracker_answer answer;
	struct error e;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (!f)
		return -1;
	tracker_answer_init(&f->answer);
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tracker_answer_release(&f->answer);
	free(f);
	return 0;
}

#define ANNOUNCE "http://a/my-key/announce?pass=w0rd"

static const struct tracker_answer *
parse_n(void **state, const void *body, size_t n)
{
	struct fixture *f = *state;

	assert_int_equal(
	    tracker_http_parse(&f->answer, ANNOUNCE, body, n, &f->e), 0);
	return &f->answer;
}

/* A literal, with NULs in it. */
#define PARSE(state, body) parse_n(state, body, sizeof(body) - 1)

static void
expect_error(void **state, const char *body, const char *text)
{
	struct fixture *f = *state;

	assert_int_equal(
	    tracker_http_parse(&f->answer, ANNOUNCE, body, strlen(body),
			       &f->e),
	    -1);
	assert_int_equal(f->e.kind, ERROR_PROTOCOL);
	assert_string_equal(f->e.text, text);
}

static void
expect_peer(const struct tracker_answer *a, size_t i, const char *text)
{
	char out[ADDR_TEXT_MAX];

	assert_true(i < a->peer_count);
	assert_string_equal(addr_format(&a->peers[i], out), text);
}

static void
compact_peers_are_read(void **state)
{
	const struct tracker_answer *a =
	    PARSE(state, "d8:intervali1800e5:peers12:"
			 "\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x50"
			 "e");

	assert_int_equal(a->peer_count, 2);
	expect_peer(a, 0, "1.2.3.4:6881");
	expect_peer(a, 1, "5.6.7.8:80");
	assert_int_equal(a->interval, 1800);
}

static void
peers_of_ipv6_are_read(void **state)
{
	const struct tracker_answer *a = PARSE(
	    state, "d5:peers0:6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
		   "\x01\x1a\xe1"
		   "e");

	assert_int_equal(a->peer_count, 1);
	expect_peer(a, 0, "[2001:db8::1]:6881");
}

static void
dictionary_peers_are_read(void **state)
{
	const struct tracker_answer *a =
	    PARSE(state, "d5:peersl"
			 "d2:ip7:1.2.3.44:porti80ee"
			 "d2:ip3:::17:peer id20:aaaaaaaaaaaaaaaaaaaa"
			 "4:porti81ee"
			 "d2:ip11:example.com4:porti80ee"
			 "d2:ip7:1.2.3.44:porti99999ee"
			 "d4:porti80ee"
			 "ee");

	assert_int_equal(a->peer_count, 2);
	expect_peer(a, 0, "1.2.3.4:80");
	expect_peer(a, 1, "[::1]:81");
	assert_int_equal(a->name_count, 1);
	assert_string_equal(a->names[0].host, "example.com");
	assert_int_equal(a->names[0].port, 80);
}

static size_t
put_named_peer(char *out, size_t room, const char *host)
{
	return (size_t)snprintf(out, room, "d2:ip%zu:%s4:porti80ee",
				strlen(host), host);
}

static size_t
count_names(void **state, const char *host, unsigned times)
{
	static char body[64 << 10];
	size_t at = (size_t)sprintf(body, "d5:peersl");

	while (times-- > 0)
		at += put_named_peer(body + at, sizeof(body) - at, host);
	at += (size_t)sprintf(body + at, "ee");
	tracker_answer_release(&((struct fixture *)*state)->answer);
	return parse_n(state, body, at)->name_count;
}

static void
what_is_no_name_of_a_host_is_left_out(void **state)
{
	static const char *const bad[] = {
	    "",		"127.1",      "0x7f000001",	 "a.0x7f", "a b",
	    "a/b",	"user@a.org", "a.org:80",	 "a..org", "a.org.",
	    "-a.org",	".org",	      "\xc3\xbc.org", "%41.org", "[::1",
	};
	char longest[300];

	memset(longest, 'a', sizeof(longest));
	longest[254] = '\0';
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(count_names(state, bad[i], 1), 0);
	assert_int_equal(count_names(state, longest, 1), 0);
	assert_int_equal(count_names(state, longest + 1, 1), 1);
	assert_int_equal(count_names(state, "a-1.b_2.org", 1), 1);
	assert_int_equal(count_names(state, "localhost", 1), 1);
}

static void
the_number_of_names_is_bounded(void **state)
{
	assert_int_equal(count_names(state, "a.example", 500),
			 TRACKER_NAMES_MAX);
}

static void
peers_that_cannot_be_dialled_are_left_out(void **state)
{
	const struct tracker_answer *a =
	    PARSE(state, "d5:peers12:\x01\x02\x03\x04\0\0\0\0\0\0\x1a\xe1"
			 "e");

	assert_int_equal(a->peer_count, 0);
}

static void
the_number_of_peers_is_bounded(void **state)
{
	static uint8_t body[6 * 5000 + 32];
	size_t head = (size_t)sprintf((char *)body, "d5:peers30000:");
	const struct tracker_answer *a;

	memset(body + head, 1, 30000);
	body[head + 30000] = 'e';
	a = parse_n(state, body, head + 30001);
	assert_int_equal(a->peer_count, TRACKER_PEERS_MAX);
}

static void
all_numbers_and_texts_are_read(void **state)
{
	const struct tracker_answer *a =
	    PARSE(state, "d8:completei5e11:external ip4:\x01\x02\x03\x04"
			 "10:incompletei6e8:intervali60e12:min intervali30e"
			 "5:peers0:10:tracker id3:xyz"
			 "15:warning message6:be\x1b\x07nde");

	assert_int_equal(a->seeds, 5);
	assert_int_equal(a->leechers, 6);
	assert_int_equal(a->interval, 60);
	assert_int_equal(a->min_interval, 30);
	assert_string_equal(a->id, "xyz");
	assert_string_equal(a->warning, "be??nd");
	assert_int_equal(a->external.family, AF_INET);
	assert_int_equal(a->external.ip[3], 4);
}

static void
what_is_not_said_is_unknown(void **state)
{
	const struct tracker_answer *a = PARSE(state, "d5:peers0:e");

	assert_int_equal(a->seeds, -1);
	assert_int_equal(a->leechers, -1);
	assert_int_equal(a->interval, 0);
	assert_int_equal(a->external.family, 0);
}

static void
senseless_numbers_count_as_unknown(void **state)
{
	const struct tracker_answer *a =
	    PARSE(state, "d8:completei-1e8:intervali-5e5:peers0:e");

	assert_int_equal(a->seeds, -1);
	assert_int_equal(a->interval, 0);
}

static void
huge_numbers_are_cut(void **state)
{
	const struct tracker_answer *a = PARSE(
	    state, "d8:intervali9223372036854775807e5:peers0:e");

	assert_int_equal(a->interval, UINT32_MAX - 1);
}

static void
numbers_written_as_strings_are_read(void **state)
{
	assert_int_equal(PARSE(state, "d8:interval4:1800e")->interval, 1800);
}

static void
a_failure_reason_is_told_cleaned(void **state)
{
	struct fixture *f = *state;

	expect_error(state, "d14:failure reason8:no\x1b[31m!e",
		     "the tracker says 'no?[31m!'");
	assert_true(f->answer.refused);
	assert_int_equal(f->answer.retry_in, 0);
}

static void
what_it_says_is_told_without_its_secrets(void **state)
{
	expect_error(state,
		     "d14:failure reason38:Unknown passkey my-key of w0rd, "
		     "sorry!e",
		     "the tracker says 'Unknown passkey ... of ..., sorry!'");
	assert_string_equal(PARSE(state, "d5:peers0:15:warning message"
					 "16:my-key grows olde")
				->warning,
			    "... grows old");
}

static void
a_failure_can_say_when_to_come_back(void **state)
{
	struct fixture *f = *state;

	expect_error(state, "d14:failure reason4:busy8:retry in1:5e",
		     "the tracker says 'busy'");
	assert_int_equal(f->answer.retry_in, 300);
	expect_error(state, "d14:failure reason4:busy8:retry ini5ee",
		     "the tracker says 'busy'");
	assert_int_equal(f->answer.retry_in, 300);
	expect_error(state, "d14:failure reason4:gone8:retry in5:nevere",
		     "the tracker says 'gone'");
	assert_int_equal(f->answer.retry_in, TRACKER_RETRY_NEVER);
	expect_error(state, "d14:failure reason4:busy8:intervali5400ee",
		     "the tracker says 'busy'");
	assert_int_equal(f->answer.interval, 5400);
}

static void
an_empty_reason_is_a_failure_too(void **state)
{
	expect_error(state, "d14:failure reason0:e",
		     "the tracker refused without a reason");
}

static void
a_line_end_behind_the_answer_is_no_harm(void **state)
{
	PARSE(state, "d5:peers0:e\r\n");
}

static void
what_is_no_peer_spoils_no_other_one(void **state)
{
	struct fixture *f = *state;

	PARSE(state, "d5:peersli1ed2:ip7:1.2.3.44:porti5ee"
		     "d2:ip7:1.2.3.42:ip7:1.2.3.4e"
		     "d2:ip7:1.2.3.54:porti6ee2:xxee");
	assert_int_equal(f->answer.peer_count, 2);
}

static void
what_is_no_answer_is_an_error(void **state)
{
	static const char *const bad[] = {
	    "",		   "<html>", "le",	  "i1e",
	    "d5:peers0:",  "5:peers", "d5:peersl",
	    "d5:peers0:5:peers0:e",   "d5:peersli1eee",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error_clear(&f->e);
		assert_int_equal(tracker_http_parse(&f->answer, ANNOUNCE,
						    bad[i], strlen(bad[i]),
						    &f->e),
				 -1);
		assert_int_equal(f->e.kind, ERROR_PROTOCOL);
	}
	expect_error(state, "d3:fooi1ee",
		     "not a tracker's answer: it has neither peers nor an "
		     "interval");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_url_holds_the_whole_request),
	    cmocka_unit_test(a_query_that_is_there_is_kept),
	    cmocka_unit_test(a_fragment_is_left_out),
	    cmocka_unit_test(event_and_tracker_id_are_sent),
	    cmocka_unit_test(what_is_not_ascii_is_encoded),
	    cmocka_unit_test(partial_seed_is_paused_until_it_stops),
	    cmocka_unit_test(bad_urls_are_refused),
	    TEST(compact_peers_are_read),
	    TEST(peers_of_ipv6_are_read),
	    TEST(dictionary_peers_are_read),
	    TEST(what_is_no_name_of_a_host_is_left_out),
	    TEST(the_number_of_names_is_bounded),
	    TEST(peers_that_cannot_be_dialled_are_left_out),
	    TEST(the_number_of_peers_is_bounded),
	    TEST(all_numbers_and_texts_are_read),
	    TEST(what_is_not_said_is_unknown),
	    TEST(senseless_numbers_count_as_unknown),
	    TEST(huge_numbers_are_cut),
	    TEST(numbers_written_as_strings_are_read),
	    TEST(a_failure_reason_is_told_cleaned),
	    TEST(what_it_says_is_told_without_its_secrets),
	    TEST(a_failure_can_say_when_to_come_back),
	    TEST(an_empty_reason_is_a_failure_too),
	    TEST(a_line_end_behind_the_answer_is_no_harm),
	    TEST(what_is_no_peer_spoils_no_other_one),
	    TEST(what_is_no_answer_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
