/*
 * stats: what a torrent is doing, as the displays show it, and the events
 * that they are told of.
 *
 * Plain values, copied out of the session; all text is clean (text_clean)
 * and secrets in URLs are gone (text_url).
 * Units: bytes, bytes a second, seconds.
 */
#ifndef BTGET_SESSION_STATS_H
#define BTGET_SESSION_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum torrent_state {
	TORRENT_LOADING,	/* the torrent itself is being read */
	TORRENT_CHECKING,	/* data on disk is being verified */
	TORRENT_METADATA,	/* peers are asked what the torrent holds */
	TORRENT_DOWNLOADING,
	TORRENT_FINISHING,	/* all is there: syncing, renaming */
	TORRENT_SEEDING,
	TORRENT_STOPPED,	/* ended before it was complete */
	TORRENT_COMPLETE,	/* ended, complete */
	TORRENT_FAILED,		/* ended by an error: see reason */
};

enum stats_source {
	SOURCE_TRACKER,
	SOURCE_DHT,
	SOURCE_PEX,
	SOURCE_LSD,
	SOURCE_INCOMING,
	SOURCE_GIVEN,		/* -P */
	SOURCE_WEBSEED,
	SOURCE_COUNT
};

#define STATS_NAME_MAX 256
#define STATS_HASH_MAX 65	/* 40 or 64 hex digits and the NUL */
#define STATS_REASON_MAX 200

struct stats_torrent {
	uint32_t number;	/* in the order in which they came */
	char name[STATS_NAME_MAX];
	char info_hash[STATS_HASH_MAX];
	enum torrent_state state;
	bool stalled;		/* nothing comes; reason says why */
	char reason[STATS_REASON_MAX];	/* "no peers", "no seeds",
					 * "tracker: ..."; or empty */
	uint64_t length;	/* of what is wanted; 0 if not yet known */
	uint64_t done;		/* of it, verified */
	uint64_t checked;	/* of it, looked at, while checking */
	uint64_t down_rate;
	uint64_t up_rate;
	uint64_t uploaded;
	unsigned peers;		/* connected, and web seeds that answered */
	unsigned seeds;		/* of them, complete */
	unsigned peers_by_source[SOURCE_COUNT];
	int64_t eta;		/* -1: unknown */
	bool complete;		/* all that is wanted is verified */
};

/*
 * Called by the session's main thread, without any lock held; each must be
 * quick, and may not call into the session.  `t` is borrowed.  Any may be
 * NULL.  They are for the displays; what is wrong goes to the log, but for what
 * `refused` tells.
 */
struct session_events {
	void *ctx;

	/* There is a torrent.  Nothing has been looked at yet. */
	void (*added)(void *ctx, const struct stats_torrent *t);

	/* What was to be added, as it was given, could not be: the exit code,
	 * and why, in words. */
	void (*refused)(void *ctx, const char *torrent, int code,
			const char *why);

	/* This thread is about to log a line of this text: why a torrent
	 * fails, which will end with this exit code; 0: it has been logged. */
	void (*failing)(void *ctx, int code, const char *text);

	/* The torrent is known and its data checked. */
	void (*start)(void *ctx, const struct stats_torrent *t);

	/* A file is complete; its path in the torrent (metainfo_path), which
	 * may hold any bytes. */
	void (*file)(void *ctx, const struct stats_torrent *t,
		     const char *path);

	/* Everything is verified, synced and has its final name. */
	void (*complete)(void *ctx, const struct stats_torrent *t);

	/* The torrent has ended: its exit code, and why, in words. */
	void (*ended)(void *ctx, const struct stats_torrent *t, int code,
		      const char *reason);
};

#endif
