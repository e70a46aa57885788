#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "swarm/loads.h"

#define PATIENCE (10 * CLOCK_S)
#define ROUNDS 500
#define THREADS 6
#define WRITTEN_MAX (ROUNDS * THREADS)

/* What was written; the thread stands still while `gate` is shut. */
struct record {
	struct loads *l;
	struct mutex lock;
	struct cond changed;
	bool shut;		/* lock */
	size_t count;		/* lock */
	uint32_t written[WRITTEN_MAX];	/* lock: first piece of each load */
};

static void
write_load(void *ctx, struct load *load)
{
	int64_t until = clock_ns() + PATIENCE;
	struct record *r = ctx;

	mutex_lock(&r->lock);
	while (r->shut && cond_wait(&r->changed, &r->lock, until))
		;
	r->written[r->count++] = load->parts[0].block.piece;
	mutex_unlock(&r->lock);
}

static void
open_gate(struct record *r)
{
	mutex_lock(&r->lock);
	r->shut = false;
	cond_broadcast(&r->changed);
	mutex_unlock(&r->lock);
}

static int
set_up(void **state)
{
	struct record *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	mutex_init(&r->lock);
	cond_init(&r->changed);
	r->l = loads_new(write_load, r, NULL);
	*state = r;
	return r->l ? 0 : -1;
}

static int
tear_down(void **state)
{
	struct record *r = *state;

	loads_free(r->l);
	cond_release(&r->changed);
	mutex_release(&r->lock);
	free(r);
	return 0;
}

struct seeker {
	struct wake wake;
	struct load_seeker s;
};

static void
seeker_init(struct seeker *k)
{
	memset(k, 0, sizeof(*k));
	assert_int_equal(wake_init(&k->wake, NULL), 0);
	k->s.wake = &k->wake;
}

static bool
was_woken(const struct seeker *k)
{
	struct pollfd fd = {.fd = k->wake.fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

/* All there are. */
static size_t
take_all(struct loads *l, struct load **out, size_t max)
{
	size_t n = 0;

	while (n < max && (out[n] = loads_try(l)))
		n++;
	assert_true(n > 0 && n < max);
	return n;
}

#define MANY 64

static void
a_load_has_room_for_its_blocks(void **state)
{
	struct record *r = *state;
	struct load *load = loads_try(r->l);

	assert_non_null(load);
	assert_int_equal(load->used, 0);
	memset(load->data, 1, LOAD_SIZE);
	loads_give(r->l, load);
}

static void
the_last_one_given_is_the_next_one_taken(void **state)
{
	struct record *r = *state;
	struct load *one, *two;

	loads_enter(r->l);
	one = loads_try(r->l);
	two = loads_try(r->l);
	assert_ptr_not_equal(one, two);
	loads_give(r->l, one);
	loads_give(r->l, two);
	assert_ptr_equal(loads_try(r->l), two);
	assert_ptr_equal(loads_try(r->l), one);
	loads_give(r->l, one);
	loads_give(r->l, two);
	loads_exit(r->l);
}

static void
who_finds_none_stands_in_line(void **state)
{
	struct record *r = *state;
	struct load *all[MANY];
	struct seeker a, b;
	size_t n;

	seeker_init(&a);
	seeker_init(&b);
	n = take_all(r->l, all, MANY);
	assert_null(loads_take(r->l, &a.s));
	assert_null(loads_take(r->l, &b.s));
	assert_true(loads_waits(&a.s) && loads_waits(&b.s));
	assert_null(loads_take(r->l, &a.s));
	all[0]->used = 3;
	loads_give(r->l, all[0]);
	assert_true(was_woken(&a));
	assert_false(loads_waits(&a.s));
	assert_false(was_woken(&b));
	assert_null(loads_try(r->l));
	assert_ptr_equal(loads_take(r->l, &a.s), all[0]);
	assert_int_equal(all[0]->used, 0);
	loads_give(r->l, all[0]);
	assert_ptr_equal(loads_take(r->l, &b.s), all[0]);
	for (size_t i = 0; i < n; i++)
		loads_give(r->l, all[i]);
	wake_release(&a.wake);
	wake_release(&b.wake);
}

/* At each place of the line. */
static void
who_leaves_the_line_gets_none(void **state)
{
	struct record *r = *state;

	for (size_t leaver = 0; leaver < 3; leaver++) {
		struct load *all[MANY];
		struct seeker k[4];
		size_t n = take_all(r->l, all, MANY);

		for (size_t i = 0; i < 4; i++)
			seeker_init(&k[i]);
		for (size_t i = 0; i < 3; i++)
			assert_null(loads_take(r->l, &k[i].s));
		loads_leave(r->l, &k[leaver].s);
		assert_null(loads_take(r->l, &k[3].s));
		for (size_t i = 0; i < 4; i++) {
			struct load *load;

			if (i == leaver)
				continue;
			loads_give(r->l, all[0]);
			load = loads_take(r->l, &k[i].s);
			assert_ptr_equal(load, all[0]);
		}
		assert_false(was_woken(&k[leaver]));
		loads_leave(r->l, &k[0].s);
		for (size_t i = 0; i < n; i++)
			loads_give(r->l, all[i]);
		for (size_t i = 0; i < 4; i++)
			wake_release(&k[i].wake);
	}
}

static void
who_leaves_when_it_is_its_turn_passes_it_on(void **state)
{
	struct record *r = *state;
	struct load *all[MANY];
	struct seeker a, b;
	size_t n;

	seeker_init(&a);
	seeker_init(&b);
	n = take_all(r->l, all, MANY);
	assert_null(loads_take(r->l, &a.s));
	assert_null(loads_take(r->l, &b.s));
	loads_give(r->l, all[0]);
	loads_leave(r->l, &a.s);
	assert_true(was_woken(&b));
	loads_leave(r->l, &b.s);
	assert_ptr_equal(loads_try(r->l), all[0]);
	for (size_t i = 0; i < n; i++)
		loads_give(r->l, all[i]);
	wake_release(&a.wake);
	wake_release(&b.wake);
}

static bool
post(struct loads *l, struct load *load, uint32_t piece)
{
	load->parts[0].block.piece = piece;
	load->used = 1;
	return loads_post(l, load);
}

static void
nobody_writes_before_somebody_is_fast(void **state)
{
	struct record *r = *state;
	struct load *load = loads_try(r->l);

	assert_false(post(r->l, load, 1));
	loads_drain(r->l);
	loads_enter(r->l);
	assert_int_equal(post(r->l, load, 1), sync_processors() > 1);
	loads_drain(r->l);
	assert_int_equal(r->count, sync_processors() > 1);
	loads_exit(r->l);
}

static void
what_is_posted_is_written_in_order(void **state)
{
	struct record *r = *state;
	struct load *all[MANY];
	size_t n;

	if (sync_processors() < 2)
		skip();
	loads_enter(r->l);
	r->shut = true;
	n = take_all(r->l, all, MANY);
	for (size_t i = 0; i < n; i++)
		assert_true(post(r->l, all[i], (uint32_t)i));
	assert_null(loads_try(r->l));
	open_gate(r);
	loads_drain(r->l);
	assert_int_equal(r->count, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(r->written[i], i);
	assert_int_equal(take_all(r->l, all, MANY), n);
	for (size_t i = 0; i < n; i++)
		loads_give(r->l, all[i]);
	loads_exit(r->l);
}

static void
free_writes_what_was_posted(void **state)
{
	struct record *r = *state;
	struct load *load;

	if (sync_processors() < 2)
		skip();
	loads_enter(r->l);
	load = loads_try(r->l);
	assert_true(post(r->l, load, 7));
	loads_free(r->l);
	r->l = NULL;
	assert_int_equal(r->count, 1);
}

/* ---- many at once ---- */

struct worker {
	struct record *r;
	uint32_t first;
	struct thread thread;
	struct seeker k;
	bool late;		/* nobody woke it */
};

static struct load *
wait_for_load(struct worker *w)
{
	struct load *load = loads_take(w->r->l, &w->k.s);

	while (!load && w->k.s.in_line) {
		struct pollfd fd = {.fd = w->k.wake.fd, .events = POLLIN};

		if (poll(&fd, 1, (int)(PATIENCE / CLOCK_MS)) != 1) {
			w->late = true;
			return NULL;
		}
		wake_drain(&w->k.wake);
		load = loads_take(w->r->l, &w->k.s);
	}
	return load;
}

static void
work(void *arg)
{
	struct worker *w = arg;
	struct loads *l = w->r->l;

	loads_enter(l);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct load *load = wait_for_load(w);

		if (!load)
			break;
		load->data[0] = 1;
		if (!post(l, load, w->first + i)) {
			write_load(w->r, load);
			loads_give(l, load);
		}
		/* Some want one and think better of it. */
		if (i % 7 == 0 && (load = loads_take(l, &w->k.s)))
			loads_give(l, load);
		loads_leave(l, &w->k.s);
	}
	loads_drain(l);
	loads_exit(l);
}

static void
many_may_take_and_post_and_each_one_is_in_order(void **state)
{
	struct record *r = *state;
	struct worker workers[THREADS];
	uint32_t next[THREADS] = {0};

	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.r = r, .first = i * ROUNDS};
		seeker_init(&workers[i].k);
		assert_int_equal(thread_start(&workers[i].thread, "worker",
					      THREAD_STACK_SMALL, work,
					      &workers[i], NULL), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		thread_join(&workers[i].thread);
		wake_release(&workers[i].k.wake);
		assert_false(workers[i].late);
	}
	assert_int_equal(r->count, ROUNDS * THREADS);
	for (size_t i = 0; i < r->count; i++) {
		uint32_t who = r->written[i] / ROUNDS;

		assert_int_equal(r->written[i] % ROUNDS, next[who]++);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_load_has_room_for_its_blocks),
		TEST(the_last_one_given_is_the_next_one_taken),
		TEST(who_finds_none_stands_in_line),
		TEST(who_leaves_the_line_gets_none),
		TEST(who_leaves_when_it_is_its_turn_passes_it_on),
		TEST(nobody_writes_before_somebody_is_fast),
		TEST(what_is_posted_is_written_in_order),
		TEST(free_writes_what_was_posted),
		TEST(many_may_take_and_post_and_each_one_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
