#include "net/http_hosts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PARTS 4			/* of the places, which are as large */
#define IDLE_KEPT 64

void
http_hosts_init(struct http_hosts *hs, size_t places)
{
	TAILQ_INIT(&hs->list);
	hs->places = places;
	hs->idle = hs->silent = 0;
}

static void
forget(struct http_hosts *hs, struct http_host *host)
{
	TAILQ_REMOVE(&hs->list, host, entry);
	free(host);
}

void
http_hosts_release(struct http_hosts *hs)
{
	/* The analyzer does not see that a list gets another first one. */
	while (!TAILQ_EMPTY(&hs->list))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		forget(hs, TAILQ_FIRST(&hs->list));
}

/* Without the scheme, which the port tells well enough. */
static const char *
name_of(const char *url, size_t *length)
{
	const char *begin = strstr(url, "://");

	begin = begin ? begin + 3 : url;
	*length = strcspn(begin, "/?#");
	return begin;
}

static struct http_host *
find(const struct http_hosts *hs, const char *name, size_t length, int family)
{
	struct http_host *host;

	TAILQ_FOREACH(host, &hs->list, entry)
		if (host->family == family && host->length == length &&
		    strncasecmp(host->name, name, length) == 0)
			break;
	return host;
}

struct http_host *
http_hosts_find(struct http_hosts *hs, const char *url, int family)
{
	size_t length;
	const char *name = name_of(url, &length);
	struct http_host *host = find(hs, name, length, family);

	if (host) {
		hs->idle -= host->users++ == 0;
		return host;
	}
	host = calloc(1, sizeof(*host) + length);
	if (!host)
		return NULL;
	host->users = 1;
	host->family = family;
	host->length = length;
	memcpy(host->name, name, length);
	TAILQ_INSERT_TAIL(&hs->list, host, entry);
	return host;
}

/* The one that has been so for the longest time. */
static void
forget_idle(struct http_hosts *hs)
{
	struct http_host *host = TAILQ_FIRST(&hs->list);

	while (host && host->users > 0)
		host = TAILQ_NEXT(host, entry);
	if (!host)
		return;
	hs->idle--;
	forget(hs, host);
}

void
http_hosts_drop(struct http_hosts *hs, struct http_host *host)
{
	if (!host || --host->users > 0)
		return;
	if (host->word == HOST_NEW) {
		forget(hs, host);
		return;
	}
	TAILQ_REMOVE(&hs->list, host, entry);
	TAILQ_INSERT_TAIL(&hs->list, host, entry);
	if (++hs->idle > IDLE_KEPT)
		forget_idle(hs);
}

/* Its silent ones count among all while it does not answer. */
static void
take_word(struct http_hosts *hs, struct http_host *host, bool answers)
{
	bool before = host->word == HOST_ANSWERS;

	if (answers && !before)
		hs->silent -= host->silent;
	if (!answers && before)
		hs->silent += host->silent;
	host->word = answers ? HOST_ANSWERS : HOST_FAILED;
}

void
http_hosts_asked(struct http_hosts *hs, struct http_host *host)
{
	host->silent++;
	hs->silent += host->word != HOST_ANSWERS;
}

static void
no_longer_silent(struct http_hosts *hs, struct http_host *host)
{
	host->silent--;
	hs->silent -= host->word != HOST_ANSWERS;
}

void
http_hosts_heard(struct http_hosts *hs, struct http_host *host)
{
	no_longer_silent(hs, host);
	take_word(hs, host, true);
}

void
http_hosts_silent(struct http_hosts *hs, struct http_host *host, bool failed)
{
	no_longer_silent(hs, host);
	if (failed)
		take_word(hs, host, false);
}

/* Where there is but one place, it is for all. */
static size_t
part_of(const struct http_hosts *hs)
{
	size_t part = hs->places / PARTS;

	return part > 0 ? part : 1;
}

static bool
are_full(const struct http_hosts *hs)
{
	size_t part = part_of(hs);

	return hs->silent > 0 && hs->silent + part >= hs->places;
}

bool
http_hosts_has_place(const struct http_hosts *hs, const struct http_host *host)
{
	if (host->word == HOST_ANSWERS)
		return true;
	return host->silent < part_of(hs) && !are_full(hs);
}

bool
http_hosts_crowds(const struct http_hosts *hs, const struct http_host *host)
{
	return host->word != HOST_ANSWERS && are_full(hs);
}

size_t
http_hosts_rank(const struct http_host *host)
{
	return host->word == HOST_FAILED ? 1 + host->silent : 0;
}
