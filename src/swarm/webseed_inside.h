/*
 * webseed_inside: the inside of a web seed, for its two files: webseed.c (its
 * life, and what it asks for) and webseed_take.c (what comes).
 */
#ifndef BTGET_SWARM_WEBSEED_INSIDE_H
#define BTGET_SWARM_WEBSEED_INSIDE_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/sync.h"
#include "meta/metainfo.h"
#include "swarm/loads.h"
#include "swarm/picker.h"
#include "swarm/webseed.h"

#define WEBSEED_SHOWN_MAX 256

struct http_range;

struct webseed {
	struct swarm *swarm;
	uint32_t id;
	uint64_t source;
	struct proxy *proxy;	/* or NULL */
	const char *url;
	char shown[WEBSEED_SHOWN_MAX];	/* the URL, without its secrets */
	void (*news)(void *ctx);
	void *ctx;
	struct thread thread;
	struct wake wake;
	struct http_range *http;
	struct buffer file_url;

	/* Shared. */
	_Atomic bool stop;
	_Atomic bool idle;	/* waits for blocks to become free */
	_Atomic bool reached;
	_Atomic bool ended;
	_Atomic bool waiting;
	_Atomic uint64_t downloaded;

	/* Read by others once it ended. */
	enum webseed_end end;
	long retry_after_s;
	bool mute6;

	/* The thread's own. */
	struct picker_peer *pp;
	uint64_t rate_bps;	/* 0: not known */
	int64_t window_at;	/* what it is measured over */
	uint64_t window_bytes;
	uint64_t last_bps;	/* of the window before, in this run */
	int64_t asked;		/* ns that requests took, and, of these, */
	int64_t waited;		/* until data came; over a window */
	size_t run;		/* blocks that may be asked for at a time */
	uint32_t only_file;	/* UINT32_MAX: there are several */
	bool whole;		/* the server does not do ranges */
	bool by_piece;		/* it is asked for pieces: BEP 17 */
	const struct webseed_bad *bad;	/* or NULL */
	unsigned bad_seen;	/* of those */
	bool more;		/* beside others */
	unsigned missing;	/* files in a row */
	char lost[ERROR_TEXT_MAX];	/* why the last one was, or "" */
	struct block *blocks;	/* reserved; in the stream's order */
	size_t count;
	size_t next;		/* the one that is being received */
	uint64_t at;		/* in the stream */
	uint8_t *slots;		/* LOAD_BLOCKS, perhaps the last in part */
	size_t block_used;	/* bytes of the one that is being received */
	struct load_part parts[LOAD_BLOCKS];	/* whole: a slot each */
	size_t part_count;
	bool fast;		/* the server waits for us */
	size_t burst;		/* bytes since the last wait */
	int full;		/* bursts in a row that filled a receive */
	char why[ERROR_TEXT_MAX];
};

static inline uint64_t
webseed_place(const struct webseed *w, const struct block *b)
{
	return (uint64_t)b->piece * w->swarm->meta->piece_length + b->offset;
}

/* It has been found to have something wrong. */
static inline bool
webseed_has_bad(const struct webseed *w)
{
	return w->bad && atomic_load(&w->bad->count) > w->bad_seen;
}

/* Notes why it ends, if nothing else was first; -1. */
int webseed_end_with(struct webseed *w, enum webseed_end end, const char *why);

/* webseed_take.c */

/* In the stream's order. */
void webseed_sort(struct webseed *w);

/* The next bytes of the stream, as http_range gives them. */
int webseed_take(void *ctx, const uint8_t *data, size_t n);

/* What was gathered goes into the file.  -1: the disk failed. */
int webseed_write(struct webseed *w);

/* No more has come yet: what was gathered is written. */
int webseed_waits(void *ctx);

/* After a wake-up in the middle of a transfer: is it still of use? */
bool webseed_go_on(void *ctx);

/* What came since window_at becomes the rate. */
void webseed_measure(struct webseed *w, int64_t now);

#endif
