#include "session/tracker_service.h"

#include <string.h>
#include <sys/socket.h>

#include "meta/bencode.h"
#include "session/tracker_query.h"

#define MIN_INTERVAL_S 60
#define BODY_MAX (TRACKER_SERVICE_HTTP_MAX - 512)

/* Seconds before which nobody need ask again. */
static uint32_t
min_interval(const struct tracker_service *s)
{
	return s->interval_s < MIN_INTERVAL_S ? s->interval_s
					      : MIN_INTERVAL_S;
}

static int
take_note(struct tracker_service *s, const struct tracker_swarm_announce *a,
	  int64_t now, struct error *e)
{
	s->announces++;
	if (s->allow && !tracker_allow_has(s->allow, a->info_hash)) {
		s->refused++;
		return error_set(e, ERROR_PROTOCOL,
				 "the torrent is not on this tracker's list");
	}
	return tracker_swarms_announce(s->swarms, a, now, e);
}

/* Of one that was refused there is an error. */
static void
tell_announce(const struct tracker_service *s,
	      const struct tracker_swarm_announce *a, const struct error *why)
{
	static const char *const events[] = {
		[TRACKER_SWARM_NONE] = "still there",
		[TRACKER_SWARM_COMPLETED] = "completed",
		[TRACKER_SWARM_STARTED] = "started",
		[TRACKER_SWARM_STOPPED] = "stopped",
		[TRACKER_SWARM_PAUSED] = "paused",
	};
	char from[ADDR_TEXT_MAX];
	char hex[2 * SHA1_SIZE + 1];

	if (!log_wants(s->log, LOG_DETAIL))
		return;
	addr_format(&a->addr, from);
	hex_encode(hex, a->info_hash, SHA1_SIZE);
	if (why)
		log_write(s->log, LOG_DETAIL, NULL,
			  "tracker: %s announces %s: refused: %s", from, hex,
			  why->text);
	else
		log_write(s->log, LOG_DETAIL, NULL,
			  "tracker: %s announces %s: %s%s", from, hex,
			  events[a->event], a->complete ? ", has all" : "");
}

int
tracker_service_announce(struct tracker_service *s,
			 struct tracker_swarm_announce *a,
			 const struct addr *from, const struct addr *ip,
			 int64_t now, struct error *e)
{
	uint16_t port = a->addr.port;
	int rc;

	a->addr = *from;
	if (addr_is_loopback(from) && ip->family != 0)
		a->addr = *ip;
	a->addr.port = port;
	a->addr.scope = 0;	/* compact forms have none */
	rc = take_note(s, a, now, e);
	tell_announce(s, a, rc < 0 ? e : NULL);
	return rc;
}

/* It says not even what of. */
static void
tell_bad(const struct tracker_service *s, const struct addr *from,
	 const struct error *why)
{
	char text[ADDR_TEXT_MAX];

	log_write(s->log, LOG_DETAIL, NULL, "tracker: %s announces: refused: "
		  "%s", addr_format(from, text), why->text);
}

static const char *
status_text(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}

static void
put_response(struct buffer *out, int status, bool keep,
	     const struct buffer *body, bool head_only)
{
	buffer_printf(out,
		      "HTTP/1.1 %d %s\r\n"
		      "Content-Type: text/plain\r\n"
		      "Content-Length: %zu\r\n"
		      "%s"
		      "Connection: %s\r\n\r\n",
		      status, status_text(status), body->used,
		      status == 405 ? "Allow: GET, HEAD\r\n" : "",
		      keep ? "keep-alive" : "close");
	if (!head_only)
		buffer_put(out, body->data, body->used);
}

static void
put_failure(struct buffer *body, const struct error *e)
{
	buffer_clear(body);
	bencode_put_dict(body);
	bencode_put_str(body, "failure reason");
	bencode_put_str(body, e->text);
	bencode_put_end(body);
}

static void
put_number(struct buffer *body, const char *key, uint32_t number)
{
	bencode_put_str(body, key);
	bencode_put_int(body, number);
}

/* A run of compact peers, all of one family. */
static void
put_compact(struct buffer *body, const char *key,
	    const struct tracker_swarm_peer *peers, size_t n)
{
	uint8_t raw[TRACKER_QUERY_WANT_MAX * ADDR_COMPACT6];
	size_t used = 0;

	for (size_t i = 0; i < n; i++)
		used += addr_to_compact(&peers[i].addr, raw + used);
	bencode_put_str(body, key);
	bencode_put_bytes(body, raw, used);
}

static void
put_dicts(struct buffer *body, const struct tracker_swarm_peer *peers,
	  size_t n, bool no_peer_id)
{
	char ip[ADDR_TEXT_MAX];

	bencode_put_str(body, "peers");
	bencode_put_list(body);
	for (size_t i = 0; i < n; i++) {
		bencode_put_dict(body);
		bencode_put_str(body, "ip");
		bencode_put_str(body, addr_format_ip(&peers[i].addr, ip));
		if (!no_peer_id) {
			bencode_put_str(body, "peer id");
			bencode_put_bytes(body, peers[i].id,
					  sizeof(peers[i].id));
		}
		put_number(body, "port", peers[i].addr.port);
		bencode_put_end(body);
	}
	bencode_put_end(body);
}

/* The asker's own family comes first; the other one gets what is left. */
static void
put_peers(struct tracker_service *s, const struct tracker_query *q,
	  struct buffer *body)
{
	const struct tracker_swarm_announce *a = &q->announce;
	struct tracker_swarm_peer peers[TRACKER_QUERY_WANT_MAX];
	bool is_v6 = a->addr.family == AF_INET6;
	size_t want = a->event == TRACKER_SWARM_STOPPED ? 0 : q->want;
	size_t own, other;
	const struct tracker_swarm_peer *v4, *v6;

	own = tracker_swarms_pick(s->swarms, a, is_v6 ? AF_INET6 : AF_INET,
				  peers, want);
	other = tracker_swarms_pick(s->swarms, a, is_v6 ? AF_INET : AF_INET6,
				    peers + own, want - own);
	v4 = is_v6 ? peers + own : peers;
	v6 = is_v6 ? peers : peers + own;
	if (!q->compact) {
		put_dicts(body, peers, own + other, q->no_peer_id);
		return;
	}
	put_compact(body, "peers", v4, is_v6 ? other : own);
	if (is_v6 || other > 0)
		put_compact(body, "peers6", v6, is_v6 ? own : other);
}

static void
answer_announce(struct tracker_service *s, struct bytes query,
		const struct addr *from, int64_t now, struct buffer *body)
{
	struct tracker_swarm_counts counts;
	struct tracker_query q;
	struct error e;

	if (tracker_query_announce(&q, query, &e) != 0) {
		tell_bad(s, from, &e);
		put_failure(body, &e);
		return;
	}
	if (tracker_service_announce(s, &q.announce, from, &q.ip, now,
				     &e) != 0) {
		put_failure(body, &e);
		return;
	}
	counts = tracker_swarms_counts(s->swarms, q.announce.info_hash);
	bencode_put_dict(body);
	put_number(body, "complete", counts.complete);
	put_number(body, "downloaded", counts.downloaded);
	put_number(body, "incomplete", counts.incomplete);
	put_number(body, "interval", s->interval_s);
	put_number(body, "min interval", min_interval(s));
	put_peers(s, &q, body);
	bencode_put_end(body);
}

static void
answer_scrape(struct tracker_service *s, struct bytes query, int64_t now,
	      struct buffer *body)
{
	uint8_t hashes[TRACKER_QUERY_HASHES_MAX][SHA1_SIZE];
	struct tracker_swarm_counts counts;
	struct error e;
	size_t n;

	s->scrapes++;
	if (tracker_query_scrape(hashes, &n, query, &e) != 0) {
		put_failure(body, &e);
		return;
	}
	tracker_swarms_expire(s->swarms, now);
	bencode_put_dict(body);
	bencode_put_str(body, "files");
	bencode_put_dict(body);
	for (size_t i = 0; i < n; i++) {
		counts = tracker_swarms_counts(s->swarms, hashes[i]);
		bencode_put_bytes(body, hashes[i], SHA1_SIZE);
		bencode_put_dict(body);
		put_number(body, "complete", counts.complete);
		put_number(body, "downloaded", counts.downloaded);
		put_number(body, "downloaders", counts.downloaders);
		put_number(body, "incomplete", counts.incomplete);
		bencode_put_end(body);
	}
	bencode_put_end(body);
	bencode_put_end(body);
}

static void
answer_totals(struct tracker_service *s, int64_t now, struct buffer *body)
{
	struct tracker_swarm_totals t;

	tracker_swarms_expire(s->swarms, now);
	t = tracker_swarms_totals(s->swarms);
	buffer_printf(body,
		      "btget %s tracker\n\n"
		      "torrents   %u\npeers      %u\ncomplete   %u\n"
		      "announces  %llu\nscrapes    %llu\nrefused    %llu\n",
		      BTGET_VERSION, t.swarms, t.peers, t.complete,
		      (unsigned long long)s->announces,
		      (unsigned long long)s->scrapes,
		      (unsigned long long)s->refused);
}

bool
tracker_service_http(struct tracker_service *s, const void *head, size_t size,
		     const struct addr *from, int64_t now, struct buffer *out)
{
	struct tracker_head h;
	struct buffer body;
	int status = tracker_head_read(&h, head, size);

	buffer_clear(out);
	if (status != 0) {
		tracker_service_http_refuse(status, out);
		return false;
	}
	status = 200;
	buffer_init(&body, BODY_MAX);
	if (tracker_head_path_is(&h, "/announce"))
		answer_announce(s, h.query, from, now, &body);
	else if (tracker_head_path_is(&h, "/scrape"))
		answer_scrape(s, h.query, now, &body);
	else if (tracker_head_path_is(&h, "/"))
		answer_totals(s, now, &body);
	else
		status = 404;
	if (body.failed) {
		buffer_clear(&body);
		status = 500;
	}
	if (status != 200)
		buffer_printf(&body, "%d %s\n", status, status_text(status));
	put_response(out, status, h.keep, &body, h.head_only);
	buffer_release(&body);
	return h.keep && !out->failed;
}

void
tracker_service_http_refuse(int status, struct buffer *out)
{
	struct buffer body;

	buffer_init(&body, 256);
	buffer_clear(out);
	buffer_printf(&body, "%d %s\n", status, status_text(status));
	put_response(out, status, false, &body, false);
	buffer_release(&body);
}
