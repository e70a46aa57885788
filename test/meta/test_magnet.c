#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/magnet.h"

#define HEX40 "0123456789abcdef0123456789ABCDEF01234567"
#define HEX64 "0123456789abcdef0123456789abcdef" \
	      "0123456789abcdef0123456789abcdef"
#define V1 "magnet:?xt=urn:btih:" HEX40

static struct error error;

static struct magnet *
parse(const char *text)
{
	struct magnet *m;

	error_clear(&error);
	m = magnet_parse(text, &error);
	if (!m)
		fail_msg("'%s' was refused: %s", text, error.text);
	return m;
}

static void
assert_refuses(const char *text, const char *why)
{
	struct magnet *m;

	error_clear(&error);
	m = magnet_parse(text, &error);
	if (m)
		fail_msg("'%s' was read", text);
	assert_int_equal(error.kind, ERROR_TORRENT);
	if (!strstr(error.text, why))
		fail_msg("'%s' lacks '%s'", error.text, why);
}

static void
hex_hash_is_read(void **state)
{
	struct magnet *m = parse(V1);

	(void)state;
	assert_true(m->has_v1);
	assert_false(m->has_v2);
	assert_int_equal(m->hash_v1[0], 0x01);
	assert_int_equal(m->hash_v1[19], 0x67);
	assert_null(m->name);
	magnet_free(m);
}

static void
base32_hash_is_read(void **state)
{
	/* The bytes 0 to 19. */
	struct magnet *m = parse("magnet:?xt=urn:btih:"
				 "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT");

	(void)state;
	for (unsigned i = 0; i < SHA1_SIZE; i++)
		assert_int_equal(m->hash_v1[i], i);
	magnet_free(m);
	m = parse("aaaqeayeaudaocajbifqydiob4ibceqt");
	assert_int_equal(m->hash_v1[19], 19);
	magnet_free(m);
}

static void
v2_hash_and_hybrids_are_read(void **state)
{
	struct magnet *m = parse("magnet:?xt=urn:btmh:1220" HEX64);

	(void)state;
	assert_true(m->has_v2 && !m->has_v1);
	assert_int_equal(m->hash_v2[31], 0xef);
	magnet_free(m);
	m = parse(V1 "&xt=urn:btmh:1220" HEX64);
	assert_true(m->has_v2 && m->has_v1);
	magnet_free(m);
}

static void
bare_hashes_are_read(void **state)
{
	struct magnet *m = parse(HEX40);

	(void)state;
	assert_true(m->has_v1);
	magnet_free(m);
	m = parse(HEX64);
	assert_true(m->has_v2);
	magnet_free(m);
}

static void
links_and_hashes_are_recognised(void **state)
{
	(void)state;
	assert_true(magnet_is("magnet:?x"));
	assert_true(magnet_is("MAGNET:?x"));
	assert_true(magnet_is(HEX40));
	assert_true(magnet_is(HEX64));
	assert_true(magnet_is("AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT"));
	assert_false(magnet_is(HEX40 "0"));
	assert_false(magnet_is(HEX40 ".torrent"));
	assert_false(magnet_is("file.torrent"));
	assert_false(magnet_is("1AAQEAYEAUDAOCAJBIFQYDIOB4IBCEQT"));
	assert_false(magnet_is(""));
}

static void
malformed_hashes_are_refused(void **state)
{
	(void)state;
	assert_refuses("magnet:?xt=urn:btih:0123", "btih");
	assert_refuses(V1 "0", "btih");
	assert_refuses("magnet:?xt=urn:btih:", "btih");
	assert_refuses("magnet:?xt=urn:btih:zz23456789abcdef0123456789abcdef"
		       "01234567", "btih");
	assert_refuses("magnet:?xt=urn:btmh:1220" HEX40, "btmh");
	assert_refuses("magnet:?xt=urn:btmh:1114" HEX64, "btmh");
	assert_refuses("magnet:?xt=urn:btmh:12", "btmh");
	assert_refuses("magnet:?xt=urn:btmh:", "btmh");
	assert_refuses("nothing", "neither");
	assert_refuses("", "neither");
}

static void
a_link_needs_a_hash(void **state)
{
	(void)state;
	assert_refuses("magnet:", "no info hash");
	assert_refuses("magnet:?", "no info hash");
	assert_refuses("magnet:?dn=x", "no info hash");
	assert_refuses("magnet:?xt=urn:sha1:ABC", "no info hash");
	assert_refuses("magnet:?xt", "no info hash");
}

static void
two_different_hashes_are_refused(void **state)
{
	(void)state;
	assert_refuses(V1 "&xt=urn:btih:1123456789abcdef0123456789ABCDEF01"
		       "234567", "two different");
	magnet_free(parse(V1 "&xt=urn:btih:" HEX40));
}

static void
name_is_decoded(void **state)
{
	struct magnet *m = parse(V1 "&dn=a%20b+c%C3%A9%2");

	(void)state;
	assert_string_equal(m->name, "a b c\xc3\xa9%2");
	magnet_free(m);
	m = parse(V1 "&dn=a%00b&xs=%00");
	assert_null(m->name);
	magnet_free(m);
}

/* As people come by links. */
static void
what_stuck_to_a_link_is_no_matter(void **state)
{
	static const char hash[] = "xt=urn:btih:" HEX40;
	static const char *const links[][2] = {
		{ "magnet:?dn=x&", " " }, { "magnet:?dn=x&", "\r\n" },
		{ "magnet:?dn=x&amp;tr=http://a/x&amp;", "" },
	};
	char link[256];
	struct magnet *m;

	(void)state;
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(link, sizeof(link), "%s%s%s", links[i][0], hash,
			 links[i][1]);
		m = parse(link);
		assert_true(m->has_v1);
		assert_int_equal(m->tracker_count, i == 2);
		magnet_free(m);
	}
	m = parse(HEX40 "\r");
	assert_true(m->has_v1);
	magnet_free(m);
	assert_true(magnet_is(HEX40 "\n"));
	assert_false(magnet_is(""));
}

static void
trackers_are_kept_in_order_and_once(void **state)
{
	struct magnet *m = parse(V1 "&tr=http%3A%2F%2Fa%2Fx%3Fk%3D1"
				 "&tr=udp://b:80/+&tr=wss://c/"
				 "&tr=udp://b:80/+&tr.4=https://d/&tr=");

	(void)state;
	assert_int_equal(m->tracker_count, 3);
	assert_string_equal(m->trackers[0], "http://a/x?k=1");
	assert_string_equal(m->trackers[1], "udp://b:80/+");
	assert_string_equal(m->trackers[2], "https://d/");
	magnet_free(m);
}

static void
a_nul_leaves_out_what_has_others_beside_it(void **state)
{
	struct magnet *m = parse(V1 "&tr=%00&tr=http://a%00/&tr=http://b/"
				 "&ws=http://w/%00&x.pe=h%00:1");

	(void)state;
	assert_int_equal(m->tracker_count, 1);
	assert_string_equal(m->trackers[0], "http://b/");
	assert_int_equal(m->web_seed_count, 0);
	assert_int_equal(m->peer_count, 0);
	magnet_free(m);
	assert_refuses(V1 "%00", "NUL");
	assert_refuses(V1 "&so=%00", "NUL");
}

static void
web_seeds_are_http_only(void **state)
{
	struct magnet *m = parse(V1 "&ws=http://a/f&ws=udp://b/&ws=ftp://c/"
				 "&ws=httpx://d/");

	(void)state;
	assert_int_equal(m->web_seed_count, 1);
	assert_string_equal(m->web_seeds[0], "http://a/f");
	magnet_free(m);
}

static void
places_of_its_torrent_are_web_servers(void **state)
{
	struct magnet *m = parse(V1 "&xs=urn:btpk:00&xs=http%3A%2F%2Fa/b.torrent"
				 "&as=https://c/d&xs=ftp://e/f&xs.2=http://a/g"
				 "&as=https://c/d");

	(void)state;
	assert_int_equal(m->source_count, 3);
	assert_string_equal(m->sources[0], "http://a/b.torrent");
	assert_string_equal(m->sources[1], "https://c/d");
	assert_string_equal(m->sources[2], "http://a/g");
	magnet_free(m);
}

static void
what_a_web_server_needs_escaped_stays_so(void **state)
{
	struct magnet *m = parse(V1 "&ws=http://a/b%20c&xs=http://a/\xc3\xa9"
				 "&as=http://a/%c3%A9+%2520%7e"
				 "&ws=http://a/%0a");

	(void)state;
	assert_int_equal(m->web_seed_count, 1);
	assert_string_equal(m->web_seeds[0], "http://a/b%20c");
	assert_int_equal(m->source_count, 2);
	assert_string_equal(m->sources[0], "http://a/\xc3\xa9");
	assert_string_equal(m->sources[1], "http://a/%c3%A9+%20~");
	magnet_free(m);
}

static void
peers_are_hosts_and_ports(void **state)
{
	struct magnet *m = parse(V1 "&x.pe=1.2.3.4:80&x.pe=[::1]:6881"
				 "&x.pe=host.example:1&x.pe=nothing"
				 "&x.pe=a:0&x.pe=a:65536&x.pe=:5");

	(void)state;
	assert_int_equal(m->peer_count, 3);
	assert_string_equal(m->peers[0].host, "1.2.3.4");
	assert_int_equal(m->peers[0].port, 80);
	assert_string_equal(m->peers[1].host, "::1");
	assert_int_equal(m->peers[1].port, 6881);
	assert_string_equal(m->peers[2].host, "host.example");
	magnet_free(m);
}

static void
selected_files_are_ranges(void **state)
{
	struct magnet *m = parse(V1 "&so=0,2,6-8");

	(void)state;
	assert_int_equal(m->select_count, 3);
	assert_int_equal(m->select[1].first, 2);
	assert_int_equal(m->select[1].last, 2);
	assert_int_equal(m->select[2].first, 6);
	assert_int_equal(m->select[2].last, 8);
	magnet_free(m);
}

static void
a_name_may_hold_a_number_sign(void **state)
{
	struct magnet *m = parse(V1 "&dn=Song #1&tr=http://a/#top");

	(void)state;
	assert_string_equal(m->name, "Song #1");
	assert_int_equal(m->tracker_count, 1);
	assert_string_equal(m->trackers[0], "http://a/");
	magnet_free(m);
	m = parse(V1 "#top");
	assert_true(m->has_v1);
	magnet_free(m);
	m = parse(V1 "#top&tr=http://a/");
	assert_int_equal(m->tracker_count, 1);
	magnet_free(m);
}

static void
ranges_of_files_are_sorted_and_joined(void **state)
{
	struct magnet *m = parse(V1 "&so=9,3-5,1,6&so=4-7");

	(void)state;
	assert_int_equal(m->select_count, 3);
	assert_int_equal(m->select[1].first, 3);
	assert_int_equal(m->select[1].last, 7);
	for (uint32_t i = 0; i < 12; i++)
		assert_int_equal(magnet_selects(m, i),
				 i == 1 || (i >= 3 && i <= 7) || i == 9);
	magnet_free(m);
}

static void
thousands_of_ranges_may_be_selected(void **state)
{
	static char text[MAGNET_SIZE_MAX];
	size_t n = (size_t)sprintf(text, "%s&so=0", V1);
	struct magnet *m;

	(void)state;
	for (int i = 1; i < MAGNET_RANGES_MAX; i++)
		n += (size_t)sprintf(text + n, ",%d", 2 * i);
	m = parse(text);
	assert_int_equal(m->select_count, MAGNET_RANGES_MAX);
	assert_true(magnet_selects(m, 2 * MAGNET_RANGES_MAX - 2));
	assert_false(magnet_selects(m, 2 * MAGNET_RANGES_MAX - 3));
	magnet_free(m);
	sprintf(text + n, ",%d", 2 * MAGNET_RANGES_MAX);
	assert_refuses(text, "8192 ranges");
}

static void
an_empty_selection_is_none(void **state)
{
	struct magnet *m = parse(V1 "&so=&tr=http://a/");

	(void)state;
	assert_int_equal(m->select_count, 0);
	assert_int_equal(m->tracker_count, 1);
	magnet_free(m);
	m = parse(V1 "&so=&so=1");
	assert_int_equal(m->select_count, 1);
	magnet_free(m);
}

static void
malformed_selections_are_refused(void **state)
{
	(void)state;
	assert_refuses(V1 "&so=1,", "so");
	assert_refuses(V1 "&so=,1", "so");
	assert_refuses(V1 "&so=8-6", "so");
	assert_refuses(V1 "&so=-1", "so");
	assert_refuses(V1 "&so=1x", "so");
	assert_refuses(V1 "&so=99999999999999999999", "so");
}

static void
lists_are_bounded(void **state)
{
	static char text[MAGNET_SIZE_MAX];
	size_t n = (size_t)sprintf(text, "%s", V1);
	struct magnet *m;

	(void)state;
	for (int i = 0; i < 2 * MAGNET_LIST_MAX; i++)
		n += (size_t)sprintf(text + n, "&tr=http://a/%d&ws=http://b/"
				     "%d&x.pe=c:%d", i, i, i + 1);
	m = parse(text);
	assert_int_equal(m->web_seed_count, MAGNET_LIST_MAX);
	assert_int_equal(m->peer_count, MAGNET_LIST_MAX);
	magnet_free(m);
}

static void
trackers_beyond_the_bound_are_counted(void **state)
{
	static char text[MAGNET_SIZE_MAX];
	size_t n = (size_t)sprintf(text, "%s", V1);
	struct magnet *m;

	(void)state;
	for (int i = 0; i < METAINFO_TRACKERS_MAX + 7; i++)
		n += (size_t)sprintf(text + n, "&tr=http://a/%d", i);
	m = parse(text);
	assert_int_equal(m->tracker_count, METAINFO_TRACKERS_MAX);
	assert_int_equal(m->trackers_left_out, 7);
	magnet_free(m);
}

static void
a_link_that_is_too_long_is_refused(void **state)
{
	char *text = malloc(MAGNET_SIZE_MAX + 2);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', MAGNET_SIZE_MAX + 1);
	memcpy(text, V1 "&dn=", strlen(V1 "&dn="));
	text[MAGNET_SIZE_MAX + 1] = '\0';
	assert_refuses(text, "longer than");
	text[MAGNET_SIZE_MAX] = '\0';
	magnet_free(parse(text));
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_hash_is_read),
		cmocka_unit_test(base32_hash_is_read),
		cmocka_unit_test(v2_hash_and_hybrids_are_read),
		cmocka_unit_test(bare_hashes_are_read),
		cmocka_unit_test(links_and_hashes_are_recognised),
		cmocka_unit_test(malformed_hashes_are_refused),
		cmocka_unit_test(a_link_needs_a_hash),
		cmocka_unit_test(two_different_hashes_are_refused),
		cmocka_unit_test(name_is_decoded),
		cmocka_unit_test(what_stuck_to_a_link_is_no_matter),
		cmocka_unit_test(trackers_are_kept_in_order_and_once),
		cmocka_unit_test(a_nul_leaves_out_what_has_others_beside_it),
		cmocka_unit_test(web_seeds_are_http_only),
		cmocka_unit_test(places_of_its_torrent_are_web_servers),
		cmocka_unit_test(what_a_web_server_needs_escaped_stays_so),
		cmocka_unit_test(peers_are_hosts_and_ports),
		cmocka_unit_test(selected_files_are_ranges),
		cmocka_unit_test(a_name_may_hold_a_number_sign),
		cmocka_unit_test(ranges_of_files_are_sorted_and_joined),
		cmocka_unit_test(thousands_of_ranges_may_be_selected),
		cmocka_unit_test(an_empty_selection_is_none),
		cmocka_unit_test(malformed_selections_are_refused),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(trackers_beyond_the_bound_are_counted),
		cmocka_unit_test(a_link_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
