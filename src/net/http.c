#include "net/http.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/text.h"
#include "http_parts.h"
#include "http_setup.h"
#include "net/http_target.h"

#define TOTAL_CONNECTIONS_MAX 64
#define IDLE_CONNECTIONS_MAX 8
#define FDS_MAX 64

const char *
http_version(struct error *e)
{
	return http_library_load(e) < 0 ? e->text : curl.version();
}

struct http *
http_new(const struct http_config *config, struct error *e)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h) {
		error_memory(e);
		return NULL;
	}
	TAILQ_INIT(&h->under_way);
	TAILQ_INIT(&h->waiting);
	h->most = TOTAL_CONNECTIONS_MAX;
	h->patience = HTTP_PATIENCE_MS * CLOCK_MS;
	if (config) {
		h->route = config->route;
		h->proxy = config->proxy;
		h->refusal = config->refusal;
	}
	if (config && config->connections_max)
		h->most = config->connections_max;
	if (config && config->patience_ms)
		h->patience = config->patience_ms * CLOCK_MS;
	http_hosts_init(&h->hosts, h->most);
	return h;
}

/* The first request needs libcurl; until then there is only a wait. */
static int
get_ready(struct http *h, struct error *e)
{
	if (h->multi)
		return 0;
	if (http_library_load(e) < 0)
		return -1;
	h->multi = http_setup_multi();
	if (!h->multi)
		return error_memory(e);
	curl.multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
			  (long)h->most);
	curl.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS,
			  (long)IDLE_CONNECTIONS_MAX);
	return 0;
}

static void
job_free(struct http *h, struct http_job *job)
{
	http_queue_leave(h, job);
	http_queue_end_silence(job, false);
	http_hosts_drop(&h->hosts, job->host);
	if (job->easy) {
		curl.multi_remove_handle(h->multi, job->easy);
		curl.easy_cleanup(job->easy);
	}
	curl.slist_free_all(job->headers);
	free(job->url);
	free(job->post);
	buffer_release(&job->body);
	free(job);
}

void
http_free(struct http *h)
{
	if (!h)
		return;
	/* The analyzer does not see that a list gets another first one. */
	while (!TAILQ_EMPTY(&h->waiting))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		job_free(h, TAILQ_FIRST(&h->waiting));
	while (!TAILQ_EMPTY(&h->under_way))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		job_free(h, TAILQ_FIRST(&h->under_way));
	http_names_release(&h->names);
	http_hosts_release(&h->hosts);
	if (h->multi)
		curl.multi_cleanup(h->multi);
	free(h);
}

static size_t
take_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_job *job = ctx;

	http_queue_heard(job);
	buffer_put(&job->body, data, size * count);
	return job->body.failed ? 0 : size * count;
}

static size_t
take_header(char *data, size_t size, size_t count, void *ctx)
{
	struct http_job *job = ctx;

	(void)data;
	http_queue_heard(job);
	job->header_bytes += size * count;
	return job->header_bytes <= HTTP_HEADERS_MAX ? size * count : 0;
}

static CURLcode
set_limits(CURL *c, const struct http_request *r)
{
	long timeout = r->timeout_ms ? r->timeout_ms : HTTP_TIMEOUT_MS;
	long connect = r->connect_timeout_ms ? r->connect_timeout_ms
					     : HTTP_CONNECT_TIMEOUT_MS;
	CURLcode bad = CURLE_OK;

	HTTP_SET(CURLOPT_TIMEOUT_MS, timeout);
	HTTP_SET(CURLOPT_CONNECTTIMEOUT_MS, connect);
	return bad;
}

static CURLcode
set_request(CURL *c, struct http_job *job)
{
	CURLcode bad = CURLE_OK;

	HTTP_SET(CURLOPT_URL, job->url);
	HTTP_SET(CURLOPT_PRIVATE, job);
	HTTP_SET(CURLOPT_ERRORBUFFER, job->why);
	HTTP_SET(CURLOPT_ACCEPT_ENCODING, "gzip");
	HTTP_SET(CURLOPT_WRITEFUNCTION, take_body);
	HTTP_SET(CURLOPT_WRITEDATA, job);
	HTTP_SET(CURLOPT_HEADERFUNCTION, take_header);
	HTTP_SET(CURLOPT_HEADERDATA, job);
	return bad;
}

/* May it go to a local address?  Where a redirect leads there, it is judged
 * as its URL would have been. */
static bool
may_go_inside(const struct http_job *job, long hop)
{
	const struct http_request *r = &job->request;
	const char *url = NULL;

	if (!job->local_ok || hop > job->public_hop)
		return false;
	if (hop == 0 || !(r->announce || r->link))
		return true;
	curl.easy_getinfo(job->easy, CURLINFO_EFFECTIVE_URL, &url);
	return url && (r->announce ? http_target_is_announce(url)
				   : !strchr(url, '?'));
}

/* With a proxy the address is the proxy's, which the user chose. */
static curl_socket_t
on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_job *job = ctx;
	int family = job->request.family;
	struct addr a;
	long hop;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	/* A redirect may name an address of the other one. */
	if (family != 0 && to->family != family)
		return CURL_SOCKET_BAD;
	job->dialled = true;
	if (!job->http->proxy) {
		hop = http_setup_hop(job->easy, &job->hop);
		if (!addr_from_sockaddr(&a, &to->addr) ||
		    !http_target_allowed(may_go_inside(job, hop), &a)) {
			job->hop.refused = true;
			return CURL_SOCKET_BAD;
		}
		if (!addr_is_local(&a) && hop < job->public_hop)
			job->public_hop = hop;
		if (http_setup_refuses(&job->http->refusal, &a)) {
			job->hop.blocked = true;
			return CURL_SOCKET_BAD;
		}
		job->hop.allowed = true;
	}
	return http_setup_socket(job->http->route, to);
}

/* No connection is used again or, as HTTP/2 would, beside another job, since
 * none was judged by this one's rules. */
static CURLcode
set_target(CURL *c, struct http_job *job)
{
	const struct http_request *r = &job->request;
	CURLcode bad = CURLE_OK;

	job->local_ok = r->link ? http_target_is_local(r->url)
				: !r->announce || http_target_is_announce(r->url);
	HTTP_SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	HTTP_SET(CURLOPT_OPENSOCKETDATA, job);
	job->public_hop = LONG_MAX;
	if (r->announce || r->link) {
		HTTP_SET(CURLOPT_FORBID_REUSE, 1L);
		HTTP_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	}
	return bad;
}

/* What makes it more than a GET; after the settings that all share. */
static CURLcode
set_more(CURL *c, const struct http_job *job)
{
	CURLcode bad = CURLE_OK;

	if (job->headers)
		HTTP_SET(CURLOPT_HTTPHEADER, job->headers);
	if (job->post)
		HTTP_SET(CURLOPT_POSTFIELDS, job->post);
	if (job->request.no_redirects)
		HTTP_SET(CURLOPT_FOLLOWLOCATION, 0L);
	return bad;
}

static CURLcode
make_easy(struct http *h, struct http_job *job)
{
	CURLcode bad;

	job->easy = curl.easy_init();
	if (!job->easy)
		return CURLE_OUT_OF_MEMORY;
	bad = http_setup_common(job->easy);
	bad = bad ? bad : set_request(job->easy, job);
	bad = bad ? bad : set_limits(job->easy, &job->request);
	bad = bad ? bad : set_target(job->easy, job);
	bad = bad ? bad : set_more(job->easy, job);
	bad = bad ? bad : http_setup_route(job->easy, h->route, h->proxy);
	return bad ? bad : http_setup_family(job->easy, &h->names,
					     job->request.family);
}

/* libcurl would count its time while it waits for a connection. */
CURLcode
http_job_begin(struct http *h, struct http_job *job)
{
	CURLcode bad = make_easy(h, job);

	if (bad)
		return bad;
	if (curl.multi_add_handle(h->multi, job->easy) != CURLM_OK)
		return CURLE_OUT_OF_MEMORY;
	http_queue_leave(h, job);
	TAILQ_INSERT_TAIL(&h->under_way, job, entry);
	h->under_way_count++;
	h->seconds += job->request.second;
	job->state = JOB_UNDER_WAY;
	job->begun_at = clock_ns();
	job->silent = true;
	http_hosts_asked(&h->hosts, job->host);
	return CURLE_OK;
}

static int
take_request(struct http_job *job, const struct http_request *r)
{
	job->url = strdup(r->url);
	job->post = r->post ? strdup(r->post) : NULL;
	job->request = *r;
	job->request.url = job->url;
	job->request.post = job->post;
	job->request.headers = NULL;
	if (!job->url || (r->post && !job->post))
		return -1;
	for (size_t i = 0; r->headers && r->headers[i]; i++) {
		struct curl_slist *more = curl.slist_append(job->headers,
							    r->headers[i]);

		if (!more)
			return -1;
		job->headers = more;
	}
	return 0;
}

struct http_job *
http_start(struct http *h, const struct http_request *r, struct error *e)
{
	struct http_job *job = NULL;
	struct http_host *host;
	CURLcode bad = CURLE_OK;

	if (r->link && !http_target_url_allowed(r->url)) {
		error_set(e, ERROR_PROTOCOL, "a query to a host of the local "
			  "network");
		return NULL;
	}
	if (http_target_check_url(r->url, e) != 0 ||
	    !http_setup_ready(h->route, e) || get_ready(h, e) != 0)
		return NULL;
	host = http_hosts_find(&h->hosts, r->url, r->family);
	job = host ? calloc(1, sizeof(*job)) : NULL;
	if (!job) {
		http_hosts_drop(&h->hosts, host);
		error_memory(e);
		return NULL;
	}
	job->host = host;
	job->http = h;
	buffer_init(&job->body, r->body_max);
	if (take_request(job, r) < 0)
		bad = CURLE_OUT_OF_MEMORY;
	else if (!r->urgent && !http_queue_has_place(h, job))
		http_queue_wait(h, job);
	else
		bad = http_job_begin(h, job);
	if (!bad)
		return job;
	if (bad == CURLE_OUT_OF_MEMORY)
		error_memory(e);
	else
		error_set(e, ERROR_INTERNAL, "cannot set up a request: %s",
			  curl.easy_strerror(bad));
	job_free(h, job);
	return NULL;
}

void
http_cancel(struct http *h, struct http_job *job)
{
	if (job && job->state != JOB_IN_NO_LIST)
		job_free(h, job);
}

bool
http_sent(const struct http_job *job)
{
	long size = 0;

	return job->easy && curl.easy_getinfo(job->easy, CURLINFO_REQUEST_SIZE,
					      &size) == CURLE_OK && size > 0;
}

size_t
http_came(const struct http_job *job)
{
	return job->header_bytes + job->body.used;
}

/* Says why a transfer failed, in words that a person can use. */
static void
describe(const struct http_job *job, CURLcode code, struct error *e)
{
	char why[CURL_ERROR_SIZE];
	long redirects = 0;
	char size[16];

	if (job->header_bytes > HTTP_HEADERS_MAX ||
	    http_setup_line_too_long(job->easy, code)) {
		error_set(e, ERROR_PROTOCOL, "the headers are too large");
	} else if (job->body.failed) {
		error_set(e, ERROR_PROTOCOL, "the answer is larger than %s",
			  text_size(size, sizeof(size), job->body.cap));
	} else if (job->hop.refused && !job->hop.allowed &&
		   job->request.announce && !job->local_ok &&
		   job->public_hop == LONG_MAX) {
		error_set(e, ERROR_PROTOCOL, "a tracker on a local address "
			  "must have 'announce' in its path");
	} else if (job->hop.refused && !job->hop.allowed) {
		error_set(e, ERROR_PROTOCOL, "it leads to an address that it "
			  "must not reach");
	} else if (job->hop.blocked && !job->hop.allowed) {
		error_set(e, ERROR_PROTOCOL, "its address is on the "
			  "blocklist");
	} else if (code == CURLE_TOO_MANY_REDIRECTS) {
		error_set(e, ERROR_PROTOCOL, "too many redirects");
	} else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
		curl.easy_getinfo(job->easy, CURLINFO_REDIRECT_COUNT,
				  &redirects);
		error_set(e, ERROR_PROTOCOL, redirects > 0
			  ? "redirected to something that is not http"
			  : "what answers there does not speak HTTP");
	} else {
		text_clean(why, sizeof(why),
			   job->why[0] ? job->why : curl.easy_strerror(code));
		error_set(e, ERROR_NETWORK, "%s", why);
	}
}

void
http_job_finish(struct http *h, struct http_job *job, CURLcode code)
{
	const char *why = job->why[0] ? job->why : curl.easy_strerror(code);
	struct http_answer answer = {0};

	if (http_setup_blames(job->easy, code, h->proxy, why, &answer.error)) {
		answer.proxy_failed = true;
	} else if (code == CURLE_OK) {
		curl.easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE,
				  &answer.status);
		answer.body = job->body.data;
		answer.size = job->body.used;
	} else {
		describe(job, code, &answer.error);
		answer.no_address = !job->dialled;
	}
	http_queue_leave(h, job);
	http_queue_end_silence(job, true);
	job->request.done(job->request.ctx, &answer);
	job_free(h, job);
}

static int
multi_error(CURLMcode code, struct error *e)
{
	if (code == CURLM_OK)
		return 0;
	return error_set(e, ERROR_INTERNAL, "libcurl failed: %s",
			 curl.multi_strerror(code));
}

int
http_run(struct http *h, struct error *e)
{
	int left = 0;
	CURLMsg *m;

	if (!h->multi)
		return 0;
	http_queue_give_up(h);
	http_queue_begin(h);
	if (multi_error(curl.multi_perform(h->multi, &left), e) != 0)
		return -1;
	while ((m = curl.multi_info_read(h->multi, &left))) {
		CURLcode code = m->data.result;
		char *job = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &job);
		if (job)
			http_job_finish(h, (struct http_job *)(void *)job,
					code);
	}
	http_queue_begin(h);
	return 0;
}

/* Without a limit, libcurl would still have one of its own. */
static int
wait_ms(const struct http *h, int timeout_ms)
{
	int64_t left = http_queue_patience_ends(h);
	int64_t most = (int64_t)3600 * CLOCK_S;

	if (timeout_ms >= 0)
		most = timeout_ms * CLOCK_MS;
	if (left != CLOCK_NEVER)
		left = left - clock_ns() + CLOCK_MS - 1;
	left = clock_min(left, most);
	return left > 0 ? (int)(left / CLOCK_MS) : 0;
}

static int
poll_fds(struct pollfd *fds, size_t n, int timeout_ms, struct error *e)
{
	for (size_t i = 0; i < n; i++)
		fds[i].revents = 0;
	if (poll(fds, (nfds_t)n, timeout_ms) < 0 && errno != EINTR)
		return error_sys(e, ERROR_INTERNAL, errno, "cannot poll");
	return 0;
}

int
http_wait(struct http *h, struct pollfd *fds, size_t n, int timeout_ms,
	  struct error *e)
{
	struct curl_waitfd extra[FDS_MAX];
	int ready = 0;

	if (n > FDS_MAX)
		return error_set(e, ERROR_INTERNAL, "too many fds to wait for");
	if (!h->multi)
		return poll_fds(fds, n, timeout_ms, e);
	for (size_t i = 0; i < n; i++) {
		extra[i].fd = fds[i].fd;
		extra[i].events = 0;
		extra[i].revents = 0;
		if (fds[i].events & POLLIN)
			extra[i].events |= CURL_WAIT_POLLIN;
		if (fds[i].events & POLLOUT)
			extra[i].events |= CURL_WAIT_POLLOUT;
	}
	http_queue_begin(h);	/* where others were cancelled */
	timeout_ms = wait_ms(h, timeout_ms);
	if (multi_error(curl.multi_poll(h->multi, extra, (unsigned)n,
					timeout_ms, &ready),
			e) != 0)
		return -1;
	/* libcurl does not pass on POLLERR and POLLHUP: ask again. */
	if (poll_fds(fds, n, 0, e) != 0)
		return -1;
	return http_run(h, e);
}
