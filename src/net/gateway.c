#include "net/gateway.h"

#include <errno.h>
#include <net/route.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 65536		/* a router's table may be long */

/* Columns of the table, all but the first and the last ones in use. */
enum { TO = 1, GATEWAY, FLAGS, METRIC = 6, MASK, COLUMNS };

/* Reads the numbers of a line; false for the head and other lines. */
static bool
read_line(char *line, const char *interface, unsigned long out[COLUMNS])
{
	char *rest = NULL, *end;
	char *word = strtok_r(line, " \t\n", &rest);

	if (interface && (!word || strcmp(word, interface) != 0))
		return false;
	for (int i = 0; i < COLUMNS; i++) {
		if (!word)
			return false;
		out[i] = strtoul(word, &end, i == METRIC ? 10 : 16);
		if (i > 0 && *end != '\0')
			return false;
		word = strtok_r(NULL, " \t\n", &rest);
	}
	return true;
}

/* The table has addresses as numbers of the host's order. */
static bool
take_line(char *line, const char *interface, struct addr *out,
	  unsigned long *metric)
{
	unsigned long column[COLUMNS];
	uint32_t ip;

	if (!read_line(line, interface, column) || column[TO] != 0 ||
	    column[MASK] != 0 || !(column[FLAGS] & RTF_UP) ||
	    !(column[FLAGS] & RTF_GATEWAY) || column[METRIC] >= *metric)
		return false;
	*out = (struct addr){.family = AF_INET, .port = 1};
	ip = (uint32_t)column[GATEWAY];
	memcpy(out->ip, &ip, sizeof(ip));
	if (!addr_usable(out) || addr_is_loopback(out))
		return false;
	*metric = column[METRIC];
	return true;
}

int
gateway_find(const char *table, const char *interface, struct addr *out,
	     struct error *e)
{
	FILE *f = fopen(table, "re");
	unsigned long metric = ~0ul;
	struct addr found;
	char line[512];

	out->family = 0;
	if (!f)
		return error_sys(e, ERROR_NETWORK, errno, "cannot read '%s'",
				 table);
	for (int i = 0; i < LINES_MAX && fgets(line, sizeof(line), f); i++)
		if (take_line(line, interface, &found, &metric))
			*out = found;
	fclose(f);
	out->port = 0;
	if (out->family == 0)
		return error_set(e, ERROR_NETWORK, "no gateway");
	return 0;
}
