#include "fixture.h"

#include "store/owner.h"
#include "store/place.h"

#define OTHER "00112233445566778899aabbccddeeff00112233"

/* A v2 torrent of x, 100 bytes, that calls itself "called". */
static void
begin(struct fixture *x)
{
	static const struct fixture_file file = { "x", 100, 0 };

	fixture_torrent(x, "x", 16384, &file, 1);
	x->m.multi = false;
	x->m.folder = "called";
	fixture_dir(x);
}

static void
put(const struct fixture *x, const char *path, size_t size)
{
	int fd;

	assert_int_equal(folder_parents(x->folder.dir, path), 0);
	fd = openat(x->folder.dir, path, O_WRONLY | O_CREAT, 0666);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static void
expect(struct fixture *x, const char *want)
{
	char path[LAYOUT_PATH_MAX];

	x->layout = place_lay_out(&x->m, NULL, NULL, &x->folder, &x->e);
	assert_non_null(x->layout);
	layout_path(x->layout, 0, path, sizeof(path));
	assert_string_equal(path, want);
	assert_true(layout_multi(x->layout) == (strchr(want, '/') != NULL));
	layout_free(x->layout);
	x->layout = NULL;
}

static void
one_file_lies_under_its_own_name(void **unused)
{
	struct fixture x;

	(void)unused;
	begin(&x);
	expect(&x, "x");
	put(&x, "called/y", 100);
	expect(&x, "x");
	put(&x, "called/x", 99);
	expect(&x, "x");
	fixture_release(&x);
}

static void
a_file_of_its_size_in_the_folder_is_taken_for_it(void **unused)
{
	struct fixture x;

	(void)unused;
	begin(&x);
	put(&x, "called/x", 100);
	expect(&x, "called/x");
	assert_int_equal(owner_join(x.folder.state, "called", OTHER, &x.e),
			 0);
	expect(&x, "called/x");
	put(&x, "x.part", 0);
	expect(&x, "x");
	fixture_release(&x);
}

static void
what_was_begun_in_the_folder_goes_on_there(void **unused)
{
	struct fixture x;

	(void)unused;
	begin(&x);
	put(&x, "called.part/x", 1);
	expect(&x, "called/x");
	assert_int_equal(owner_join(x.folder.state, "called", OTHER, &x.e),
			 0);
	expect(&x, "x");
	fixture_release(&x);
}

static void
links_are_not_followed_to_it(void **unused)
{
	struct fixture x;

	(void)unused;
	begin(&x);
	put(&x, "elsewhere/x", 100);
	assert_int_equal(symlinkat("elsewhere", x.folder.dir, "called"), 0);
	expect(&x, "x");
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_file_lies_under_its_own_name),
		cmocka_unit_test(
		    a_file_of_its_size_in_the_folder_is_taken_for_it),
		cmocka_unit_test(what_was_begun_in_the_folder_goes_on_there),
		cmocka_unit_test(links_are_not_followed_to_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
