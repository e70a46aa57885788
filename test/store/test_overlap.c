#include "fixture.h"

#include "store/overlap.h"

#define HEX "1111111111111111111111111111111111111111"
#define OWNER "2222222222222222222222222222222222222222"

static void
start(struct fixture *x, struct overlap *o)
{
	struct overlap_part part = {0};

	memset(x, 0, sizeof(*x));
	memset(o, 0, sizeof(*o));
	fixture_dir(x);
	strcpy(o->owner, OWNER);
	for (uint32_t i = 0; i < 9; i++) {
		part.piece = 8 - i;
		part.file = i % 2;
		part.digest[31] = (uint8_t)i;
		assert_int_equal(overlap_add(o, &part, &x->e), 0);
	}
}

static void
what_is_noted_is_loaded_again(void **unused)
{
	struct overlap o;
	struct fixture x;

	(void)unused;
	start(&x, &o);
	assert_false(overlap_knows(&o, 8, 0));
	assert_int_equal(overlap_save(&o, x.folder.state, HEX, &x.e), 0);
	overlap_release(&o);
	overlap_load(&o, x.folder.state, HEX);
	assert_string_equal(o.owner, OWNER);
	assert_int_equal(o.count, 9);
	for (uint32_t i = 0; i < 9; i++) {
		assert_true(overlap_knows(&o, 8 - i, i % 2));
		assert_false(overlap_knows(&o, 8 - i, 1 - i % 2));
		assert_int_equal(o.parts[i].piece, i);
		assert_int_equal(o.parts[i].digest[31], 8 - i);
	}
	overlap_release(&o);
	fixture_release(&x);
}

static void
none_has_no_file(void **unused)
{
	struct overlap o;
	struct fixture x;

	(void)unused;
	start(&x, &o);
	assert_int_equal(overlap_save(&o, x.folder.state, HEX, &x.e), 0);
	o.count = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(overlap_save(&o, x.folder.state, HEX, &x.e),
				 0);
		assert_false(folder_has(x.folder.state, HEX ".overlap"));
	}
	overlap_load(&o, x.folder.state, HEX);
	assert_int_equal(o.count, 0);
	assert_false(overlap_knows(&o, 8, 0));
	overlap_release(&o);
	fixture_release(&x);
}

static void
load_bytes(struct fixture *x, const struct buffer *b, size_t size,
	   struct overlap *o)
{
	assert_int_equal(folder_save(x->folder.state, HEX ".overlap", b->data,
				     size, &x->e), 0);
	overlap_load(o, x->folder.state, HEX);
	assert_int_equal(o->count, 0);
	assert_int_equal(o->owner[0], 0);
}

static void
one_that_is_damaged_counts_for_nothing(void **unused)
{
	struct buffer b;
	struct overlap o;
	struct fixture x;

	(void)unused;
	start(&x, &o);
	assert_int_equal(overlap_save(&o, x.folder.state, HEX, &x.e), 0);
	buffer_init(&b, 1 << 20);
	assert_int_equal(folder_load(x.folder.state, HEX ".overlap", &b,
				     &x.e), 0);
	for (size_t i = 0; i < b.used; i++) {
		b.data[i] ^= 1;
		load_bytes(&x, &b, b.used, &o);
		b.data[i] ^= 1;
		load_bytes(&x, &b, i, &o);
	}
	buffer_release(&b);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_noted_is_loaded_again),
		cmocka_unit_test(none_has_no_file),
		cmocka_unit_test(one_that_is_damaged_counts_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
