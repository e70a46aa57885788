#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "meta/bencode.h"
#include "session/tracker_query.h"
#include "session/tracker_service.h"

#define HASH "aaaaaaaaaaaaaaaaaaaa"
#define OTHER_HASH "bbbbbbbbbbbbbbbbbbbb"
#define IDS "info_hash=" HASH "&peer_id=pppppppppppppppppppp"
#define NOW (1000 * CLOCK_S)

struct fixture {
	struct tracker_service service;
	struct buffer out;
	struct addr from;
	int64_t now;
};

static const struct tracker_swarm_limits limits = {
	.swarms = 100, .peers = 1000, .per_swarm = 500, .per_host = 500,
	.life_ns = 1200 * CLOCK_S,
};

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.now = NOW};
	f.service.swarms = tracker_swarms_new(&limits, 1);
	f.service.interval_s = 600;
	buffer_init(&f.out, TRACKER_SERVICE_HTTP_MAX);
	addr_parse(&f.from, "9.8.7.6", 4000);
	*state = &f;
	return f.service.swarms ? 0 : -1;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	tracker_swarms_free(f->service.swarms);
	buffer_release(&f->out);
	return 0;
}

/* ---- the log ---- */

struct told {
	char text[1024];
	size_t lines;
};

static void
on_line(void *ctx, enum log_level level, const char *who, const char *about,
	const char *text)
{
	struct told *t = ctx;

	(void)who;
	(void)about;
	assert_int_equal(level, LOG_DETAIL);
	snprintf(t->text, sizeof(t->text), "%s", text);
	t->lines++;
}

static void
ask(struct fixture *f, const char *query)
{
	char head[512];

	snprintf(head, sizeof(head), "GET /announce?%s HTTP/1.1\r\n\r\n",
		 query);
	tracker_service_http(&f->service, head, strlen(head), &f->from, f->now,
			     &f->out);
}

static void
each_announce_is_a_line_of_detail(void **state)
{
	static const char hex[] = "6161616161616161616161616161616161616161";
	struct fixture *f = *state;
	struct told told = {0};
	struct tracker_allow allow = {0};
	char want[256];

	f->service.log = log_new(LOG_DETAIL, on_line, &told);
	assert_non_null(f->service.log);
	ask(f, IDS "&port=7&left=1&event=started");
	snprintf(want, sizeof(want), "tracker: 9.8.7.6:7 announces %s: started",
		 hex);
	assert_string_equal(told.text, want);
	ask(f, IDS "&port=7&left=0");
	snprintf(want, sizeof(want), "tracker: 9.8.7.6:7 announces %s: still "
		 "there, has all", hex);
	assert_string_equal(told.text, want);
	ask(f, "port=7&left=0");
	assert_non_null(strstr(told.text, "tracker: 9.8.7.6:4000 announces: "
			       "refused: "));
	f->service.allow = &allow;
	ask(f, IDS "&port=7&left=0");
	snprintf(want, sizeof(want), "tracker: 9.8.7.6:7 announces %s: refused:"
		 " the torrent is not on this tracker's list", hex);
	assert_string_equal(told.text, want);
	assert_int_equal(told.lines, 4);
	log_free(f->service.log);
}

/* ---- heads ---- */

static int
read_head(struct tracker_head *h, const char *text)
{
	return tracker_head_read(h, text, strlen(text));
}

static void
head_size_counts_up_to_the_blank_line(void **state)
{
	const char *crlf = "GET / HTTP/1.1\r\nA: b\r\n\r\nrest";

	(void)state;
	assert_int_equal(tracker_head_size(crlf, strlen(crlf)), 24);
	assert_int_equal(tracker_head_size("GET / HTTP/1.1\n\nrest", 20), 16);
	for (size_t n = 0; n < 24; n++)
		assert_int_equal(tracker_head_size(crlf, n), 0);
	/* Blank lines in front of a request do not end it. */
	assert_int_equal(tracker_head_size("\r\n\r\nG / H", 9), 0);
}

static void
head_splits_path_and_query(void **state)
{
	struct tracker_head h;

	(void)state;
	assert_int_equal(read_head(&h, "GET /announce?a=b HTTP/1.1\r\n\r\n"),
			 0);
	assert_true(tracker_head_path_is(&h, "/announce"));
	assert_int_equal(h.query.left, 3);
	assert_memory_equal(h.query.at, "a=b", 3);
	assert_true(h.keep);
	assert_false(h.head_only);
	assert_int_equal(read_head(&h, "HEAD http://x:1/a?b HTTP/1.0\n\n"), 0);
	assert_true(tracker_head_path_is(&h, "/a"));
	assert_true(h.head_only);
	assert_false(h.keep);
}

static void
head_knows_when_to_close(void **state)
{
	struct tracker_head h;

	(void)state;
	assert_int_equal(read_head(&h, "GET / HTTP/1.1\r\n"
				       "CONNECTION: te , Close\r\n\r\n"), 0);
	assert_false(h.keep);
	assert_int_equal(read_head(&h, "GET / HTTP/1.1\r\n"
				       "Connection: keep-alive\r\n\r\n"), 0);
	assert_true(h.keep);
}

static void
head_refuses_bad_requests(void **state)
{
	static const struct { const char *text; int status; } cases[] = {
		{"\r\n\r\n", 400},
		{"GET\r\n\r\n", 400},
		{"GET /\r\n\r\n", 400},
		{"GET / HTTP/2.0\r\n\r\n", 505},
		{"GET / FTP/1.1\r\n\r\n", 400},
		{"GET /a b HTTP/1.1\r\n\r\n", 400},
		{"GET announce HTTP/1.1\r\n\r\n", 400},
		{"GET http://host HTTP/1.1\r\n\r\n", 400},
		{" / HTTP/1.1\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\n\r\n", 405},
		{"GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 0},
	};
	struct tracker_head h;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(read_head(&h, cases[i].text),
				 cases[i].status);
}

/* ---- queries ---- */

static int
read_query(struct tracker_query *q, const char *text, struct error *e)
{
	return tracker_query_announce(q, bytes_over(text, strlen(text)), e);
}

static void
query_reads_an_announce(void **state)
{
	struct tracker_query q;

	(void)state;
	assert_int_equal(read_query(&q, IDS "&port=6881&uploaded=1&"
		"downloaded=2&left=0&event=completed&numwant=7&compact=0&"
		"no_peer_id=1&key=x&unknown&&ip=1.2.3.4", NULL), 0);
	assert_memory_equal(q.announce.info_hash, HASH, 20);
	assert_int_equal(q.announce.peer_id[0], 'p');
	assert_int_equal(q.announce.addr.port, 6881);
	assert_true(q.announce.complete);
	assert_int_equal(q.announce.event, TRACKER_SWARM_COMPLETED);
	assert_int_equal(q.want, 7);
	assert_false(q.compact);
	assert_true(q.no_peer_id);
	assert_int_equal(q.ip.ip[3], 4);
}

static void
query_decodes_binary_hashes(void **state)
{
	struct tracker_query q;
	const uint8_t expect[20] = {0, 0xff, '&', '=', '%', '+', 0x0a};

	(void)state;
	assert_int_equal(read_query(&q, "info_hash=%00%fF%26%3D%25+%0a%00%00"
		"%00%00%00%00%00%00%00%00%00%00%00"
		"&peer_id=pppppppppppppppppppp&port=1", NULL), 0);
	assert_memory_equal(q.announce.info_hash, expect, 20);
}

static void
query_has_defaults_for_what_is_missing(void **state)
{
	struct tracker_query q;

	(void)state;
	assert_int_equal(read_query(&q, IDS "&port=0", NULL), 0);
	assert_false(q.announce.complete);
	assert_int_equal(q.announce.event, TRACKER_SWARM_NONE);
	assert_int_equal(q.want, TRACKER_QUERY_WANT);
	assert_true(q.compact);
	assert_false(q.no_peer_id);
	assert_int_equal(q.ip.family, 0);
}

static void
query_is_kind_about_odd_values(void **state)
{
	struct tracker_query q;

	(void)state;
	assert_int_equal(read_query(&q, IDS "&port=1&left=Infinity&event=odd"
				    "&numwant=-1&ip=lo%25lo", NULL), 0);
	assert_false(q.announce.complete);
	assert_int_equal(q.announce.event, TRACKER_SWARM_NONE);
	assert_int_equal(q.want, TRACKER_QUERY_WANT);
	assert_int_equal(q.ip.family, 0);
	assert_int_equal(read_query(&q, IDS "&port=1&numwant=100000", NULL),
			 0);
	assert_int_equal(q.want, TRACKER_QUERY_WANT_MAX);
}

static void
query_says_what_is_wrong(void **state)
{
	static const struct { const char *query, *text; } cases[] = {
		{"", "info_hash is missing"},
		{"info_hash=" HASH "&port=1", "peer_id is missing"},
		{IDS, "port is missing"},
		{IDS "&port=65536", "port is not a number up to 65535"},
		{IDS "&port=x", "port is not a number up to 65535"},
		{IDS "&port=1&port=1", "port is given twice"},
		{IDS "&port=1&info_hash=" HASH, "info_hash is given twice"},
		{"info_hash=abc", "info_hash is 3 bytes long, not 20"},
		{"info_hash=" HASH "x", "info_hash is 21 bytes long, not 20"},
		{"info_hash=%4", "info_hash has a bad % escape"},
		{"info_hash=%zz", "info_hash has a bad % escape"},
		{"peer_id=" HASH HASH HASH HASH, "peer_id is too long"},
	};
	struct tracker_query q;
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_query(&q, cases[i].query, &e), -1);
		assert_string_equal(e.text, cases[i].text);
	}
}

static void
scrape_query_sorts_and_drops_repeats(void **state)
{
	static const char query[] = "info_hash=" OTHER_HASH "&info_hash=" HASH
				    "&x=y&info_hash=" OTHER_HASH;
	uint8_t hashes[TRACKER_QUERY_HASHES_MAX][SHA1_SIZE];
	size_t n;

	(void)state;
	assert_int_equal(tracker_query_scrape(hashes, &n,
			 bytes_over(query, strlen(query)), NULL), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(hashes[0], HASH, 20);
	assert_memory_equal(hashes[1], OTHER_HASH, 20);
}

static void
scrape_query_is_bounded(void **state)
{
	static const char one[] = "info_hash=" HASH "&";
	uint8_t hashes[TRACKER_QUERY_HASHES_MAX][SHA1_SIZE];
	struct buffer query;
	struct error e;
	size_t n;

	(void)state;
	buffer_init(&query, 100000);
	for (int i = 0; i <= TRACKER_QUERY_HASHES_MAX; i++)
		buffer_str(&query, one);
	assert_int_equal(tracker_query_scrape(hashes, &n,
			 bytes_over(query.data, query.used), &e), -1);
	assert_string_equal(e.text, "more than 128 info hashes");
	buffer_release(&query);
}

/* ---- HTTP answers ---- */

/* Asks for a target; returns the body, NUL-terminated. */
static const char *
get(struct fixture *f, const char *target)
{
	char head[2048];
	const char *text, *body;
	int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n\r\n",
			 target);

	tracker_service_http(&f->service, head, (size_t)n, &f->from, f->now,
			     &f->out);
	text = buffer_text(&f->out);
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	return body + 4;
}

static size_t
body_size(const struct fixture *f, const char *body)
{
	return f->out.used - (size_t)(body - (const char *)f->out.data);
}

static struct bencode
get_dict(struct fixture *f, const char *target)
{
	const char *body = get(f, target);
	struct bencode v;

	assert_int_equal(bencode_read(&v, body, body_size(f, body), NULL), 0);
	assert_int_equal(bencode_type(v), BENCODE_DICT);
	return v;
}

static void
come_from(struct fixture *f, const char *ip)
{
	assert_true(addr_parse(&f->from, ip, 4000));
}

static void
http_announce_has_the_exact_form(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(get(f, "/announce?" IDS "&port=6881&left=1"),
		"d8:completei0e10:downloadedi0e10:incompletei1e"
		"8:intervali600e12:min intervali60e5:peers0:e");
	assert_non_null(strstr((char *)f->out.data, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr((char *)f->out.data,
			       "Content-Length: 90\r\n"));
	assert_non_null(strstr((char *)f->out.data,
			       "Connection: keep-alive\r\n"));
}

static void
http_announce_gives_compact_peers_of_both_families(void **state)
{
	struct fixture *f = *state;
	const uint8_t *at;
	size_t n;
	struct bencode v;

	get(f, "/announce?info_hash=" HASH "&peer_id=1ppppppppppppppppppp"
	       "&port=6881");
	come_from(f, "2001:db8::5");
	get(f, "/announce?info_hash=" HASH "&peer_id=2ppppppppppppppppppp"
	       "&port=6882");
	come_from(f, "9.9.9.9");
	v = get_dict(f, "/announce?" IDS "&port=1");
	assert_true(bencode_find_str(v, "peers", &at, &n));
	assert_int_equal(n, 6);
	assert_memory_equal(at, "\x09\x08\x07\x06\x1a\xe1", 6);
	assert_true(bencode_find_str(v, "peers6", &at, &n));
	assert_int_equal(n, 18);
	assert_memory_equal(at, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x05"
				"\x1a\xe2", 18);
}

static void
http_announce_gives_dictionaries_on_request(void **state)
{
	struct fixture *f = *state;

	get(f, "/announce?" IDS "&port=6881&left=0");
	come_from(f, "9.9.9.9");
	assert_non_null(strstr(get(f, "/announce?info_hash=" HASH
		"&peer_id=qqqqqqqqqqqqqqqqqqqq&port=1&compact=0"),
		"5:peersld2:ip7:9.8.7.67:peer id20:pppppppppppppppppppp"
		"4:porti6881eeee"));
	assert_non_null(strstr(get(f, "/announce?info_hash=" HASH
		"&peer_id=qqqqqqqqqqqqqqqqqqqq&port=1&compact=0&no_peer_id=1"),
		"5:peersld2:ip7:9.8.7.64:porti6881eeee"));
}

static void
http_announce_fits_the_most_peers_in_dictionaries(void **state)
{
	struct fixture *f = *state;
	struct bencode v, list, item;
	struct bencode_iter it;
	int n = 0;

	for (unsigned i = 0; i < 300; i++) {
		struct tracker_swarm_announce a = {0};

		memcpy(a.info_hash, HASH, 20);
		memset(a.peer_id, 'x', 20);
		memset(a.addr.ip, 0xee, 16);
		put_u16(a.addr.ip + 14, (uint16_t)(0x1111 + i));
		a.addr.family = AF_INET6;
		a.addr.port = 65535;
		assert_int_equal(tracker_swarms_announce(f->service.swarms,
							 &a, f->now, NULL), 0);
	}
	come_from(f, "2001:db8::5");
	v = get_dict(f, "/announce?" IDS "&port=1&compact=0&numwant=300");
	assert_true(bencode_find(v, "peers", &list));
	it = bencode_items(list);
	while (bencode_next(&it, &item))
		n++;
	assert_int_equal(n, 200);
}

static void
http_numwant_holds_for_both_families_together(void **state)
{
	struct fixture *f = *state;
	const uint8_t *at;
	size_t n;
	char target[256];
	struct bencode v;

	for (int i = 0; i < 20; i++) {
		come_from(f, i & 1 ? "2001:db8::5" : "9.8.7.6");
		snprintf(target, sizeof(target), "/announce?info_hash=" HASH
			 "&peer_id=%02dpppppppppppppppppp&port=%d", i, i + 1);
		get(f, target);
	}
	v = get_dict(f, "/announce?" IDS "&port=0&numwant=12");
	assert_true(bencode_find_str(v, "peers6", &at, &n));
	assert_int_equal(n, 10 * 18);
	assert_true(bencode_find_str(v, "peers", &at, &n));
	assert_int_equal(n, 2 * 6);
}

static void
http_stopped_gets_no_peers_and_leaves(void **state)
{
	struct fixture *f = *state;

	get(f, "/announce?" IDS "&port=6881&left=1");
	come_from(f, "9.9.9.9");
	get(f, "/announce?info_hash=" HASH "&peer_id=qqqqqqqqqqqqqqqqqqqq"
	       "&port=1");
	assert_string_equal(get(f, "/announce?info_hash=" HASH
		"&peer_id=qqqqqqqqqqqqqqqqqqqq&port=1&event=stopped"),
		"d8:completei0e10:downloadedi0e10:incompletei1e"
		"8:intervali600e12:min intervali60e5:peers0:e");
}

static void
http_ip_counts_on_loopback_only(void **state)
{
	struct fixture *f = *state;
	const uint8_t *at;
	size_t n;

	get(f, "/announce?info_hash=" HASH "&peer_id=1ppppppppppppppppppp"
	       "&port=6881&ip=7.7.7.7");
	come_from(f, "127.0.0.1");
	get(f, "/announce?info_hash=" HASH "&peer_id=2ppppppppppppppppppp"
	       "&port=6881&ip=5.5.5.5");
	come_from(f, "9.8.7.6");
	assert_true(bencode_find_str(get_dict(f, "/announce?info_hash=" HASH
		"&peer_id=1ppppppppppppppppppp&port=6881"),
		"peers", &at, &n));
	assert_int_equal(n, 6);
	assert_memory_equal(at, "\5\5\5\5\x1a\xe1", 6);
	come_from(f, "9.9.9.9");
	assert_true(bencode_find_str(get_dict(f, "/announce?info_hash=" HASH
		"&peer_id=2ppppppppppppppppppp&port=1"), "peers", &at, &n));
	assert_int_equal(n, 6);
	assert_memory_equal(at, "\x09\x08\x07\x06\x1a\xe1", 6);
}

static void
http_bad_announce_gets_a_failure_reason(void **state)
{
	assert_string_equal(get(*state, "/announce?port=1"),
			    "d14:failure reason20:info_hash is missinge");
}

static void
http_scrape_answers_for_several(void **state)
{
	struct fixture *f = *state;

	get(f, "/announce?" IDS "&port=6881&left=0&event=completed");
	assert_string_equal(get(f, "/scrape?info_hash=" OTHER_HASH
				   "&info_hash=" HASH),
		"d5:filesd"
		"20:" HASH "d8:completei1e10:downloadedi1e"
		"11:downloadersi0e10:incompletei0ee"
		"20:" OTHER_HASH "d8:completei0e10:downloadedi0e"
		"11:downloadersi0e10:incompletei0eeee");
	f->now += 1200 * CLOCK_S;
	assert_string_equal(get(f, "/scrape?info_hash=" HASH),
		"d5:filesd20:" HASH "d8:completei0e10:downloadedi1e"
		"11:downloadersi0e10:incompletei0eeee");
}

static void
http_other_paths_are_not_found(void **state)
{
	struct fixture *f = *state;

	get(f, "/x/announce?" IDS "&port=1");
	assert_memory_equal(f->out.data, "HTTP/1.1 404 Not Found\r\n", 24);
	assert_int_equal(tracker_swarms_totals(f->service.swarms).peers, 0);
	get(f, "/announces");
	assert_memory_equal(f->out.data, "HTTP/1.1 404 Not Found\r\n", 24);
}

static void
http_totals_count_what_is_there(void **state)
{
	struct fixture *f = *state;

	get(f, "/announce?" IDS "&port=6881&left=0");
	assert_non_null(strstr(get(f, "/"), "peers      1\ncomplete   1\n"
					    "announces  1\n"));
}

static void
http_head_has_no_body(void **state)
{
	struct fixture *f = *state;
	const char head[] = "HEAD / HTTP/1.0\r\n\r\n";
	const char *text;

	assert_false(tracker_service_http(&f->service, head, strlen(head),
					  &f->from, f->now, &f->out));
	text = buffer_text(&f->out);
	assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
	assert_null(strstr(text, "Content-Length: 0"));
}

static void
allow_list_is_enforced(void **state)
{
	struct fixture *f = *state;
	struct tracker_allow allow;
	char text[41];

	hex_encode(text, (const uint8_t *)OTHER_HASH, 20);
	assert_int_equal(tracker_allow_parse(&allow, "f", text, 40, NULL), 0);
	f->service.allow = &allow;
	assert_string_equal(get(f, "/announce?" IDS "&port=1"),
		"d14:failure reason"
		"41:the torrent is not on this tracker's liste");
	assert_non_null(strstr(get(f, "/announce?info_hash=" OTHER_HASH
		"&peer_id=pppppppppppppppppppp&port=1"), "incompletei1e"));
	tracker_allow_release(&allow);
}

/* ---- UDP ---- */

static void
put_text(uint8_t *out, const char *text)
{
	while (*text)
		*out++ = (uint8_t)*text++;
}

static void
udp(struct fixture *f, const void *packet, size_t size)
{
	tracker_service_udp(&f->service, packet, size, &f->from, f->now,
			    &f->out);
}

static uint64_t
udp_connect(struct fixture *f)
{
	uint8_t packet[16] = {0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80,
			      0, 0, 0, 0, 1, 2, 3, 4};

	udp(f, packet, sizeof(packet));
	assert_int_equal(f->out.used, 16);
	assert_memory_equal(f->out.data, "\0\0\0\0\1\2\3\4", 8);
	return get_u64(f->out.data + 8);
}

/* Announces peer `who` by UDP; the answer is in f->out. */
static void
udp_announce(struct fixture *f, uint64_t id, uint8_t who, uint32_t event)
{
	uint8_t packet[98 + 13] = {0};

	put_u64(packet, id);
	put_u32(packet + 8, 1);
	put_u32(packet + 12, 0x01020304);
	put_text(packet + 16, HASH);
	memset(packet + 36, who, 20);
	put_u64(packet + 64, who == 's' ? 0 : 5);
	put_u32(packet + 80, event);
	put_u32(packet + 92, 1000);
	put_u16(packet + 96, (uint16_t)(6800 + who));
	put_text(packet + 98, "\2\11/announce\1");	/* BEP 41 */
	udp(f, packet, sizeof(packet));
}

static void
udp_announce_returns_counts_and_peers(void **state)
{
	struct fixture *f = *state;
	uint64_t id = udp_connect(f);

	udp_announce(f, id, 's', 1);
	assert_int_equal(f->out.used, 20);
	come_from(f, "9.9.9.9");
	udp_announce(f, udp_connect(f), 'x', 2);
	assert_int_equal(f->out.used, 26);
	assert_memory_equal(f->out.data, "\0\0\0\1\1\2\3\4\0\0\2\x58"
					 "\0\0\0\1\0\0\0\1\x09\x08\x07\x06",
			    24);
	assert_int_equal(get_u16(f->out.data + 24), 6800 + 's');
}

static void
udp_over_ipv6_gives_ipv6_peers_only(void **state)
{
	struct fixture *f = *state;

	udp_announce(f, udp_connect(f), 'a', 0);
	come_from(f, "2001:db8::5");
	udp_announce(f, udp_connect(f), 'b', 0);
	assert_int_equal(f->out.used, 20);
	come_from(f, "2001:db8::6");
	udp_announce(f, udp_connect(f), 'c', 0);
	assert_int_equal(f->out.used, 20 + 18);
	assert_int_equal(f->out.data[20 + 15], 5);
	assert_int_equal(get_u16(f->out.data + 36), 6800 + 'b');
}

static void
udp_answers_are_never_split(void **state)
{
	struct fixture *f = *state;
	uint64_t id;

	come_from(f, "2001:db8::5");
	id = udp_connect(f);
	for (unsigned i = 0; i < 150; i++)
		udp_announce(f, id, (uint8_t)i, 0);
	assert_int_equal(f->out.used, 20 + 67 * 18);
	assert_true(f->out.used <= TRACKER_SERVICE_UDP_MAX);
}

static void
udp_id_holds_two_minutes(void **state)
{
	struct fixture *f = *state;
	uint64_t id = udp_connect(f);

	f->now = NOW + 120 * CLOCK_S;
	udp_announce(f, id, 'a', 0);
	assert_int_equal(f->out.used, 20);
	f->now = NOW + 121 * CLOCK_S;
	udp_announce(f, id, 'a', 0);
	assert_int_equal(f->out.used, 0);
}

static void
udp_id_is_bound_to_the_address_but_not_the_port(void **state)
{
	struct fixture *f = *state;
	uint64_t id = udp_connect(f);

	f->from.port++;
	udp_announce(f, id, 'a', 0);
	assert_int_equal(f->out.used, 20);
	f->from.ip[3]++;
	udp_announce(f, id, 'a', 0);
	assert_int_equal(f->out.used, 0);
}

static void
udp_forged_ids_get_no_answer(void **state)
{
	struct fixture *f = *state;
	uint64_t id = udp_connect(f);

	for (int bit = 0; bit < 64; bit++) {
		udp_announce(f, id ^ UINT64_C(1) << bit, 'a', 0);
		assert_int_equal(f->out.used, 0);
	}
	assert_int_equal(tracker_swarms_totals(f->service.swarms).peers, 0);
}

static void
udp_short_packets_get_no_answer_or_an_error(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[97] = {0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80};
	uint64_t id = udp_connect(f);

	for (size_t n = 0; n < 16; n++) {
		udp(f, packet, n);
		assert_int_equal(f->out.used, 0);
	}
	put_u64(packet, id);
	put_u32(packet + 8, 1);
	udp(f, packet, sizeof(packet));
	assert_int_equal(get_u32(f->out.data), 3);
	assert_string_equal(buffer_text(&f->out) + 8,
			    "the announce is too short");
	put_u32(packet + 8, 77);
	udp(f, packet, 16);
	assert_string_equal(buffer_text(&f->out) + 8,
			    "the action is not known");
}

static void
udp_connect_needs_the_protocol_id(void **state)
{
	struct fixture *f = *state;
	const uint8_t packet[16] = {1};

	udp(f, packet, sizeof(packet));
	assert_int_equal(f->out.used, 0);
}

static void
udp_scrape_answers_for_up_to_74(void **state)
{
	struct fixture *f = *state;
	uint8_t packet[16 + 20 * 100] = {0};
	uint64_t id = udp_connect(f);

	udp_announce(f, id, 's', 1);
	put_u64(packet, id);
	put_u32(packet + 8, 2);
	put_text(packet + 36, HASH);
	udp(f, packet, 16 + 20 * 2 + 7);
	assert_int_equal(f->out.used, 8 + 12 * 2);
	assert_memory_equal(f->out.data + 8, "\0\0\0\0\0\0\0\0\0\0\0\0"
					     "\0\0\0\1\0\0\0\1\0\0\0\0", 24);
	udp(f, packet, sizeof(packet));
	assert_int_equal(f->out.used, 8 + 12 * 74);
}

/* ---- the allow list ---- */

static void
allow_parse_reads_hashes_and_comments(void **state)
{
	static const char text[] =
		"# mine\r\n\n"
		"  6262626262626262626262626262626262626262 # b\r\n"
		"6161616161616161616161616161616161616161";
	struct tracker_allow a;

	(void)state;
	assert_int_equal(tracker_allow_parse(&a, "f", text, strlen(text),
					     NULL), 0);
	assert_int_equal(a.count, 2);
	assert_true(tracker_allow_has(&a, (const uint8_t *)HASH));
	assert_true(tracker_allow_has(&a, (const uint8_t *)OTHER_HASH));
	assert_false(tracker_allow_has(&a, (const uint8_t *)
				       "cccccccccccccccccccc"));
	tracker_allow_release(&a);
	assert_int_equal(tracker_allow_parse(&a, "f", "", 0, NULL), 0);
	assert_false(tracker_allow_has(&a, (const uint8_t *)HASH));
}

static void
allow_parse_takes_the_hash_of_version_2(void **state)
{
	static const char text[] =
		"61616161616161616161616161616161616161617a7a7a7a7a7a7a7a7a7a"
		"7a7a\n";
	struct tracker_allow a;

	(void)state;
	assert_int_equal(tracker_allow_parse(&a, "f", text, strlen(text),
					     NULL), 0);
	assert_int_equal(a.count, 1);
	assert_true(tracker_allow_has(&a, (const uint8_t *)HASH));
	tracker_allow_release(&a);
}

static void
allow_parse_names_the_bad_line(void **state)
{
	static const char text[] =
		"# mine\n6262626262626262626262626262626262626262\n61zz\n";
	struct tracker_allow a;
	struct error e;

	(void)state;
	assert_int_equal(tracker_allow_parse(&a, "list", text, strlen(text),
					     &e), -1);
	assert_int_equal(e.kind, ERROR_USAGE);
	assert_string_equal(e.text, "'list' line 3: not an info hash of 40 "
				    "or 64 hex digits");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_announce_is_a_line_of_detail),
		CASE(head_size_counts_up_to_the_blank_line),
		CASE(head_splits_path_and_query),
		CASE(head_knows_when_to_close),
		CASE(head_refuses_bad_requests),
		CASE(query_reads_an_announce),
		CASE(query_decodes_binary_hashes),
		CASE(query_has_defaults_for_what_is_missing),
		CASE(query_is_kind_about_odd_values),
		CASE(query_says_what_is_wrong),
		CASE(scrape_query_sorts_and_drops_repeats),
		CASE(scrape_query_is_bounded),
		CASE(http_announce_has_the_exact_form),
		CASE(http_announce_gives_compact_peers_of_both_families),
		CASE(http_announce_gives_dictionaries_on_request),
		CASE(http_announce_fits_the_most_peers_in_dictionaries),
		CASE(http_numwant_holds_for_both_families_together),
		CASE(http_stopped_gets_no_peers_and_leaves),
		CASE(http_ip_counts_on_loopback_only),
		CASE(http_bad_announce_gets_a_failure_reason),
		CASE(http_scrape_answers_for_several),
		CASE(http_other_paths_are_not_found),
		CASE(http_totals_count_what_is_there),
		CASE(http_head_has_no_body),
		CASE(allow_list_is_enforced),
		CASE(udp_announce_returns_counts_and_peers),
		CASE(udp_over_ipv6_gives_ipv6_peers_only),
		CASE(udp_answers_are_never_split),
		CASE(udp_id_holds_two_minutes),
		CASE(udp_id_is_bound_to_the_address_but_not_the_port),
		CASE(udp_forged_ids_get_no_answer),
		CASE(udp_short_packets_get_no_answer_or_an_error),
		CASE(udp_connect_needs_the_protocol_id),
		CASE(udp_scrape_answers_for_up_to_74),
		CASE(allow_parse_reads_hashes_and_comments),
		CASE(allow_parse_takes_the_hash_of_version_2),
		CASE(allow_parse_names_the_bad_line),
	};

	return cmocka_run_group_tests_name("tracker_codec", tests, NULL,
					   NULL);
}
