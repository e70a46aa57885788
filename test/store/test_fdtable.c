#include "store/fdtable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/sync.h"

/* What the table asks for; descriptors are real ones. */
struct opened {
	_Atomic int opens;
	_Atomic int fail;
	_Atomic int full;	/* so often there is no descriptor left */
};

static int
open_one(void *ctx, size_t file, bool write, struct error *e)
{
	struct opened *o = ctx;

	(void)file;
	if (atomic_load(&o->fail))
		return error_set(e, ERROR_STORAGE, "told to fail");
	if (atomic_load(&o->full) > 0) {
		atomic_fetch_sub(&o->full, 1);
		return error_sys(e, ERROR_STORAGE, EMFILE, "told to be full");
	}
	atomic_fetch_add(&o->opens, 1);
	return open("/dev/null", (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
}

static int
use(struct fdtable *t, size_t file, bool write)
{
	struct pin *pin;
	int fd = fdtable_pin(t, file, write, &pin, NULL);

	fdtable_unpin(t, pin);
	return fd;
}

static void
a_file_is_opened_once_while_it_is_in_the_table(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(2, open_one, &o, NULL);
	int first;

	(void)unused;
	first = use(t, 7, true);
	assert_true(first >= 0);
	assert_int_equal(use(t, 7, true), first);
	assert_int_equal(use(t, 7, false), first);
	assert_int_equal(o.opens, 1);
	fdtable_free(t);
}

static void
one_open_for_reading_does_not_serve_a_writer(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(2, open_one, &o, NULL);

	(void)unused;
	use(t, 7, false);
	use(t, 7, true);
	assert_int_equal(o.opens, 2);
	fdtable_free(t);
}

static void
the_one_used_longest_ago_gives_way(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(2, open_one, &o, NULL);

	(void)unused;
	use(t, 1, false);
	use(t, 2, false);
	use(t, 1, false);
	use(t, 3, false);		/* 2 goes */
	use(t, 1, false);
	assert_int_equal(o.opens, 3);
	use(t, 2, false);
	assert_int_equal(o.opens, 4);
	fdtable_free(t);
}

static void
a_pinned_one_stays_open(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(2, open_one, &o, NULL);
	struct pin *pin;
	int fd = fdtable_pin(t, 1, false, &pin, NULL);

	(void)unused;
	for (size_t i = 2; i < 50; i++)
		use(t, i, false);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_int_equal(use(t, 1, false), fd);
	fdtable_unpin(t, pin);
	fdtable_free(t);
}

static void
all_are_closed_with_the_table(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(2, open_one, &o, NULL);
	int fd = use(t, 1, false);

	(void)unused;
	fdtable_free(t);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void
a_failed_open_leaves_the_place_free(void **unused)
{
	struct opened o = { 0, 1, 0 };
	struct fdtable *t = fdtable_new(1, open_one, &o, NULL);
	struct pin *pin;
	struct error e;

	(void)unused;
	assert_int_equal(fdtable_pin(t, 1, false, &pin, &e), -1);
	assert_int_equal(e.kind, ERROR_STORAGE);
	fdtable_unpin(t, pin);
	atomic_store(&o.fail, 0);
	assert_true(use(t, 1, false) >= 0);
	assert_true(use(t, 2, false) >= 0);
	fdtable_free(t);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void
a_spent_budget_makes_a_table_give_up_its_own(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdbudget budget = { 2 };
	struct fdtable *t = fdtable_new(8, open_one, &o, NULL);
	int first, second;

	(void)unused;
	fdtable_share(t, &budget);
	first = use(t, 1, false);
	second = use(t, 2, false);
	assert_int_equal(use(t, 3, false), first);	/* the number, anew */
	assert_int_equal(use(t, 2, false), second);
	assert_int_equal(budget.left, 0);
	fdtable_free(t);
	assert_int_equal(budget.left, 2);
}

static void
on_credit_a_file_is_open_while_it_is_pinned(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdbudget budget = { 1 };
	struct fdtable *rich = fdtable_new(8, open_one, &o, NULL);
	struct fdtable *poor = fdtable_new(8, open_one, &o, NULL);
	struct pin *pin;
	int held, lent;

	(void)unused;
	fdtable_share(rich, &budget);
	fdtable_share(poor, &budget);
	held = use(rich, 1, false);
	lent = fdtable_pin(poor, 1, false, &pin, NULL);
	assert_true(is_open(held) && is_open(lent));
	assert_int_equal(budget.left, -1);
	fdtable_unpin(poor, pin);
	assert_true(is_open(held) && !is_open(lent));
	assert_int_equal(budget.left, 0);
	fdtable_free(rich);
	fdtable_free(poor);
	assert_int_equal(budget.left, 1);
}

static void
without_descriptors_the_idle_ones_go(void **unused)
{
	struct opened o = { 0, 0, 0 };
	struct fdtable *t = fdtable_new(8, open_one, &o, NULL);
	struct pin *pin, *none;
	int pinned, idle;
	struct error e;

	(void)unused;
	pinned = fdtable_pin(t, 1, false, &pin, NULL);
	idle = use(t, 2, false);
	atomic_store(&o.full, 1);
	assert_int_equal(use(t, 3, false), idle);
	assert_true(is_open(pinned));
	/* Two at once are more than it can give. */
	atomic_store(&o.full, 2);
	assert_int_equal(fdtable_pin(t, 4, false, &none, &e), -1);
	assert_int_equal(e.sys, EMFILE);
	assert_true(is_open(pinned));
	fdtable_unpin(t, pin);
	fdtable_free(t);
}

#define THREADS 8

struct crowd {
	struct fdtable *t;
	struct opened o;
	_Atomic int held;
	_Atomic int bad;
};

static void
pin_many(void *arg)
{
	struct crowd *c = arg;

	for (size_t i = 0; i < 2000; i++) {
		struct pin *pin;
		int fd = fdtable_pin(c->t, i % 5, i % 3 == 0, &pin, NULL);

		if (atomic_fetch_add(&c->held, 1) >= THREADS || fd < 0 ||
		    fcntl(fd, F_GETFD) < 0)
			atomic_fetch_add(&c->bad, 1);
		atomic_fetch_sub(&c->held, 1);
		fdtable_unpin(c->t, pin);
	}
}

static void
more_threads_than_places_take_turns(void **unused)
{
	struct thread threads[THREADS];
	struct crowd c = { .held = 0 };

	(void)unused;
	c.t = fdtable_new(2, open_one, &c.o, NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&threads[i], "pin",
					      THREAD_STACK_SMALL, pin_many,
					      &c, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	assert_int_equal(c.bad, 0);
	fdtable_free(c.t);
}

static void
a_crowd_leaves_a_spent_budget_as_it_was(void **unused)
{
	struct thread threads[THREADS];
	struct fdbudget budget = { 2 };
	struct crowd c = { .held = 0 };

	(void)unused;
	c.t = fdtable_new(THREADS, open_one, &c.o, NULL);
	fdtable_share(c.t, &budget);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&threads[i], "pin",
					      THREAD_STACK_SMALL, pin_many,
					      &c, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	assert_true(budget.left >= 0);
	fdtable_free(c.t);
	assert_int_equal(budget.left, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    a_file_is_opened_once_while_it_is_in_the_table),
		cmocka_unit_test(one_open_for_reading_does_not_serve_a_writer),
		cmocka_unit_test(the_one_used_longest_ago_gives_way),
		cmocka_unit_test(a_pinned_one_stays_open),
		cmocka_unit_test(all_are_closed_with_the_table),
		cmocka_unit_test(a_failed_open_leaves_the_place_free),
		cmocka_unit_test(a_spent_budget_makes_a_table_give_up_its_own),
		cmocka_unit_test(on_credit_a_file_is_open_while_it_is_pinned),
		cmocka_unit_test(without_descriptors_the_idle_ones_go),
		cmocka_unit_test(more_threads_than_places_take_turns),
		cmocka_unit_test(a_crowd_leaves_a_spent_budget_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
