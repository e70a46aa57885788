/*
 * What the parts of net/http share: what it holds, and who of those that are
 * to be asked is next (http_queue).  For these alone.
 */
#ifndef BTGET_NET_HTTP_PARTS_H
#define BTGET_NET_HTTP_PARTS_H

#include <sys/queue.h>

#include "http_library.h"
#include "http_setup.h"
#include "net/http.h"
#include "net/http_hosts.h"

TAILQ_HEAD(http_jobs, http_job);

struct http {
	CURLM *multi;
	const struct iface *route;
	const struct proxy *proxy;
	struct http_refusal refusal;
	size_t most;		/* under way */
	int64_t patience;
	struct http_jobs under_way;
	size_t under_way_count;
	size_t seconds;		/* of those */
	struct http_names names;
	struct http_hosts hosts;
	struct http_jobs waiting;	/* the longest first */
	bool may_begin;		/* one of those, for all that is known */
};

struct http_job {
	TAILQ_ENTRY(http_job) entry;
	enum { JOB_IN_NO_LIST, JOB_WAITS, JOB_UNDER_WAY } state;
	int64_t begun_at;
	struct http_host *host;
	bool silent;		/* asked, and not a byte has come */
	struct http_request request;	/* its text is copied: */
	char *url;
	char *post;
	struct curl_slist *headers;
	bool dialled;		/* an address was found */
	CURL *easy;		/* NULL while it waits: it takes 8 KiB */
	struct buffer body;
	size_t header_bytes;
	struct http *http;
	bool local_ok;		/* may begin at a local address */
	long public_hop;	/* of the redirects, the first that led to a
				 * public address: none goes back inside */
	struct http_hop hop;
	char why[CURL_ERROR_SIZE];
};

/* http.c */
/* Asks; it leaves the queue then. */
CURLcode http_job_begin(struct http *h, struct http_job *job);
/* It is over: whoever asked is told, and it is freed. */
void http_job_finish(struct http *h, struct http_job *job, CURLcode code);

/* http_queue.c */
bool http_queue_has_place(const struct http *h, const struct http_job *job);
void http_queue_wait(struct http *h, struct http_job *job);
/* From wherever it is, to no list. */
void http_queue_leave(struct http *h, struct http_job *job);
/* It says something, or it did not. */
void http_queue_heard(struct http_job *job);
void http_queue_end_silence(struct http_job *job, bool failed);
/* When the next silent one has tried our patience; and those that have. */
int64_t http_queue_patience_ends(const struct http *h);
void http_queue_give_up(struct http *h);
/* Begins those that have waited and may. */
void http_queue_begin(struct http *h);

#endif
