#include "maker_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/sync.h"
#include "meta/merkle.h"
#include "store/files.h"

/* Read at once: large enough that system calls do not count, small enough
 * that the hash finds it in the processor's cache. */
#define PORTION_SIZE (256u << 10)

#define THREADS_MAX 64

struct worker {
	struct maker_job *job;
	struct thread thread;
	struct error error;		/* read once it is joined */
	struct hash *hash;		/* SHA-1 */
	struct hash *tree_hash;		/* SHA-256 */
	struct merkle tree;
	uint8_t *portion;
	int fd;
	size_t file;			/* that is open, if fd is */
};

static int
changed(const struct maker_list *l, size_t file, struct error *e)
{
	return error_set(e, ERROR_STORAGE, "'%s' changed while it was read",
			 l->files[file].path);
}

/* Is it still the one that the walk saw?  status: of the look at it. */
static int
judge_file(const struct maker_list *l, size_t file, int status,
	   const struct stat *st, struct error *e)
{
	const struct timespec *t = &l->more[file].changed;

	if (status != 0)
		return error_sys(e, ERROR_STORAGE, errno,
				 "cannot look at '%s'", l->files[file].path);
	if (!S_ISREG(st->st_mode) ||
	    (uint64_t)st->st_size != l->files[file].length ||
	    st->st_mtim.tv_sec != t->tv_sec ||
	    st->st_mtim.tv_nsec != t->tv_nsec)
		return changed(l, file, e);
	return 0;
}

static int
check_file(const struct worker *w, struct error *e)
{
	struct stat st;
	int status = fstat(w->fd, &st);

	return judge_file(w->job->list, w->file, status, &st, e);
}

/* What was read an hour ago, too, and what was empty and not read at all. */
static int
check_all(const struct maker_list *l, struct error *e)
{
	int status = 0;

	for (size_t i = 0; i < l->count && status == 0; i++) {
		struct stat st;
		int looked = l->multi ? fstatat(l->root, l->files[i].path, &st,
						AT_SYMLINK_NOFOLLOW)
				      : stat(l->files[0].path, &st);

		status = judge_file(l, i, looked, &st, e);
	}
	return status;
}

static int
close_file(struct worker *w, struct error *e)
{
	int status = 0;

	if (w->fd < 0)
		return 0;
	status = check_file(w, e);
	close(w->fd);
	w->fd = -1;
	return status;
}

static int
open_file(struct worker *w, size_t file, struct error *e)
{
	const struct maker_list *l = w->job->list;
	const char *path = l->files[file].path;

	if (w->fd >= 0 && w->file == file)
		return 0;
	if (close_file(w, e) != 0)
		return -1;
	w->file = file;
	if (l->multi)
		w->fd = openat(l->root, path, O_RDONLY | O_NOFOLLOW |
			       O_NONBLOCK | O_CLOEXEC);
	else
		w->fd = fcntl(l->root, F_DUPFD_CLOEXEC, 0);
	if (w->fd < 0)
		return error_sys(e, ERROR_STORAGE, errno, "cannot open '%s'",
				 path);
	return check_file(w, e);
}

/* The file that holds this byte of the stream; never an empty one. */
static size_t
find_file(const struct maker_list *l, uint64_t offset)
{
	size_t low = 0;
	size_t high = l->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (l->more[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Hashes up to `want` bytes of the open file; returns how many, 0 on error. */
static size_t
hash_portion(struct worker *w, uint64_t offset, uint64_t want, struct error *e)
{
	ssize_t n;

	if (want > PORTION_SIZE)
		want = PORTION_SIZE;
	do {
		n = pread(w->fd, w->portion, (size_t)want, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		error_sys(e, ERROR_STORAGE, errno, "cannot read '%s'",
			  w->job->list->files[w->file].path);
	if (n == 0)
		changed(w->job->list, w->file, e);
	if (n <= 0)
		return 0;
	if (w->job->v1)
		hash_add(w->hash, w->portion, (size_t)n);
	if (w->job->v2)
		merkle_add_bytes(&w->tree, w->portion, (size_t)n);
	atomic_fetch_add_explicit(&w->job->progress->hashed, (uint64_t)n,
				  memory_order_relaxed);
	return (size_t)n;
}

/* What the v1 half has behind a file that ends within the piece. */
static void
hash_gap(struct worker *w, uint64_t size)
{
	memset(w->portion, 0,
	       size < PORTION_SIZE ? (size_t)size : PORTION_SIZE);
	while (size > 0) {
		size_t part = size < PORTION_SIZE ? (size_t)size
						  : PORTION_SIZE;

		hash_add(w->hash, w->portion, part);
		size -= part;
	}
}

static void
begin_piece(struct worker *w)
{
	if (w->job->v1)
		hash_start(w->hash);
	if (w->job->v2)
		merkle_begin(&w->tree, w->tree_hash, 0);
}

/* `end` is where its data ends, in `file` where there is a v2 half.  A file
 * of one piece has its root there: its tree is no larger than it must be. */
static void
end_piece(struct worker *w, uint32_t piece, size_t file, uint64_t end)
{
	struct maker_job *j = w->job;
	uint64_t whole = ((uint64_t)piece + 1) * j->piece_length;

	if (j->v2)
		merkle_end(&w->tree, j->layers + (size_t)piece * SHA256_SIZE,
			   j->list->files[file].length > j->piece_length
				   ? merkle_level(j->piece_length) : 0);
	if (j->padded)
		hash_gap(w, whole - end);
	if (j->v1)
		hash_end(w->hash, j->hashes + (size_t)piece * SHA1_SIZE);
}

/* How much of the stream's piece is data, which ends there. */
static uint64_t
data_end(const struct maker_job *j, uint64_t at, size_t file)
{
	uint64_t end = at + j->piece_length;
	uint64_t last = j->length;

	if (j->v2)
		last = j->list->more[file].offset +
		       j->list->files[file].length;
	return end < last ? end : last;
}

static int
hash_piece(struct worker *w, uint32_t piece, struct error *e)
{
	struct maker_job *j = w->job;
	const struct maker_list *l = j->list;
	uint64_t at = (uint64_t)piece * j->piece_length;
	size_t file = find_file(l, at);
	uint64_t end = data_end(j, at, file);

	begin_piece(w);
	while (at < end) {
		uint64_t within = at - l->more[file].offset;
		uint64_t want = l->files[file].length - within;
		size_t n;

		if (want == 0) {
			file++;
			continue;
		}
		if (want > end - at)
			want = end - at;
		if (open_file(w, file, e) != 0)
			return -1;
		n = hash_portion(w, within, want, e);
		if (n == 0)
			return -1;
		at += n;
		if (atomic_load_explicit(&j->failed, memory_order_relaxed) ||
		    atomic_load_explicit(&j->progress->stop,
					 memory_order_relaxed))
			return error_set(e, ERROR_STOPPED, "stopped");
	}
	end_piece(w, piece, file, end);
	return 0;
}

static int
work_on(struct worker *w, struct error *e)
{
	struct maker_job *j = w->job;
	uint32_t piece, last;

	for (;;) {
		piece = atomic_load(&j->next);
		do {
			if (piece >= j->piece_count)
				return close_file(w, e);
			last = j->piece_count - piece < j->run ?
			       j->piece_count : piece + j->run;
		} while (!atomic_compare_exchange_weak(&j->next, &piece,
						       last));
		for (; piece < last; piece++) {
			if (hash_piece(w, piece, e) != 0)
				return -1;
		}
	}
}

static void
work(void *arg)
{
	struct worker *w = arg;

	if (work_on(w, &w->error) != 0)
		atomic_store(&w->job->failed, true);
}

static int
worker_init(struct worker *w, struct maker_job *j, struct error *e)
{
	*w = (struct worker){.job = j, .fd = -1};
	w->hash = hash_new(HASH_SHA1);
	w->tree_hash = hash_new(HASH_SHA256);
	w->portion = aligned_alloc(FILES_ALIGN, PORTION_SIZE);
	if (!w->hash || !w->tree_hash || !w->portion)
		return error_memory(e);
	return 0;
}

static void
worker_release(struct worker *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->portion);
	hash_free(w->tree_hash);
	hash_free(w->hash);
}

/* The first true reason: those who ended because another failed have none. */
static int
result(const struct worker *workers, unsigned count, struct error *e)
{
	const struct error *found = NULL;

	for (unsigned i = 0; i < count; i++) {
		const struct error *one = &workers[i].error;

		if (one->kind == ERROR_NONE)
			continue;
		if (!found || found->kind == ERROR_STOPPED)
			found = one;
	}
	if (!found)
		return 0;
	if (e)
		*e = *found;
	return -1;
}

/* This thread is one of the workers; fewer than wished will do. */
int
maker_hash(struct maker_job *j, unsigned threads, struct error *e)
{
	struct worker *workers;
	unsigned count = 0;
	int status;

	if (threads == 0)
		threads = sync_processors();
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > j->runs)
		threads = j->runs;
	workers = calloc(THREADS_MAX, sizeof(*workers));
	if (!workers)
		return error_memory(e);
	do {
		status = worker_init(&workers[count++], j, e);
	} while (status == 0 && count < threads);
	for (unsigned i = 1; status == 0 && i < count; i++) {
		if (thread_start(&workers[i].thread, "maker",
				 THREAD_STACK_SMALL, work, &workers[i],
				 NULL) != 0)
			break;
	}
	if (status == 0) {
		work(&workers[0]);
		for (unsigned i = 1; i < count; i++)
			thread_join(&workers[i].thread);
		status = result(workers, count, e);
	}
	if (status == 0)
		status = check_all(j->list, e);
	for (unsigned i = 0; i < count; i++)
		worker_release(&workers[i]);
	free(workers);
	return status;
}
