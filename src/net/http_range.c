#include "net/http_range.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sync.h"
#include "base/text.h"
#include "http_setup.h"
#include "net/http_head.h"
#include "net/http_moved.h"
#include "net/http_target.h"
#include "net/iface.h"
#include "net/ratelimit.h"

#define CONNECT_TIMEOUT_MS 15000L
/* Of silence, until the kernel asks whether the other side is still there; it
 * asks nine times. */
#define ALIVE_AFTER_S 5L
#define ALIVE_EACH_S 1L
#define HEADERS_WITHIN (60 * CLOCK_S)	/* redirects and all */
#define SLOW_WINDOW (60 * CLOCK_S)	/* must bring this much: */
#define SLOW_BYTES 16384
#define BUFFER_SIZE 131072L		/* of libcurl, for what comes */
#define BUFFER_MIN 1024L
#define MOVED_MAX 8192
#define WAIT_TEXT_MAX 16	/* a number of seconds, and white */

struct http_range {
	struct http_range_config config;
	CURLM *multi;
	CURL *easy;
	const struct iface *route;
	const struct proxy *proxy;
	struct http_refusal refusal;
	struct http_moved moved;
	int64_t may_take_at;	/* the rate limit's word */

	/* Of the request under way. */
	const struct http_range_request *request;
	struct http_range_answer *answer;
	struct http_head head;
	size_t header_bytes;
	bool guess;		/* nobody said that the file is there */
	bool accepted;		/* the data that follows is what we want */
	bool ended;		/* answer.end is set */
	bool waits;		/* what follows says when to come again */
	char wait_text[WAIT_TEXT_MAX];
	size_t wait_size;
	bool paused;
	bool connected6;	/* a socket that is closed again was */
	struct http_hop hop;
	uint64_t left;
	int64_t heard_at;
	int64_t begun_at;
	int64_t data_at;	/* 0: none came */
	int64_t window_at;
	uint64_t window_bytes;
	char why[CURL_ERROR_SIZE];
};

/* ---- the verdict ---- */

static void
end_with(struct http_range *h, enum http_range_end end,
	 enum error_kind kind, const char *why)
{
	if (h->ended)
		return;
	h->ended = true;
	h->answer->end = end;
	error_set(&h->answer->error, kind, "%s", why);
}

static void
end_with_status(struct http_range *h, enum http_range_end end, long status)
{
	char why[64];

	snprintf(why, sizeof(why), "the server answered %ld", status);
	end_with(h, end, ERROR_NETWORK, why);
}

/* False when it is not the proxy's fault. */
static bool
end_with_proxy(struct http_range *h, CURLcode code)
{
	const char *why = h->why[0] ? h->why : curl.easy_strerror(code);
	struct error e;

	if (!http_setup_blames(h->easy, code, h->proxy, why, &e))
		return false;
	end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK, e.text);
	h->answer->proxy_failed = true;
	return true;
}

/*
 * No coding was asked for, so a label of one is mostly the stored file's own,
 * which is what is wanted.  A server that compresses as it sends does not know
 * the size, or names another one: where there is a label, ours must be named.
 */
static bool
may_leave_size_out(const struct http_range *h)
{
	return !h->guess && !h->head.encoded;
}

static void
judge_part(struct http_range *h)
{
	const struct http_range_request *r = h->request;
	const struct http_head *d = &h->head;

	if (r->whole || !d->has_range || d->first != r->first ||
	    d->last != r->first + (r->count - 1) ||
	    (d->size == UINT64_MAX ? !may_leave_size_out(h)
				   : d->size != r->size) ||
	    (d->has_length && d->length != r->count))
		end_with(h, HTTP_RANGE_WRONG, ERROR_PROTOCOL,
			 "the server sends another part of the file than was "
			 "asked for");
	else
		h->accepted = true;
}

static void
judge_whole(struct http_range *h)
{
	const struct http_range_request *r = h->request;
	const struct http_head *d = &h->head;

	if (r->first != 0 || r->count != r->size)
		end_with(h, HTTP_RANGE_IGNORED, ERROR_PROTOCOL,
			 "the server cannot send parts of a file");
	else if (d->has_length ? d->length != r->size : !may_leave_size_out(h))
		end_with(h, HTTP_RANGE_WRONG, ERROR_PROTOCOL,
			 "the server has a file of another size");
	else
		h->accepted = true;
}

static bool
is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/* All headers of one answer are there. */
static void
judge(struct http_range *h)
{
	long status = 0;

	curl.easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
	h->answer->status = status;
	if (status < 200 || (is_redirect(status) && h->head.location) ||
	    end_with_proxy(h, CURLE_OK))
		return;
	if (status == 206)
		judge_part(h);
	else if (status == 200)
		judge_whole(h);
	else if (status == 404 || status == 410)
		end_with_status(h, HTTP_RANGE_MISSING, status);
	else if (status == 503 && h->request->wait_in_body)
		h->waits = true;
	else if (status == 429 || status >= 500)
		end_with_status(h, HTTP_RANGE_BUSY, status);
	else
		end_with_status(h, HTTP_RANGE_REFUSED, status);
}

/* ---- libcurl's callbacks ---- */

static size_t
on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct http_range *h = ctx;
	size_t n = size * count;

	h->heard_at = clock_ns();
	h->header_bytes += n;
	if (h->header_bytes > HTTP_HEADERS_MAX) {
		end_with(h, HTTP_RANGE_WRONG, ERROR_PROTOCOL,
			 "the headers are too large");
		return 0;
	}
	if (h->accepted)
		return n;	/* behind the data, and of no interest */
	if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0)
		memset(&h->head, 0, sizeof(h->head));
	else if (*line == '\r' || *line == '\n')
		judge(h);
	else
		http_head_take(&h->head, line, n);
	/* It is judged by where a new connection goes. */
	if (h->config.local && h->head.location)
		curl.easy_setopt(h->easy, CURLOPT_FORBID_REUSE, 1L);
	return h->ended ? 0 : n;
}

static size_t
take_wait(struct http_range *h, const char *data, size_t n)
{
	if (n > sizeof(h->wait_text) - h->wait_size) {
		end_with_status(h, HTTP_RANGE_BUSY, h->answer->status);
		return 0;
	}
	memcpy(h->wait_text + h->wait_size, data, n);
	h->wait_size += n;
	return n;
}

static size_t
on_data(char *data, size_t size, size_t count, void *ctx)
{
	struct http_range *h = ctx;
	size_t n = size * count;
	int64_t now = clock_ns();

	h->heard_at = now;
	if (n == 0)
		return 0;
	if (h->data_at == 0)
		h->data_at = now;
	if (h->waits)
		return take_wait(h, data, n);
	if (!h->accepted || n > h->left) {
		end_with(h, HTTP_RANGE_WRONG, ERROR_PROTOCOL,
			 "the server sends more than was asked for");
		return 0;
	}
	if (h->may_take_at > now) {
		h->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (ratelimit_enabled(h->config.down))
		h->may_take_at = ratelimit_reserve(h->config.down, n, now);
	h->left -= n;
	h->window_bytes += n;
	if (h->request->data(h->request->ctx, (uint8_t *)data, n) == 0)
		return n;
	end_with(h, HTTP_RANGE_STOPPED, ERROR_STOPPED, "stopped");
	return 0;
}

/* May it go to a local address?  What a redirect leads to there must not have
 * a query either. */
static bool
may_go_inside(const struct http_range *h)
{
	const char *url = NULL;

	if (!h->config.local || h->hop.number == 0)
		return h->config.local;
	curl.easy_getinfo(h->easy, CURLINFO_EFFECTIVE_URL, &url);
	return url && !strchr(url, '?');
}

/* With a proxy the address is the proxy's, which the user chose. */
static curl_socket_t
on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_range *h = ctx;
	struct addr a;

	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	http_setup_hop(h->easy, &h->hop);
	if (!h->proxy && (!addr_from_sockaddr(&a, &to->addr) ||
			  !http_target_allowed(may_go_inside(h), &a))) {
		h->hop.refused = true;
		return CURL_SOCKET_BAD;
	}
	if (!h->proxy && http_setup_refuses(&h->refusal, &a)) {
		h->hop.blocked = true;
		return CURL_SOCKET_BAD;
	}
	h->hop.allowed = true;
	return http_setup_socket(h->route, to);
}

/* libcurl tells of a connection only once TLS is there, too. */
static int
on_close(void *ctx, curl_socket_t fd)
{
	struct http_range *h = ctx;
	struct sockaddr_storage sa = {0};
	socklen_t size = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &size) == 0 &&
	    sa.ss_family == AF_INET6)
		h->connected6 = true;
	return close(fd);
}

/* ---- making and freeing ---- */

static long
buffer_size(const struct ratelimit *down)
{
	long size = (long)ratelimit_portion(down, (size_t)BUFFER_SIZE);

	return size < BUFFER_MIN ? BUFFER_MIN : size;
}

static CURLcode
set_up(struct http_range *h)
{
	CURL *c = h->easy;
	CURLcode bad = http_setup_common(c);

	HTTP_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	HTTP_SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	HTTP_SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	HTTP_SET(CURLOPT_TCP_KEEPALIVE, 1L);
	HTTP_SET(CURLOPT_TCP_KEEPIDLE, ALIVE_AFTER_S);
	HTTP_SET(CURLOPT_TCP_KEEPINTVL, ALIVE_EACH_S);
	HTTP_SET(CURLOPT_BUFFERSIZE, buffer_size(h->config.down));
	HTTP_SET(CURLOPT_ERRORBUFFER, h->why);
	HTTP_SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	HTTP_SET(CURLOPT_OPENSOCKETDATA, h);
	HTTP_SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
	HTTP_SET(CURLOPT_CLOSESOCKETDATA, h);
	HTTP_SET(CURLOPT_HEADERFUNCTION, on_header);
	HTTP_SET(CURLOPT_HEADERDATA, h);
	HTTP_SET(CURLOPT_WRITEFUNCTION, on_data);
	HTTP_SET(CURLOPT_WRITEDATA, h);
	return bad;
}

struct http_range *
http_range_new(const struct http_range_config *config, struct error *e)
{
	struct http_range *h = calloc(1, sizeof(*h));

	if (!h) {
		error_memory(e);
		return NULL;
	}
	h->config = *config;
	if (config->route) {
		h->route = config->route->route;
		h->proxy = config->route->proxy;
		h->refusal = config->route->refusal;
	}
	if (http_library_load(e) < 0)
		goto out;
	h->multi = http_setup_multi();
	if (h->multi)
		h->easy = curl.easy_init();
	if (h->easy && set_up(h) == CURLE_OK)
		return h;
	error_memory(e);
out:
	http_range_free(h);
	return NULL;
}

void
http_range_free(struct http_range *h)
{
	if (!h)
		return;
	if (h->easy)
		curl.easy_cleanup(h->easy);
	if (h->multi)
		curl.multi_cleanup(h->multi);
	http_moved_release(&h->moved);
	free(h);
}

/* ---- a request ---- */

static void
note_move(struct http_range *h)
{
	long redirects = 0;
	char *url = NULL;

	curl.easy_getinfo(h->easy, CURLINFO_REDIRECT_COUNT, &redirects);
	curl.easy_getinfo(h->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (redirects > 0 && url && strlen(url) <= MOVED_MAX)
		http_moved_note(&h->moved, h->request->url, url,
				h->request->name_at);
}

/* Packets that are too large for the way there are lost, where nobody may say
 * so: one can connect, and no more. */
static bool
is_connected6(const struct http_range *h)
{
	double after = 0;
	char *ip = NULL;

	curl.easy_getinfo(h->easy, CURLINFO_CONNECT_TIME, &after);
	curl.easy_getinfo(h->easy, CURLINFO_PRIMARY_IP, &ip);
	return !h->proxy &&
	       (h->connected6 || (after > 0 && ip && strchr(ip, ':')));
}

static void
describe(struct http_range *h, CURLcode code)
{
	char why[CURL_ERROR_SIZE];
	long redirects = 0;

	if (end_with_proxy(h, code))
		return;
	curl.easy_getinfo(h->easy, CURLINFO_REDIRECT_COUNT, &redirects);
	if (h->hop.refused && !h->hop.allowed) {
		end_with(h, HTTP_RANGE_REFUSED, ERROR_NETWORK,
			 "it leads to an address inside the local network");
	} else if (h->hop.blocked && !h->hop.allowed) {
		end_with(h, HTTP_RANGE_REFUSED, ERROR_NETWORK,
			 "its address is on the blocklist");
	} else if (http_setup_line_too_long(h->easy, code)) {
		end_with(h, HTTP_RANGE_WRONG, ERROR_PROTOCOL,
			 "the headers are too large");
	} else if (code == CURLE_TOO_MANY_REDIRECTS) {
		end_with(h, HTTP_RANGE_REFUSED, ERROR_PROTOCOL,
			 "too many redirects");
	} else if (code == CURLE_UNSUPPORTED_PROTOCOL && redirects > 0) {
		end_with(h, HTTP_RANGE_REFUSED, ERROR_PROTOCOL,
			 "redirected to something that is not http");
	} else {
		text_clean(why, sizeof(why),
			   h->why[0] ? h->why : curl.easy_strerror(code));
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK, why);
	}
}

static void
finish_wait(struct http_range *h, curl_off_t *after)
{
	uint64_t seconds = http_head_wait(h->wait_text, h->wait_size);

	if (seconds > 0)
		*after = seconds < HTTP_RANGE_RETRY_MAX
			     ? (curl_off_t)seconds
			     : HTTP_RANGE_RETRY_MAX;
	end_with_status(h, HTTP_RANGE_BUSY, h->answer->status);
}

static void
finish(struct http_range *h, CURLcode code)
{
	curl_off_t after = 0;

	curl.easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &after);
	if (h->waits && code == CURLE_OK)
		finish_wait(h, &after);
	if (after > 0)
		h->answer->retry_after_s = after < HTTP_RANGE_RETRY_MAX
						   ? (long)after
						   : HTTP_RANGE_RETRY_MAX;
	if (h->ended)
		return;
	if (code != CURLE_OK) {
		describe(h, code);
	} else if (h->left > 0) {
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK,
			 "the answer ended too early");
	} else {
		h->ended = true;
		h->answer->end = HTTP_RANGE_DONE;
	}
}

/* Deadlines that are over end the request. */
static void
check_time(struct http_range *h, int64_t now)
{
	if (h->paused) {
		/* That it waits is our doing. */
		h->heard_at = h->window_at = now;
		h->window_bytes = 0;
		return;
	}
	if (now - h->heard_at >= HTTP_RANGE_STALL)
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK,
			 "no data for 30 s");
	else if (!h->accepted && now - h->begun_at >= HEADERS_WITHIN)
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK,
			 "no whole answer within 60 s");
	if (now - h->window_at < SLOW_WINDOW)
		return;
	if (h->accepted && h->window_bytes < SLOW_BYTES)
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_NETWORK,
			 "less than 16 KiB in a minute");
	h->window_at = now;
	h->window_bytes = 0;
}

/* The one place where the thread waits. */
static void
wait_for_more(struct http_range *h, int64_t now)
{
	struct curl_waitfd wake = {.fd = h->config.wake->fd,
				   .events = CURL_WAIT_POLLIN};
	int64_t due = h->heard_at + HTTP_RANGE_STALL;

	due = clock_min(due, h->window_at + SLOW_WINDOW);
	if (h->paused)
		due = h->may_take_at;
	else if (!h->accepted)
		due = clock_min(due, h->begun_at + HEADERS_WITHIN);
	if (curl.multi_poll(h->multi, &wake, 1, clock_poll_ms(now, due),
			    NULL) != CURLM_OK)
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_INTERNAL,
			 "libcurl cannot wait");
	if (!wake.revents)
		return;
	wake_drain(h->config.wake);
	if (!h->request->go_on(h->request->ctx))
		end_with(h, HTTP_RANGE_STOPPED, ERROR_STOPPED, "stopped");
}

static void
transfer(struct http_range *h)
{
	int running = 1, left;
	CURLMsg *m;

	while (!h->ended) {
		int64_t now = clock_ns();

		if (h->paused && h->may_take_at <= now) {
			h->paused = false;
			curl.easy_pause(h->easy, CURLPAUSE_CONT);
		}
		if (curl.multi_perform(h->multi, &running) != CURLM_OK)
			end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_INTERNAL,
				 "libcurl failed");
		while ((m = curl.multi_info_read(h->multi, &left)))
			if (m->msg == CURLMSG_DONE)
				finish(h, m->data.result);
		if (h->ended)
			return;
		if (h->request->waits(h->request->ctx) < 0) {
			end_with(h, HTTP_RANGE_STOPPED, ERROR_STOPPED,
				 "stopped");
			return;
		}
		now = clock_ns();
		check_time(h, now);
		if (!h->ended)
			wait_for_more(h, now);
	}
}

static void
begin(struct http_range *h, const struct http_range_request *r,
      struct http_range_answer *out)
{
	h->request = r;
	h->answer = out;
	memset(out, 0, sizeof(*out));
	memset(&h->head, 0, sizeof(h->head));
	h->header_bytes = 0;
	h->accepted = h->ended = h->paused = false;
	h->hop = (struct http_hop){0};
	h->connected6 = false;
	h->guess = false;
	h->waits = false;
	h->wait_size = 0;
	h->left = r->count;
	h->heard_at = h->begun_at = h->window_at = clock_ns();
	h->data_at = 0;
	h->window_bytes = 0;
	h->why[0] = '\0';
}

static void
get(struct http_range *h, const char *url)
{
	const struct http_range_request *r = h->request;
	CURL *c = h->easy;
	uint64_t last = r->first + r->count - 1;
	CURLcode bad = CURLE_OK;
	char range[64];

	snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, r->first, last);
	HTTP_SET(CURLOPT_URL, url);
	HTTP_SET(CURLOPT_RANGE, r->whole ? NULL : range);
	HTTP_SET(CURLOPT_FORBID_REUSE, 0L);
	bad = bad ? bad : http_setup_route(c, h->route, h->proxy);
	if (h->config.only_ipv4 && !h->proxy &&
	    (!h->route || iface_family(h->route) != AF_INET6))
		HTTP_SET(CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4);
	if (bad || curl.multi_add_handle(h->multi, c) != CURLM_OK) {
		end_with(h, HTTP_RANGE_UNREACHABLE, ERROR_INTERNAL,
			 "out of memory");
		return;
	}
	transfer(h);
	if (h->accepted)
		note_move(h);
	h->answer->mute6 = h->answer->end == HTTP_RANGE_UNREACHABLE &&
			   h->data_at == 0 && is_connected6(h);
	curl.multi_remove_handle(h->multi, c);
	h->answer->waited = (h->data_at ? h->data_at : clock_ns()) -
			    h->begun_at;
}

void
http_range_get(struct http_range *h, const struct http_range_request *r,
	       struct http_range_answer *out)
{
	char *moved;
	bool guess;

	begin(h, r, out);
	if (http_target_check_url(r->url, &out->error) < 0) {
		out->end = HTTP_RANGE_REFUSED;
		return;
	}
	if (!http_setup_ready(h->route, &out->error)) {
		out->end = HTTP_RANGE_UNREACHABLE;
		return;
	}
	moved = http_moved_find(&h->moved, r->url, &h->guess);
	if (moved)
		get(h, moved);
	/* It may have moved again. */
	if (!moved || (out->end > HTTP_RANGE_STOPPED && h->left == r->count)) {
		guess = h->guess;
		if (moved && guess && out->end == HTTP_RANGE_WRONG)
			http_moved_no_guess(&h->moved);
		begin(h, r, out);
		get(h, r->url);
		if (moved && h->accepted)
			http_moved_wrong(&h->moved, r->url, moved, guess);
	}
	free(moved);
}
