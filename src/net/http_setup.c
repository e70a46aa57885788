#include "http_setup.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "net/iface.h"
#include "net/proxy.h"

#define REDIRECTS_MAX 5
#define PROXY_UNAUTHORIZED 407
#define TOO_LARGE 100		/* CURLE_TOO_LARGE, not in older headers */
#define QUICK_EXIT ((CURLoption)322)		/* from 7.87 on, and */
#define MULTI_QUICK_EXIT ((CURLMoption)21)	/* from 8.20 on */

/* The interface in libcurl's words. */
static CURLcode
set_interface(CURL *c, const struct iface *route)
{
	char ip[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];
	CURLcode bad = CURLE_OK;

	if (route->name[0])
		snprintf(text, sizeof(text), "if!%s", route->name);
	else
		snprintf(text, sizeof(text), "host!%s",
			 addr_format_ip(&route->ip, ip));
	HTTP_SET(CURLOPT_INTERFACE, text);
	return bad;
}

#if LIBCURL_VERSION_NUM >= 0x075500
/* A libcurl that was made without TLS takes no list with https in it. */
static CURLcode
allow(CURL *c, CURLoption which)
{
	CURLcode bad = curl.easy_setopt(c, which, "http,https");

	if (bad != CURLE_UNSUPPORTED_PROTOCOL)
		return bad;
	return curl.easy_setopt(c, which, "http");
}
#endif

CURLcode
http_setup_common(CURL *c)
{
	CURLcode bad = CURLE_OK;

	HTTP_SET(CURLOPT_NOSIGNAL, 1L);
	HTTP_SET(CURLOPT_USERAGENT, "btget/" BTGET_VERSION);
	HTTP_SET(CURLOPT_FOLLOWLOCATION, 1L);
	HTTP_SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
#if LIBCURL_VERSION_NUM >= 0x075500
	bad = bad ? bad : allow(c, CURLOPT_PROTOCOLS_STR);
	bad = bad ? bad : allow(c, CURLOPT_REDIR_PROTOCOLS_STR);
#else
	HTTP_SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	HTTP_SET(CURLOPT_REDIR_PROTOCOLS,
		 (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	/* Do not wait for a name server that does not answer; it is no matter
	 * if the library is too old for that. */
	curl.easy_setopt(c, QUICK_EXIT, 1L);
	return bad;
}

CURLM *
http_setup_multi(void)
{
	CURLM *multi = curl.multi_init();

	if (multi)
		curl.multi_setopt(multi, MULTI_QUICK_EXIT, 1L);
	return multi;
}

/* No addresses are looked up that the interface could not use. */
static CURLcode
set_route(CURL *c, const struct iface *route)
{
	static const struct {
		int family;
		long resolve;
	} families[] = {
		{AF_INET, CURL_IPRESOLVE_V4},
		{AF_INET6, CURL_IPRESOLVE_V6},
		{AF_UNSPEC, CURL_IPRESOLVE_WHATEVER},
	};
	int family = iface_family(route);
	CURLcode bad = set_interface(c, route);

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		if (families[i].family == family)
			HTTP_SET(CURLOPT_IPRESOLVE, families[i].resolve);
	return bad;
}

CURLcode
http_setup_route(CURL *c, const struct iface *route,
		 const struct proxy *proxy)
{
	CURLcode bad = CURLE_OK;

	/* Set even when empty: else the environment would decide. */
	HTTP_SET(CURLOPT_PROXY, proxy ? proxy->url : "");
	HTTP_SET(CURLOPT_NOPROXY, "");
	if (proxy && proxy->user[0]) {
		HTTP_SET(CURLOPT_PROXYUSERNAME, proxy->user);
		HTTP_SET(CURLOPT_PROXYPASSWORD, proxy->password);
	}
	if (route && !bad)
		bad = set_route(c, route);
	return bad;
}

CURLcode
http_setup_family(CURL *c, struct http_names *names, int family)
{
	CURLSH **own = family == AF_INET ? &names->v4 : &names->v6;
	CURLcode bad = CURLE_OK;

	if (family == 0)
		return bad;
	if (!*own) {
		*own = curl.share_init();
		if (!*own || curl.share_setopt(*own, CURLSHOPT_SHARE,
					       CURL_LOCK_DATA_DNS) != 0)
			return CURLE_OUT_OF_MEMORY;
	}
	HTTP_SET(CURLOPT_SHARE, *own);
	HTTP_SET(CURLOPT_IPRESOLVE, family == AF_INET
				    ? (long)CURL_IPRESOLVE_V4
				    : (long)CURL_IPRESOLVE_V6);
	return bad;
}

void
http_names_release(struct http_names *names)
{
	if (names->v4)
		curl.share_cleanup(names->v4);
	if (names->v6)
		curl.share_cleanup(names->v6);
}

bool
http_setup_ready(const struct iface *route, struct error *e)
{
	if (iface_check(route, e) == 0)
		return true;
	if (e)
		e->kind = ERROR_NETWORK;
	return false;
}

curl_socket_t
http_setup_socket(const struct iface *route, const struct curl_sockaddr *to)
{
	int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);

	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (iface_leave(route, fd, to->family) == 0)
		return fd;
	close(fd);
	return CURL_SOCKET_BAD;
}

long
http_setup_hop(CURL *c, struct http_hop *hop)
{
	long now = 0;

	curl.easy_getinfo(c, CURLINFO_REDIRECT_COUNT, &now);
	if (now != hop->number)
		*hop = (struct http_hop){.number = now};
	return now;
}

/* What can be known: it has begun to answer, and no body has come.  To a newer
 * libcurl an answer begins with its second line. */
bool
http_setup_line_too_long(CURL *c, CURLcode code)
{
	curl_off_t began = 0, body = 0;

	if (code != CURLE_OUT_OF_MEMORY && (int)code != TOO_LARGE)
		return false;
	curl.easy_getinfo(c, CURLINFO_STARTTRANSFER_TIME_T, &began);
	curl.easy_getinfo(c, CURLINFO_SIZE_DOWNLOAD_T, &body);
	return (began > 0 || (int)code == TOO_LARGE) && body == 0;
}

/* Whoever is behind a SOCKS proxy cannot be connected to? */
static bool
is_behind(CURL *c)
{
	long px = CURLPX_OK;

	curl.easy_getinfo(c, CURLINFO_PROXY_ERROR, &px);
	return px >= CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED &&
	       px <= CURLPX_REPLY_UNASSIGNED &&
	       px != CURLPX_REPLY_COMMAND_NOT_SUPPORTED;
}

/* Was it the proxy that answered?  What a tunnel of its leads to may ask for a
 * login as well. */
static bool
answers_itself(CURL *c, const struct proxy *proxy)
{
	const char *url = NULL;

	curl.easy_getinfo(c, CURLINFO_EFFECTIVE_URL, &url);
	return proxy->kind == PROXY_HTTP && url &&
	       strncasecmp(url, "http://", strlen("http://")) == 0;
}

bool
http_setup_blames(CURL *c, CURLcode code, const struct proxy *proxy,
		  const char *why, struct error *e)
{
	char clean[ERROR_TEXT_MAX];
	long status = 0, connect = 0;

	if (!proxy)
		return false;
	curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl.easy_getinfo(c, CURLINFO_HTTP_CONNECTCODE, &connect);
	if (connect == PROXY_UNAUTHORIZED ||
	    (status == PROXY_UNAUTHORIZED && answers_itself(c, proxy))) {
		error_set(e, ERROR_NETWORK, proxy->user[0]
			  ? "it refuses the user name and the password"
			  : "it wants a user name and a password");
		return true;
	}
	if (code != CURLE_COULDNT_CONNECT && code != CURLE_PROXY &&
	    code != CURLE_COULDNT_RESOLVE_PROXY)
		return false;
	/* It answered, with what others said; libcurl 8.20 calls that so. */
	if (code == CURLE_COULDNT_CONNECT && connect != 0)
		return false;
	if (code == CURLE_PROXY && is_behind(c))
		return false;
	error_set(e, ERROR_NETWORK, "%s",
		  text_clean(clean, sizeof(clean), why));
	return true;
}
