/*
 * torrent_parts: the inside of a torrent, for the files that make it up:
 * torrent.c (its life), torrent_begin.c and torrent_run.c (its way through the
 * run), torrent_announce.c (hashes, trackers), torrent_link.c (magnet links),
 * torrent_fetch.c (their .torrents from where they say), torrent_join.c (named
 * more than once), torrent_files.c (selection), torrent_disk.c,
 * torrent_save.c and torrent_finish.c (what the worker does for it),
 * torrent_name.c (whose its name in the folder is), torrent_peers.c, torrent_swarm.c, torrent_dial.c,
 * torrent_hang.c, torrent_punch.c and torrent_choke.c (its connections),
 * torrent_uplink.c (the line they share), torrent_webseeds.c (its web seeds),
 * torrent_seek.c (DHT and local discovery), torrent_hook.c (commands),
 * torrent_view.c (what others see).
 *
 * Fields belong to the main thread, but for what says otherwise.  While a
 * job runs, the worker owns what the job is about, and the main thread looks
 * at it again when the job is no longer busy.
 */
#ifndef BTGET_SESSION_TORRENT_PARTS_H
#define BTGET_SESSION_TORRENT_PARTS_H

#include <stdatomic.h>

#include "base/bitfield.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/sync.h"
#include "discover/peerlist.h"
#include "session/lock.h"
#include "session/pool.h"
#include "session/room.h"
#include "session/torrent.h"
#include "session/worker.h"
#include "store/folder.h"
#include "store/overlap.h"
#include "store/state.h"
#include "swarm/peer.h"
#include "swarm/swarm.h"
#include "swarm/webseed_plan.h"

struct announce;
struct layout;
struct names;
struct peerlist;
struct verify;
struct webseed;

#define TORRENT_SAVE_EACH (30 * CLOCK_S)
#define TORRENT_SAVE_SENT (600 * CLOCK_S)	/* what only seeds have to say */
#define TORRENT_ENOUGH_PEERS 30	/* to do without some trouble for more */
#define TORRENT_EXPLAIN_EACH (5 * CLOCK_S)
#define TORRENT_HANG_CALLS 8	/* at a time */

enum torrent_phase {
	PHASE_LOOKING,		/* job: folder, lock, saved metadata */
	PHASE_METADATA,		/* peers are asked what the torrent holds, or
				 * for its piece layers */
	PHASE_OPENING,		/* job: folder, lock, files, state */
	PHASE_CHECKING,		/* verifier threads */
	PHASE_PREPARING,	/* job: room on the disk; where files adopt
				 * later, also before: then it opens on */
	PHASE_DOWNLOADING,
	PHASE_FINISHING,	/* job: sync, state, rename */
	PHASE_SEEDING,
	PHASE_ENDING,		/* job: state; trackers; peers leave */
	PHASE_ENDED,
};

/* Why a peer could not stay after the handshake. */
enum torrent_away {
	AWAY_NOT,
	AWAY_NO_PLACE,
	AWAY_DOUBLE,		/* connected already */
	AWAY_TURN_OVER,		/* it was here, and others wait */
};

struct torrent_peer {
	struct peer *peer;
	enum peer_source source;
	struct addr dialled;	/* family 0: it came to us */
	uint64_t last_down;	/* at the choker's last look */
	uint64_t last_up;
	uint64_t last_sent;	/* at the uplink's last look */
	bool measured;
	uint64_t down_bps;		/* an average */
	uint64_t up_bps;
	uint64_t up_at_unchoke;
	bool admitted;
	enum torrent_away away;	/* why it was not */
	bool leaving;		/* it makes room */
	bool optimistic;
	int64_t optimistic_at;
	int64_t changed_at;
	int64_t took_at;	/* data was last seen to go to it */
	int64_t moved_at;	/* data was last seen to go either way */
	uint64_t moved;		/* all of it, as of then */
	int64_t hangs_at;	/* since when; 0: it does not */
	int64_t call_at;	/* then its address is called */
};

/* It is to leave; peers_lock. */
static inline void
torrent_part(struct torrent_peer *tp, enum torrent_away away)
{
	tp->leaving = true;
	tp->away = away;
	peer_stop(tp->peer);
}

struct torrent_webseed {
	const char *url;		/* the metainfo's, or the link's */
	bool by_piece;			/* BEP 17 */
	bool more;			/* one more connection to that before */
	struct webseed_bad *bad;	/* of all these, the first's; or NULL */
	int64_t more_due;		/* of the first: for all of these */
	unsigned more_failures;
	uint64_t source;		/* a key of it, for blame */
	struct webseed *seed;		/* running; peers_lock to change it */
	_Atomic bool banned;
	int64_t begun_at;
	unsigned failures;		/* in a row */
	bool unreachable;		/* how it ended the last time */
	bool mute6;			/* IPv6 connects there, and no more */
	int64_t due;			/* to be started */
};

/* The link's .torrent, from where it says. */
struct torrent_fetch {
	const char *url;		/* the last one asked */
	size_t next;			/* of the link's sources, and of those
					 * that others told */
	int64_t due;			/* once all were asked */
	struct http_job *job;		/* or NULL */
	size_t came;			/* bytes of it, or of the last one */
	size_t round;			/* of those before, since all were
					 * asked, and */
	size_t most;			/* in any such round */
	bool taken;			/* what came; it is the worker's, to
					 * be saved, from now on */
	uint8_t *data;			/* or NULL */
	size_t size;
};

enum torrent_version { TORRENT_V1, TORRENT_V2, TORRENT_VERSIONS };

/* One by each hash. */
struct torrent_announce {
	struct torrent *torrent;
	struct announce *announce;	/* NULL: the hash is not known */
	bool started;
};

/* Each once; they stay where they are. */
struct torrent_texts {
	char **all;
	size_t count;
};

/* What others that name it say, and the first does not; changed while no job
 * runs. */
struct torrent_more {
	struct torrent_texts trackers;	/* URLs */
	struct torrent_texts web_seeds;
	struct torrent_texts http_seeds;
	struct torrent_texts sources;	/* of its .torrent */
	struct torrent_texts peers;	/* as of -P */
};

struct torrent_joining;

struct torrent {
	struct torrent_env env;
	uint32_t number;
	_Atomic unsigned holders;	/* threads that look at it */
	struct magnet *link;		/* or NULL */
	bool has_file;			/* a .torrent joined the link */
	bool uses_trackers;		/* of what was saved or fetched */
	struct torrent_joining *joining;	/* not taken yet */
	struct torrent_more more;
	struct metainfo *meta;		/* of a link, NULL before it is known */
	char first_name[STATS_NAME_MAX];	/* of a link, clean */
	char given_name[STATS_NAME_MAX];	/* of another link, clean */
	char last_name[STATS_NAME_MAX];	/* of the metainfo, clean */
	const char *_Atomic name;	/* one of them */
	char hash_hex[STATS_HASH_MAX];	/* as it was named: v1 if it can be */
	char state_hex[STATS_HASH_MAX];	/* metainfo_hex */
	uint8_t secret_v1[20];		/* mse_torrent_hash, where known */
	uint8_t secret_v2[20];
	struct swarm swarm;
	struct peerlist *peerlist;
	struct names *names;		/* peers of the link, or NULL */
	struct torrent_fetch fetch;
	struct torrent_announce announces[TORRENT_VERSIONS];

	/* The disk's. */
	struct folder folder;
	bool crowded;			/* there was none: waits its turn */
	int64_t turn_at;		/* when to look again */
	bool prepares_on;		/* is not done yet: once more */
	bool lacks_room;		/* others claim it: waits for them */
	int64_t room_at;		/* when to look again */
	bool name_waits;		/* others still look at what is there */
	bool name_later;		/* one was named before */
	unsigned name_tries;
	int64_t name_at;		/* when to try again; 0: not yet set */
	struct lock lock;		/* of the torrent */
	struct lock state_lock;		/* where its state has another name */
	struct lock name_lock;		/* of DIR/NAME; shared but to write */
	struct error lock_error;	/* why they could not be taken */
	bool owns_name;			/* as is noted there */
	bool name_known;		/* the state knows what lies there */
	struct room_claim claim;	/* see there */
	struct layout *layout;
	struct state state;
	struct verify *verify;
	struct bitfield have;		/* before the run began to download */
	struct bitfield check;		/* to be verified; then what could not */
	struct bitfield unknown;	/* of these, what no state knows */
	struct bitfield lost;		/* changed by others; count 0: none */
	struct bitfield vouched;	/* had before it was found damaged */
	struct bitfield claimed;	/* files of others; count 0: none */
	struct bitfield begun;		/* those that they have begun */
	bool claims_known;		/* of the two was judged */
	struct overlap overlap;
	bool overlap_loaded;
	struct bitfield wanted;		/* pieces with something selected */
	struct bitfield selected;	/* files; main's too, also at the end,
					 * while no job runs */
	struct bitfield stored;		/* files, spare ones too */
	struct bitfield adopted;	/* files, from the side; count 0: none */
	_Atomic bool adopts_later;	/* once space has been taken */
	bool borrows_on;		/* is not done yet: once more */
	size_t borrow_from;
	bool reselected;		/* not as in the state */
	bool all_same;			/* the state knows all as it is */
	bool was_complete;		/* by an earlier run, and of that
					 * nothing is known to be lost */
	bool verified;			/* more than the last state knows */
	struct worker_job job;
	struct error job_error;		/* kind ERROR_NONE: it went well */
	uint64_t saved_bytes;		/* received, as of the last state */
	uint64_t saved_sent;		/* sent, as of one while seeding */
	int64_t save_due;
	int64_t push_due;
	int64_t push_took;		/* the job's while it runs */
	uint64_t pushed_bytes;
	int64_t save_took;		/* but for the sync; the job's while it
					 * runs */
	_Atomic bool stop_disk;		/* ends what takes long there */
	bool loaded;			/* a state was read */
	bool ask_again;			/* whether it is named twice */
	_Atomic bool gave_way;		/* it was, or was begun anew */
	bool save_metadata;		/* it came from peers */

	/* The way through the run. */
	_Atomic int phase;		/* enum torrent_phase */
	int code;
	char reason[STATS_REASON_MAX + ERROR_TEXT_MAX];
	_Atomic bool complete;		/* everything has its final name */
	_Atomic bool gave_up;		/* it ended by a failure */
	bool announced;			/* trackers were told of the start */
	_Atomic bool seeking;		/* in the DHT, the local network */
	bool hosts_told;		/* the .torrent's DHT nodes */
	bool save_at_end;
	bool started;			/* events.start was called */
	int64_t begun_at;		/* for the deadline */
	int64_t news_at;		/* new data came */
	uint64_t most_bytes;		/* the most that was there at a time */
	int64_t seeding_at;
	int64_t ending_until;
	int64_t explain_due;
	_Atomic uint64_t wanted_bytes;	/* of selected files */
	_Atomic uint64_t done_bytes;	/* of these, in verified pieces */
	size_t *file_left;		/* pieces missing, by file; or NULL */
	size_t filed;			/* cursor in the have log, for files */

	/* The user's commands. */
	bool hook_due;			/* --on-complete is to run */
	bool hook_running;
	int hook_cut;		/* 128+N: so it ends if the command fails */
	bool hook_failed;		/* --on-complete */
	bool hook_error_run;
	char hook_why[STATS_REASON_MAX + 400];

	/* Connections. */
	struct mutex peers_lock;
	struct torrent_peer *peers;	/* guarded by peers_lock */
	size_t peer_count;		/* guarded by peers_lock */
	size_t peer_size;		/* guarded by peers_lock */
	bool peers_closed;		/* guarded by peers_lock: none more */
	_Atomic bool no_thread;		/* for a peer, which was told */
	_Atomic uint32_t next_id;
	_Atomic unsigned dialling;
	_Atomic unsigned utp_dialling;
	_Atomic unsigned connected;	/* threads */
	_Atomic unsigned ever_admitted;
	_Atomic bool choke_soon;	/* somebody's interest changed */
	_Atomic bool tell_soon;		/* a piece was verified */
	_Atomic bool turned_away;	/* a peer, without a look at it */
	int64_t comes_until;		/* perhaps, one that was turned away */
	struct pool_member pool;
	int64_t choke_due;
	int64_t choked_at;
	int64_t measured_at;
	int64_t told_at;
	int64_t pruned_at;
	int64_t turned_at;		/* peers_lock */
	int64_t dial_tokens_at;
	unsigned dial_tokens;
	int64_t dial_again;		/* the queue was full */
	bool asked;			/* somebody wants data */
	_Atomic unsigned dials_answered;	/* their tokens come back */
	_Atomic unsigned dials_punched;	/* theirs are still to be taken */
	_Atomic bool hangs_soon;	/* who hangs has changed */
	int64_t hangs_due;
	size_t hangs_next;		/* guarded by peers_lock: whose turn */
	struct addr hang_calls[TORRENT_HANG_CALLS];	/* guarded by
					 * peers_lock; family 0: none */
	int64_t punch_paid;		/* guarded by peers_lock */
	struct addr turned;		/* peers_lock: a relay; or family 0 */
	struct addr turned_for;		/* the same: whom it is to reach */

	/* Web seeds; both are set once, with peers_lock. */
	struct torrent_webseed *webseeds;
	size_t webseed_count;
	unsigned webseeds_running;
	bool webseed_reached;		/* one was, ever */
	char webseed_why[STATS_REASON_MAX];	/* the last one ended */

	/* A failure that a peer thread met. */
	struct mutex failure_lock;
	struct error failure;		/* guarded by failure_lock */
	_Atomic bool failed;

	/* For display. */
	struct mutex view_lock;
	int64_t view_at;		/* guarded by view_lock */
	uint64_t view_down;		/* guarded by view_lock */
	uint64_t view_up;		/* guarded by view_lock */
	double view_down_rate;		/* guarded by view_lock */
	double view_up_rate;		/* guarded by view_lock */
	char view_reason[STATS_REASON_MAX];	/* guarded by view_lock */
};

static inline enum torrent_phase
torrent_phase(const struct torrent *t)
{
	return (enum torrent_phase)atomic_load(&t->phase);
}

/* torrent_disk.c: jobs for the worker. */
void torrent_job(struct torrent *t, void (*run)(void *ctx));
/* Is the first job to be waited for, or what has joined meanwhile to be taken
 * first, or was there no place for the torrent, so that the job is tried again
 * (session/share)?  Then *due is when to look. */
bool torrent_waits(struct torrent *t, int64_t now, int64_t *due);
void torrent_begin_job(struct torrent *t);	/* the phase's first one */
void torrent_job_look(void *ctx);	/* for metadata of an earlier run */
void torrent_job_open(void *ctx);
void torrent_job_adopt(void *ctx);	/* what that one has put off */
void torrent_job_borrow(void *ctx);	/* what those have left to be done */
void torrent_job_prepare(void *ctx);
void torrent_close_disk(struct torrent *t);
/* Is it to end?  Then the error says so. */
bool torrent_is_stopped(const struct torrent *t, struct error *e);
/* Is all that is wanted in one of the two, of which the second may be NULL? */
bool torrent_covers(const struct torrent *t, const struct bitfield *have,
		    const struct bitfield *unchecked);
/* All that is wanted was there before the run began to download. */
bool torrent_has_all(const struct torrent *t);
/* The same, and just as an earlier run has left it, complete. */
bool torrent_is_as_left(const struct torrent *t);

/* torrent_save.c, torrent_finish.c: the same. */
void torrent_job_push(void *ctx);	/* the disk begins to write */
void torrent_job_save(void *ctx);	/* sync, then the state */
/* What the job does.  Pieces of files that others have changed are set in
 * `strange` (or NULL). */
int torrent_save_state(struct torrent *t, bool complete,
		       struct bitfield *strange, struct error *e);
void torrent_job_finish(void *ctx);	/* the same, and the final name */

/* torrent_name.c: the worker's.  The lock is shared while the data is looked
 * at; 1 when another torrent has it alone. */
int torrent_name_share(struct torrent *t, struct error *e);
/* Before the state takes over how the files look now. */
void torrent_name_look(struct torrent *t);
/* Before a write: the name is ours alone.  -1, and not even the lock
 * is held any more, when it is another torrent's; but if others share it and
 * name_waits is set, so do we, and it is to be tried again. */
int torrent_name_take(struct torrent *t, bool may_wait, struct error *e);
/* Before it is called complete: the name is ours too. */
int torrent_name_join(struct torrent *t, struct error *e);
/* What it is told from others by; `out` has LAYOUT_NAME_MAX + 1. */
const char *torrent_name_key(const struct torrent *t, char *out);
/* Does the file lie there?  And is something of it right? */
bool torrent_name_has(const struct torrent *t, size_t file);
bool torrent_name_fits(const struct torrent *t, size_t file);
/* Is it another torrent's as well?  1, 0, or -1 with the error. */
int torrent_name_is_shared(struct torrent *t, struct error *e);

/* torrent_claims.c: the same.  Before a write: -1 when it would ruin a file that
 * another torrent has. */
int torrent_claims_spare(struct torrent *t, struct error *e);
/* Before it is called complete: -1 when one is ruined, as could not be told
 * before. */
int torrent_claims_settle(struct torrent *t, struct error *e);

/* torrent_files.c: which files, and which of them are complete. */
int torrent_choose_files(struct torrent *t, struct error *e);	/* worker */
/* In a folder that has the final name: sets what is known to be begun, and is
 * not somebody else's by now.  The worker's. */
int torrent_find_begun(struct torrent *t, struct bitfield *out,
		       struct error *e);
/* A piece of zeros says nothing of whose file it lies in. */
bool torrent_piece_is_zeros(const struct torrent *t, struct files *files,
			    size_t piece);
/* Has the file something in each block of the piece that lies in it? */
bool torrent_piece_is_full(const struct torrent *t, struct files *files,
			   size_t piece, size_t file);
void torrent_count_files(struct torrent *t);	/* once data is checked */
/* Follows the have log: bytes that are done, files that became complete. */
void torrent_tell_files(struct torrent *t);

/* Empty files have no last piece: they are told at the end of a download. */
void torrent_tell_empty_files(struct torrent *t);
/* What a tracker is told. */
uint64_t torrent_left(struct torrent *t);
/* Every piece is there, not only the wanted ones. */
bool torrent_is_whole(const struct torrent *t);
/* All that is wanted is there, and it is not everything (BEP 21). */
bool torrent_is_partial_seed(const struct torrent *t);

/* torrent_hook.c: the user's commands; the first two are the worker's. */
void torrent_hook_look(struct torrent *t);	/* left by an earlier run? */
int torrent_hook_note(struct torrent *t, struct error *e);	/* due now */
void torrent_hook_complete(struct torrent *t);
/* A signal came while the command is waited for. */
void torrent_hook_cut(struct torrent *t, int code);
/* True while a command is to be waited for. */
bool torrent_hook_ending(struct torrent *t);

/* torrent_link.c: magnet links. */
int64_t torrent_tick_looking(struct torrent *t, int64_t now);
int64_t torrent_tick_metadata(struct torrent *t, int64_t now);
void torrent_ask_link_peers(struct torrent *t);	/* once */
void torrent_ask_peer(struct torrent *t, const char *host, uint16_t port);
/* What it looks for, which is taken over.  False when it is not the link's:
 * the torrent has failed. */
bool torrent_take_file(struct torrent *t, struct metainfo *meta);
/* The same, which torrent_fetch has and which is the link's. */
void torrent_take_fetched(struct torrent *t, struct metainfo *meta);
/* Is it the one that the link, or the .torrent, is about? */
bool torrent_fits(const struct torrent *t, const struct metainfo *m);
/* For what meta lacks of them. */
int torrent_make_layers(struct torrent *t, struct error *e);
/* The piece layers, if that is what it still looks for. */
void torrent_take_layers(struct torrent *t, const struct metainfo *m);
/* Looks their names up; returns when to be called again. */
int64_t torrent_mind_names(struct torrent *t, int64_t now);
/* What the torrent holds is known: its name and trackers. */
void torrent_set_meta(struct torrent *t, struct metainfo *meta);
int torrent_save_metadata(struct torrent *t, struct error *e);
void torrent_metadata_name(const struct torrent *t, char *out, size_t size);

/* torrent_fetch.c: where the link says that its .torrent is. */
void torrent_fetch(struct torrent *t, int64_t now);
int64_t torrent_fetch_due(const struct torrent *t);
void torrent_fetch_hurry(struct torrent *t);	/* all are asked anew */
bool torrent_fetch_has_come(struct torrent *t);	/* more than ever before */
void torrent_fetch_end(struct torrent *t);	/* nothing more is asked for */
void torrent_fetch_forget(struct torrent *t);	/* what was taken */

/* torrent_join.c */
void torrent_take_joined(struct torrent *t);	/* what can be, by now */
void torrent_join_release(struct torrent *t);

/* torrent.c, for the others */
void torrent_set_name(struct torrent *t, const char *name);	/* one of its */
void torrent_set_phase(struct torrent *t, enum torrent_phase phase);
/* A line of the log that tells why it ends with this code; 0: it does not. */
void torrent_tell_failure(struct torrent *t, enum log_level level, int code,
			  const char *text);
/* An error ends it; its text is the one line that the user gets. */
void torrent_fail_with(struct torrent *t, int code, const char *text);
void torrent_fail(struct torrent *t, const struct error *e);

/* torrent_begin.c: each is called when what its name says has happened. */
void torrent_opened(struct torrent *t);
void torrent_verified(struct torrent *t);
/* Can what failed so be read again, when the disk is no worse? */
bool torrent_is_no_loss(const struct error *e);
void torrent_prepared(struct torrent *t);
void torrent_begin_finishing(struct torrent *t);
void torrent_completed(struct torrent *t);
bool torrent_will_seed(const struct torrent *t);
bool torrent_go_online(struct torrent *t);	/* false: it has failed */

/* torrent_announce.c: by what it is known, and trackers.  Hashes have 20
 * bytes; those that are not known are NULL. */
void torrent_set_hashes(struct torrent *t, const uint8_t *v1,
			const uint8_t *v2);
void torrent_tell_hybrid(struct torrent *t);	/* the candidate list */
const uint8_t *torrent_hash(const struct torrent *t,
			    enum torrent_version version);
const uint8_t *torrent_by_secret(const struct torrent *t,
				 const uint8_t hash[20]);
int torrent_announces_make(struct torrent *t, struct error *e);
void torrent_announces_free(struct torrent *t);
void torrent_announce(struct torrent *t);	/* from now on, or by more */
void torrent_announce_more(struct torrent *t);	/* trackers have come */
void torrent_announce_stop(struct torrent *t);
void torrent_announce_completed(struct torrent *t);
void torrent_announce_want_peers(struct torrent *t);
void torrent_announce_hurry(struct torrent *t);
void torrent_announce_slept(struct torrent *t, int64_t ns);
bool torrent_announce_idle(const struct torrent *t);
struct announce_status;
void torrent_announce_status(const struct torrent *t,
			     struct announce_status *out);

/* torrent_run.c */
int64_t torrent_tick_checking(struct torrent *t, int64_t now);
void torrent_begin_preparing(struct torrent *t);
int64_t torrent_tick_preparing(struct torrent *t, int64_t now);
int64_t torrent_tick_downloading(struct torrent *t, int64_t now);
int64_t torrent_tick_finishing(struct torrent *t, int64_t now);
int64_t torrent_tick_seeding(struct torrent *t, int64_t now);
/* Something else runs; the deadline holds all the same. */
int64_t torrent_await(struct torrent *t, int64_t now);
void torrent_mind_peers(struct torrent *t, int64_t now);
bool torrent_out_of_time(struct torrent *t, int64_t now);
int64_t torrent_time_left(const struct torrent *t);

/* torrent_peers.c: who is let in, and who has left */
void torrent_peers_init(struct torrent *t);
bool torrent_is_open(const struct torrent *t);	/* takes connections */
/* Takes over what is in it; false when there is no place. */
bool torrent_add_connection(struct torrent *t, struct peer_start start);
/* Is one here that came in, and says that it listens there? */
bool torrent_came_in(struct torrent *t, const struct addr *a);
void torrent_reap(struct torrent *t, int64_t now);
/* What the candidate list is to know of one that came in. */
unsigned torrent_flags_of(const struct torrent_peer *tp);
/* Is who has left to be called again soon? */
struct peer_view;
bool torrent_was_useful(const struct peer_view *v, int64_t now);
void torrent_wake_peers(struct torrent *t);
/* No new connections; those that are there end. */
void torrent_disconnect(struct torrent *t);
/* The same, and waits for them; when no other thread adds any. */
void torrent_peers_release(struct torrent *t);
int64_t torrent_peers_due(const struct torrent *t, int64_t now);

/* One of the connections that the descriptor limit allows. */
bool torrent_take_place(struct torrent *t);

/* torrent_swarm.c: what peer threads ask and tell */
void torrent_swarm_init(struct torrent *t);
/* From how far away an address can be reached. */
enum torrent_reach { REACH_HOST, REACH_NETWORK, REACH_WORLD };
enum torrent_reach torrent_reach(const struct addr *a);

/* torrent_dial.c */
void torrent_dial_init(struct torrent *t);
void torrent_dial(struct torrent *t, int64_t now);
int64_t torrent_dial_due(const struct torrent *t, int64_t now);
/* These three from any thread.  The other two: false when it cannot be tried;
 * brief: with another way, or another time, if nobody answers soon. */
bool torrent_may_dial(const struct torrent *t);
bool torrent_dial_utp(struct torrent *t, const struct addr *to);
bool torrent_dial_tcp(struct torrent *t, const struct addr *to, bool brief);

/* torrent_hang.c: connections that hang */
void torrent_mind_hanging(struct torrent *t, int64_t now);
/* True when it was one of its calls that somebody answered there, or not
 * (-1); takes the descriptor over, then. */
bool torrent_hang_called(struct torrent *t, const struct addr *to, int fd);

/* torrent_punch.c: hole punching */
void torrent_punch_init(struct torrent *t);	/* what peer threads ask */
/* Neither TCP nor uTP got there: perhaps somebody brings us together. */
void torrent_ask_relays(struct torrent *t, const struct addr *to);
/* A relay had us call there, in vain: it is to be reached by uTP instead. */
void torrent_turn_relay(struct torrent *t, const struct addr *to);
/* This connection told of peers: if it is that relay again, and it told of the
 * same one, it is asked. */
void torrent_relay_tells(struct torrent *t, uint32_t id);

/* torrent_choke.c: who is told, who may download, who makes room */
void torrent_tell(struct torrent *t, int64_t now);
void torrent_choke(struct torrent *t, int64_t now);
void torrent_prune(struct torrent *t, int64_t now);
/* It has no place, and wants one. */
void torrent_mind_hunger(struct torrent *t, int64_t now);
/* False when nobody may be asked to leave. */
bool torrent_make_room_locked(struct torrent *t, int64_t now)
    REQUIRES(t->peers_lock);
/* Though all are of use: of an address (IPv6: a /64) that has more than half of
 * the places, for a newcomer from another one, else (NULL, too) the slowest of
 * a download once a minute. */
bool torrent_turn_over_locked(struct torrent *t, const struct peer *newcomer,
			      int64_t now) REQUIRES(t->peers_lock);
int64_t torrent_choke_due(const struct torrent *t, int64_t now);

/* torrent_webseeds.c */
void torrent_webseeds_begin(struct torrent *t);	/* once */
/* Another one, while it downloads; the text stays. */
void torrent_webseeds_more(struct torrent *t, const char *url, bool by_piece);
void torrent_webseeds_join(struct torrent *t);	/* waits for their end */
void torrent_webseeds_release(struct torrent *t);	/* nobody looks any more */
void torrent_webseeds_run(struct torrent *t, int64_t now);
void torrent_webseeds_reap(struct torrent *t, int64_t now);
/* The network is there again: URLs that could not be reached are due. */
void torrent_webseeds_hurry(struct torrent *t, int64_t now);
void torrent_webseeds_stop(struct torrent *t);	/* they end soon */
int64_t torrent_webseeds_due(const struct torrent *t, int64_t now);
/* Would one begin, and the torrent has no connection at all? */
bool torrent_webseeds_wait(const struct torrent *t, int64_t now);
/* One ends, for another torrent; false if none runs. */
bool torrent_webseeds_give(struct torrent *t);
void torrent_webseeds_wake_locked(struct torrent *t)
    REQUIRES(t->peers_lock);	/* those that wait for free blocks */
void torrent_webseeds_outrun_locked(struct torrent *t, uint32_t id)
    REQUIRES(t->peers_lock);
/* It has sent bad data for the piece.  Its URL, or NULL when that is no web
 * seed's key; and what comes of it, which is known when it was banned. */
const char *torrent_webseeds_blame_locked(struct torrent *t, uint64_t source,
					  uint32_t piece,
					  enum webseed_verdict *verdict)
    REQUIRES(t->peers_lock);
unsigned torrent_webseeds_count_locked(struct torrent *t)
    REQUIRES(t->peers_lock);	/* at work */

/* torrent_seek.c: the udp thread's part */
void torrent_seek_init(struct torrent *t);
void torrent_seek(struct torrent *t);	/* from now on, or otherwise now */
void torrent_seek_stop(struct torrent *t);
void torrent_seek_judge(struct torrent *t);	/* the metadata is known */
const char *torrent_seek_explain(const struct torrent *t);

/* torrent_view.c */
uint64_t torrent_wanted_bytes(const struct torrent *t);
/* Why nothing comes, for the displays; now and then. */
void torrent_explain(struct torrent *t, int64_t now);

#endif
