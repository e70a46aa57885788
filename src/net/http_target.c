#include "net/http_target.h"

#include <string.h>
#include <strings.h>

#include "http_library.h"

#define HOST_MAX 256
#define URL_MAX 8192

int
http_target_check_url(const char *url, struct error *e)
{
	size_t scheme = 0;

	if (strncasecmp(url, "http://", 7) == 0)
		scheme = 7;
	else if (strncasecmp(url, "https://", 8) == 0)
		scheme = 8;
	if (scheme == 0)
		return error_set(e, ERROR_TORRENT, "not an http or https URL");
	if (url[scheme] == '\0' || strchr("/?#", url[scheme]))
		return error_set(e, ERROR_TORRENT, "the URL has no host");
	if (strlen(url) > URL_MAX)
		return error_set(e, ERROR_TORRENT, "the URL is too long");
	for (const char *c = url; *c; c++) {
		if (*c <= ' ' || *c > '~')
			return error_set(e, ERROR_TORRENT,
					 "the URL has a character that is not "
					 "allowed in one");
	}
	return 0;
}

/* The host as libcurl will see it, without brackets; false if it sees none,
 * or cannot be asked: then there is no request either.  Since 7.77 it knows
 * the odd forms: 127.1, 0x7f000001, 2130706433; before, 127.1 is a name, which
 * leads nowhere. */
static bool
host_of(const char *url, char host[HOST_MAX])
{
	char *text = NULL;
	const char *at;
	size_t n = 0;
	CURLU *u;

	if (http_library_load(NULL) < 0)
		return false;
	u = curl.url();
	if (u && curl.url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl.url_get(u, CURLUPART_HOST, &text, 0) == CURLUE_OK) {
		at = *text == '[' ? text + 1 : text;
		n = strcspn(at, "]%");
		if (n < HOST_MAX)
			memcpy(host, at, n);
		else
			n = 0;
		curl.free(text);
	}
	if (n > 0 && host[n - 1] == '.')
		n--;
	host[n] = '\0';
	curl.url_cleanup(u);
	return n > 0;
}

static bool
ends_in(const char *host, const char *domain)
{
	size_t n = strlen(host), m = strlen(domain);

	return n >= m && strcasecmp(host + n - m, domain) == 0;
}

bool
http_target_is_local(const char *url)
{
	static const char *const domains[] = {
		".localhost", ".local", ".lan", ".internal", ".home.arpa",
	};
	char host[HOST_MAX];
	struct addr a;

	if (!host_of(url, host))
		return false;
	if (addr_parse(&a, host, 1))
		return addr_is_local(&a);
	if (!strchr(host, '.'))
		return true;
	for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++)
		if (ends_in(host, domains[i]))
			return true;
	return false;
}

bool
http_target_is_number(const char *url)
{
	char host[HOST_MAX];
	struct addr a;

	return host_of(url, host) && addr_parse(&a, host, 1);
}

bool
http_target_url_allowed(const char *url)
{
	return !strchr(url, '?') || !http_target_is_local(url);
}

/* A dot, also an escaped one; how long it is. */
static size_t
dot_at(const char *text)
{
	if (*text == '.')
		return 1;
	return strncasecmp(text, "%2e", 3) == 0 ? 3 : 0;
}

/* With "..", a path may lead to another one than it names. */
static bool
climbs(const char *path, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		size_t n = dot_at(path + i);

		if (n > 0 && dot_at(path + i + n) > 0)
			return true;
	}
	return false;
}

bool
http_target_is_announce(const char *url)
{
	static const char want[] = "/announce";
	const char *host = strstr(url, "://");
	size_t length;

	url = host ? host + 3 : url;
	url += strcspn(url, "/?#");
	length = strcspn(url, "?#");
	if (climbs(url, length))
		return false;
	for (size_t i = 0; i < length; i++)
		if (strncmp(url + i, want, sizeof(want) - 1) == 0)
			return true;
	return false;
}

bool
http_target_allowed(bool local, const struct addr *to)
{
	return addr_usable(to) && (local || !addr_is_local(to));
}
