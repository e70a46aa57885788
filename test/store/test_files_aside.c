/* Files that were begun and are not wanted any more. */
#include "fixture.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/sync.h"
#include "store/state.h"

#define ASIDE ".btget/" FIXTURE_ID ".aside"

static bool other_disk;

/* In the place of libc's. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	if (other_disk && from != to) {
		errno = EXDEV;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

static bool dies_of_copy;

static bool is_huge;		/* what is copied has 4 GiB of data */
#define HUGE (4LL << 30)
static uint64_t copied, largest;

off_t
lseek(int fd, off_t at, int whence)
{
	if (!is_huge)
		return fixture_lseek(fd, at, whence);
	if (whence == SEEK_HOLE)
		return (off_t)HUGE;
	if (whence == SEEK_SET || at < HUGE)
		return at;
	errno = ENXIO;
	return -1;
}

ssize_t
sendfile(int out, int in, off_t *offset, size_t count)
{
	if (dies_of_copy)
		_exit(9);
	if (is_huge) {
		copied += count;
		largest = count > largest ? count : largest;
		*offset += (off_t)count;
		return (ssize_t)count;
	}
#ifdef SYS_sendfile64
	return syscall(SYS_sendfile64, out, in, offset, count);
#else
	return syscall(SYS_sendfile, out, in, offset, count);
#endif
}

/* Pieces of 1024: the first four are of a, with some of b. */
static const struct fixture_file three[] = {
	{ "a", 3500, 0 }, { "d/b", 3000, 0 }, { "c", 0, 0 },
};

static void
open_for(struct fixture *x, size_t wanted, struct bitfield *spare)
{
	struct files_options o = { .allocation = FILES_SPARSE, .max_open = 4,
				   .id = FIXTURE_ID };
	struct bitfield selected;

	bitfield_init(&selected, 3);
	bitfield_set(&selected, wanted);
	fixture_close(x);
	x->layout = layout_new_over(&x->m, &selected, spare, &x->e);
	x->store = files_open(x->layout, &x->folder, &o, &x->e);
	assert_non_null(x->store);
	bitfield_release(&selected);
}

static void
set_aside_begun(struct fixture *x, size_t pieces, const struct bitfield *begun)
{
	struct bitfield have;

	bitfield_init(&have, x->m.piece_count);
	for (size_t i = 0; i < pieces; i++)
		bitfield_set(&have, i);
	assert_int_equal(files_set_aside(x->store, &have, begun, &x->e), 0);
	bitfield_release(&have);
}

static void
set_aside(struct fixture *x, size_t pieces)
{
	struct bitfield none;

	bitfield_init(&none, 3);
	set_aside_begun(x, pieces, &none);
	bitfield_release(&none);
}

static void
write_pieces(struct fixture *x, size_t first, size_t end)
{
	size_t from = first * 1024, to = end * 1024;

	if (to > x->m.length)
		to = (size_t)x->m.length;
	assert_int_equal(files_write(x->store, from, x->bytes + from,
				     to - from, &x->e), 0);
}

/* Of b the last two pieces are there, then a alone is wanted. */
static void
start(struct fixture *x)
{
	struct bitfield spare;

	other_disk = false;
	fixture_torrent(x, "T", 1024, three, 3);
	fixture_dir(x);
	bitfield_init(&spare, 3);
	bitfield_set(&spare, 1);
	open_for(x, 1, NULL);
	write_pieces(x, 5, 7);
	open_for(x, 0, &spare);
	write_pieces(x, 0, 4);
	bitfield_release(&spare);
}

static void
finish_a(struct fixture *x)
{
	set_aside(x, 4);
	assert_int_equal(files_finish(x->store, NULL, &x->e), 0);
	assert_true(fixture_holds(x, "T/a", x->bytes, 3500));
	assert_false(fixture_exists(x, "T/d"));
	assert_int_equal(fixture_size(x, ASIDE "/2"), 3000);
}

static void
finish_b(struct fixture *x)
{
	open_for(x, 1, NULL);
	assert_true(files_is_aside(x->store, 1));
	write_pieces(x, 3, 5);
	assert_false(fixture_exists(x, "T/d/b"));
	assert_int_equal(files_finish(x->store, NULL, &x->e), 0);
	assert_false(files_is_aside(x->store, 1));
	assert_true(fixture_holds(x, "T/d/b", x->bytes + 3500, 3000));
	assert_false(fixture_exists(x, ASIDE));
}

static void
what_is_not_whole_is_hidden_and_grows_there(void **unused)
{
	struct files_stamp before, after;
	uint8_t is[2048];
	struct fixture x;

	(void)unused;
	start(&x);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	assert_int_equal(files_stamp(x.store, 1, &before, &x.e), 0);
	finish_a(&x);
	assert_int_equal(files_stamp(x.store, 1, &after, &x.e), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	/* It goes on being of use. */
	assert_int_equal(files_read(x.store, 3072, is, 1024, &x.e), 0);
	assert_memory_equal(is, x.bytes + 3072, 1024);
	finish_b(&x);
	fixture_release(&x);
}

static void
another_disk_takes_a_copy(void **unused)
{
	struct files_stamp before, after;
	struct fixture x;
	struct stat st;

	(void)unused;
	start(&x);
	assert_int_equal(files_stamp(x.store, 1, &before, &x.e), 0);
	assert_int_equal(chmod(fixture_at(&x, "T.part/d/b"), 0700), 0);
	other_disk = true;
	finish_a(&x);
	assert_int_equal(files_stamp(x.store, 1, &after, &x.e), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	finish_b(&x);
	assert_int_equal(stat(fixture_at(&x, "T/d/b"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	fixture_release(&x);
}

/* What a size of 32 bits holds at most is less than that. */
static void
what_is_huge_is_copied_in_steps(void **unused)
{
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 1024, three, 3);
	fixture_dir(&x);
	fixture_put(&x, "T/a", x.bytes, 3500);
	other_disk = is_huge = true;
	assert_int_equal(folder_move(x.folder.dir, "T/a", x.folder.state, "a"),
			 1);
	other_disk = is_huge = false;
	assert_true(copied == HUGE);
	assert_true(largest <= 1 << 30);
	fixture_release(&x);
}

/* By itself it would look like what the state knows. */
static void
a_copy_that_is_broken_off_loses_nothing(void **unused)
{
	struct fixture x;
	int status;
	pid_t child;

	(void)unused;
	start(&x);
	finish_a(&x);
	open_for(&x, 1, NULL);
	write_pieces(&x, 3, 5);
	assert_int_equal(files_sync(x.store, &x.e), 0);
	child = fork();
	if (child == 0) {
		other_disk = dies_of_copy = true;
		files_finish(x.store, NULL, &x.e);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 9);
	assert_false(fixture_exists(&x, "T/d/b"));
	assert_true(fixture_holds(&x, ASIDE "/2", x.bytes + 3500, 3000));
	other_disk = true;
	finish_b(&x);
	assert_false(fixture_exists(&x, "T/d/" FOLDER_MOVING));
	fixture_release(&x);
}

static void
what_is_whole_stays(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	write_pieces(&x, 4, 5);
	set_aside(&x, x.m.piece_count);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_holds(&x, "T/d/b", x.bytes + 3500, 3000));
	assert_false(fixture_exists(&x, ASIDE));
	fixture_release(&x);
}

/* Its state was lost, so that nobody knows what is in it. */
static void
what_nobody_knows_is_hidden_too(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	open_for(&x, 0, NULL);
	assert_int_equal(layout_fate(x.layout, 1), LAYOUT_SKIPPED);
	write_pieces(&x, 0, 4);
	finish_a(&x);
	finish_b(&x);
	fixture_release(&x);
}

/* It may be anybody's, unless it is known to be begun. */
static void
what_is_under_its_name_stays(void **unused)
{
	struct bitfield begun;
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_rename(&x, "T.part", "T");
	open_for(&x, 0, NULL);
	set_aside(&x, 4);
	assert_true(fixture_exists(&x, "T/d/b"));
	assert_false(fixture_exists(&x, ASIDE));
	bitfield_init(&begun, 3);
	bitfield_set(&begun, 1);
	set_aside_begun(&x, x.m.piece_count, &begun);
	assert_false(fixture_exists(&x, "T/d"));
	finish_a(&x);
	finish_b(&x);
	bitfield_release(&begun);
	fixture_release(&x);
}

static void
a_folder_that_holds_something_else_stays(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, "T.part/d/mine", "x", 1);
	set_aside(&x, 4);
	assert_false(fixture_exists(&x, "T.part/d/b"));
	assert_true(fixture_exists(&x, "T.part/d/mine"));
	fixture_release(&x);
}

/* By a run that died, or an older version. */
static void
an_empty_folder_that_was_left_is_removed(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	finish_a(&x);
	assert_int_equal(mkdir(fixture_at(&x, "T/d"), 0777), 0);
	open_for(&x, 0, NULL);
	write_pieces(&x, 0, 4);
	finish_a(&x);
	fixture_release(&x);
}

/* A crash between the two halves of a copy, or the user. */
static void
what_lies_at_its_place_counts(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_put(&x, ASIDE "/2", "old", 3);
	fixture_put(&x, ASIDE "/1", "old", 3);
	open_for(&x, 0, NULL);
	assert_false(files_is_aside(x.store, 0));
	assert_false(files_is_aside(x.store, 1));
	finish_a(&x);
	assert_false(fixture_exists(&x, ASIDE "/1"));
	finish_b(&x);
	fixture_release(&x);
}

static void
nothing_is_moved_over_anything(void **unused)
{
	struct fixture x;

	(void)unused;
	start(&x);
	finish_a(&x);
	open_for(&x, 1, NULL);
	write_pieces(&x, 3, 5);
	fixture_put(&x, "T/d/b", "mine", 4);
	assert_int_equal(files_finish(x.store, NULL, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	assert_int_equal(x.e.sys, EEXIST);
	assert_true(fixture_holds(&x, "T/d/b", "mine", 4));
	fixture_release(&x);
}

static void
a_link_in_place_of_the_folder_is_refused(void **unused)
{
	struct files_options o = { .max_open = 4, .id = FIXTURE_ID };
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_link(&x, "/tmp", ASIDE);
	fixture_close(&x);
	x.layout = layout_new(&x.m, NULL, &x.e);
	assert_null(files_open(x.layout, &x.folder, &o, &x.e));
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	fixture_release(&x);
}

static void
names_that_are_not_ours_mean_nothing(void **unused)
{
	static const char *names[] = { "0", "02", "4", "-1", "x",
				       "99999999999999999999999999" };
	char path[128];
	struct fixture x;

	(void)unused;
	fixture_torrent(&x, "T", 1024, three, 3);
	fixture_dir(&x);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), ASIDE "/%s", names[i]);
		fixture_put(&x, path, "x", 1);
	}
	fixture_open(&x);
	assert_true(files_fresh(x.store));
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_true(fixture_exists(&x, ASIDE "/0"));
	fixture_release(&x);
}

/* The folder went away, and what lies aside is all there is. */
static void
it_is_used_where_the_rest_is_gone(void **unused)
{
	uint8_t is[1500];
	struct fixture x;

	(void)unused;
	start(&x);
	finish_a(&x);
	fixture_rename(&x, "T", "elsewhere");
	open_for(&x, 1, NULL);
	assert_false(files_fresh(x.store));
	assert_false(files_in_place(x.store));
	assert_int_equal(files_read(x.store, 5120, is, 1380, &x.e), 0);
	assert_memory_equal(is, x.bytes + 5120, 1380);
	finish_b(&x);
	fixture_release(&x);
}

static int
compare(struct fixture *x, struct bitfield *have)
{
	struct bitfield check;
	struct state s;
	int status;

	state_init(&s, &x->m, &x->e);
	bitfield_fill(&s.have);
	bitfield_zero(&s.selected);
	bitfield_set(&s.selected, 1);
	assert_int_equal(state_stamp(&s, x->store, NULL, NULL, &x->e), 0);
	bitfield_init(&check, x->m.piece_count);
	status = state_compare(&s, x->store, have, &check, NULL, &x->e);
	bitfield_release(&check);
	state_release(&s);
	return status;
}

/* All is there and verified; but not at its place. */
static void
a_wanted_file_that_lies_aside_is_not_all_the_same(void **unused)
{
	struct bitfield have;
	struct fixture x;

	(void)unused;
	start(&x);
	write_pieces(&x, 4, 5);
	set_aside(&x, 4);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	open_for(&x, 1, NULL);
	bitfield_init(&have, x.m.piece_count);
	assert_int_equal(compare(&x, &have), 0);
	assert_int_equal(bitfield_ones(&have), 3);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_int_equal(compare(&x, &have), 1);
	bitfield_release(&have);
	fixture_release(&x);
}

/* --- threads --- */

struct reader {
	struct fixture x;
	_Atomic bool stop;
	_Atomic int bad;
};

static void
read_all_along(void *arg)
{
	struct reader *r = arg;
	uint8_t is[10];

	do {
		if (files_read(r->x.store, 6000, is, 10, NULL) < 0 ||
		    memcmp(is, r->x.bytes + 6000, 10) != 0)
			atomic_fetch_add(&r->bad, 1);
	} while (!atomic_load(&r->stop));
}

static void
readers_do_not_notice_the_move(void **unused)
{
	struct reader r = { .bad = 0 };
	struct bitfield spare;
	struct thread thread;

	(void)unused;
	bitfield_init(&spare, 3);
	bitfield_set(&spare, 1);
	for (int round = 0; round < 20; round++) {
		start(&r.x);
		/* Nothing is open: it must be found by name. */
		open_for(&r.x, 0, &spare);
		atomic_store(&r.stop, false);
		thread_start(&thread, "reader", THREAD_STACK_SMALL,
			     read_all_along, &r, NULL);
		finish_a(&r.x);
		atomic_store(&r.stop, true);
		thread_join(&thread);
		assert_int_equal(r.bad, 0);
		fixture_release(&r.x);
	}
	bitfield_release(&spare);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_whole_is_hidden_and_grows_there),
		cmocka_unit_test(another_disk_takes_a_copy),
		cmocka_unit_test(what_is_huge_is_copied_in_steps),
		cmocka_unit_test(a_copy_that_is_broken_off_loses_nothing),
		cmocka_unit_test(what_is_whole_stays),
		cmocka_unit_test(what_nobody_knows_is_hidden_too),
		cmocka_unit_test(what_is_under_its_name_stays),
		cmocka_unit_test(a_folder_that_holds_something_else_stays),
		cmocka_unit_test(an_empty_folder_that_was_left_is_removed),
		cmocka_unit_test(what_lies_at_its_place_counts),
		cmocka_unit_test(nothing_is_moved_over_anything),
		cmocka_unit_test(a_link_in_place_of_the_folder_is_refused),
		cmocka_unit_test(names_that_are_not_ours_mean_nothing),
		cmocka_unit_test(it_is_used_where_the_rest_is_gone),
		cmocka_unit_test(
		    a_wanted_file_that_lies_aside_is_not_all_the_same),
		cmocka_unit_test(readers_do_not_notice_the_move),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
