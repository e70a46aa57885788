/*
 * proxy: what stands between us and everybody else, as the user wrote it:
 * socks5://[user:password@]host:port, socks5h:// for the same, or http://.
 *
 * Through a SOCKS5 proxy goes everything: HTTP by libcurl, peers by
 * net/socks5; and it looks names up.  Through an HTTP proxy goes HTTP.
 * What the environment says of proxies has no say: it would be for a part of
 * the traffic only, and nobody would have asked for it.
 *
 * It also remembers whether the proxy works, so that its failure is told
 * once, whoever meets it.  The user name and the password are never part of
 * a text that is shown.
 *
 * Ownership: proxy_new's result belongs to the caller; others borrow it.
 * Threads:   any; what is told has a lock-free flag.
 */
#ifndef BTGET_NET_PROXY_H
#define BTGET_NET_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

#define PROXY_TEXT_MAX 255

enum proxy_kind { PROXY_SOCKS5, PROXY_HTTP };

struct proxy {
	enum proxy_kind kind;
	char host[PROXY_TEXT_MAX + 1];	/* a name or a number, no brackets */
	uint16_t port;
	char user[PROXY_TEXT_MAX + 1];	/* decoded; "": none */
	char password[PROXY_TEXT_MAX + 1];
	char url[PROXY_TEXT_MAX + 32];	/* for libcurl, without the user */
	char shown[PROXY_TEXT_MAX + 8];	/* host:port */
	_Atomic bool failing;
};

/* Fails with ERROR_USAGE and words that do not repeat the URL. */
int proxy_set(struct proxy *p, const char *url, struct error *e);
struct proxy *proxy_new(const char *url, struct error *e);
void proxy_free(struct proxy *p);	/* wipes the password */

/* Peers are reached through it, and nothing may go past it. */
bool proxy_carries_peers(const struct proxy *p);	/* NULL: false */

/* It failed, and why: a warning, unless it had failed already. */
void proxy_failed(struct proxy *p, struct log *log, const char *why);
void proxy_works(struct proxy *p);
bool proxy_is_failing(const struct proxy *p);	/* NULL: false */

#endif
