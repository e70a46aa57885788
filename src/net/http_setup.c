#include "http_setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"

#define REDIRECTS_MAX 5

char *
http_setup_interface(const char *interface)
{
	struct addr a;
	size_t size = strlen(interface) + sizeof("host!");
	char *name = malloc(size);

	if (name)
		snprintf(name, size, "%s!%s",
			 addr_parse(&a, interface, 0) ? "host" : "if",
			 interface);
	return name;
}

CURLcode
http_setup_common(CURL *c)
{
	CURLcode bad = CURLE_OK;

	HTTP_SET(CURLOPT_NOSIGNAL, 1L);
	HTTP_SET(CURLOPT_USERAGENT, "btget/" BTGET_VERSION);
	HTTP_SET(CURLOPT_FOLLOWLOCATION, 1L);
	HTTP_SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
#if LIBCURL_VERSION_NUM >= 0x075500
	HTTP_SET(CURLOPT_PROTOCOLS_STR, "http,https");
	HTTP_SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
	HTTP_SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
	HTTP_SET(CURLOPT_REDIR_PROTOCOLS,
		 (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Do not wait for a name server that does not answer. */
	HTTP_SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	return bad;
}

CURLcode
http_setup_route(CURL *c, const char *interface, const char *proxy)
{
	CURLcode bad = CURLE_OK;

	/* Set even when empty: else the environment would decide. */
	HTTP_SET(CURLOPT_PROXY, proxy ? proxy : "");
	HTTP_SET(CURLOPT_NOPROXY, "");
	if (interface)
		HTTP_SET(CURLOPT_INTERFACE, interface);
	return bad;
}
