#include "fixture.h"

#include "store/owner.h"

#define ONE "1111111111111111111111111111111111111111"
#define LONG "11111111111111111111111111111111111111111111111111111111111111111"
#define TWO "2222222222222222222222222222222222222222"
#define THREE "3333333333333333333333333333333333333333"

static void
start(struct fixture *x)
{
	memset(x, 0, sizeof(*x));
	fixture_dir(x);
}

static void
an_owner_is_seen_by_others_alone(void **unused)
{
	char other[METAINFO_HEX_MAX];
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(owner_find(x.folder.state, "n", ONE, other, &x.e),
			 0);
	assert_int_equal(owner_join(x.folder.state, "n", ONE, &x.e), 0);
	assert_int_equal(owner_join(x.folder.state, "n", ONE, &x.e), 0);
	assert_int_equal(owner_find(x.folder.state, "n", ONE, other, &x.e),
			 0);
	assert_int_equal(owner_find(x.folder.state, "m", TWO, other, &x.e),
			 0);
	assert_int_equal(owner_find(x.folder.state, "n", TWO, other, &x.e),
			 1);
	assert_string_equal(other, ONE);
	fixture_release(&x);
}

struct seen {
	int two, rest;
	int answer;
};

static int
see(void *ctx, const char *other, struct error *e)
{
	struct seen *s = ctx;

	(void)e;
	if (strcmp(other, TWO) == 0)
		s->two++;
	else
		s->rest++;
	return s->answer;
}

static void
each_other_owner_is_told_until_one_is_enough(void **unused)
{
	struct seen all = {0}, first = {.answer = 7};
	struct fixture x;

	(void)unused;
	start(&x);
	owner_join(x.folder.state, "n", ONE, &x.e);
	owner_join(x.folder.state, "n", TWO, &x.e);
	owner_join(x.folder.state, "n", THREE, &x.e);
	owner_join(x.folder.state, "m", TWO, &x.e);
	assert_int_equal(owner_each(x.folder.state, "n", ONE, see, &all,
				    &x.e), 0);
	assert_int_equal(all.two, 1);
	assert_int_equal(all.rest, 1);
	assert_int_equal(owner_each(x.folder.state, "n", ONE, see, &first,
				    &x.e), 7);
	assert_int_equal(first.two + first.rest, 1);
	fixture_release(&x);
}

static void
who_takes_a_name_has_it_alone(void **unused)
{
	char other[METAINFO_HEX_MAX];
	struct fixture x;

	(void)unused;
	start(&x);
	owner_join(x.folder.state, "n", ONE, &x.e);
	owner_join(x.folder.state, "n", TWO, &x.e);
	owner_join(x.folder.state, "m", TWO, &x.e);
	assert_int_equal(owner_take(x.folder.state, "n", ONE, &x.e), 0);
	assert_int_equal(owner_find(x.folder.state, "n", ONE, other, &x.e),
			 0);
	assert_int_equal(owner_find(x.folder.state, "n", TWO, other, &x.e),
			 1);
	assert_int_equal(owner_find(x.folder.state, "m", ONE, other, &x.e),
			 1);
	fixture_release(&x);
}

static void
what_is_no_hash_owns_nothing(void **unused)
{
	char path[200], other[METAINFO_HEX_MAX], hash[2 * SHA1_SIZE + 1];
	const char *const tails[] = { "", "\033[2J", "1111.new", "11 11",
				      LONG };
	uint8_t sum[SHA1_SIZE];
	struct fixture x;

	(void)unused;
	start(&x);
	hash_sha1(sum, "n", 1);
	hex_encode(hash, sum, sizeof(sum));
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		snprintf(path, sizeof(path), ".btget/name-%s.owner-%s", hash,
			 tails[i]);
		fixture_put(&x, path, "x", 1);
		assert_int_equal(owner_find(x.folder.state, "n", ONE, other,
					    &x.e), 0);
	}
	fixture_release(&x);
}

static void
what_cannot_be_made_or_removed_is_told(void **unused)
{
	struct fixture x;
	int closed;

	(void)unused;
	start(&x);
	assert_int_equal(owner_join(x.folder.dir, "n", ONE, &x.e), 0);
	closed = open(x.dir, O_RDONLY | O_DIRECTORY);
	close(closed);
	assert_int_equal(owner_join(closed, "n", ONE, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	error_clear(&x.e);
	assert_int_equal(owner_take(closed, "n", ONE, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_owner_is_seen_by_others_alone),
		cmocka_unit_test(each_other_owner_is_told_until_one_is_enough),
		cmocka_unit_test(who_takes_a_name_has_it_alone),
		cmocka_unit_test(what_is_no_hash_owns_nothing),
		cmocka_unit_test(what_cannot_be_made_or_removed_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
