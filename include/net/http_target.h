/*
 * http_target: where a URL that came from a stranger may lead.
 *
 * A torrent is made by anybody, and what it names is fetched from inside the
 * user's network.  So that it cannot be used to reach services there:
 *
 *   - a URL reaches loopback, link-local and private addresses only if it
 *     names such a host itself, as a number or by a name that only the local
 *     network knows; it then must not have a query, and since the path of
 *     a web seed ends in the torrent's own file names, all it can do is a
 *     GET of a path, with a Range
 *   - any other URL reaches public addresses alone: each address is judged
 *     when it is about to be connected to, so that neither a redirect nor
 *     a name server can lead it inside
 *   - a tracker's URL may lead to a local address whatever its host is
 *     called, since trackers of one's own network are common: but then only
 *     if it is an announce by its path, which nothing else is likely to have
 *     and which cannot be led elsewhere by "..", and never from a public
 *     address by a redirect
 *   - a redirect from one local address to another must be such a URL itself:
 *     without a query, or an announce
 *   - unspecified, multicast and broadcast addresses are never connected to
 *
 * Pure.
 */
#ifndef BTGET_NET_HTTP_TARGET_H
#define BTGET_NET_HTTP_TARGET_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/error.h"

/* Is this a URL that can be asked for: http or https, with a host, of a
 * bounded length, and without characters that have no place in one? */
int http_target_check_url(const char *url, struct error *e);

/* Does the URL name a local host: a number, or a name without a dot or below
 * localhost, local, lan, internal, home.arpa? */
bool http_target_is_local(const char *url);

/* Is its host a number, and no name that might have more addresses? */
bool http_target_is_number(const char *url);

/* May such a URL be asked for at all? */
bool http_target_url_allowed(const char *url);

/* Does a component of its path begin with announce (announce.php,
 * announce/KEY), and none lead back (..)? */
bool http_target_is_announce(const char *url);

/* May it lead to this address? `local` is http_target_is_local's word on the
 * first URL. */
bool http_target_allowed(bool local, const struct addr *to);

#endif
