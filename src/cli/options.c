#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/text.h"
#include "meta/selection.h"

/* More is a mistake, and the memory for it has a bound. */
#define LIST_MAX 65536

static const char *const verb_names[VERB_COUNT] = {
	[VERB_GET] = "get",	    [VERB_CREATE] = "create",
	[VERB_SHOW] = "show",	    [VERB_CHECK] = "check",
	[VERB_TRACKER] = "tracker",
};

void
options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	session_config_init(&o->session);
	o->create.date = true;
	o->tracker.port = 6969;
	o->tracker.interval_s = 600;
}

void
options_release(struct options *o)
{
	free(o->peers);
	free(o->dht_nodes);
	free(o->create.tiers.items);
	free(o->create.web_seeds.items);
	free(o->operands);
	free(o->config_text);
	memset(o, 0, sizeof(*o));
}

/* It may be a URL, well-formed or not, and one with a password. */
static int
bad(struct error *e, const char *shown, const char *value, const char *want)
{
	char clean[128];
	const char *at = strrchr(value, '@');

	return error_set(e, ERROR_USAGE, "%s: '%s' is not %s", shown,
			 text_url(clean, sizeof(clean), at ? at : value),
			 want);
}

/* One more item at the end of a growing array; NULL: see e. */
static void *
grow(void *items, size_t *count, size_t size, struct error *e)
{
	void *more;

	if (*count >= LIST_MAX) {
		error_set(e, ERROR_USAGE, "more than %d values", LIST_MAX);
		return NULL;
	}
	/* Powers of two alone change the size. */
	if (*count & (*count - 1))
		return items;
	more = realloc(items, (*count ? 2 * *count : 1) * size);
	if (!more)
		error_memory(e);
	return more;
}

static int
list_add(const char ***items, size_t *count, const char *text,
	 struct error *e)
{
	const char **more = grow(*items, count, sizeof(**items), e);

	if (!more)
		return -1;
	*items = more;
	more[(*count)++] = text;
	return 0;
}

/* One more "HOST:PORT" at the end of a list. */
static int
add_host(struct session_peer **list, size_t *count, const char *shown,
	 const char *value, struct error *e)
{
	struct session_peer *more = grow(*list, count, sizeof(*more), e);
	struct session_peer *p;

	if (!more)
		return -1;
	*list = more;
	p = &more[*count];
	if (!addr_split(value, p->host, sizeof(p->host), &p->port) ||
	    !addr_host_usable(p->host))
		return bad(e, shown, value, "HOST:PORT");
	++*count;
	return 0;
}

static int
set_peer(struct options *o, const char *shown, const char *value,
	 struct error *e)
{
	int status = add_host(&o->peers, &o->session.peer_count, shown, value,
			      e);

	o->session.peers = o->peers;
	return status;
}

static int
set_node(struct options *o, const char *shown, const char *value,
	 struct error *e)
{
	int status = add_host(&o->dht_nodes, &o->session.dht_node_count,
			      shown, value, e);

	o->session.dht_nodes = o->dht_nodes;
	return status;
}

/* "PORT" or "LOW-HIGH". */
static int
set_listen(struct options *o, const char *shown, const char *value,
	   struct error *e)
{
	char low[8];
	const char *dash = strchr(value, '-');
	uint64_t from = 0;
	uint64_t to = 0;

	if (dash && (size_t)(dash - value) < sizeof(low)) {
		memcpy(low, value, (size_t)(dash - value));
		low[dash - value] = '\0';
		if (!text_parse_number(low, 1, 65535, &from) ||
		    !text_parse_number(dash + 1, from, 65535, &to))
			return bad(e, shown, value, "a range of ports");
	} else if (text_parse_number(value, 0, 65535, &from)) {
		to = from;
	} else {
		return bad(e, shown, value, "a port, 0 to 65535");
	}
	o->session.port_min = (uint16_t)from;
	o->session.port_max = (uint16_t)to;
	return 0;
}

/* Digits with at most one point; no signs, exponents or locales. */
static bool
parse_ratio(const char *text, uint64_t max, double *ratio)
{
	size_t whole = strspn(text, "0123456789"), part = 0;
	const char *end = text + whole;

	if (*end == '.') {
		part = strspn(++end, "0123456789");
		end += part;
	}
	if (*end != '\0' || end - text > 20 || whole + part == 0)
		return false;
	*ratio = strtod(text, NULL);
	return *ratio <= (double)max;
}

static int
set_ratio(const struct option_row *row, void *at, const char *shown,
	  const char *value, struct error *e)
{
	double ratio;

	if (!parse_ratio(value, row->max, &ratio))
		return bad(e, shown, value, "a ratio such as 1.5");
	memcpy(at, &ratio, sizeof(ratio));
	return 0;
}

static int
set_number(const struct option_row *row, void *at, const char *shown,
	   const char *value, struct error *e)
{
	char want[80];
	uint64_t n;

	if (!text_parse_number(value, row->min, row->max, &n)) {
		snprintf(want, sizeof(want), "a number from %llu to %llu",
			 (unsigned long long)row->min,
			 (unsigned long long)row->max);
		return bad(e, shown, value, want);
	}
	if (row->kind == OPTION_PORT)
		*(uint16_t *)at = (uint16_t)n;
	else
		*(unsigned *)at = (unsigned)n;
	return 0;
}

static int
set_size(const struct option_row *row, uint64_t *at, const char *shown,
	 const char *value, struct error *e)
{
	char want[80];
	char low[24];
	char high[24];
	uint64_t n;

	if (!text_parse_size(value, &n))
		return bad(e, shown, value, "a size such as 500K or 2M");
	if (n < row->min || n > row->max) {
		snprintf(want, sizeof(want), "from %s to %s",
			 text_size(low, sizeof(low), row->min),
			 text_size(high, sizeof(high), row->max));
		return bad(e, shown, value, want);
	}
	*at = n;
	return 0;
}

static int
set_choice(const struct option_row *row, unsigned *at, const char *shown,
	   const char *value, struct error *e)
{
	char want[128] = "";
	unsigned i;

	for (i = 0; row->choices[i]; i++) {
		const char *before = !i ? "" :
				     row->choices[i + 1] ? ", " : " or ";

		size_t used = strlen(want);

		if (strcmp(row->choices[i], value) == 0) {
			*at = i;
			return 0;
		}
		snprintf(want + used, sizeof(want) - used, "%s%s", before,
			 row->choices[i]);
	}
	return bad(e, shown, value, want);
}

static int
set_duration(int64_t *at, const char *shown, const char *value,
	     struct error *e)
{
	int64_t ns;

	if (!text_parse_duration(value, &ns))
		return bad(e, shown, value,
			   "a duration such as 90, 15m or 2h");
	*at = ns;
	return 0;
}

static int
set_text(const char **at, const char *shown, const char *value,
	 struct error *e)
{
	if (!*value)
		return error_set(e, ERROR_USAGE, "%s: needs a value", shown);
	*at = value;
	return 0;
}

/* Read here only to see whether it can be. */
static int
set_files(const char **at, const char *shown, const char *value,
	  struct error *e)
{
	struct selection *s = selection_parse(value, e);

	if (!s) {
		error_prefix(e, "%s", shown);
		return -1;
	}
	selection_free(s);
	*at = value;
	return 0;
}

/* The same. */
static int
set_checked(int (*check)(const char *, struct error *), const char **at,
	    const char *shown, const char *value, struct error *e)
{
	if (set_text(at, shown, value, e) < 0)
		return -1;
	if (check(value, e) == 0)
		return 0;
	error_prefix(e, "%s", shown);
	return -1;
}

int
options_set(struct options *o, const struct option_row *row,
	    const char *shown, const char *value, struct error *e)
{
	void *at = (char *)o + row->where;
	struct text_list *list = at;

	if (!value)
		value = "";
	switch (row->kind) {
	case OPTION_YES:
	case OPTION_NO:
		*(bool *)at = row->kind == OPTION_YES;
		return 0;
	case OPTION_TALLY:
		if (*(unsigned *)at < row->max)
			++*(unsigned *)at;
		return 0;
	case OPTION_TEXT:
		return set_text(at, shown, value, e);
	case OPTION_LIST:
		if (!*value)
			return set_text(&value, shown, value, e);
		return list_add(&list->items, &list->count, value, e);
	case OPTION_NUMBER:
	case OPTION_PORT:
		return set_number(row, at, shown, value, e);
	case OPTION_LISTEN:
		return set_listen(o, shown, value, e);
	case OPTION_SIZE:
		return set_size(row, at, shown, value, e);
	case OPTION_RATIO:
		return set_ratio(row, at, shown, value, e);
	case OPTION_DURATION:
		return set_duration(at, shown, value, e);
	case OPTION_CHOICE:
		return set_choice(row, at, shown, value, e);
	case OPTION_PEER:
		return set_peer(o, shown, value, e);
	case OPTION_NODE:
		return set_node(o, shown, value, e);
	case OPTION_FILES:
		return set_files(at, shown, value, e);
	case OPTION_INTERFACE:
		return set_checked(session_config_interface, at, shown, value,
				   e);
	case OPTION_PROXY:
		return set_checked(session_config_proxy, at, shown, value, e);
	}
	return error_set(e, ERROR_INTERNAL, "%s: unknown kind", shown);
}

/* The row of an option by its long name, or by its letter. */
static const struct option_row *
find(unsigned verb_bits, const char *name, size_t length, char letter)
{
	size_t i;

	for (i = 0; i < options_count; i++) {
		const struct option_row *row = &options_table[i];

		if (!(row->verbs & verb_bits))
			continue;
		if (letter ? row->letter == letter :
		    strlen(row->name) == length &&
		    memcmp(row->name, name, length) == 0)
			return row;
	}
	return NULL;
}

const struct option_row *
options_find(enum verb verb, const char *name)
{
	return find(VERB_BIT(verb), name, strlen(name), '\0');
}

/* Says what might have been meant: another verb's option, or the one that
 * this is the beginning of. */
static int
unknown(const struct options *o, const char *shown, const char *name,
	size_t length, struct error *e)
{
	char clean[80];
	const struct option_row *row;
	const char *close = NULL;
	unsigned v;
	size_t i;

	text_clean(clean, sizeof(clean), shown);
	row = find(~0u, name, length, (char)(name ? '\0' : shown[1]));
	for (v = 0; row && v < VERB_COUNT; v++)
		if (row->verbs & VERB_BIT(v))
			return error_set(e, ERROR_USAGE,
					 "%s is an option of '%s'", clean,
					 v == VERB_GET ? "btget get" :
					 verb_call((enum verb)v));
	for (i = 0; name && length > 1 && i < options_count; i++)
		if ((options_table[i].verbs & VERB_BIT(o->verb)) &&
		    strncmp(options_table[i].name, name, length) == 0)
			close = options_table[i].name;
	if (close)
		return error_set(e, ERROR_USAGE, "unknown option %s; is --%s "
				 "meant?", clean, close);
	return error_set(e, ERROR_USAGE, "unknown option %s", clean);
}

/* The arguments that are still to be read. */
struct cursor {
	char *const *argv;
	int argc;
	int at;			/* of the next one */
};

bool
options_end(const struct options *o)
{
	return o->help || o->version;
}

static int
parse_long(struct options *o, struct cursor *c, const char *arg,
	   struct error *e)
{
	char shown[80];
	const char *name = arg + 2;
	const char *value = strchr(name, '=');
	size_t length = value ? (size_t)(value - name) : strlen(name);
	const struct option_row *row;

	snprintf(shown, sizeof(shown), "--%.*s", (int)(length > 70 ? 70 :
						       length), name);
	row = find(VERB_BIT(o->verb), name, length, '\0');
	if (!row)
		return unknown(o, shown, name, length, e);
	if (value && !row->argument)
		return error_set(e, ERROR_USAGE, "%s takes no value", shown);
	if (value)
		value++;
	else if (row->argument && c->at < c->argc)
		value = c->argv[c->at++];
	if (row->argument && !value)
		return error_set(e, ERROR_USAGE, "%s needs a value: %s",
				 shown, row->argument);
	return options_set(o, row, shown, value, e);
}

/* "-qv", "-dDIR", "-d DIR". */
static int
parse_short(struct options *o, struct cursor *c, const char *arg,
	    struct error *e)
{
	char shown[3] = "-?";
	const struct option_row *row;
	const char *value;

	for (arg++; *arg && !options_end(o); arg++) {
		shown[1] = *arg;
		row = find(VERB_BIT(o->verb), NULL, 0, *arg);
		if (!row)
			return unknown(o, shown, NULL, 0, e);
		if (!row->argument) {
			if (options_set(o, row, shown, NULL, e) < 0)
				return -1;
			continue;
		}
		value = arg[1] ? arg + 1 :
			c->at < c->argc ? c->argv[c->at++] : NULL;
		if (!value)
			return error_set(e, ERROR_USAGE,
					 "%s needs a value: %s", shown,
					 row->argument);
		return options_set(o, row, shown, value, e);
	}
	return 0;
}

static int
parse_all(struct options *o, struct cursor *c, struct error *e)
{
	bool only_operands = false;
	const char *arg;
	int rc = 0;

	while (rc == 0 && c->at < c->argc && !options_end(o)) {
		arg = c->argv[c->at++];
		if (only_operands || arg[0] != '-' || !arg[1])
			rc = list_add(&o->operands, &o->operand_count, arg,
				      e);
		else if (strcmp(arg, "--") == 0)
			only_operands = true;
		else if (arg[1] == '-')
			rc = parse_long(o, c, arg, e);
		else
			rc = parse_short(o, c, arg, e);
	}
	return rc;
}

static bool
verb_find(const char *text, enum verb *verb)
{
	unsigned i;

	for (i = 0; i < VERB_COUNT; i++)
		if (strcmp(text, verb_names[i]) == 0) {
			*verb = (enum verb)i;
			return true;
		}
	return false;
}

static int
check_operands(const struct options *o, struct error *e)
{
	enum verb meant;
	size_t dashes = 0;
	size_t i;

	if (!o->verb_given && o->operand_count &&
	    verb_find(o->operands[0], &meant))
		return error_set(e, ERROR_USAGE, "the verb comes first: btget "
				 "%s ...; for a file of that name write ./%s",
				 verb_names[meant], verb_names[meant]);
	for (i = 0; i < o->operand_count; i++) {
		if (!*o->operands[i])
			return error_set(e, ERROR_USAGE, "an argument is "
					 "empty");
		dashes += strcmp(o->operands[i], "-") == 0;
	}
	if (o->verb == VERB_TRACKER && o->operand_count)
		return error_set(e, ERROR_USAGE, "the tracker takes no "
				 "arguments, only options");
	if (o->verb == VERB_TRACKER)
		return 0;
	if (!o->operand_count && !(o->verb == VERB_GET && o->session.watch))
		return error_set(e, ERROR_USAGE, o->verb == VERB_CREATE ?
				 "no path given" : "no torrent given");
	if (o->verb == VERB_CREATE && o->operand_count > 1)
		return error_set(e, ERROR_USAGE, "one path makes one torrent, "
				 "%zu are given", o->operand_count);
	if (o->verb != VERB_CREATE && dashes > 1)
		return error_set(e, ERROR_USAGE, "standard input can be read "
				 "only once");
	return 0;
}

static int
check_values(const struct options *o, struct error *e)
{
	uint64_t n = o->create.piece_length;

	if (n & (n - 1))
		return error_set(e, ERROR_USAGE, "--piece-length: %llu is no "
				 "power of two", (unsigned long long)n);
	if (o->create.v1 + o->create.v2 + o->create.hybrid > 1)
		return error_set(e, ERROR_USAGE, "--v1, --v2 and --hybrid: "
				 "one torrent is one of these");
	return 0;
}

/* What is wrong, with where to read more. */
static int
hint(const struct options *o, struct error *e)
{
	char text[ERROR_TEXT_MAX];

	if (!e || e->kind != ERROR_USAGE)
		return -1;
	memcpy(text, e->text, sizeof(text));
	return error_set(e, ERROR_USAGE, "%.400s (see %s --help)", text,
			 verb_call(o->verb));
}

int
options_read(struct options *o, int argc, char *const *argv, struct error *e)
{
	struct cursor c = { argv, argc, 1 };

	o->verb_given = argc > 1 && verb_find(argv[1], &o->verb);
	if (o->verb_given)
		c.at = 2;
	return parse_all(o, &c, e) < 0 ? hint(o, e) : 0;
}

int
options_check(const struct options *o, struct error *e)
{
	if (options_end(o))
		return 0;
	if (check_operands(o, e) < 0 || check_values(o, e) < 0)
		return hint(o, e);
	return 0;
}
