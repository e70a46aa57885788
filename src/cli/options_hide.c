/*
 * What a list of processes shows of the arguments: not the passwords of
 * proxies, nor the keys that URLs and links of trackers carry.  They are read
 * from a copy, and overwritten where they stood.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/options.h"

#define MAGNET "magnet:"
#define PROXY "--proxy"

char **
options_copy(int argc, char *const *argv, struct error *e)
{
	size_t count = (size_t)argc + 1, bytes = 0, size;
	char **copy, *to;

	for (int i = 0; i < argc; i++)
		bytes += strlen(argv[i]) + 1;
	copy = malloc(count * sizeof(*copy) + bytes);
	if (!copy) {
		error_memory(e);
		return NULL;
	}
	to = (char *)(copy + count);
	for (int i = 0; i < argc; i++) {
		size = strlen(argv[i]) + 1;
		copy[i] = memcpy(to, argv[i], size);
		to += size;
	}
	copy[argc] = NULL;
	return copy;
}

/*
 * All but the scheme and the host, be it one of several URLs.  An '@' behind
 * the first '/' may be that of a user whose password has one, or part of
 * what is asked for: nobody knows which is the host.
 */
static void
hide_url(char *url)
{
	char *from = strstr(url, "://"), *at;

	from = from ? from + 3 : url;
	at = strrchr(from, '@');
	if (at && (size_t)(at - from) < strcspn(from, "/?#")) {
		memset(from, '*', (size_t)(at - from));
		from = at;
	}
	if (!at || from == at)
		from += strcspn(from, "/?#,");
	memset(from, '*', strlen(from));
}

/* A hash, or the name. */
static bool
is_open(const char *parameter)
{
	return strncasecmp(parameter, "xt=", 3) == 0 ||
	       strncasecmp(parameter, "xt.", 3) == 0 ||
	       strncasecmp(parameter, "dn=", 3) == 0;
}

/* The values of all others. */
static void
hide_link(char *link)
{
	char *at = link + sizeof(MAGNET) - 1;

	at += *at == '?';
	while (*at) {
		size_t n = strcspn(at, "&");

		if (!is_open(at)) {
			char *value = memchr(at, '=', n);
			size_t name = value ? (size_t)(value - at) + 1 : 0;

			memset(at + name, '*', n - name);
		}
		at += n;
		at += *at == '&';
	}
}

void
options_hide(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strncasecmp(argv[i], MAGNET, sizeof(MAGNET) - 1) == 0)
			hide_link(argv[i]);
		else if (strstr(argv[i], "://") ||
			 strcmp(argv[i - 1], PROXY) == 0)
			hide_url(argv[i]);
		else if (strncmp(argv[i], PROXY "=", sizeof(PROXY)) == 0)
			hide_url(argv[i] + sizeof(PROXY));
	}
}
