#include "fixture.h"

#include "store/begun.h"

/* Pieces of 64 KiB, of four blocks: a has 0 and 1 and half of 2, b the rest of
 * that and 3, c 4. */
static const struct fixture_file files[] = {
	{ "a", 5 * 32768, 0 }, { "b", 3 * 32768, 0 }, { "c", 65536, 0 },
	{ "empty", 0, 0 },
};

struct known {
	struct fixture x;
	struct layout *layout;
	struct state s;
	struct bitfield begun;
};

static void
start(struct known *k)
{
	fixture_torrent(&k->x, "T", 65536, files, 4);
	fixture_dir(&k->x);
	k->layout = layout_new(&k->x.m, NULL, &k->x.e);
	assert_non_null(k->layout);
	assert_int_equal(state_init(&k->s, &k->x.m, &k->x.e), 0);
	assert_int_equal(bitfield_init(&k->begun, 4), 0);
}

static void
end(struct known *k)
{
	bitfield_release(&k->begun);
	state_release(&k->s);
	layout_free(k->layout);
	fixture_release(&k->x);
}

/* As a mask: 1 is a. */
static unsigned
find(struct known *k)
{
	unsigned found = 0;

	bitfield_zero(&k->begun);
	begun_find(&k->s, k->layout, &k->begun);
	for (size_t i = 0; i < 4; i++)
		found |= (unsigned)bitfield_get(&k->begun, i) << i;
	return found;
}

static void
what_is_verified_in_part_is_begun(void **unused)
{
	struct known k;

	(void)unused;
	start(&k);
	assert_int_equal(find(&k), 0);
	bitfield_set(&k.s.have, 1);
	assert_int_equal(find(&k), 1);
	bitfield_set(&k.s.have, 2);
	assert_int_equal(find(&k), 3);
	bitfield_set(&k.s.have, 0);	/* a is whole */
	assert_int_equal(find(&k), 2);
	bitfield_fill(&k.s.have);
	assert_int_equal(find(&k), 0);
	end(&k);
}

static void
what_was_not_to_be_stored_is_not(void **unused)
{
	struct known k;

	(void)unused;
	start(&k);
	bitfield_set(&k.s.have, 2);
	bitfield_unset(&k.s.selected, 0);
	assert_int_equal(find(&k), 2);
	end(&k);
}

static void
a_block_counts_for_the_files_that_it_lies_in(void **unused)
{
	struct bitfield blocks;
	struct known k;

	(void)unused;
	start(&k);
	assert_int_equal(bitfield_init(&blocks, 4), 0);
	bitfield_set(&blocks, 1);	/* the last one in a */
	assert_int_equal(state_add_partial(&k.s, 2, &blocks), 0);
	assert_int_equal(find(&k), 1);
	bitfield_set(&blocks, 2);	/* the first one in b */
	assert_int_equal(state_add_partial(&k.s, 2, &blocks), 0);
	assert_int_equal(find(&k), 3);
	bitfield_release(&blocks);
	end(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_verified_in_part_is_begun),
		cmocka_unit_test(what_was_not_to_be_stored_is_not),
		cmocka_unit_test(a_block_counts_for_the_files_that_it_lies_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
