/*
 * dht_parts: what the files of the engine share.
 *
 * dht.c        its life: set-up, beat, bootstrap
 * dht_search.c the torrents that are searched for
 * dht_query.c  questions to others: sending, matching answers, lookups
 * dht_answer.c questions from others
 * dht_guard.c  budgets, hosts that lie or ask too often, our own address
 * dht_save.c   the list of nodes, out and in
 * (dht_reach is a module by itself: can others reach us?)
 */
#ifndef BTGET_DISCOVER_DHT_PARTS_H
#define BTGET_DISCOVER_DHT_PARTS_H

#include "discover/dht.h"
#include "discover/dht_krpc.h"
#include "discover/dht_lookup.h"
#include "discover/dht_reach.h"
#include "discover/dht_store.h"
#include "discover/dht_table.h"

#define QUERY_TIMEOUT (15 * CLOCK_S)
#define QUERIES_MAX 1024	/* under way; QUERY_RATE allows about as many */
#define SILENT_QUERIES 8	/* in a row without an answer: is it us? */
#define JOBS_MAX 8		/* lookups under way */
#define ENTRANCES_MAX 64	/* of a network */
#define BANS_MAX 128
#define BAN_STRIKES 3
#define BAN_TIME (60 * 60 * CLOCK_S)
#define SOURCES_MAX 256
#define SOURCE_WINDOW (10 * CLOCK_S)
#define SOURCE_QUERIES 100	/* in a window; more: not answered */
#define SOURCE_PAUSE (5 * 60 * CLOCK_S)
#define VOTES_MAX 16
#define VOTES_NEEDED 6
#define SEEN_MAX 16		/* addresses of a lookup, remembered */
#define MOVE_PAUSE (10 * 60 * CLOCK_S)	/* between two ids of ours */

/* Bytes a second.  Idle, both together stay below 1 KiB/s: answers by their
 * budget, queries by how few are needed. */
#define QUERY_RATE 6144
#define QUERY_BURST 24576
#define ANSWER_RATE 640
#define ANSWER_BURST 16384
/* A source may have one of so many parts of the answers.  Of what is left, as
 * large a part is for pings alone: who gets no answer to one forgets us. */
#define ANSWER_PARTS 4

enum { NET4, NET6, NETS };

struct budget {
	int64_t left;		/* bytes; may be below 0 */
	int64_t at;
	int64_t rate;
	int64_t burst;
};

struct entrance {
	struct dht_node node;
	bool known;		/* the id is */
};

struct vote {
	struct addr voter;
	struct addr address;
};

/* One of the two networks. */
struct net {
	struct dht_table *table;	/* NULL: we are not in it */
	struct dht_id self;
	int family;
	struct entrance entrances[ENTRANCES_MAX];
	size_t entrance_count;
	size_t entrance_next;	/* the one to be replaced next */
	int64_t join_at;	/* when to look for our own id again */
	int64_t join_wait;
	bool joining;
	bool tried;		/* to join */
	bool begun;		/* with somebody to ask */
	bool moved;		/* to another id, since the last try */
	int64_t joining_since;
	int64_t again_at;	/* entrances are asked, while none answers */
	size_t again_next;	/* the first of them */
	bool again;		/* they were */
	int64_t ping_at;	/* not before */
	int64_t hint_at;	/* a node that we are told: not before */
	struct vote votes[VOTES_MAX];
	size_t vote_count;
	size_t vote_next;
	struct addr external;	/* family 0: not known */
	int64_t moved_at;
	struct dht_reach reach;
};

/* Hashes of addresses; when there are more, the first. */
struct seen {
	uint32_t hashes[SEEN_MAX];
	size_t count;
};

struct search {
	struct dht_id hash;
	uint16_t port[NETS];	/* 0: we are not announced */
	bool seed;
	struct seen seen[NETS];	/* since the lookup began, and */
	struct seen before[NETS];	/* by the last one that found any */
	size_t news[NETS];	/* addresses that are not in that one */
	bool looked[NETS];	/* nodes enough have answered, once */
	bool running[NETS];
	int64_t at[NETS];	/* when to look again */
	int64_t wait[NETS];	/* after a look that found nothing */
	size_t few[NETS];	/* good nodes there were when few answered */
};

enum job_kind { JOB_JOIN, JOB_REFRESH, JOB_SEARCH };

/* A lookup under way. */
struct job {
	struct dht_lookup *lookup;
	unsigned id;		/* never 0, no two alike */
	enum job_kind kind;
	int net;
};

/* A query that was sent and not answered yet. */
struct query {
	uint32_t transaction;
	unsigned job;		/* 0: of no lookup */
	unsigned number;	/* in that lookup */
	enum krpc_method method;
	struct dht_node to;
	bool known;		/* the id is what the node must have */
	bool slow;		/* it no longer counts in its lookup */
	struct dht_id target;
	int64_t sent;
};

struct ban {
	struct addr host;
	struct dht_id claimed;	/* the last id that was not what we knew */
	unsigned strikes;
	int64_t until;
};

struct source {
	struct addr addr;
	int64_t since;
	int64_t paused_until;
	unsigned count;
	struct budget for_answers;	/* of all that share the place */
};

struct dht {
	struct dht_config config;
	struct net nets[NETS];
	struct search *searches;
	size_t search_count;
	size_t search_size;
	struct job jobs[JOBS_MAX];
	size_t job_count;
	unsigned job_ids;
	struct query queries[QUERIES_MAX];
	size_t query_count;
	bool gave_up;		/* one of them, in this beat, to make room */
	bool answered;		/* by anybody, ever */
	unsigned unanswered;	/* sent since the last answer, and */
	int64_t silent_since;	/* when the first of these was */
	struct dht_store *store;
	struct dht_tokens tokens;
	int64_t expire_at;
	struct budget for_queries;
	struct budget for_answers;
	struct ban bans[BANS_MAX];
	size_t ban_count;
	struct source sources[SOURCES_MAX];
	uint32_t source_salt;
	struct dht_stats stats;
	int64_t due;
	struct dht_scrape scrape;	/* what out borrows of it */
	struct krpc in;		/* large: not on the stack */
	struct krpc out;
};

/* ---- dht.c ---- */
struct net *dht_net_of(struct dht *d, int family);
void dht_random(struct dht *d, void *out, size_t n);
struct dht_id dht_random_id(struct dht *d);
void dht_wake_at(struct dht *d, int64_t when);
void dht_add_entrance(struct dht *d, const struct dht_node *n, bool known,
		      int64_t now);
/* A lookup is over. */
void dht_job_done(struct dht *d, const struct job *job, int64_t now);
/* Does any node of it live, as far as we know? */
bool dht_has_nodes(const struct net *net);
/* From the closest nodes on.  False when there are too many already. */
bool dht_start_lookup(struct dht *d, enum job_kind kind, int which,
		      const struct dht_id *target, int64_t now);

/* ---- dht_search.c ---- */
struct search *dht_find_search(struct dht *d, const struct dht_id *hash);
void dht_start_searches(struct dht *d, int64_t now);
/* A node has answered another lookup: those that look have use for it. */
void dht_search_node(struct dht *d, int which, const struct dht_node *n,
		     int64_t now);
/* More nodes are known than when a search had few: it looks again. */
void dht_search_again(struct dht *d, int which, int64_t now);
/* Those that few have answered are due. */
void dht_search_hurry(struct dht *d, int which, int64_t now);
void dht_search_done(struct dht *d, const struct job *job, int64_t now);
/* Peers that were found; us: where we are as who named them sees it. */
void dht_search_found(struct dht *d, struct search *s, int which,
		      const struct addr *us, const struct addr *peers,
		      size_t n);

/* ---- dht_query.c ---- */
struct job *dht_start_job(struct dht *d, enum job_kind kind, int net,
			  const struct dht_id *target);
/* Sends what the lookup has to ask; ends it when it is done. */
void dht_advance(struct dht *d, struct job *job, int64_t now);
void dht_drop_job(struct dht *d, struct job *job);
/* Sends d->out as a query of this kind.  False: no budget, or too many. */
bool dht_ask(struct dht *d, const struct query *q, int64_t now);
void dht_ping(struct dht *d, const struct dht_node *n, bool known,
	      int64_t now);
void dht_expire_queries(struct dht *d, int64_t now);
/* d->in is a response or an error. */
void dht_take_answer(struct dht *d, const struct addr *from, int64_t now);
/* What came from there was no message.  It counts only as the answer to a
 * query, by its transaction: anybody can send in the name of a node. */
void dht_take_garbage(struct dht *d, const struct addr *from, int64_t now);

/* ---- dht_answer.c ---- */
void dht_take_query(struct dht *d, const struct addr *from, int64_t now);
void dht_refuse(struct dht *d, const struct addr *to, int code, int64_t now);

/* ---- dht_guard.c ---- */
void budget_init(struct budget *b, int64_t rate, int64_t burst, int64_t now);
bool budget_has(struct budget *b, int64_t now);
void budget_take(struct budget *b, size_t bytes);
int64_t budget_due(const struct budget *b);
bool dht_banned(const struct dht *d, const struct addr *a, int64_t now);
/* It answered with what is no message, or under another id than expected.
 * Three times: banned.  Who changed its id once and stays with that is no
 * liar. */
void dht_strike(struct dht *d, const struct addr *a,
		const struct dht_id *claimed, int64_t now);
/* May this source be answered once more? */
bool dht_admit(struct dht *d, const struct addr *from, int64_t now);
void dht_init_answers(struct dht *d, int64_t now);
/* Are there bytes for an answer?  Then it is to be charged for. */
bool dht_may_answer(struct dht *d, const struct addr *to, bool ping,
		    int64_t now);
void dht_charge_answer(struct dht *d, const struct addr *to, size_t bytes);
/* A node said what our address is. */
void dht_vote(struct dht *d, const struct addr *voter,
	      const struct addr *address, int64_t now);
/* Our address is this one: an id that BEP 42 grants for it. */
void dht_settle(struct dht *d, struct net *net, const struct addr *address,
		int64_t now);

#endif
