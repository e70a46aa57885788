#include "net/gateway.h"

#include <errno.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX 65536		/* a router's table may be long */

/* The table has addresses as numbers of the host's order. */
static bool
take_line(const char *line, struct addr *out, unsigned *metric)
{
	unsigned to, gateway, flags, found, mask;
	uint32_t ip;

	if (sscanf(line, "%*s %8x %8x %4x %*d %*u %9u %8x", &to, &gateway,
		   &flags, &found, &mask) != 5)
		return false;
	if (to != 0 || mask != 0 || !(flags & RTF_UP) ||
	    !(flags & RTF_GATEWAY) || found >= *metric)
		return false;
	*out = (struct addr){.family = AF_INET, .port = 1};
	ip = gateway;
	memcpy(out->ip, &ip, sizeof(ip));
	if (!addr_usable(out) || addr_is_loopback(out))
		return false;
	*metric = found;
	return true;
}

int
gateway_find(const char *table, struct addr *out, struct error *e)
{
	FILE *f = fopen(table, "re");
	unsigned metric = ~0u;
	struct addr found;
	char line[512];

	out->family = 0;
	if (!f)
		return error_sys(e, ERROR_NETWORK, errno, "cannot read '%s'",
				 table);
	for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), f); i++)
		if (take_line(line, &found, &metric))
			*out = found;
	fclose(f);
	out->port = 0;
	if (out->family == 0)
		return error_set(e, ERROR_NETWORK, "no gateway");
	return 0;
}
