/*
 * outlet: writing to a descriptor without ever waiting for its reader.
 *
 * It is written to only when poll says that it takes something, and then at
 * most PIPE_BUF bytes, which a pipe that is ready takes whole.  O_NONBLOCK is
 * not touched: a terminal shares it with the shell.
 *
 * Threads: an outlet belongs to one.
 */
#ifndef BTGET_CLI_OUTLET_H
#define BTGET_CLI_OUTLET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct outlet {
	int fd;
	struct buffer queue;	/* what it has not taken yet */
	bool dead;		/* closed, full, or broken: no more */
};

/* Would it take something now? */
bool outlet_ready(const struct outlet *s);

/* Writes of the queue what it takes. */
void outlet_flush(struct outlet *s);

/* Adds all n bytes to a queue, or nothing when less than `kept` would be left
 * free of it. */
void outlet_queue(struct buffer *queue, const void *data, size_t n,
		  size_t kept);

/* Moves lines from the front of `from` to the queue, as many as it has room
 * for; true when some are left.  One that nothing would make room for is
 * lost, and all are when the outlet is dead. */
bool outlet_take(struct outlet *s, struct buffer *from);

#endif
