#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
assert_clean(const char *text, const char *expected)
{
	char out[100];

	assert_string_equal(text_clean(out, sizeof(out), text), expected);
}

static void
clean_keeps_ordinary_text(void **state)
{
	(void)state;
	assert_clean("", "");
	assert_clean("plain ~", "plain ~");
	assert_clean("Gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x98\x80",
		     "Gr\xc3\xbc\xc3\x9f \xe6\x97\xa5 \xf0\x9f\x98\x80");
	/* U+FFFD itself is a character like others. */
	assert_clean("\xef\xbf\xbd", "\xef\xbf\xbd");
}

static void
clean_replaces_what_controls_a_terminal(void **state)
{
	(void)state;
	assert_clean("a\x1b[31mb", "a?[31mb");
	assert_clean("a\r\n\tb\x7f", "a???b?");
	assert_clean("\xc2\x9b" "2J", "?2J");		/* C1, as UTF-8 */
	assert_clean("\x9b" "2J", "?2J");		/* C1, raw */
	assert_clean("a\xe2\x80\xae" "b", "a?b");	/* U+202E */
	assert_clean("a\xe2\x81\xa6" "b", "a?b");	/* U+2066 */
	assert_clean("a\xe2\x80\xa8" "b", "a?b");	/* U+2028 */
}

static void
clean_replaces_each_invalid_byte(void **state)
{
	(void)state;
	assert_clean("a\xff" "b", "a?b");
	assert_clean("\xc0\x80", "??");
	assert_clean("\xed\xa0\x80", "???");
	assert_clean("\xe6\x97", "??");
	assert_clean("\xe6\x97z", "??z");
}

static void
whole_leaves_out_what_has_only_begun(void **state)
{
	(void)state;
	assert_int_equal(text_whole("", 0), 0);
	assert_int_equal(text_whole("ab", 2), 2);
	assert_int_equal(text_whole("a\xc3", 2), 1);
	assert_int_equal(text_whole("a\xc3\xbc", 3), 3);
	assert_int_equal(text_whole("a\xe6\x97", 3), 1);
	assert_int_equal(text_whole("a\xe6\x97\xa5", 4), 4);
	assert_int_equal(text_whole("\xf0\x9f\x98", 3), 0);
	assert_int_equal(text_whole("\xf0\x9f\x98\x80", 4), 4);
	/* What is no UTF-8 has no borders. */
	assert_int_equal(text_whole("\xff", 1), 1);
	assert_int_equal(text_whole("\x80\x80", 2), 2);
	assert_int_equal(text_whole("\x80\x80\x80\x80", 4), 4);
}

static void
clean_cuts_at_a_character_s_border(void **state)
{
	char out[8];

	(void)state;
	text_clean(out, 4, "ab\xc3\xbc" "c");
	assert_string_equal(out, "ab");
	text_clean(out, 5, "ab\xc3\xbc" "c");
	assert_string_equal(out, "ab\xc3\xbc");
	text_clean(out, 1, "ab");
	assert_string_equal(out, "");
	out[0] = 'x';
	text_clean(out, 0, "ab");
	assert_int_equal(out[0], 'x');
}

static void
clean_n_takes_bytes_with_nul(void **state)
{
	char out[8];

	(void)state;
	text_clean_n(out, sizeof(out), "a\0b", 3);
	assert_string_equal(out, "a?b");
}

static void
utf8_is_told_from_other_bytes(void **state)
{
	static const char *const good[] = {
		"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
	};
	static const char *const bad[] = {
		"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xc3", "abc\xe2\x82", "\xc3(",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(text_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void
decode_takes_one_character(void **state)
{
	uint32_t code;

	(void)state;
	assert_int_equal(text_decode("ab", 2, &code), 1);
	assert_int_equal(code, 'a');
	assert_int_equal(text_decode("\xe6\x97\xa5", 3, &code), 3);
	assert_int_equal(code, 0x65e5);
	assert_int_equal(text_decode("\xe6\x97\xa5", 2, &code), 1);
	assert_int_equal(code, 0xfffd);
	assert_int_equal(text_decode("\xf4\x8f\xbf\xbf", 4, &code), 4);
	assert_int_equal(code, 0x10ffff);
}

static void
width_is_that_of_a_terminal(void **state)
{
	static const uint32_t one[] = {'a', '~', 0xe9, 0xad, 0x3b1, 0x2588,
				       0x2591, 0xfffd, 0x2019};
	static const uint32_t two[] = {0x1100, 0x3042, 0x65e5, 0xac00, 0xff21,
				       0x1f600, 0x20000, 0x3fffd};
	static const uint32_t none[] = {0, 7, 0x1b, 0x7f, 0x9f, 0x300, 0x36f,
					0x483, 0x200b, 0x200d, 0xfe0f, 0xfeff,
					0xe0100, 0xe01ef};

	(void)state;
	for (size_t i = 0; i < COUNT(one); i++)
		assert_int_equal(text_width(one[i]), 1);
	for (size_t i = 0; i < COUNT(two); i++)
		assert_int_equal(text_width(two[i]), 2);
	for (size_t i = 0; i < COUNT(none); i++)
		assert_int_equal(text_width(none[i]), 0);
	assert_int_equal(text_width(UINT32_MAX), 1);
}

static void
columns_add_up(void **state)
{
	(void)state;
	assert_int_equal(text_columns(""), 0);
	assert_int_equal(text_columns("abc"), 3);
	assert_int_equal(text_columns("e\xcc\x81 \xe6\x97\xa5\xe6\x9c\xac"),
			 6);
}

static void
assert_url(const char *url, const char *shown)
{
	char out[200];

	assert_string_equal(text_url(out, sizeof(out), url), shown);
}

static void
url_without_a_secret_stays_as_it_is(void **state)
{
	static const char *const plain[] = {
		"http://tracker.example.org:6969/announce",
		"https://t.example.org/announce.php",
		"udp://tracker.example.org:1337",
		"udp://[2001:db8::1]:1337/announce",
		"http://example.org/", "http://example.org",
		"http://a.org/a/scrape",
		"https://example.org/iso/debian-12.5.0-amd64-netinst.iso",
		"https://example.org/distributions/release-2023/README.txt",
		"https://example.org/Big-Buck-Bunny-2008-1080p/",
		"http://a.org/abcdefghijklmnopqrstuvwxyz/1234567890123456789/",
		"http://a.org/abcdefghijklmn1/0123456789abcde-g/a1b2c3d4",
		"https://a.org/Big%20Buck%20Bunny%202008%20(1080p)/x.mp4",
		"https://a.org/Some-Name-2024-x86_64.iso/Ab-cd_Ef-gh_Ij1/",
		"relative/file.torrent", "",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(plain); i++)
		assert_url(plain[i], plain[i]);
}

static void
url_hides_a_passkey_in_the_path(void **state)
{
	static const char *const keys[] = {
		"0123456789abcdef0123456789abcdef", "abcdefghijklmno1",
		"0123456789ABCDEFabcd", "12345678901234567890",
		"0d9e2f6c-1b7a-4c3d-8e5f-a0b1c2d3e4f5", "key=1",
		"x-abcdefgh12345678", "s%33cr%65tk%65yof16chr",
		"0123456789abcdef.php", "0123456789abcdef0123.torrent",
		"Ab-cd_Ef-gh_Ij1k", "q_7Rt-Zx%5fVb-9Lm-Ka%2dp3Qd",
	};
	char url[200] = "http://t.example.org/";
	size_t base = strlen(url);

	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++) {
		snprintf(url + base, sizeof(url) - base, "%s", keys[i]);
		assert_url(url, "http://t.example.org/...");
		snprintf(url + base, sizeof(url) - base, "%s/announce",
			 keys[i]);
		assert_url(url, "http://t.example.org/.../announce");
	}
	assert_url("http://a.org/announce/0123456789abcdef0123456789abcdef",
		   "http://a.org/announce/...");
}

static void
url_hides_every_value_of_the_query(void **state)
{
	(void)state;
	assert_url("http://a.org/announce?passkey=1234",
		   "http://a.org/announce?passkey=...");
	assert_url("http://a.org/announce.php?uid=1&pk=a=b;x=&",
		   "http://a.org/announce.php?uid=...&pk=...;x=...&");
	assert_url("http://a.org/announce?1234", "http://a.org/announce?...");
	assert_url("http://a.org/?0123456789abcdef=1",
		   "http://a.org/?...=...");
	assert_url("http://a.org?a=/b/c#d", "http://a.org?a=...#...");
	assert_url("magnet:?xt=urn:btih:00&tr=http://a.org/k",
		   "magnet:?xt=...&tr=...");
}

static void
url_hides_user_and_password(void **state)
{
	(void)state;
	assert_url("http://user:pass@a.org/x", "http://...@a.org/x");
	assert_url("http://us@er:p@a.org", "http://...@a.org");
	assert_url("user:pass@proxy:1080", "...@proxy:1080");
}

static void
path_that_is_a_url_shows_no_secret(void **state)
{
	char out[80];

	(void)state;
	assert_string_equal(text_path(out, sizeof(out),
				      "/a/0123456789abcdef/u:p@h?x=\n"),
			    "/a/0123456789abcdef/u:p@h?x=?");
	assert_string_equal(text_path(out, sizeof(out), "http://u:p@h/l?pin=1"),
			    "http://...@h/l?pin=...");
}

static void
assert_tracker(const char *url, const char *shown)
{
	char out[200];

	assert_string_equal(text_tracker_url(out, sizeof(out), url), shown);
}

static void
tracker_url_keeps_what_no_passkey_is(void **state)
{
	static const char *const plain[] = {
		"http://tracker.example.org:6969/announce",
		"https://t.example.org/announce.php",
		"http://t.example.org/Announce.PHP5", "http://a.org/bt/scrape",
		"udp://tracker.example.org:1337",
		"udp://[2001:db8::1]:1337/announce",
		"http://a.org/v1/tracker.php", "http://a.org/index.php",
		"http://a.org/trackers/tracker2/ann", "http://a.org//x.cgi",
		"http://a.org/", "",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(plain); i++)
		assert_tracker(plain[i], plain[i]);
}

static void
tracker_url_hides_any_other_segment(void **state)
{
	static const char *const keys[] = {
		"0123456789abcdef0123456789abcdef", "SECRETKEY", "deadbeef",
		"12345678", "abc123", "s3cret", "My-Pass-Key",
		"my.secret.key.0", "1", "ab1", "announcement", "announce123",
		"announce.key", "announce-key", "tracker=k", ".php", "a.php.x",
		"%61", "v123", "~",
	};
	char url[200];

	(void)state;
	for (size_t i = 0; i < COUNT(keys); i++) {
		snprintf(url, sizeof(url), "http://a.org/%s/announce",
			 keys[i]);
		assert_tracker(url, "http://a.org/.../announce");
		snprintf(url, sizeof(url), "udp://a.org:1/announce/%s?x=y",
			 keys[i]);
		assert_tracker(url, "udp://a.org:1/announce/...?x=...");
	}
	assert_tracker("http://user:pw@a.org/k3y/ann#d",
		       "http://...@a.org/.../ann#...");
}

static void
assert_words(const char *url, const char *words, const char *shown)
{
	char out[200];

	assert_string_equal(text_tracker_words(out, sizeof(out), words,
					       strlen(words), url), shown);
}

static void
tracker_words_lose_the_secrets_of_the_url(void **state)
{
	(void)state;
	assert_words("http://a.org/s3cret/announce",
		     "Unknown passkey s3cret for you",
		     "Unknown passkey ... for you");
	assert_words("http://a.org/announce?uid=4711&passkey=Pass-Key",
		     "pass-key of 4711: <PASS-KEY>", "... of ...: <...>");
	assert_words("http://a.org/announce?justkey", "no justkey2",
		     "no ...2");
	assert_words("/k%65y%20one/announce?pk=a+b%2B", "key one, k%65Y%20oNe, "
		     "a b+", "..., ..., ...");
	assert_words("http://user:word@a.org/announce",
		     "user:word, user, word", "..., ..., ...");
	assert_words("http://a.org/tracker/announce", "announce to a tracker",
		     "announce to a tracker");
	assert_words("http://a.org/secret/announce?k=secretary", "secretary",
		     "...");
}

static void
tracker_words_keep_words_with_a_short_secret_in_them(void **state)
{
	(void)state;
	assert_words("http://a.org/announce?uid=7&pk=er",
		     "error 77: user 7 is ER7, er", "error 77: user ... is ER7,"
		     " ...");
}

static void
tracker_words_lose_what_looks_like_a_key(void **state)
{
	(void)state;
	assert_words("", "not 0123456789abcdefABCD!", "not ...!");
	assert_words("", "not abcdefghijklmno1", "not ...");
	assert_words("", "0123456789abcdefABC is 19, abcdefghijklmn1 15",
		     "... is 19, abcdefghijklmn1 15");
	assert_words("", "1234567890123456789 internationalization",
		     "1234567890123456789 internationalization");
	assert_words("http://a.org/1234/announce",
		     "0123456789abcdef0123456789abcdef", "...");
}

static void
tracker_words_are_cleaned_and_cut(void **state)
{
	char out[8];

	(void)state;
	assert_words("", "go\n\x1b[2J \xff\xc3\xa9", "go??[2J ?\xc3\xa9");
	text_tracker_words(out, sizeof(out), "the secretkey", 13, "/secretkey");
	assert_string_equal(out, "the ...");
	text_tracker_words(out, 6, "the secretkey", 13, "/secretkey");
	assert_string_equal(out, "the .");
	text_tracker_words(out, sizeof(out), "a\0b", 3, "");
	assert_string_equal(out, "a?b");
	text_tracker_words(out, 1, "a", 1, "");
	assert_string_equal(out, "");
}

static void
url_is_cleaned_and_cut(void **state)
{
	char out[12];

	(void)state;
	assert_url("http://a.org/\x1b[2J?\x1b", "http://a.org/?[2J?...");
	text_url(out, sizeof(out), "http://example.org/secretsecretsecret");
	assert_string_equal(out, "http://exam");
	text_url(out, 1, "http://example.org");
	assert_string_equal(out, "");
}

static void
assert_size(uint64_t bytes, const char *text)
{
	char out[16];

	assert_string_equal(text_size(out, sizeof(out), bytes), text);
}

static void
sizes_have_three_or_four_digits(void **state)
{
	(void)state;
	assert_size(0, "0 B");
	assert_size(17, "17 B");
	assert_size(1023, "1023 B");
	assert_size(1024, "1.0 KiB");
	assert_size(1536, "1.5 KiB");
	assert_size(100 * 1024, "100 KiB");
	assert_size(102348, "99.9 KiB");
	assert_size(102399, "100 KiB");
	assert_size(1023 * 1024, "1023 KiB");
	assert_size(1024 * 1024 - 1, "1.0 MiB");
	assert_size(4509715660, "4.2 GiB");
	assert_size(1ULL << 40, "1.0 TiB");
	assert_size(1ULL << 50, "1.0 PiB");
	assert_size(UINT64_MAX, "16.0 EiB");
}

static void
what_is_put_has_its_length(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(text_put_size(out, sizeof(out), 1536), 7);
	assert_string_equal(out, "1.5 KiB");
	assert_int_equal(text_put_size(out, 4, 1536), 3);
	assert_string_equal(out, "1.5");
	assert_int_equal(text_put_clean(out, sizeof(out), "a\x1b\xc3\xa4", 4),
			 4);
	assert_string_equal(out, "a?\xc3\xa4");
	assert_int_equal(text_put_clean(out, 4, "a\x1b\xc3\xa4", 4), 2);
	assert_string_equal(out, "a?");
	assert_int_equal(text_put_clean(out, 4, "abcdef", 6), 3);
	assert_string_equal(out, "abc");
	assert_int_equal(text_put_clean(out, 4, "", 0), 0);
	assert_string_equal(out, "");
	assert_int_equal(text_put_clean(out, 0, "abc", 3), 0);
}

static void
rates_are_sizes_a_second(void **state)
{
	char out[16];

	(void)state;
	assert_string_equal(text_rate(out, sizeof(out), 1572864), "1.5 MiB/s");
	assert_string_equal(text_rate(out, sizeof(out), 0), "0 B/s");
}

static void
durations_have_two_units(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} rows[] = {
		{0, "0s"}, {7, "7s"}, {59, "59s"}, {60, "1m00s"},
		{192, "3m12s"}, {3599, "59m59s"}, {3600, "1h00m"},
		{7500, "2h05m"}, {86399, "23h59m"}, {86400, "1d00h"},
		{370800, "4d07h"},
	};
	char out[24];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(text_duration(out, sizeof(out),
						  rows[i].seconds),
				    rows[i].text);
}

static void
signals_have_names_or_numbers(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(text_signal(out, sizeof(out), SIGTERM), "SIGTERM");
	assert_string_equal(text_signal(out, sizeof(out), SIGSYS), "SIGSYS");
	assert_string_equal(text_signal(out, sizeof(out), 37), "signal 37");
}

static void
sizes_are_parsed(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{"0", 0}, {"17", 17}, {"500K", 512000}, {"500k", 512000},
		{"2M", 2 << 20}, {"1.5G", 3ULL << 29}, {"1T", 1ULL << 40},
		{"0.5K", 512}, {"4MiB", 4 << 20}, {"1.0000005K", 1024},
		{"1.25000000000000000000M", 1310720},
		{"9223372036854775807", INT64_MAX},
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(text_parse_size(rows[i].text, &value));
		assert_true(value == rows[i].bytes);
	}
}

static void
other_sizes_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 ", "1 K", "1.5", "1.K", ".5K",
		"1KK", "1X", "0x10", "1e3", "1MB", "9223372036854775808",
		"18446744073709551616", "8388608T", "99999999999999999999K",
		"0.0001K", "0.0000001G", "0.0000000000001K",
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_parse_size(bad[i], &value));
}

static void
short_spans_have_parts_of_a_second(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{500000000, "0.5s"}, {1000000, "0.001s"},
		{1250000000, "1.25s"}, {7000000000, "7s"},
		{59500000000, "59.5s"}, {60000000000, "1m00s"},
		{5400000000000, "1h30m"},
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(text_span(out, sizeof(out), rows[i].ns),
				    rows[i].text);
}

static void
durations_are_parsed(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} rows[] = {
		{"0", 0}, {"90", 90000000000}, {"90s", 90000000000},
		{"15m", 900000000000}, {"2h", 7200000000000},
		{"1d", 86400000000000}, {"1.5h", 5400000000000},
		{"0.25", 250000000}, {"0.000001s", 1000}, {"0.0000000d", 0},
	};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(text_parse_duration(rows[i].text, &ns));
		assert_true(ns == rows[i].ns);
	}
}

static void
other_durations_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "s", "-1", "1w", "1h30m", "1.s", "1 s", "1ms",
		"99999999d", "18446744073709551615", "inf",
		"0.0000001", "0.00000000001d",
	};
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_parse_duration(bad[i], &ns));
}

static void
numbers_keep_to_their_range(void **state)
{
	uint64_t v = 5;

	(void)state;
	assert_true(text_parse_number("65535", 1, 65535, &v));
	assert_int_equal(v, 65535);
	assert_false(text_parse_number("65536", 1, 65535, &v));
	assert_false(text_parse_number("0", 1, 65535, &v));
	assert_int_equal(v, 65535);
	assert_true(text_parse_number("18446744073709551615", 0, UINT64_MAX,
				      &v));
	assert_true(v == UINT64_MAX);
	assert_false(text_parse_number("18446744073709551616", 0, UINT64_MAX,
				       &v));
}

static void
other_numbers_are_refused(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1",
					  "1.0", "1e1", "one"};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(text_parse_number(bad[i], 0, 100, &v));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_keeps_ordinary_text),
		cmocka_unit_test(clean_replaces_what_controls_a_terminal),
		cmocka_unit_test(clean_replaces_each_invalid_byte),
		cmocka_unit_test(whole_leaves_out_what_has_only_begun),
		cmocka_unit_test(clean_cuts_at_a_character_s_border),
		cmocka_unit_test(clean_n_takes_bytes_with_nul),
		cmocka_unit_test(utf8_is_told_from_other_bytes),
		cmocka_unit_test(decode_takes_one_character),
		cmocka_unit_test(width_is_that_of_a_terminal),
		cmocka_unit_test(columns_add_up),
		cmocka_unit_test(url_without_a_secret_stays_as_it_is),
		cmocka_unit_test(url_hides_a_passkey_in_the_path),
		cmocka_unit_test(url_hides_every_value_of_the_query),
		cmocka_unit_test(url_hides_user_and_password),
		cmocka_unit_test(url_is_cleaned_and_cut),
		cmocka_unit_test(path_that_is_a_url_shows_no_secret),
		cmocka_unit_test(tracker_url_keeps_what_no_passkey_is),
		cmocka_unit_test(tracker_url_hides_any_other_segment),
		cmocka_unit_test(tracker_words_lose_the_secrets_of_the_url),
		cmocka_unit_test(
			tracker_words_keep_words_with_a_short_secret_in_them),
		cmocka_unit_test(tracker_words_lose_what_looks_like_a_key),
		cmocka_unit_test(tracker_words_are_cleaned_and_cut),
		cmocka_unit_test(sizes_have_three_or_four_digits),
		cmocka_unit_test(what_is_put_has_its_length),
		cmocka_unit_test(rates_are_sizes_a_second),
		cmocka_unit_test(durations_have_two_units),
		cmocka_unit_test(short_spans_have_parts_of_a_second),
		cmocka_unit_test(signals_have_names_or_numbers),
		cmocka_unit_test(sizes_are_parsed),
		cmocka_unit_test(other_sizes_are_refused),
		cmocka_unit_test(durations_are_parsed),
		cmocka_unit_test(other_durations_are_refused),
		cmocka_unit_test(numbers_keep_to_their_range),
		cmocka_unit_test(other_numbers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
