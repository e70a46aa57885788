/*
 * error: what went wrong, in a struct that the caller owns.
 *
 * Functions that can fail take a `struct error *` last and return 0 or -1
 * (or a pointer or NULL).  No allocation, so it works out of memory and in
 * every thread.  Wording: lower case, no full stop, what failed, on what,
 * why.  Callers put context in front with error_prefix.
 *
 * A NULL error is allowed everywhere: the report is then dropped.
 */
#ifndef BTGET_BASE_ERROR_H
#define BTGET_BASE_ERROR_H

enum error_kind {
	ERROR_NONE,
	ERROR_INTERNAL,		/* a fault of btget itself; out of memory */
	ERROR_USAGE,		/* the command line or config file */
	ERROR_TORRENT,		/* invalid or unreadable torrent */
	ERROR_STORAGE,		/* the data's disk or folder */
	ERROR_NETWORK,		/* could not reach, timed out, closed */
	ERROR_PROTOCOL,		/* the other side broke the protocol */
	ERROR_DATA,		/* data that does not match its hash */
	ERROR_LOCKED,		/* another run holds the lock */
	ERROR_STOPPED,		/* asked to stop */
};

#define ERROR_TEXT_MAX 512

struct error {
	enum error_kind kind;
	int sys;		/* errno, or 0 */
	char text[ERROR_TEXT_MAX];
};

/* Sets the report; returns -1 so that callers can `return error_set(...)`. */
int error_set(struct error *e, enum error_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": " and strerror(sys) behind the text. */
int error_sys(struct error *e, enum error_kind kind, int sys,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The report for failed memory; returns -1. */
int error_memory(struct error *e);

/* Puts "text: " in front of what is there. */
void error_prefix(struct error *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Forgets the report. */
void error_clear(struct error *e);

#endif
