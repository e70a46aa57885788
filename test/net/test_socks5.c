#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "net/socks5.h"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static struct addr
peer(void)
{
	return (struct addr){.ip = {192, 0, 2, 7}, .port = 6881,
			     .family = AF_INET};
}

/* It says exactly that now, and all of it goes. */
static void
assert_says(struct socks5 *s, const uint8_t *what, size_t size)
{
	size_t n;
	const uint8_t *out = socks5_output(s, &n);

	assert_int_equal(n, size);
	assert_memory_equal(out, what, size);
	socks5_sent(s, n);
	socks5_output(s, &n);
	assert_int_equal(n, 0);
}

static enum socks5_status
feed(struct socks5 *s, const uint8_t *data, size_t n)
{
	return socks5_feed(s, data, n);
}

static void
begin_plain(struct socks5 *s)
{
	struct addr a = peer();

	socks5_begin(s, &a, NULL, NULL, NULL);
	assert_says(s, BYTES("\5\1\0"));
}

static void
begin_connect(struct socks5 *s)
{
	begin_plain(s);
	assert_int_equal(feed(s, BYTES("\5\0")), SOCKS5_MORE);
	assert_says(s, BYTES("\5\1\0\1\300\0\2\7\x1a\xe1"));
}

static void
begin_login(struct socks5 *s)
{
	struct addr a = peer();

	socks5_begin(s, &a, NULL, "user", "secret");
	assert_says(s, BYTES("\5\2\0\2"));
}

static void
an_ipv4_address_is_connected_to(void **state)
{
	struct socks5 s;

	(void)state;
	begin_connect(&s);
	assert_int_equal(feed(&s, BYTES("\5\0\0\1")), SOCKS5_MORE);
	assert_int_equal(feed(&s, BYTES("\n\0\0\1\4\xd2")), SOCKS5_DONE);
}

/* No byte behind the handshake is ever asked for. */
static void
an_answer_is_asked_for_in_its_parts(void **state)
{
	static const struct {
		const char *head;
		size_t rest[2];
	} cases[] = {
		{"\5\0\0\1", {6, 0}},
		{"\5\0\0\4", {18, 0}},
		{"\5\0\0\3", {1, 9}},
	};
	static const uint8_t rest[32] = {7};
	struct socks5 s;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin_connect(&s);
		assert_int_equal(socks5_wants(&s), 4);
		assert_int_equal(feed(&s, (const uint8_t *)cases[i].head, 4),
				 SOCKS5_MORE);
		for (size_t k = 0; k < 2 && cases[i].rest[k]; k++) {
			assert_int_equal(s.status, SOCKS5_MORE);
			assert_int_equal(socks5_wants(&s), cases[i].rest[k]);
			feed(&s, rest, cases[i].rest[k]);
		}
		assert_int_equal(s.status, SOCKS5_DONE);
		assert_int_equal(socks5_wants(&s), 0);
	}
}

static void
more_than_was_asked_for_is_bad(void **state)
{
	struct socks5 s;

	(void)state;
	begin_connect(&s);
	assert_int_equal(feed(&s, BYTES("\5\0\0\1\n")), SOCKS5_BAD);
	assert_string_equal(s.why, "it speaks out of turn");
}

static void
an_answer_before_the_question_is_bad(void **state)
{
	struct addr a = peer();
	struct socks5 s;

	(void)state;
	socks5_begin(&s, &a, NULL, NULL, NULL);
	socks5_sent(&s, 2);	/* of three */
	assert_int_equal(feed(&s, BYTES("\5\0")), SOCKS5_BAD);
}

static void
answers_come_byte_by_byte(void **state)
{
	static const uint8_t reply[] = {5, 0, 0, 3, 2, 'h', 'i', 1, 2};
	struct socks5 s;

	(void)state;
	begin_connect(&s);
	for (size_t i = 0; i < sizeof(reply); i++) {
		assert_int_equal(s.status, SOCKS5_MORE);
		feed(&s, reply + i, 1);
	}
	assert_int_equal(s.status, SOCKS5_DONE);
}

static void
questions_go_byte_by_byte(void **state)
{
	static const uint8_t want[] = {5, 1, 0};
	struct addr a = peer();
	struct socks5 s;

	(void)state;
	socks5_begin(&s, &a, NULL, NULL, NULL);
	for (size_t i = 0; i < sizeof(want); i++) {
		size_t n;

		assert_int_equal(*socks5_output(&s, &n), want[i]);
		assert_int_equal(n, sizeof(want) - i);
		socks5_sent(&s, 1);
	}
	assert_int_equal(feed(&s, BYTES("\5\0")), SOCKS5_MORE);
}

static void
an_ipv6_address_is_connected_to(void **state)
{
	struct addr a = {.ip = {0x20, 1, 0xd, 0xb8, [15] = 9}, .port = 258,
			 .family = AF_INET6};
	struct socks5 s;

	(void)state;
	socks5_begin(&s, &a, NULL, "", "");
	assert_says(&s, BYTES("\5\1\0"));
	feed(&s, BYTES("\5\0"));
	assert_says(&s, BYTES("\5\1\0\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\11"
			      "\1\2"));
}

static void
a_name_is_left_to_the_proxy(void **state)
{
	struct addr a = {.port = 80};
	struct socks5 s;

	(void)state;
	socks5_begin(&s, &a, "a.example", NULL, NULL);
	assert_says(&s, BYTES("\5\1\0"));
	feed(&s, BYTES("\5\0"));
	assert_says(&s, BYTES("\5\1\0\3\11a.example\0\120"));
}

static void
a_user_logs_in(void **state)
{
	struct socks5 s;

	(void)state;
	begin_login(&s);
	assert_int_equal(feed(&s, BYTES("\5\2")), SOCKS5_MORE);
	assert_says(&s, BYTES("\1\4user\6secret"));
	assert_int_equal(feed(&s, BYTES("\1\0")), SOCKS5_MORE);
	assert_says(&s, BYTES("\5\1\0\1\300\0\2\7\x1a\xe1"));
}

static void
a_user_may_be_let_in_without(void **state)
{
	struct socks5 s;

	(void)state;
	begin_login(&s);
	assert_int_equal(feed(&s, BYTES("\5\0")), SOCKS5_MORE);
	assert_says(&s, BYTES("\5\1\0\1\300\0\2\7\x1a\xe1"));
}

static void
a_refused_login_says_so(void **state)
{
	struct socks5 s;

	(void)state;
	begin_login(&s);
	feed(&s, BYTES("\5\2"));
	assert_says(&s, BYTES("\1\4user\6secret"));
	assert_int_equal(feed(&s, BYTES("\1\1")), SOCKS5_BAD);
	assert_string_equal(s.why,
			    "it refuses the user name and the password");
}

static void
the_longest_login_fits(void **state)
{
	char text[SOCKS5_TEXT_MAX + 2];
	struct addr a = peer();
	struct socks5 s;
	size_t n;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[SOCKS5_TEXT_MAX] = '\0';
	socks5_begin(&s, &a, text, text, text);
	assert_says(&s, BYTES("\5\2\0\2"));
	feed(&s, BYTES("\5\2"));
	socks5_output(&s, &n);
	assert_int_equal(n, SOCKS5_OUT_MAX);
	socks5_sent(&s, n);
	assert_int_equal(feed(&s, BYTES("\1\0")), SOCKS5_MORE);
	socks5_output(&s, &n);
	assert_int_equal(n, 4 + 1 + SOCKS5_TEXT_MAX + 2);
	text[SOCKS5_TEXT_MAX] = 'x';
	text[SOCKS5_TEXT_MAX + 1] = '\0';
	socks5_begin(&s, &a, NULL, text, NULL);
	assert_int_equal(s.status, SOCKS5_BAD);
	assert_int_equal(socks5_wants(&s), 0);
}

static void
methods_that_do_not_fit_are_bad(void **state)
{
	static const struct {
		uint8_t answer[2];
		bool user;
		const char *why;
	} cases[] = {
		{{4, 0}, false, "it does not speak SOCKS5"},
		{{'H', 'T'}, true, "it does not speak SOCKS5"},
		{{5, 1}, false, "it chose a method that was not offered"},
		{{5, 2}, false, "it chose a method that was not offered"},
		{{5, 1}, true, "it chose a method that was not offered"},
		{{5, 255}, false, "it wants a user name and a password"},
		{{5, 255}, true, "it takes neither a password nor none"},
	};
	struct socks5 s;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (cases[i].user)
			begin_login(&s);
		else
			begin_plain(&s);
		assert_int_equal(feed(&s, cases[i].answer, 2), SOCKS5_BAD);
		assert_string_equal(s.why, cases[i].why);
	}
}

static void
refusals_of_the_other_end_become_errors(void **state)
{
	static const int want[9] = {
		0, ECONNABORTED, EACCES, ENETUNREACH, EHOSTUNREACH,
		ECONNREFUSED, ETIMEDOUT, 0, EAFNOSUPPORT,
	};
	struct socks5 s;

	(void)state;
	for (uint8_t i = 1; i < 12; i++) {
		uint8_t reply[4] = {5, i, 0, 1};
		bool known = i < 9 && want[i] != 0;

		begin_connect(&s);
		assert_int_equal(feed(&s, reply, 4), known ? SOCKS5_UNREACHABLE
							   : SOCKS5_BAD);
		if (known)
			assert_int_equal(s.sys, want[i]);
		assert_int_equal(socks5_wants(&s), 0);
	}
}

static void
answers_of_no_kind_are_bad(void **state)
{
	static const uint8_t replies[][4] = {
		{4, 0, 0, 1}, {0, 0, 0, 1}, {5, 0, 0, 0}, {5, 0, 0, 2},
		{5, 0, 0, 255},
	};
	struct socks5 s;

	(void)state;
	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
		begin_connect(&s);
		assert_int_equal(feed(&s, replies[i], 4), SOCKS5_BAD);
		assert_string_equal(s.why, "its answer makes no sense");
	}
}

static void
nothing_changes_an_end(void **state)
{
	struct socks5 s;
	size_t n;

	(void)state;
	begin_plain(&s);
	feed(&s, BYTES("\4\0"));
	assert_int_equal(feed(&s, BYTES("\5\0")), SOCKS5_BAD);
	socks5_output(&s, &n);
	assert_int_equal(n, 0);
}

static void
the_password_is_wiped(void **state)
{
	static const struct socks5 empty;
	struct socks5 s;

	(void)state;
	begin_login(&s);
	socks5_forget(&s);
	assert_memory_equal(&s, &empty, sizeof(s));
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_ipv4_address_is_connected_to),
		TEST(an_answer_is_asked_for_in_its_parts),
		TEST(more_than_was_asked_for_is_bad),
		TEST(an_answer_before_the_question_is_bad),
		TEST(answers_come_byte_by_byte),
		TEST(questions_go_byte_by_byte),
		TEST(an_ipv6_address_is_connected_to),
		TEST(a_name_is_left_to_the_proxy),
		TEST(a_user_logs_in),
		TEST(a_user_may_be_let_in_without),
		TEST(a_refused_login_says_so),
		TEST(the_longest_login_fits),
		TEST(methods_that_do_not_fit_are_bad),
		TEST(refusals_of_the_other_end_become_errors),
		TEST(answers_of_no_kind_are_bad),
		TEST(nothing_changes_an_end),
		TEST(the_password_is_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
