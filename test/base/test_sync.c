#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"

#define THREADS 4
#define ROUNDS 5000

struct shared {
	struct mutex lock;
	struct cond changed;
	int count;		/* lock */
	bool ready;		/* lock */
	char name[16];
	bool term_blocked;
	struct wake wake;
};

static void
shared_init(struct shared *s)
{
	memset(s, 0, sizeof(*s));
	mutex_init(&s->lock);
	cond_init(&s->changed);
	s->wake.fd = -1;
}

static void
shared_release(struct shared *s)
{
	cond_release(&s->changed);
	mutex_release(&s->lock);
	wake_release(&s->wake);
}

static void
start(struct thread *t, void (*run)(void *), struct shared *s)
{
	assert_int_equal(thread_start(t, "a-name-that-is-long",
				      THREAD_STACK_SMALL, run, s, NULL), 0);
}

static bool
readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
add_many(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		mutex_lock(&s->lock);
		s->count++;
		mutex_unlock(&s->lock);
	}
}

static void
a_mutex_lets_one_in_at_a_time(void **state)
{
	struct shared s;
	struct thread threads[THREADS];

	(void)state;
	shared_init(&s);
	for (int i = 0; i < THREADS; i++)
		start(&threads[i], add_many, &s);
	for (int i = 0; i < THREADS; i++)
		thread_join(&threads[i]);
	assert_int_equal(s.count, THREADS * ROUNDS);
	shared_release(&s);
}

static void
try_lock(void *arg)
{
	struct shared *s = arg;

	if (mutex_try(&s->lock)) {
		s->ready = true;
		mutex_unlock(&s->lock);
	}
}

static void
try_fails_while_another_holds_the_lock(void **state)
{
	struct shared s;
	struct thread t;

	(void)state;
	shared_init(&s);
	mutex_lock(&s.lock);
	start(&t, try_lock, &s);
	thread_join(&t);
	mutex_unlock(&s.lock);
	assert_false(s.ready);
	start(&t, try_lock, &s);
	thread_join(&t);
	assert_true(s.ready);
	shared_release(&s);
}

static void
look_at_myself(void *arg)
{
	struct shared *s = arg;
	sigset_t mask;

	pthread_getname_np(pthread_self(), s->name, sizeof(s->name));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	s->term_blocked = sigismember(&mask, SIGTERM) == 1;
}

static void
a_thread_has_its_name_and_no_signals(void **state)
{
	struct shared s;
	struct thread t;
	sigset_t mask;

	(void)state;
	shared_init(&s);
	start(&t, look_at_myself, &s);
	thread_join(&t);
	assert_string_equal(s.name, "a-name-that-is-");
	assert_true(s.term_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 0);
	shared_release(&s);
}

static void
a_thread_never_started_can_be_joined(void **state)
{
	struct thread t = {0};

	(void)state;
	thread_join(&t);
	assert_false(t.started);
}

static void
become_ready(void *arg)
{
	struct shared *s = arg;

	mutex_lock(&s->lock);
	s->ready = true;
	mutex_unlock(&s->lock);
	cond_broadcast(&s->changed);
}

static void
a_signalled_condition_ends_the_wait(void **state)
{
	struct shared s;
	struct thread t;

	(void)state;
	shared_init(&s);
	mutex_lock(&s.lock);
	start(&t, become_ready, &s);
	while (!s.ready)
		assert_true(cond_wait(&s.changed, &s.lock,
				      clock_ns() + 60 * CLOCK_S));
	mutex_unlock(&s.lock);
	thread_join(&t);
	s.ready = false;
	mutex_lock(&s.lock);
	start(&t, become_ready, &s);
	while (!s.ready)
		assert_true(cond_wait(&s.changed, &s.lock, CLOCK_NEVER));
	mutex_unlock(&s.lock);
	thread_join(&t);
	shared_release(&s);
}

static void
a_wait_ends_at_its_moment(void **state)
{
	struct shared s;
	int64_t when = clock_ns() + 5 * CLOCK_MS;

	(void)state;
	shared_init(&s);
	mutex_lock(&s.lock);
	while (cond_wait(&s.changed, &s.lock, when))
		continue;
	mutex_unlock(&s.lock);
	assert_true(clock_ns() >= when);
	shared_release(&s);
}

static void
wake_many(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 100; i++)
		wake_up(&s->wake);
}

static void
a_wake_is_seen_until_drained(void **state)
{
	struct shared s;
	struct thread t;

	(void)state;
	shared_init(&s);
	assert_int_equal(wake_init(&s.wake, NULL), 0);
	assert_false(readable(s.wake.fd));
	start(&t, wake_many, &s);
	thread_join(&t);
	assert_true(readable(s.wake.fd));
	wake_drain(&s.wake);
	assert_false(readable(s.wake.fd));
	wake_drain(&s.wake);
	wake_up(&s.wake);
	assert_true(readable(s.wake.fd));
	shared_release(&s);
}

static void
there_is_at_least_one_processor(void **state)
{
	(void)state;
	assert_in_range(sync_processors(), 1, CPU_SETSIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mutex_lets_one_in_at_a_time),
		cmocka_unit_test(try_fails_while_another_holds_the_lock),
		cmocka_unit_test(a_thread_has_its_name_and_no_signals),
		cmocka_unit_test(a_thread_never_started_can_be_joined),
		cmocka_unit_test(a_signalled_condition_ends_the_wait),
		cmocka_unit_test(a_wait_ends_at_its_moment),
		cmocka_unit_test(a_wake_is_seen_until_drained),
		cmocka_unit_test(there_is_at_least_one_processor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
