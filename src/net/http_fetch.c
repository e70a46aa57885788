#include "net/http_fetch.h"

#include "base/clock.h"
#include "base/text.h"

struct fetch {
	struct buffer *out;
	struct error *e;
	int result;
	bool done;
};

/* The server cannot now; another time it may. */
static bool
is_away(long status)
{
	return status == 429 || (status >= 500 && status <= 599);
}

static void
fetch_done(void *ctx, const struct http_answer *answer)
{
	struct fetch *f = ctx;

	f->done = true;
	f->result = -1;
	if (answer->error.kind != ERROR_NONE) {
		if (f->e)
			*f->e = answer->error;
		if (answer->proxy_failed)
			error_prefix(f->e, "the proxy");
		if (f->e && f->e->kind == ERROR_PROTOCOL)
			f->e->kind = ERROR_TORRENT;
		return;
	}
	if (answer->status != 200) {
		error_set(f->e, is_away(answer->status) ? ERROR_NETWORK
							: ERROR_TORRENT,
			  "the server answered %ld", answer->status);
		return;
	}
	buffer_put(f->out, answer->body, answer->size);
	f->result = f->out->failed ? error_memory(f->e) : 0;
}

static int
too_quiet(int64_t idle_ns, struct error *e)
{
	char how_long[32];

	text_duration(how_long, sizeof(how_long),
		      (uint64_t)(idle_ns / CLOCK_S));
	return error_set(e, ERROR_NETWORK, "no data for %s", how_long);
}

/* Until it is done, or patience ends. */
static int
fetch_wait(struct http *h, const struct http_job *job, const struct fetch *f,
	   const struct http_patience *patience)
{
	struct pollfd stop = {.fd = patience->stop_fd, .events = POLLIN};
	size_t n = patience->stop_fd >= 0 ? 1 : 0, before = 0;
	int64_t idle_ns = patience->idle_ms * CLOCK_MS;
	int64_t until = idle_ns ? clock_ns() + idle_ns : CLOCK_NEVER;

	for (;;) {
		if (http_wait(h, &stop, n, clock_poll_ms(clock_ns(), until),
			      f->e) != 0)
			return -1;
		if (f->done)
			return f->result;
		if (stop.revents != 0)
			return error_set(f->e, ERROR_STOPPED, "asked to stop");
		if (idle_ns && http_came(job) > before) {
			before = http_came(job);
			until = clock_ns() + idle_ns;
		}
		if (clock_ns() >= until)
			return too_quiet(idle_ns, f->e);
	}
}

int
http_fetch(const struct http_config *config, const char *url,
	   const struct http_patience *patience, struct buffer *out,
	   struct error *e)
{
	struct fetch f = {.out = out, .e = e, .result = -1};
	struct http_request r = {.url = url,
				 .body_max = out->cap - out->used,
				 .timeout_ms = patience->timeout_ms,
				 .done = fetch_done,
				 .ctx = &f};
	struct http *h = http_new(config, e);
	struct http_job *job;
	int rc = -1;

	if (!h)
		return -1;
	job = http_start(h, &r, e);
	if (job)
		rc = fetch_wait(h, job, &f, patience);
	http_free(h);
	return rc;
}
