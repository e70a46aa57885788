#include "fixture.h"

#include "store/adopt.h"

/* Pieces of 1024: a and b share piece 1, b and c piece 4. */
static const struct fixture_file three[] = {
	{ "a", 1500, 0 }, { "b", 3000, 0 }, { "c", 2000, 0 },
};

static void
open_for(struct fixture *x, const char *wanted)
{
	struct bitfield selected;

	bitfield_init(&selected, 3);
	for (; *wanted; wanted++)
		bitfield_set(&selected, (size_t)(*wanted - 'a'));
	assert_int_equal(fixture_open_as(x, &selected, FILES_SPARSE, 4), 0);
	bitfield_release(&selected);
}

static void
have_pieces(struct fixture *x, struct state *s, size_t first, size_t end)
{
	assert_int_equal(files_write(x->store, first * 1024,
				     x->bytes + first * 1024,
				     (end - first) * 1024, &x->e), 0);
	for (; first < end; first++)
		bitfield_set(&s->have, first);
}

/* a is there, and on the side what piece 1 has of b. */
static void
start(struct fixture *x, struct state *s)
{
	fixture_torrent(x, "T", 1024, three, 3);
	fixture_dir(x);
	state_init(s, &x->m, &x->e);
	open_for(x, "a");
	have_pieces(x, s, 0, 2);
	bitfield_zero(&s->selected);
	bitfield_set(&s->selected, 0);
	assert_int_equal(state_stamp(s, x->store, NULL, NULL, &x->e), 0);
}

static size_t
find(struct fixture *x, struct state *s, struct bitfield *found)
{
	bitfield_init(found, 3);
	adopt_find(s, x->store, found);
	return bitfield_ones(found);
}

static void
a_file_wanted_later_gets_its_share_and_is_verified(void **unused)
{
	struct bitfield found, have, check;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x, &s);
	open_for(&x, "abc");
	assert_int_equal(find(&x, &s, &found), 1);
	assert_true(bitfield_get(&found, 1));
	assert_int_equal(adopt_files(&s, x.store, &found, &x.e), 0);
	assert_int_equal(fixture_size(&x, "T.part/b"), 3000);
	bitfield_init(&have, x.m.piece_count);
	bitfield_init(&check, x.m.piece_count);
	assert_int_equal(state_compare(&s, x.store, &have, &check, NULL,
				       &x.e), 0);
	adopt_narrow(&s, x.store, &found, &check);
	/* Of the rest of b nothing is there, and nobody need look. */
	assert_int_equal(bitfield_ones(&have), 1);
	assert_int_equal(bitfield_ones(&check), 1);
	assert_true(bitfield_get(&check, 1));
	fixture_close(&x);
	fixture_open(&x);
	have_pieces(&x, &s, 2, 6);
	assert_true(fixture_holds(&x, "T.part/b", x.bytes + 1500, 3000));
	bitfield_release(&found);
	bitfield_release(&have);
	bitfield_release(&check);
	state_release(&s);
	fixture_release(&x);
}

static void
both_ends_of_a_file_count(void **unused)
{
	struct bitfield found;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x, &s);
	open_for(&x, "ac");
	have_pieces(&x, &s, 4, 6);
	bitfield_set(&s.selected, 2);
	assert_int_equal(state_stamp(&s, x.store, NULL, NULL, &x.e), 0);
	open_for(&x, "abc");
	assert_int_equal(find(&x, &s, &found), 1);
	assert_int_equal(adopt_files(&s, x.store, &found, &x.e), 0);
	open_for(&x, "abc");
	assert_int_equal(files_write(x.store, 2048, x.bytes + 2048, 2048,
				     &x.e), 0);
	assert_true(fixture_holds(&x, "T.part/b", x.bytes + 1500, 3000));
	bitfield_release(&found);
	state_release(&s);
	fixture_release(&x);
}

/* It may be anything; what others have put there, too. */
static void
what_is_there_is_left_as_it_is(void **unused)
{
	struct bitfield found;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x, &s);
	fixture_put(&x, "T.part/b", "mine", 4);
	open_for(&x, "abc");
	assert_int_equal(find(&x, &s, &found), 0);
	bitfield_release(&found);
	state_release(&s);
	fixture_release(&x);
}

static void
without_a_file_that_is_known_nothing_is_made(void **unused)
{
	struct bitfield found;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x, &s);
	assert_int_equal(truncate(fixture_at(&x, "T.part/a"), 1499), 0);
	open_for(&x, "abc");
	assert_int_equal(find(&x, &s, &found), 0);
	bitfield_release(&found);
	state_release(&s);
	fixture_release(&x);
}

static void
without_the_side_file_nothing_is_made(void **unused)
{
	struct bitfield found;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x, &s);
	unlink(fixture_at(&x, ".btget/" FIXTURE_ID ".side"));
	open_for(&x, "abc");
	assert_int_equal(find(&x, &s, &found), 1);
	assert_int_equal(adopt_files(&s, x.store, &found, &x.e), 0);
	assert_false(fixture_exists(&x, "T.part/b"));
	bitfield_release(&found);
	state_release(&s);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_file_wanted_later_gets_its_share_and_is_verified),
		cmocka_unit_test(both_ends_of_a_file_count),
		cmocka_unit_test(what_is_there_is_left_as_it_is),
		cmocka_unit_test(without_a_file_that_is_known_nothing_is_made),
		cmocka_unit_test(without_the_side_file_nothing_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
