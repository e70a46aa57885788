#include "discover/tracker.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "discover/tracker_udp.h"

#define FIRST_ROOM 64

void
tracker_answer_init(struct tracker_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->seeds = -1;
	a->leechers = -1;
}

void
tracker_answer_release(struct tracker_answer *a)
{
	free(a->peers);
	a->peers = NULL;
	a->peer_count = 0;
	free(a->names);
	a->names = NULL;
	a->name_count = 0;
}

/* Room is a power of two, so the count tells when it is used up. */
static int
more_room(struct tracker_answer *a)
{
	size_t count = a->peer_count;
	struct addr *grown;

	if (count != 0 && (count < FIRST_ROOM || (count & (count - 1)) != 0))
		return 0;
	count = count == 0 ? FIRST_ROOM : count * 2;
	grown = realloc(a->peers, count * sizeof(*grown));
	if (!grown)
		return -1;
	a->peers = grown;
	return 0;
}

int
tracker_answer_add(struct tracker_answer *a, const struct addr *peer)
{
	if (a->peer_count == TRACKER_PEERS_MAX || !addr_usable(peer))
		return 0;
	if (more_room(a) != 0)
		return -1;
	a->peers[a->peer_count++] = *peer;
	return 0;
}

/* Resolvers read 127.1 and 0x7f000001 as numbers; no name of the Internet ends
 * in a part that does not begin with a letter. */
static bool
is_host_name(const char *host)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_.";
	const char *last = strrchr(host, '.');
	size_t n = strlen(host);

	last = last ? last + 1 : host;
	return n > 0 && n < TRACKER_HOST_MAX && strspn(host, plain) == n &&
	       host[0] != '.' && host[0] != '-' && !strstr(host, "..") &&
	       *last != '\0' && strspn(last, "0123456789-_") == 0;
}

int
tracker_answer_add_name(struct tracker_answer *a, const char *host,
			uint16_t port)
{
	if (a->name_count == TRACKER_NAMES_MAX || !is_host_name(host))
		return 0;
	if (!a->names)
		a->names = calloc(TRACKER_NAMES_MAX, sizeof(*a->names));
	if (!a->names)
		return -1;
	memcpy(a->names[a->name_count].host, host, strlen(host) + 1);
	a->names[a->name_count++].port = port;
	return 0;
}

const char *
tracker_event_name(enum tracker_event event)
{
	switch (event) {
	case TRACKER_COMPLETED:
		return "completed";
	case TRACKER_STARTED:
		return "started";
	case TRACKER_STOPPED:
		return "stopped";
	case TRACKER_NONE:
		break;
	}
	return "";
}

bool
tracker_url_is_udp(const char *url)
{
	return strncasecmp(url, "udp://", 6) == 0;
}

/* Behind the host, other bytes are encoded when it is asked. */
static bool
is_printable(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host ? host + 3 + strcspn(host + 3, "/?#") : NULL;

	for (const char *c = url; *c; c++) {
		if (*c == 0x7f || (uint8_t)*c <= ' ' ||
		    ((uint8_t)*c >= 0x80 && (!path || c < path)))
			return false;
	}
	return true;
}

bool
tracker_url_usable(const char *url)
{
	char host[256];
	char path[TRACKER_URL_MAX];
	uint16_t port;
	size_t scheme;

	if (strlen(url) >= TRACKER_URL_MAX)
		return false;
	if (!is_printable(url))
		return false;
	if (strncasecmp(url, "udp://", 6) == 0)
		return tracker_udp_split(url, host, sizeof(host), &port, path);
	if (strncasecmp(url, "http://", 7) == 0)
		scheme = 7;
	else if (strncasecmp(url, "https://", 8) == 0)
		scheme = 8;
	else
		return false;
	return url[scheme] != '\0' && !strchr("/?#", url[scheme]);
}
