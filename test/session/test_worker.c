#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/sync.h"
#include "session/worker.h"

#define PATIENCE (10 * CLOCK_S)
#define JOBS 50

struct desk {
	struct worker *worker;
	struct mutex lock;
	struct cond changed;
	bool hold;			/* lock: jobs wait */
	unsigned woken;			/* lock */
	unsigned done;			/* lock */
	unsigned order[2 * JOBS];	/* lock: numbers of the jobs done */
};

struct task {
	struct desk *desk;
	struct worker_job job;
	unsigned number;
};

static void
wake(void *ctx)
{
	struct desk *d = ctx;

	mutex_lock(&d->lock);
	d->woken++;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static void
work(void *ctx)
{
	struct task *t = ctx;
	struct desk *d = t->desk;

	mutex_lock(&d->lock);
	while (d->hold)
		cond_wait(&d->changed, &d->lock, CLOCK_NEVER);
	d->order[d->done++] = t->number;
	mutex_unlock(&d->lock);
}

static void
await_woken(struct desk *d, unsigned n)
{
	int64_t until = clock_ns() + PATIENCE;
	bool in_time = true;

	mutex_lock(&d->lock);
	while (d->woken < n && in_time)
		in_time = cond_wait(&d->changed, &d->lock, until);
	mutex_unlock(&d->lock);
	assert_true(in_time);
}

static void
release(struct desk *d)
{
	mutex_lock(&d->lock);
	d->hold = false;
	cond_broadcast(&d->changed);
	mutex_unlock(&d->lock);
}

static struct task
task(struct desk *d, unsigned number)
{
	return (struct task){.desk = d, .job = {.run = work},
			     .number = number};
}

static void
submit(struct task *t)
{
	t->job.ctx = t;
	worker_submit(t->desk->worker, &t->job);
}

static int
setup(void **state)
{
	static struct desk desk;

	desk = (struct desk){.hold = false};
	mutex_init(&desk.lock);
	cond_init(&desk.changed);
	desk.worker = worker_new(wake, &desk, NULL);
	*state = &desk;
	return desk.worker ? 0 : -1;
}

static int
teardown(void **state)
{
	struct desk *d = *state;

	worker_free(d->worker);
	cond_release(&d->changed);
	mutex_release(&d->lock);
	return 0;
}

static void
worker_runs_jobs_in_order(void **state)
{
	struct desk *d = *state;
	struct task tasks[JOBS];

	for (unsigned i = 0; i < JOBS; i++) {
		tasks[i] = task(d, i);
		submit(&tasks[i]);
	}
	await_woken(d, JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		assert_int_equal(d->order[i], i);
}

static void
worker_job_is_busy_until_it_has_run(void **state)
{
	struct desk *d = *state;
	struct task t = task(d, 1);

	assert_false(worker_busy(&t.job));
	d->hold = true;
	submit(&t);
	assert_true(worker_busy(&t.job));
	release(d);
	await_woken(d, 1);
	assert_false(worker_busy(&t.job));
}

static void
worker_takes_a_job_again(void **state)
{
	struct desk *d = *state;
	struct task t = task(d, 1);

	for (unsigned i = 1; i <= JOBS; i++) {
		submit(&t);
		await_woken(d, i);
		assert_false(worker_busy(&t.job));
	}
	assert_int_equal(d->done, JOBS);
}

static void
worker_ends_after_all_that_was_submitted(void **state)
{
	struct desk *d = *state;
	struct task tasks[JOBS];

	for (unsigned i = 0; i < JOBS; i++) {
		tasks[i] = task(d, i);
		submit(&tasks[i]);
	}
	worker_free(d->worker);
	d->worker = NULL;
	assert_int_equal(d->done, JOBS);
	assert_int_equal(d->woken, JOBS);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(worker_runs_jobs_in_order),
		TEST(worker_job_is_busy_until_it_has_run),
		TEST(worker_takes_a_job_again),
		TEST(worker_ends_after_all_that_was_submitted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
