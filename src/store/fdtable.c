#include "store/fdtable.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"

enum place {
	PLACE_FREE,
	PLACE_OPENING,
	PLACE_OPEN,
};

/* All of it is guarded by the table's lock; `fd` of a pinned one is fixed. */
struct pin {
	size_t file;
	bool write;
	enum place place;
	int fd;
	unsigned users;
	struct pin *newer;	/* by last use; NULL: the newest */
	struct pin *older;
	struct pin *chain;	/* the same bucket */
};

struct fdtable {
	fdtable_open *open;
	void *ctx;
	size_t max;
	size_t mask;
	struct mutex lock;
	struct cond changed;	/* opened, failed, or no longer pinned */
	unsigned waiting;	/* lock */
	struct pin *newest;	/* lock */
	struct pin *oldest;	/* lock */
	struct pin **buckets;	/* lock */
	struct pin *pins;
	struct fdbudget own;		/* without one that is shared */
	struct fdbudget *budget;	/* a place that is not free has one */
	_Atomic int lost;		/* errno of a close, or 0 */
};

static void
let_go(struct fdtable *t, int fd)
{
	if (close(fd) < 0 && errno != EINTR)
		atomic_store(&t->lost, errno);
}

static struct pin **
bucket(struct fdtable *t, size_t file)
{
	return &t->buckets[(file * 0x9e3779b97f4a7c15ULL >> 20) & t->mask];
}

static void
unlink_locked(struct fdtable *t, struct pin *p) REQUIRES(t->lock)
{
	*(p->newer ? &p->newer->older : &t->newest) = p->older;
	*(p->older ? &p->older->newer : &t->oldest) = p->newer;
	p->newer = p->older = NULL;
}

static void
link_newest_locked(struct fdtable *t, struct pin *p) REQUIRES(t->lock)
{
	p->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = p;
	t->newest = p;
}

static void
link_oldest_locked(struct fdtable *t, struct pin *p) REQUIRES(t->lock)
{
	p->newer = t->oldest;
	*(t->oldest ? &t->oldest->older : &t->newest) = p;
	t->oldest = p;
}

static void
unchain_locked(struct fdtable *t, struct pin *p) REQUIRES(t->lock)
{
	struct pin **at = bucket(t, p->file);

	while (*at != p)
		at = &(*at)->chain;
	*at = p->chain;
	p->chain = NULL;
}

struct fdtable *
fdtable_new(size_t max, fdtable_open *open, void *ctx, struct error *e)
{
	struct fdtable *t = calloc(1, sizeof(*t));

	if (!t) {
		error_memory(e);
		return NULL;
	}
	mutex_init(&t->lock);
	cond_init(&t->changed);
	t->open = open;
	t->ctx = ctx;
	t->max = max ? max : 1;
	atomic_init(&t->own.left, (long)t->max);
	t->budget = &t->own;
	t->mask = 15;
	while (t->mask < t->max * 2)
		t->mask = t->mask * 2 + 1;
	t->pins = calloc(t->max, sizeof(*t->pins));
	t->buckets = calloc(t->mask + 1, sizeof(struct pin *));
	if (!t->pins || !t->buckets) {
		error_memory(e);
		fdtable_free(t);
		return NULL;
	}
	mutex_lock(&t->lock);
	for (size_t i = 0; i < t->max; i++) {
		t->pins[i].fd = -1;
		link_oldest_locked(t, &t->pins[i]);
	}
	mutex_unlock(&t->lock);
	return t;
}

void
fdtable_free(struct fdtable *t)
{
	if (!t)
		return;
	for (size_t i = 0; t->pins && i < t->max; i++) {
		if (t->pins[i].fd < 0)
			continue;
		close(t->pins[i].fd);
		atomic_fetch_add(&t->budget->left, 1);
	}
	cond_release(&t->changed);
	mutex_release(&t->lock);
	free(t->buckets);
	free(t->pins);
	free(t);
}

int
fdtable_lost(const struct fdtable *t)
{
	return atomic_load(&t->lost);
}

void
fdtable_share(struct fdtable *t, struct fdbudget *budget)
{
	t->budget = budget;
}

static struct pin *
find_locked(struct fdtable *t, size_t file, bool write) REQUIRES(t->lock)
{
	struct pin *p = *bucket(t, file);

	while (p && (p->file != file || p->write < write))
		p = p->chain;
	return p;
}

/* The place that was not used for the longest time, or NULL: all pinned. */
static struct pin *
spare_locked(struct fdtable *t) REQUIRES(t->lock)
{
	struct pin *p = t->oldest;

	while (p && p->users > 0)
		p = p->newer;
	return p;
}

/* The same among those that hold a descriptor. */
static struct pin *
idle_locked(struct fdtable *t) REQUIRES(t->lock)
{
	struct pin *p = t->oldest;

	while (p && (p->users > 0 || p->place != PLACE_OPEN))
		p = p->newer;
	return p;
}

/* A place for one more descriptor, with its share of the budget; or NULL. */
static struct pin *
room_locked(struct fdtable *t) REQUIRES(t->lock)
{
	struct pin *p = spare_locked(t), *idle;

	if (!p || p->place == PLACE_OPEN ||
	    atomic_fetch_sub(&t->budget->left, 1) > 0)
		return p;
	idle = idle_locked(t);
	if (!idle)
		return p;	/* on credit: see fdtable_unpin */
	atomic_fetch_add(&t->budget->left, 1);
	return idle;
}

/* Its descriptor is the caller's to close. */
static int
empty_locked(struct fdtable *t, struct pin *p) REQUIRES(t->lock)
{
	int fd = p->fd;

	unchain_locked(t, p);
	p->place = PLACE_FREE;
	p->fd = -1;
	p->users = 0;
	unlink_locked(t, p);
	link_oldest_locked(t, p);
	atomic_fetch_add(&t->budget->left, 1);
	return fd;
}

static void
wait_locked(struct fdtable *t) REQUIRES(t->lock)
{
	t->waiting++;
	cond_wait(&t->changed, &t->lock, CLOCK_NEVER);
	t->waiting--;
}

static void
tell_locked(struct fdtable *t) REQUIRES(t->lock)
{
	if (t->waiting > 0)
		cond_broadcast(&t->changed);
}

/* Pins one that is open, or takes a place for one to be opened; *old is then
 * the descriptor that had the place. */
static struct pin *
claim_locked(struct fdtable *t, size_t file, bool write, int *old)
    REQUIRES(t->lock)
{
	struct pin *p;

	for (;;) {
		p = find_locked(t, file, write);
		if (p && p->place == PLACE_OPEN) {
			p->users++;
			break;
		}
		if (!p && (p = room_locked(t))) {
			if (p->place == PLACE_OPEN)
				unchain_locked(t, p);
			*old = p->fd;
			*p = (struct pin){
				.file = file, .write = write, .users = 1,
				.place = PLACE_OPENING, .fd = -1,
				.newer = p->newer, .older = p->older,
				.chain = *bucket(t, file),
			};
			*bucket(t, file) = p;
			break;
		}
		wait_locked(t);
	}
	unlink_locked(t, p);
	link_newest_locked(t, p);
	return p;
}

/* The one that was not used for the longest time; false: none is idle. */
static bool
close_one(struct fdtable *t)
{
	struct pin *idle = NULL;
	int fd = -1;

	mutex_lock(&t->lock);
	idle = idle_locked(t);
	if (idle)
		fd = empty_locked(t, idle);
	mutex_unlock(&t->lock);
	if (fd >= 0)
		let_go(t, fd);
	return fd >= 0;
}

/* Out of descriptors, of the process or of the system: ours that are idle
 * go first.  False when there is none. */
static bool
make_way(struct fdtable *t, int sys)
{
	return (sys == EMFILE || sys == ENFILE) && close_one(t);
}

void
fdtable_close_idle(struct fdtable *t)
{
	while (close_one(t))
		;
}

int
fdtable_pin(struct fdtable *t, size_t file, bool write, struct pin **pin,
	    struct error *e)
{
	struct pin *p;
	struct error why;
	int old = -1, fd;

	error_clear(&why);
	mutex_lock(&t->lock);
	p = claim_locked(t, file, write, &old);
	fd = p->fd;
	mutex_unlock(&t->lock);
	*pin = p;
	if (fd >= 0)
		return fd;
	if (old >= 0)
		let_go(t, old);
	do
		fd = t->open(t->ctx, file, write, &why);
	while (fd < 0 && make_way(t, why.sys));
	mutex_lock(&t->lock);
	p->fd = fd;
	p->place = PLACE_OPEN;
	if (fd < 0) {
		empty_locked(t, p);
		*pin = NULL;
	}
	tell_locked(t);
	mutex_unlock(&t->lock);
	if (fd < 0 && e)
		*e = why;
	return fd;
}

void
fdtable_unpin(struct fdtable *t, struct pin *pin)
{
	int lent = -1;

	if (!pin)
		return;
	mutex_lock(&t->lock);
	if (--pin->users == 0) {
		if (atomic_load(&t->budget->left) < 0)
			lent = empty_locked(t, pin);
		tell_locked(t);
	}
	mutex_unlock(&t->lock);
	if (lent >= 0)
		let_go(t, lent);
}
