#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/clock.h"
#include "base/sync.h"
#include "swarm/hash_queue.h"

#define PATIENCE (10 * CLOCK_S)
#define PIECES 1000		/* more than the queue has room for */
#define POSTERS 4

/* What the jobs did; the thread stands still while `gate` is shut. */
struct record {
	struct mutex lock;
	struct cond changed;
	bool shut;		/* lock */
	size_t count;		/* lock */
	uint32_t pieces[PIECES * POSTERS];	/* lock */
};

static void
work(void *ctx, uint32_t piece)
{
	int64_t until = clock_ns() + PATIENCE;
	struct record *r = ctx;

	mutex_lock(&r->lock);
	while (r->shut && cond_wait(&r->changed, &r->lock, until))
		;
	r->pieces[r->count++] = piece;
	cond_broadcast(&r->changed);
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
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct record *r = *state;

	cond_release(&r->changed);
	mutex_release(&r->lock);
	free(r);
	return 0;
}

static void
pieces_come_in_the_order_in_which_they_were_posted(void **state)
{
	struct record *r = *state;
	struct hash_queue *q = hash_queue_new(work, r, NULL);

	assert_non_null(q);
	for (uint32_t i = 0; i < PIECES; i++)
		hash_queue_post(q, i);
	hash_queue_drain(q);
	assert_int_equal(r->count, PIECES);
	for (uint32_t i = 0; i < PIECES; i++)
		assert_int_equal(r->pieces[i], i);
	hash_queue_free(q);
}

static void
the_length_is_what_is_not_done(void **state)
{
	struct record *r = *state;
	struct hash_queue *q;

	r->shut = true;
	q = hash_queue_new(work, r, NULL);
	assert_non_null(q);
	assert_int_equal(hash_queue_length(q), 0);
	for (uint32_t i = 0; i < HASH_QUEUE_MAX; i++)
		hash_queue_post(q, i);
	assert_int_equal(hash_queue_length(q), HASH_QUEUE_MAX);
	open_gate(r);
	hash_queue_drain(q);
	assert_int_equal(hash_queue_length(q), 0);
	assert_int_equal(r->count, HASH_QUEUE_MAX);
	hash_queue_free(q);
}

static void
free_does_what_was_posted(void **state)
{
	struct record *r = *state;
	struct hash_queue *q = hash_queue_new(work, r, NULL);

	assert_non_null(q);
	for (uint32_t i = 0; i < 10; i++)
		hash_queue_post(q, i);
	hash_queue_free(q);
	assert_int_equal(r->count, 10);
}

struct poster {
	struct hash_queue *q;
	uint32_t first;
	struct thread thread;
};

static void
post_many(void *arg)
{
	struct poster *p = arg;

	for (uint32_t i = 0; i < PIECES; i++)
		hash_queue_post(p->q, p->first + i);
	hash_queue_drain(p->q);
}

static void
many_may_post_and_each_one_is_in_order(void **state)
{
	struct record *r = *state;
	struct hash_queue *q = hash_queue_new(work, r, NULL);
	struct poster posters[POSTERS];
	uint32_t next[POSTERS] = {0};

	assert_non_null(q);
	for (uint32_t i = 0; i < POSTERS; i++) {
		posters[i] = (struct poster){.q = q, .first = i * PIECES};
		assert_int_equal(thread_start(&posters[i].thread, "poster",
					      THREAD_STACK_SMALL, post_many,
					      &posters[i], NULL), 0);
	}
	for (uint32_t i = 0; i < POSTERS; i++)
		thread_join(&posters[i].thread);
	assert_int_equal(r->count, PIECES * POSTERS);
	for (size_t i = 0; i < r->count; i++) {
		uint32_t who = r->pieces[i] / PIECES;

		assert_int_equal(r->pieces[i] % PIECES, next[who]++);
	}
	hash_queue_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			pieces_come_in_the_order_in_which_they_were_posted,
			set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_length_is_what_is_not_done, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			free_does_what_was_posted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			many_may_post_and_each_one_is_in_order, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
