#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/json.h"

static struct stats_torrent
torrent(void)
{
	struct stats_torrent t;

	memset(&t, 0, sizeof(t));
	strcpy(t.name, "x \"y\"");
	strcpy(t.info_hash, "abcd");
	t.state = TORRENT_DOWNLOADING;
	t.length = 1000;
	t.done = 10;
	t.down_rate = 5;
	t.up_rate = 6;
	t.uploaded = 7;
	t.peers = 8;
	t.seeds = 9;
	t.eta = -1;
	return t;
}

static void
ends_as(struct buffer *out, const char *want)
{
	assert_string_equal(buffer_text(out), want);
	buffer_release(out);
}

static void
commas_stand_between_values_only(void **state)
{
	struct buffer out;
	struct json j;

	(void)state;
	buffer_init(&out, 4096);
	json_init(&j, &out);
	json_open(&j, '{');
	json_key(&j, "a");
	json_open(&j, '[');
	json_number(&j, UINT64_MAX);
	json_signed(&j, -1);
	json_open(&j, '[');
	json_close(&j, ']');
	json_bool(&j, false);
	json_close(&j, ']');
	json_key(&j, "b");
	json_null(&j);
	json_key(&j, "c");
	json_open(&j, '{');
	json_close(&j, '}');
	json_close(&j, '}');
	ends_as(&out, "{\"a\":[18446744073709551615,-1,[],false],"
		"\"b\":null,\"c\":{}}");
}

static void
string_becomes(const char *text, size_t length, const char *want)
{
	struct buffer out;
	struct json j;

	buffer_init(&out, 4096);
	json_init(&j, &out);
	json_bytes(&j, text, length);
	ends_as(&out, want);
}

static void
strings_are_escaped(void **state)
{
	(void)state;
	string_becomes("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	string_becomes("\n\t\r\033\0\x7f", 6,
		       "\"\\n\\t\\u000d\\u001b\\u0000\\u007f\"");
	string_becomes("é日", 5, "\"é日\"");
	string_becomes("", 0, "\"\"");
}

static void
what_a_terminal_must_not_get_is_escaped(void **state)
{
	(void)state;
	string_becomes("\xc2\x9b" "2J", 4, "\"\\u009b2J\"");
	string_becomes("a\xc2\x85" "b\xe2\x80\xa8" "c\xe2\x80\xa9", 11,
		       "\"a\\u0085b\\u2028c\\u2029\"");
	string_becomes("\xe2\x80\xae" "gpj\xe2\x81\xa6", 9,
		       "\"\\u202egpj\\u2066\"");
}

static void
bad_bytes_become_the_replacement_character(void **state)
{
	(void)state;
	string_becomes("a\xff\xc3", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	string_becomes("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd"
		       "\xef\xbf\xbd\"");
}

#define HEAD(event) \
	"{\"event\":\"" event "\",\"time\":12.500,\"info_hash\":\"abcd\"," \
	"\"name\":\"x \\\"y\\\"\""

static void
events_have_the_promised_keys(void **state)
{
	const struct stats_torrent t = torrent();
	struct buffer out;

	(void)state;
	buffer_init(&out, 65536);
	json_event_start(&out, 12.5, &t, "D");
	json_event_progress(&out, 12.5, &t);
	json_event_file(&out, 12.5, &t, "a/b");
	json_event_warning(&out, 12.5, &t, "hm", 0);
	json_event_warning(&out, 12.5, &t, "oh", 5);
	json_event_warning(&out, 12.5, NULL, "hm", 0);
	json_event_complete(&out, 12.5, &t);
	json_event_exit(&out, 12.5, 6, "stalled");
	ends_as(&out,
		HEAD("start") ",\"length\":1000,\"done\":10,\"dir\":\"D\"}\n"
		HEAD("progress") ",\"state\":\"downloading\",\"done\":10,"
		"\"length\":1000,\"down_rate\":5,\"up_rate\":6,"
		"\"uploaded\":7,\"peers\":8,\"seeds\":9,\"eta\":null,"
		"\"peer_sources\":{\"tracker\":0,\"dht\":0,\"pex\":0,"
		"\"lsd\":0,\"incoming\":0,\"manual\":0,"
		"\"webseed\":0}}\n"
		HEAD("file") ",\"path\":\"a/b\"}\n"
		HEAD("warning") ",\"text\":\"hm\"}\n"
		HEAD("warning") ",\"text\":\"oh\",\"code\":5}\n"
		"{\"event\":\"warning\",\"time\":12.500,\"text\":\"hm\"}\n"
		HEAD("complete") "}\n"
		"{\"event\":\"exit\",\"time\":12.500,\"code\":6,"
		"\"reason\":\"stalled\"}\n");
}

static void
a_check_tells_what_was_looked_at(void **state)
{
	struct stats_torrent t = torrent();
	struct buffer out;

	(void)state;
	t.state = TORRENT_CHECKING;
	t.done = 0;
	t.checked = 42;
	buffer_init(&out, 65536);
	json_event_progress(&out, 12.5, &t);
	assert_non_null(strstr(buffer_text(&out),
			       "\"state\":\"checking\",\"done\":42,"));
	buffer_release(&out);
}

static void
progress_knows_four_states(void **state)
{
	static const char *const words[] = {
		[TORRENT_CHECKING] = "\"state\":\"checking\"",
		[TORRENT_METADATA] = "\"state\":\"metadata\"",
		[TORRENT_DOWNLOADING] = "\"state\":\"downloading\"",
		[TORRENT_FINISHING] = "\"state\":\"downloading\"",
		[TORRENT_SEEDING] = "\"state\":\"seeding\"",
	};

	(void)state;
	for (unsigned s = TORRENT_CHECKING; s <= TORRENT_SEEDING; s++) {
		struct stats_torrent t = torrent();
		struct buffer out;

		t.state = (enum torrent_state)s;
		t.eta = 17;
		buffer_init(&out, 4096);
		json_event_progress(&out, 1, &t);
		assert_non_null(strstr(buffer_text(&out), words[s]));
		assert_non_null(strstr(buffer_text(&out), "\"eta\":17,"));
		buffer_release(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_between_values_only),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(what_a_terminal_must_not_get_is_escaped),
		cmocka_unit_test(bad_bytes_become_the_replacement_character),
		cmocka_unit_test(events_have_the_promised_keys),
		cmocka_unit_test(a_check_tells_what_was_looked_at),
		cmocka_unit_test(progress_knows_four_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
