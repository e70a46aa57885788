#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "meta/magnet_file.h"

#define HASH "0123456789abcdef0123456789abcdef01234567"
#define LINK "magnet:?xt=urn:btih:" HASH
#define MARK "\xef\xbb\xbf"

static struct magnet *
parse(const char *text, size_t size, struct error *e)
{
	struct buffer data;
	struct magnet *m;

	error_clear(e);
	buffer_init(&data, 2 * MAGNET_SIZE_MAX);
	buffer_put(&data, text, size);
	m = magnet_file_parse(&data, e);
	buffer_release(&data);
	return m;
}

static void
holds_a_link(const char *text)
{
	struct error e;
	struct magnet *m = parse(text, strlen(text), &e);

	assert_non_null(m);
	assert_true(m->has_v1);
	magnet_free(m);
}

static void
holds_none(const char *text, const char *why)
{
	struct error e;

	assert_null(parse(text, strlen(text), &e));
	assert_int_equal(e.kind, ERROR_TORRENT);
	assert_non_null(strstr(e.text, why));
}

static void
one_line_is_the_link(void **state)
{
	(void)state;
	holds_a_link(LINK);
	holds_a_link(HASH "\n");
	holds_a_link(MARK "# of a page\r\n\r\n \t" LINK " \r\n#\n");
	holds_none("", "one magnet link");
	holds_none("# nothing\n", "one magnet link");
	holds_none(LINK "\n" LINK "\n", "one magnet link");
	holds_none("some words\n", "one magnet link");
	holds_none("magnet:?xt=urn:btih:zz", "invalid magnet link");
}

static void
a_long_text_is_none(void **state)
{
	static char text[MAGNET_SIZE_MAX + 2];
	struct error e;

	(void)state;
	memset(text, '#', sizeof(text));
	memcpy(text, LINK "\n", sizeof(LINK));
	assert_null(parse(text, MAGNET_SIZE_MAX + 1, &e));
	assert_non_null(strstr(e.text, "too large"));
}

static bool
is_link(const char *text)
{
	return magnet_file_is(text, strlen(text));
}

static void
a_link_is_known_by_its_beginning(void **state)
{
	(void)state;
	assert_true(is_link("magnet:"));
	assert_true(is_link(MARK " \t\r\n#x\nMAGNET:?"));
	assert_true(is_link("#x\rmagnet:?"));
	assert_false(is_link("##x\n#magnet:?"));
	assert_false(is_link("magnet"));
	assert_false(is_link(""));
	assert_false(magnet_file_is(NULL, 0));
	assert_false(is_link("# magnet:"));
	assert_false(is_link(" \n"));
	assert_false(is_link("d4:info"));
	assert_false(is_link(HASH));
	assert_false(magnet_file_is("\0magnet:", 8));
	assert_false(magnet_file_is("magnet:", 6));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_is_the_link),
		cmocka_unit_test(a_long_text_is_none),
		cmocka_unit_test(a_link_is_known_by_its_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
