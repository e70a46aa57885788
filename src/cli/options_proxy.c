/*
 * --proxy: the one option whose value may hold a password.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

void
options_forget_proxy(struct options *o)
{
	if (o->proxy)
		explicit_bzero(o->proxy, strlen(o->proxy));
	free(o->proxy);
	o->session.proxy = o->proxy = NULL;
}

/* A copy, since the argument is going to be overwritten. */
int
options_set_proxy(struct options *o, const char *shown, const char *value,
	  struct error *e)
{
	char *copy;

	if (!*value)
		return error_set(e, ERROR_USAGE, "%s: needs a value", shown);
	if (session_config_proxy(value, e) < 0) {
		error_prefix(e, "%s", shown);
		return -1;
	}
	copy = strdup(value);
	if (!copy)
		return error_memory(e);
	options_forget_proxy(o);
	o->session.proxy = o->proxy = copy;
	return 0;
}

static void
hide(char *url)
{
	char *at = strrchr(url, '@');
	char *from = strstr(url, "://");

	from = from ? from + 3 : url;
	if (at > from)
		memset(from, '*', (size_t)(at - from));
}

void
options_hide(int argc, char **argv)
{
	static const char name[] = "--proxy";
	size_t n = sizeof(name) - 1;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], name, n) != 0)
			continue;
		if (argv[i][n] == '=')
			hide(argv[i] + n + 1);
		else if (argv[i][n] == '\0' && i + 1 < argc)
			hide(argv[i + 1]);
	}
}
