/*
 * faults: a library for LD_PRELOAD that makes the system fail on demand.
 *
 *   FAULT=CALL:N:HOW[:WHEN]
 *
 * CALL is a word of the table below.  The N-th such call that the program
 * itself makes (N counts from 1, over all threads) fails with HOW: the name
 * or number of an errno; "short", which does a part only and is no failure;
 * or "hold", which makes FILE.held of FAULT_HOLD=FILE, goes on once FILE is
 * there, and is no failure either.  WHEN is "once" (as if left out), "on" (all
 * further ones fail as well, as on a full disk) or "each" (every N-th one).
 * Calls of other libraries count for CALLs that end in a '+': "malloc+" is
 * also what libcurl, libcrypto and libc itself allocate.  "large" is what is
 * allocated in one piece of LARGE_SIZE bytes or more, which are few.
 *
 *   FAULT_FROM=FILE
 *
 * Calls count once FILE is there, and the first of them that fails makes
 * FILE.met.
 *
 *   FAULT_SLEPT=FILE
 *
 * The machine was suspended for as many seconds as FILE says, which is read
 * whenever CLOCK_BOOTTIME is; without it, or empty, for none.
 *
 *   FAULT_COUNTS=FILE
 *
 * As the process ends, a line "CALL COUNT" for each CALL is written there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call {
	OPEN, WRITE, PWRITE, PREAD, READ, SYNC, RENAME, TRUNCATE, ALLOCATE,
	SENDFILE, MALLOC, THREAD, SOCKET, ACCEPT, CONNECT, RECV, SEND, MKDIR,
	UNLINK, STAT, LOCK, BIND, LARGE, ACCESS, IFADDRS, CALLS
};

static const char *const words[CALLS] = {
	"open", "write", "pwrite", "pread", "read", "sync", "rename",
	"truncate", "allocate", "sendfile", "malloc", "thread", "socket",
	"accept", "connect", "recv", "send", "mkdir", "unlink", "stat", "lock",
	"bind", "large", "access", "ifaddrs"
};

enum { HOLD = -2, SHORT = -1, NONE = 0 };

#define HOLD_POLL_US 2000
#define LARGE_SIZE 16384
#define ZEROS_MAX (128 << 10)

static struct {
	int call;		/* enum call, or -1 */
	bool others;		/* calls of other libraries count too */
	unsigned long n;
	int how;		/* an errno, SHORT or HOLD */
	enum { ONCE, ON, EACH } when;
} plan = { .call = -1 };

static _Atomic unsigned long counts[CALLS];
static _Atomic unsigned long all_counts[CALLS];
static uintptr_t text_from, text_to;	/* of the program itself */
static _Atomic bool ready;
static _Atomic bool met;	/* one has failed */
static FILE *counts_out;
static const char *hold;	/* FAULT_HOLD */
static const char *from_file;	/* FAULT_FROM */
static const char *slept_file;	/* FAULT_SLEPT */

/* ---- set-up ---- */

static int
see_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type == PT_LOAD && (h->p_flags & PF_X)) {
			text_from = info->dlpi_addr + h->p_vaddr;
			text_to = text_from + h->p_memsz;
		}
	}
	return 1;		/* the first one is the program */
}

static int
errno_of(const char *name)
{
	static const struct {
		const char *name;
		int value;
	} table[] = {
		{ "short", SHORT }, { "hold", HOLD },
		{ "EINTR", EINTR }, { "EIO", EIO },
		{ "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT },
		{ "EROFS", EROFS }, { "EACCES", EACCES },
		{ "ENOLCK", ENOLCK }, { "ENOSYS", ENOSYS },
		{ "ENOMEM", ENOMEM }, { "EMFILE", EMFILE },
		{ "ENFILE", ENFILE }, { "EAGAIN", EAGAIN },
		{ "ENOENT", ENOENT }, { "EINVAL", EINVAL },
		{ "ECONNRESET", ECONNRESET }, { "EPIPE", EPIPE },
		{ "ENOBUFS", ENOBUFS }, { "ECONNABORTED", ECONNABORTED },
		{ "EOPNOTSUPP", EOPNOTSUPP }, { "EPERM", EPERM },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, name) == 0)
			return table[i].value;
	return atoi(name);
}

static void
read_plan(const char *text)
{
	char call[32] = "", how[32] = "", when[32] = "once";

	if (sscanf(text, "%31[^:]:%lu:%31[^:]:%31s", call, &plan.n, how,
		   when) < 3)
		_exit(99);
	plan.others = call[strlen(call) - 1] == '+';
	if (plan.others)
		call[strlen(call) - 1] = '\0';
	plan.how = errno_of(how);
	plan.when = when[0] == 'e' ? EACH : strcmp(when, "on") == 0 ? ON
								    : ONCE;
	for (int i = 0; i < CALLS; i++)
		if (strcmp(words[i], call) == 0)
			plan.call = i;
	if (plan.call < 0 || plan.n == 0 || plan.how == 0 ||
	    (plan.how == HOLD && !hold))
		_exit(99);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *text = getenv("FAULT");
	const char *path = getenv("FAULT_COUNTS");

	dl_iterate_phdr(see_object, NULL);
	hold = getenv("FAULT_HOLD");
	from_file = getenv("FAULT_FROM");
	slept_file = getenv("FAULT_SLEPT");
	if (text)
		read_plan(text);
	/* Now: later the program may have given up the right to. */
	if (path)
		counts_out = fopen(path, "we");
	atomic_store(&ready, true);
}

__attribute__((destructor)) static void
end(void)
{
	atomic_store(&ready, false);
	if (!counts_out)
		return;
	for (int i = 0; i < CALLS; i++)
		fprintf(counts_out, "%s %lu\n%s+ %lu\n", words[i],
			atomic_load(&counts[i]), words[i],
			atomic_load(&all_counts[i]));
	fclose(counts_out);
}

static void
tell(const char *file, const char *what)
{
	char path[4096];
	FILE *told;

	snprintf(path, sizeof(path), "%s.%s", file, what);
	told = fopen(path, "we");
	if (told)
		fclose(told);
}

static void
wait_for_release(void)
{
	tell(hold, "held");
	while (access(hold, F_OK) != 0)
		usleep(HOLD_POLL_US);
}

/* What is to become of this call: NONE, SHORT or an errno. */
static int
fate(enum call call, const void *from)
{
	bool own = (uintptr_t)from >= text_from && (uintptr_t)from < text_to;
	unsigned long n, all;

	if (!atomic_load(&ready) ||
	    (from_file && access(from_file, F_OK) != 0))
		return NONE;
	all = atomic_fetch_add(&all_counts[call], 1) + 1;
	n = own ? atomic_fetch_add(&counts[call], 1) + 1 : 0;
	if (plan.call != (int)call || !(own || plan.others))
		return NONE;
	if (plan.others)
		n = all;
	if (plan.when == ONCE ? n != plan.n : plan.when == ON ? n < plan.n
							      : n % plan.n)
		return NONE;
	if (from_file && !atomic_exchange(&met, true))
		tell(from_file, "met");
	if (plan.how != HOLD)
		return plan.how;
	wait_for_release();
	return NONE;
}

/* Eventfds and the like take all or nothing and do not fail. */
static bool
may_fail(int fd)
{
	struct stat st;

	return fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != 0;
}

#define FATE(call) fate(call, __builtin_return_address(0))
#define REAL(type, name, ...)						\
	static type (*real)(__VA_ARGS__);				\
	if (!real)							\
		*(void **)&real = dlsym(RTLD_NEXT, name)
/* Fails as planned; `real` is then not called. */
#define FAIL(call, value)						\
	do {								\
		int fate_ = FATE(call);					\
		if (fate_ > 0) {					\
			errno = fate_;					\
			return value;					\
		}							\
	} while (0)

/* A part of it, at least one byte. */
static size_t
part(int how, size_t n)
{
	return how == SHORT && n > 1 ? n / 2 : n;
}

/* ---- files ---- */

static mode_t
mode_of(int flags, va_list list)
{
	return (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(list, mode_t) : 0;
}

int
open(const char *path, int flags, ...)
{
	va_list list;
	mode_t mode;

	REAL(int, "open", const char *, int, ...);
	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	FAIL(OPEN, -1);
	return real(path, flags, mode);
}

/* FAULT_FAT: all disks look as if they had exFAT; and pwritev fails far beyond
 * a file's end. */
int
fstatfs(int fd, struct statfs *out)
{
	int status;

	REAL(int, "fstatfs", int, struct statfs *);
	status = real(fd, out);
	if (status == 0 && getenv("FAULT_FAT"))
		out->f_type = 0x2011bab0;
	return status;
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list list;
	mode_t mode;

	REAL(int, "openat", int, const char *, int, ...);
	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	FAIL(OPEN, -1);
	return real(dir, path, flags, mode);
}

#define DATA_CALL(call, name, type, params, args)			\
	ssize_t name params						\
	{								\
		int how = may_fail(fd) ? FATE(call) : NONE;		\
		REAL(ssize_t, #name, type);				\
									\
		if (how > 0) {						\
			errno = how;					\
			return -1;					\
		}							\
		n = part(how, n);					\
		return real args;					\
	}
#define LIST(...) __VA_ARGS__

DATA_CALL(WRITE, write, LIST(int, const void *, size_t),
	  (int fd, const void *data, size_t n), (fd, data, n))
DATA_CALL(READ, read, LIST(int, void *, size_t),
	  (int fd, void *data, size_t n), (fd, data, n))
DATA_CALL(READ, __read_chk, LIST(int, void *, size_t, size_t),
	  (int fd, void *data, size_t n, size_t size), (fd, data, n, size))
DATA_CALL(PWRITE, pwrite, LIST(int, const void *, size_t, off_t),
	  (int fd, const void *data, size_t n, off_t at), (fd, data, n, at))
DATA_CALL(PREAD, pread, LIST(int, void *, size_t, off_t),
	  (int fd, void *data, size_t n, off_t at), (fd, data, n, at))
DATA_CALL(PREAD, __pread_chk, LIST(int, void *, size_t, off_t, size_t),
	  (int fd, void *data, size_t n, off_t at, size_t size),
	  (fd, data, n, at, size))
DATA_CALL(SENDFILE, sendfile, LIST(int, int, off_t *, size_t),
	  (int fd, int in, off_t *at, size_t n), (fd, in, at, n))
DATA_CALL(RECV, recv, LIST(int, void *, size_t, int),
	  (int fd, void *data, size_t n, int flags), (fd, data, n, flags))
DATA_CALL(RECV, __recv_chk, LIST(int, void *, size_t, size_t, int),
	  (int fd, void *data, size_t n, size_t size, int flags),
	  (fd, data, n, size, flags))
DATA_CALL(SEND, send, LIST(int, const void *, size_t, int),
	  (int fd, const void *data, size_t n, int flags),
	  (fd, data, n, flags))

/* With FAULT_FAT: would so many zeros come first that it takes long? */
static bool
is_far(int fd, off_t at)
{
	struct stat st;

	return getenv("FAULT_FAT") && fstat(fd, &st) == 0 &&
	       at > st.st_size + ZEROS_MAX;
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	int how = is_far(fd, at) ? EFBIG : FATE(PWRITE);

	REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
	if (how > 0) {
		errno = how;
		return -1;
	}
	if (how == SHORT) {
		struct iovec first = parts[0];

		first.iov_len = part(how, first.iov_len);
		return real(fd, &first, 1, at);
	}
	return real(fd, parts, count, at);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	int how = FATE(SEND);

	REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
	if (how > 0) {
		errno = how;
		return -1;
	}
	if (how == SHORT && message->msg_iovlen > 0) {
		struct msghdr less = *message;
		struct iovec first = message->msg_iov[0];

		first.iov_len = part(how, first.iov_len);
		less.msg_iov = &first;
		less.msg_iovlen = 1;
		return real(fd, &less, flags);
	}
	return real(fd, message, flags);
}

#define PLAIN_CALL(call, result, name, type, params, args)		\
	result name params						\
	{								\
		REAL(result, #name, type);				\
		FAIL(call, -1);						\
		return real args;					\
	}

PLAIN_CALL(SYNC, int, fsync, LIST(int), (int fd), (fd))
PLAIN_CALL(SYNC, int, fdatasync, LIST(int), (int fd), (fd))
PLAIN_CALL(SYNC, int, syncfs, LIST(int), (int fd), (fd))
PLAIN_CALL(BIND, int, bind, LIST(int, const struct sockaddr *, socklen_t),
	   (int fd, const struct sockaddr *to, socklen_t n), (fd, to, n))
PLAIN_CALL(LOCK, int, flock, LIST(int, int), (int fd, int how), (fd, how))
PLAIN_CALL(RENAME, int, rename, LIST(const char *, const char *),
	   (const char *from, const char *to), (from, to))
PLAIN_CALL(RENAME, int, renameat,
	   LIST(int, const char *, int, const char *),
	   (int d, const char *from, int e, const char *to),
	   (d, from, e, to))
PLAIN_CALL(RENAME, int, renameat2,
	   LIST(int, const char *, int, const char *, unsigned),
	   (int d, const char *from, int e, const char *to, unsigned flags),
	   (d, from, e, to, flags))
PLAIN_CALL(TRUNCATE, int, ftruncate, LIST(int, off_t), (int fd, off_t size),
	   (fd, size))
PLAIN_CALL(ALLOCATE, int, fallocate, LIST(int, int, off_t, off_t),
	   (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
PLAIN_CALL(MKDIR, int, mkdir, LIST(const char *, mode_t),
	   (const char *path, mode_t mode), (path, mode))
PLAIN_CALL(MKDIR, int, mkdirat, LIST(int, const char *, mode_t),
	   (int dir, const char *path, mode_t mode), (dir, path, mode))
PLAIN_CALL(UNLINK, int, unlinkat, LIST(int, const char *, int),
	   (int dir, const char *path, int flags), (dir, path, flags))
PLAIN_CALL(STAT, int, fstat, LIST(int, struct stat *),
	   (int fd, struct stat *out), (fd, out))
PLAIN_CALL(STAT, int, fstatat, LIST(int, const char *, struct stat *, int),
	   (int dir, const char *path, struct stat *out, int flags),
	   (dir, path, out, flags))

PLAIN_CALL(ACCESS, int, faccessat, LIST(int, const char *, int, int),
	   (int dir, const char *path, int how, int flags),
	   (dir, path, how, flags))

/* ---- sockets and threads ---- */

PLAIN_CALL(SOCKET, int, socket, LIST(int, int, int),
	   (int domain, int type, int protocol), (domain, type, protocol))
PLAIN_CALL(ACCEPT, int, accept4,
	   LIST(int, struct sockaddr *, socklen_t *, int),
	   (int fd, struct sockaddr *from, socklen_t *size, int flags),
	   (fd, from, size, flags))
PLAIN_CALL(CONNECT, int, connect,
	   LIST(int, const struct sockaddr *, socklen_t),
	   (int fd, const struct sockaddr *to, socklen_t size),
	   (fd, to, size))

int
pthread_create(pthread_t *id, const pthread_attr_t *attr,
	       void *(*run)(void *), void *arg)
{
	int how = FATE(THREAD);

	REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *,
	     void *(*)(void *), void *);
	return how > 0 ? how : real(id, attr, run, arg);
}

PLAIN_CALL(IFADDRS, int, getifaddrs, LIST(struct ifaddrs **),
	   (struct ifaddrs **out), (out))

/* ---- time ---- */

static time_t
slept_s(void)
{
	FILE *f = fopen(slept_file, "re");
	long s = 0;

	if (f && fscanf(f, "%ld", &s) != 1)
		s = 0;
	if (f)
		fclose(f);
	return s;
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	int status;

	REAL(int, "clock_gettime", clockid_t, struct timespec *);
	status = real(clock, out);
	if (status == 0 && clock == CLOCK_BOOTTIME && slept_file)
		out->tv_sec += slept_s();
	return status;
}

/* ---- memory; dlsym would itself allocate ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

void *
malloc(size_t size)
{
	FAIL(MALLOC, NULL);
	if (size >= LARGE_SIZE)
		FAIL(LARGE, NULL);
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	FAIL(MALLOC, NULL);
	if (size > 0 && count >= LARGE_SIZE / size)
		FAIL(LARGE, NULL);
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	FAIL(MALLOC, NULL);
	if (size >= LARGE_SIZE)
		FAIL(LARGE, NULL);
	return __libc_realloc(old, size);
}
