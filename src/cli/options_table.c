/*
 * The table, and --help, which is printed from it.
 */
#include "cli/options.h"

#include <string.h>

#define GET VERB_BIT(VERB_GET)
#define CREATE VERB_BIT(VERB_CREATE)
#define SHOW VERB_BIT(VERB_SHOW)
#define CHECK VERB_BIT(VERB_CHECK)
#define TRACKER VERB_BIT(VERB_TRACKER)
#define EVERY (GET | CREATE | SHOW | CHECK | TRACKER)

#define AT(field) offsetof(struct options, field)

/* Far above what any link carries, and no sum of a few overflows. */
#define RATE_MAX (1ull << 40)

static const char *const progress_names[] = {
	"auto", "bar", "plain", "json", "none", NULL
};

static const char *const allocation_names[] = {
	"none", "sparse", "full", NULL
};

static const char *const encryption_names[] = {
	"prefer", "require", "off", NULL
};

/*
 * A row in three lines: group, long, short, kind, verbs; field, argument,
 * help; range or choices.
 */
const struct option_row options_table[] = {
	{ "Data", "dir", 'd', OPTION_TEXT, GET | SHOW | CHECK,
	  AT(session.dir), "DIR",
	  "where the data goes, or is; default: here", 0, 0, NULL },
	{ "Data", "files", 'f', OPTION_FILES, GET,
	  AT(session.files), "LIST",
	  "only these files: numbers of 'btget show', ranges, patterns, ! "
	  "leaves out, as 1,3-5,*.iso,!*.txt; default: all", 0, 0, NULL },
	{ "Data", "check", 0, OPTION_YES, GET,
	  AT(session.check), NULL,
	  "verify all data on disk before starting", 0, 0, NULL },
	{ "Data", "allocation", 0, OPTION_CHOICE, GET,
	  AT(session.allocation), "HOW",
	  "none: files grow as data comes; sparse: they have holes until it "
	  "comes (default); full: space is reserved before the first byte",
	  0, 0, allocation_names },
	{ "Data", "sequential", 0, OPTION_YES, GET,
	  AT(session.sequential), NULL,
	  "pieces in order, instead of the rarest first", 0, 0, NULL },

	{ "Display", "quiet", 'q', OPTION_YES, GET | CREATE | CHECK,
	  AT(quiet), NULL,
	  "nothing but errors, on standard error", 0, 0, NULL },
	{ "Display", "verbose", 'v', OPTION_TALLY, GET | TRACKER,
	  AT(verbose), NULL,
	  "more detail; twice: the protocol's", 0, 2, NULL },
	{ "Display", "log", 'l', OPTION_TEXT, GET | TRACKER,
	  AT(log_path), "FILE",
	  "append lines with the time to FILE", 0, 0, NULL },
	{ "Display", "progress", 0, OPTION_CHOICE, GET,
	  AT(progress), "HOW",
	  "auto, bar, plain, json or none; default: bars on a terminal, "
	  "else plain lines", 0, 0, progress_names },
	{ "Display", "json", 0, OPTION_YES, SHOW | CHECK,
	  AT(json), NULL,
	  "one JSON object for each torrent", 0, 0, NULL },

	{ "Network", "port", 'p', OPTION_LISTEN, GET,
	  0, "PORT",
	  "listen here, or on the first free one of LOW-HIGH; 0: any free "
	  "port; default: 6881-6999", 0, 65535, NULL },
	{ "Network", "peer", 'P', OPTION_PEER, GET,
	  0, "HOST:PORT",
	  "connect to this peer as well; may be given several times; "
	  "[V6]:PORT", 0, 0, NULL },
	{ "Network", "interface", 'i', OPTION_INTERFACE, GET,
	  AT(session.interface), "NAME or ADDR",
	  "all traffic leaves by this interface, or by the one with this "
	  "address, and by no other", 0, 0, NULL },
	{ "Network", "proxy", 0, OPTION_PROXY, GET,
	  AT(session.proxy), "URL",
	  "socks5://[USER:PASSWORD@]HOST:PORT, which all goes through; or "
	  "http://..., for trackers and web seeds alone", 0, 0, NULL },
	{ "Network", "max-peers", 0, OPTION_NUMBER, GET,
	  AT(session.max_peers), "N",
	  "peer connections for each torrent; default: 100",
	  1, 10000, NULL },
	{ "Network", "down-limit", 0, OPTION_SIZE, GET,
	  AT(session.down_limit), "RATE",
	  "bytes a second, as 500K or 2M; default: no limit",
	  0, RATE_MAX, NULL },
	{ "Network", "up-limit", 0, OPTION_SIZE, GET,
	  AT(session.up_limit), "RATE",
	  "the same for what is sent", 0, RATE_MAX, NULL },
	{ "Network", "encryption", 0, OPTION_CHOICE, GET,
	  AT(session.encryption), "HOW",
	  "prefer: handshakes with peers are encrypted where they can be "
	  "(default); require: everything is, or there is no connection; off",
	  0, 0, encryption_names },
	{ "Network", "blocklist", 0, OPTION_TEXT, GET,
	  AT(session.blocklist), "FILE",
	  "addresses never to talk to: lines such as 192.0.2.0/24 or "
	  "name:192.0.2.1-192.0.2.9", 0, 0, NULL },
	{ "Network", "no-dht", 0, OPTION_NO, GET,
	  AT(session.use_dht), NULL,
	  "find no peers through the DHT", 0, 0, NULL },
	{ "Network", "dht-node", 0, OPTION_NODE, GET,
	  0, "HOST:PORT",
	  "join the DHT through this node, instead of the public routers; "
	  "may be given several times", 0, 0, NULL },
	{ "Network", "no-pex", 0, OPTION_NO, GET,
	  AT(session.use_pex), NULL,
	  "find no peers through other peers", 0, 0, NULL },
	{ "Network", "no-lsd", 0, OPTION_NO, GET,
	  AT(session.use_lsd), NULL,
	  "find no peers on the local network", 0, 0, NULL },
	{ "Network", "no-utp", 0, OPTION_NO, GET,
	  AT(session.use_utp), NULL,
	  "no peers over uTP, TCP alone", 0, 0, NULL },
	{ "Network", "no-portmap", 0, OPTION_NO, GET,
	  AT(session.use_portmap), NULL,
	  "do not ask the router to open the port", 0, 0, NULL },
	{ "Network", "no-webseed", 0, OPTION_NO, GET,
	  AT(session.use_webseed), NULL,
	  "download from peers alone", 0, 0, NULL },

	{ "When to end", "seed-ratio", 0, OPTION_RATIO, GET,
	  AT(session.seed_ratio), "R",
	  "once complete, seed until uploaded/size is R; default: 0",
	  0, 1000000, NULL },
	{ "When to end", "seed-time", 0, OPTION_DURATION, GET,
	  AT(session.seed_time_ns), "DURATION",
	  "once complete, seed at most this long; 0: not at all; default: "
	  "no limit with --seed-ratio, else 0; with both, the first one "
	  "reached counts", 0, 0, NULL },
	{ "When to end", "super-seed", 0, OPTION_YES, GET,
	  AT(session.super_seed), NULL,
	  "as the first seed of a torrent, show pieces one by one, so that "
	  "little more than one copy has to be sent until others have all",
	  0, 0, NULL },
	{ "When to end", "stall-timeout", 0, OPTION_DURATION, GET,
	  AT(session.stall_timeout_ns), "DURATION",
	  "give up when nothing new came for this long; default: never",
	  0, 0, NULL },
	{ "When to end", "deadline", 0, OPTION_DURATION, GET,
	  AT(session.deadline_ns), "DURATION",
	  "give up this long after the start; default: never", 0, 0, NULL },

	{ "When to end", "watch", 0, OPTION_TEXT, GET,
	  AT(session.watch), "DIR",
	  "keep running, and take every .torrent and .magnet file that "
	  "appears in DIR", 0, 0, NULL },

	{ "Commands", "on-complete", 0, OPTION_TEXT, GET,
	  AT(session.on_complete), "CMD",
	  "run by the shell when a torrent is complete, with BTGET_NAME, "
	  "BTGET_DIR, BTGET_PATH, BTGET_INFO_HASH and BTGET_EXIT",
	  0, 0, NULL },
	{ "Commands", "on-error", 0, OPTION_TEXT, GET,
	  AT(session.on_error), "CMD",
	  "the same when one ends without being complete", 0, 0, NULL },

	{ "Torrent", "output", 'o', OPTION_TEXT, CREATE,
	  AT(create.output), "FILE",
	  "write to FILE (- for standard output); default: NAME.torrent",
	  0, 0, NULL },
	{ "Torrent", "announce", 'a', OPTION_LIST, CREATE,
	  AT(create.tiers), "URL",
	  "a tracker; each further -a is the next tier, and a comma joins "
	  "URLs of one tier", 0, 0, NULL },
	{ "Torrent", "web-seed", 'w', OPTION_LIST, CREATE,
	  AT(create.web_seeds), "URL",
	  "an http(s) URL of the data; may be given several times",
	  0, 0, NULL },
	{ "Torrent", "piece-length", 0, OPTION_SIZE, CREATE,
	  AT(create.piece_length), "SIZE",
	  "a power of two, as 256K or 4M; default: by size",
	  16384, 256u << 20, NULL },
	{ "Torrent", "v1", 0, OPTION_YES, CREATE,
	  AT(create.v1), NULL,
	  "make a version 1 torrent, for the oldest programs", 0, 0, NULL },
	{ "Torrent", "v2", 0, OPTION_YES, CREATE,
	  AT(create.v2), NULL,
	  "make a version 2 torrent, for the newest programs alone",
	  0, 0, NULL },
	{ "Torrent", "hybrid", 0, OPTION_YES, CREATE,
	  AT(create.hybrid), NULL,
	  "make a torrent of both versions in one; the default",
	  0, 0, NULL },
	{ "Torrent", "private", 0, OPTION_YES, CREATE,
	  AT(create.private), NULL,
	  "peers come from its trackers alone", 0, 0, NULL },
	{ "Torrent", "comment", 0, OPTION_TEXT, CREATE,
	  AT(create.comment), "TEXT",
	  "a comment to put in", 0, 0, NULL },
	{ "Torrent", "source", 0, OPTION_TEXT, CREATE,
	  AT(create.source), "TEXT",
	  "a source to put in, which changes the info hash", 0, 0, NULL },
	{ "Torrent", "no-date", 0, OPTION_NO, CREATE,
	  AT(create.date), NULL,
	  "leave out the date, so that the same data makes the same file",
	  0, 0, NULL },

	{ "Tracker", "port", 0, OPTION_PORT, TRACKER,
	  AT(tracker.port), "PORT",
	  "TCP and UDP port; 0: any free one; default: 6969",
	  0, 65535, NULL },
	{ "Tracker", "bind", 0, OPTION_TEXT, TRACKER,
	  AT(tracker.bind), "ADDR",
	  "the address to listen on; default: all", 0, 0, NULL },
	{ "Tracker", "interval", 0, OPTION_NUMBER, TRACKER,
	  AT(tracker.interval_s), "SECONDS",
	  "between a peer's announces; default: 600", 1, 86400, NULL },
	{ "Tracker", "allow", 0, OPTION_TEXT, TRACKER,
	  AT(tracker.allow), "FILE",
	  "serve only the info hashes in FILE, one a line; default: any",
	  0, 0, NULL },

	{ "Config file", "config", 0, OPTION_TEXT, GET,
	  AT(config), "FILE",
	  "lines of long-option = value; what is given here wins over it; "
	  "default: $XDG_CONFIG_HOME/btget/config, if it is there",
	  0, 0, NULL },
	{ "Config file", "no-config", 0, OPTION_YES, GET,
	  AT(no_config), NULL, "read no config file", 0, 0, NULL },

	{ "Help", "help", 'h', OPTION_YES, EVERY,
	  AT(help), NULL, "print this, and end", 0, 0, NULL },
	{ "Help", "version", 'V', OPTION_YES, EVERY,
	  AT(version), NULL, "print the version, and end", 0, 0, NULL },
};

const size_t options_count = sizeof(options_table) / sizeof(options_table[0]);

#define HELP_COLUMN 30
#define HELP_WIDTH 80

struct verb_text {
	const char *call;
	const char *usage;
	const char *about;
};

static const struct verb_text verbs[VERB_COUNT] = {
	[VERB_GET] = { "btget",
	    "Usage: btget [OPTION]... TORRENT...\n"
	    "       btget create [OPTION]... PATH\n"
	    "       btget show [OPTION]... TORRENT...\n"
	    "       btget check [OPTION]... TORRENT...\n"
	    "       btget tracker [OPTION]...\n",
	    "Downloads torrents, and ends when all is verified and on disk. "
	    "The same command again resumes. A TORRENT is a path to a "
	    ".torrent, - for standard input, an http(s) URL, a magnet link, "
	    "or a bare info hash. The other verbs make a torrent, show one, "
	    "check data against one, and run a small tracker; each has a "
	    "--help of its own." },
	[VERB_CREATE] = { "btget create",
	    "Usage: btget create [OPTION]... PATH\n",
	    "Makes a .torrent from the file or folder PATH." },
	[VERB_SHOW] = { "btget show",
	    "Usage: btget show [OPTION]... TORRENT...\n",
	    "Prints what a torrent holds; of a magnet link or an info hash, "
	    "what a download into DIR has found out. The network is not "
	    "touched: a URL is refused." },
	[VERB_CHECK] = { "btget check",
	    "Usage: btget check [OPTION]... TORRENT...\n",
	    "Verifies the data on disk against the torrent, and changes "
	    "nothing. Ends with 0 if all is there and right, with 6 if not." },
	[VERB_TRACKER] = { "btget tracker",
	    "Usage: btget tracker [OPTION]...\n",
	    "A tracker over HTTP and UDP, for small private swarms and for "
	    "tests. Runs until it is interrupted." },
};

const char *
verb_call(enum verb verb)
{
	return verbs[verb].call;
}

static void
put_spaces(struct buffer *out, size_t n)
{
	while (n-- > 0)
		buffer_u8(out, ' ');
}

/* Words of text, from this column on; lines begin at `indent`. */
static void
put_wrapped(struct buffer *out, const char *text, size_t column,
	    size_t indent)
{
	bool first = true;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (!first && column + 1 + n >= HELP_WIDTH) {
			buffer_u8(out, '\n');
			put_spaces(out, indent);
			column = indent;
		} else if (!first) {
			buffer_u8(out, ' ');
			column++;
		}
		buffer_put(out, text, n);
		column += n;
		first = false;
		text += n;
		text += strspn(text, " ");
	}
	buffer_u8(out, '\n');
}

static void
put_row(struct buffer *out, const struct option_row *row)
{
	size_t start = out->used;
	size_t column;

	if (row->letter)
		buffer_printf(out, "  -%c, --%s", row->letter, row->name);
	else
		buffer_printf(out, "      --%s", row->name);
	if (row->argument)
		buffer_printf(out, " %s", row->argument);
	column = out->used - start;
	if (column + 2 > HELP_COLUMN) {
		buffer_u8(out, '\n');
		column = 0;
	}
	put_spaces(out, HELP_COLUMN - column);
	put_wrapped(out, row->help, HELP_COLUMN, HELP_COLUMN);
}

void
options_help(struct buffer *out, enum verb verb)
{
	const char *group = "";
	size_t i;

	buffer_str(out, verbs[verb].usage);
	buffer_u8(out, '\n');
	put_wrapped(out, verbs[verb].about, 0, 0);
	for (i = 0; i < options_count; i++) {
		const struct option_row *row = &options_table[i];

		if (!(row->verbs & VERB_BIT(verb)))
			continue;
		if (strcmp(group, row->group) != 0)
			buffer_printf(out, "\n%s:\n", row->group);
		group = row->group;
		put_row(out, row);
	}
	if (verb == VERB_GET) {
		buffer_u8(out, '\n');
		put_wrapped(out, "A DURATION is a number with s, m, h or d; "
			    "bare, it is seconds. A RATE or SIZE may have K, "
			    "M, G or T, 1024 based. Ends with 0 if every "
			    "torrent is complete; the manual, btget(1), lists "
			    "the other codes.", 0, 0);
	}
}
