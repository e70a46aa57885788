#include "net/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/bytes.h"

static const struct {
	const char *scheme;
	enum proxy_kind kind;
	const char *curl;	/* names are looked up at the other end */
} schemes[] = {
	{"socks5://", PROXY_SOCKS5, "socks5h"},
	{"socks5h://", PROXY_SOCKS5, "socks5h"},
	{"http://", PROXY_HTTP, "http"},
};

/* %41 is A; false if it does not fit, or is cut, or hides a NUL. */
static bool
decode(char out[PROXY_TEXT_MAX + 1], const char *text, size_t n)
{
	size_t used = 0;
	uint8_t byte;

	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '%') {
			if (n - i < 3 || !hex_decode(&byte, 1, text + i + 1, 2) ||
			    byte == 0)
				return false;
			c = (char)byte;
			i += 2;
		}
		if (used == PROXY_TEXT_MAX)
			return false;
		out[used++] = c;
	}
	out[used] = '\0';
	return true;
}

/* The part in front of the last '@': "user" or "user:password". */
static bool
take_user(struct proxy *p, const char *text, size_t n)
{
	const char *colon = memchr(text, ':', n);
	size_t user = colon ? (size_t)(colon - text) : n;

	if (user == 0 || !decode(p->user, text, user))
		return false;
	return !colon || decode(p->password, colon + 1, n - user - 1);
}

/* Letters, digits, dots, dashes, underscores; or a number. */
static bool
host_is_good(const char *host)
{
	struct addr a;

	if (addr_parse(&a, host, 1))
		return addr_usable(&a);
	for (const char *c = host; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
		    !(*c >= '0' && *c <= '9') && !strchr("-._", *c))
			return false;
	return *host != '\0';
}

static bool
take_host(struct proxy *p, const char *text, size_t n, const char *scheme)
{
	char where[PROXY_TEXT_MAX + 8];

	if (n > 0 && text[n - 1] == '/')
		n--;
	if (n >= sizeof(where))
		return false;
	memcpy(where, text, n);
	where[n] = '\0';
	if (!addr_split(where, p->host, sizeof(p->host), &p->port) ||
	    !host_is_good(p->host))
		return false;
	snprintf(p->shown, sizeof(p->shown),
		 strchr(p->host, ':') ? "[%s]:%u" : "%s:%u", p->host,
		 p->port);
	snprintf(p->url, sizeof(p->url), "%s://%s", scheme, p->shown);
	return true;
}

int
proxy_set(struct proxy *p, const char *url, struct error *e)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t n = strlen(schemes[i].scheme);
		const char *rest = url + n, *at;

		if (strncasecmp(url, schemes[i].scheme, n) != 0)
			continue;
		p->kind = schemes[i].kind;
		at = strrchr(rest, '@');
		if (at && !take_user(p, rest, (size_t)(at - rest)))
			return error_set(e, ERROR_USAGE, "the user name or "
					 "the password cannot be read; write "
					 "signs such as : and @ as %%3A, %%40");
		if (at)
			rest = at + 1;
		if (!take_host(p, rest, strlen(rest), schemes[i].curl))
			return error_set(e, ERROR_USAGE, "needs HOST:PORT");
		return 0;
	}
	return error_set(e, ERROR_USAGE, "needs socks5://HOST:PORT or "
			 "http://HOST:PORT");
}

struct proxy *
proxy_new(const char *url, struct error *e)
{
	struct proxy *p = calloc(1, sizeof(*p));

	if (!p) {
		error_memory(e);
		return NULL;
	}
	if (proxy_set(p, url, e) == 0)
		return p;
	proxy_free(p);
	return NULL;
}

void
proxy_free(struct proxy *p)
{
	if (!p)
		return;
	explicit_bzero(p->password, sizeof(p->password));
	free(p);
}

bool
proxy_carries_peers(const struct proxy *p)
{
	return p && p->kind == PROXY_SOCKS5;
}

void
proxy_failed(struct proxy *p, struct log *log, const char *why)
{
	enum log_level level = atomic_exchange(&p->failing, true)
				       ? LOG_DETAIL : LOG_WARNING;

	log_write(log, level, NULL, "proxy %s: %s", p->shown, why);
}

void
proxy_works(struct proxy *p)
{
	if (atomic_load(&p->failing))
		atomic_store(&p->failing, false);
}

bool
proxy_is_failing(const struct proxy *p)
{
	return p && atomic_load(&p->failing);
}
