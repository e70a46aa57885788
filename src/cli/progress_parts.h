/*
 * progress_parts: the inside of the progress, for its two files: progress.c
 * (the thread, and what others queue for it) and progress_show.c (what it
 * shows).
 */
#ifndef BTGET_CLI_PROGRESS_PARTS_H
#define BTGET_CLI_PROGRESS_PARTS_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/sync.h"
#include "cli/bars.h"
#include "cli/outlet.h"
#include "cli/plain.h"
#include "cli/progress.h"
#include "cli/screen.h"

#define FRAME_MAX (256u << 10)

/* What plain lines have told of a torrent. */
struct told {
	uint32_t number;
	struct plain plain;
};

struct progress {
	enum progress_mode mode;
	const char *dir;
	int64_t patience_ns;
	bool same_terminal;	/* messages would break the bars */
	bool utf8;
	bool colour;
	struct wake wake;
	struct thread thread;

	struct mutex lock;
	struct cond ended_cond;
	struct buffer events;	/* lock; for standard output */
	struct buffer messages;	/* lock; for standard error */
	const struct progress_source *source;	/* lock; or NULL */
	bool stop;		/* lock */
	int64_t until;		/* lock; when the end gives up on readers */
	bool ended;		/* lock; the thread is about to return */

	atomic_bool resized;
	atomic_bool hurried;
	atomic_bool restored;	/* a handler wrote: see progress_restore */
	atomic_bool painting;	/* within a write of a frame */
	atomic_bool hidden;	/* the cursor */

	/* the thread's own */
	struct outlet out;
	struct outlet err;
	struct screen screen;
	struct screen_size size;
	struct bars_torrent *torrents;	/* of the last snapshot */
	struct told *told;
	size_t told_count;
	size_t count;
	size_t room;		/* of both arrays */
	struct buffer frame;
	struct buffer shown;	/* the frame before */
	int64_t painted_at;
	int64_t next_at;
	bool ending;		/* no more frames */
	bool out_waits;		/* events did not fit into the queue */
	bool err_waits;		/* messages did not */
};

/* progress_show.c: the state as it is, and when it is to be called again
 * (next_at).  The thread calls it; source may be NULL. */
void progress_update(struct progress *p, const struct progress_source *source,
		     int64_t now, bool last);

#endif
