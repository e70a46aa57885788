/*
 * options: the command line, out of one table.
 *
 * A row of the table says how an option is written, what it takes, where the
 * value goes, and what --help tells about it.  The flags, --help and the
 * check of the manual all come from the rows; adding an option is adding a
 * row (and a field of struct options or session_config).
 *
 * Ownership: struct options owns its lists, and the text of a config file;
 *            other strings are borrowed from argv.
 * Pure but for the text of --help; one thread.
 */
#ifndef BTGET_CLI_OPTIONS_H
#define BTGET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "session/config.h"

enum verb {
	VERB_GET,
	VERB_CREATE,
	VERB_SHOW,
	VERB_CHECK,
	VERB_TRACKER,
	VERB_COUNT
};

enum progress_mode {
	PROGRESS_AUTO,		/* bar on a terminal, else plain */
	PROGRESS_BAR,
	PROGRESS_PLAIN,
	PROGRESS_JSON,
	PROGRESS_NONE,
};

/* Values of an option that may be given several times. */
struct text_list {
	const char **items;
	size_t count;
};

struct create_options {
	const char *output;	/* NULL: NAME.torrent */
	struct text_list tiers;	/* each URLs with commas between */
	struct text_list web_seeds;
	uint64_t piece_length;	/* 0: by size */
	bool v1;		/* at most one of these; none: hybrid */
	bool v2;
	bool hybrid;
	bool private;
	bool date;		/* put the date in */
	const char *comment;	/* NULL: none */
	const char *source;
};

struct tracker_options {
	uint16_t port;
	const char *bind;	/* NULL: every address */
	unsigned interval_s;
	const char *allow;	/* NULL: every torrent */
};

struct options {
	enum verb verb;
	bool verb_given;	/* or the default */
	struct session_config session;
	struct session_peer *peers;	/* what session.peers points to */
	struct session_peer *dht_nodes;	/* the same */
	const char *log_path;
	unsigned verbose;	/* how often -v was given */
	bool quiet;
	unsigned progress;	/* enum progress_mode */
	bool json;		/* show, check */
	const char *config;	/* the file that was asked for, or NULL */
	bool no_config;
	char *config_text;	/* what strings from the file lead into */
	bool help;
	bool version;
	struct create_options create;
	struct tracker_options tracker;
	const char **operands;	/* the torrents, or the path */
	size_t operand_count;
};

enum option_kind {
	OPTION_YES,		/* bool, becomes true */
	OPTION_NO,		/* bool, becomes false */
	OPTION_TALLY,		/* unsigned, one more */
	OPTION_TEXT,		/* const char *, not empty */
	OPTION_LIST,		/* struct text_list, one more */
	OPTION_NUMBER,		/* unsigned in min..max */
	OPTION_PORT,		/* uint16_t in min..max */
	OPTION_LISTEN,		/* session.port_min and port_max */
	OPTION_SIZE,		/* uint64_t in min..max, with K, M, G */
	OPTION_RATIO,		/* double, not negative */
	OPTION_DURATION,	/* int64_t nanoseconds */
	OPTION_CHOICE,		/* unsigned, index into the choices */
	OPTION_PEER,		/* one more of session.peers */
	OPTION_NODE,		/* one more of session.dht_nodes */
	OPTION_FILES,		/* const char *, a list of files */
	OPTION_INTERFACE,	/* const char *, a name or an address */
	OPTION_PROXY,		/* const char *, a URL */
};

struct option_row {
	const char *group;	/* the heading it stands under in --help */
	const char *name;	/* the long form, without "--" */
	char letter;		/* the short form, or '\0' */
	enum option_kind kind;
	unsigned verbs;		/* VERB_BIT of each it belongs to */
	size_t where;		/* offset into struct options */
	const char *argument;	/* its name in --help, NULL: takes none */
	const char *help;
	uint64_t min;		/* of a number */
	uint64_t max;
	const char *const *choices;	/* of OPTION_CHOICE, NULL-ended */
};

#define VERB_BIT(verb) (1u << (verb))

/* The rows, in the order of --help. */
extern const struct option_row options_table[];
extern const size_t options_count;

/* The defaults; then what is given, on top of what is there; then whether it
 * makes sense together.  They fail with ERROR_USAGE and one line that says
 * what is wrong; `o` is always to be released. */
void options_init(struct options *o);
int options_read(struct options *o, int argc, char *const *argv,
		 struct error *e);
int options_check(const struct options *o, struct error *e);
void options_release(struct options *o);

/* --help or --version was met: nothing else counts. */
bool options_end(const struct options *o);

/* The row of a verb's option by its long name, or NULL. */
const struct option_row *options_find(enum verb verb, const char *name);

/* Sets what the row says, as the command line does; `shown` is how the user
 * wrote the option, value is NULL where it takes none. */
int options_set(struct options *o, const struct option_row *row,
		const char *shown, const char *value, struct error *e);

/* A copy of the arguments, to read them from; free() frees it.  NULL: see
 * e. */
char **options_copy(int argc, char *const *argv, struct error *e);

/* Overwrites in argv, which a list of processes shows, what passwords and keys
 * may be in: of URLs all but the scheme and the host, of magnet links all but
 * the hashes and the name. */
void options_hide(int argc, char **argv);

/* What --help prints for a verb, at most 80 columns wide. */
void options_help(struct buffer *out, enum verb verb);

/* "btget" or "btget create": how the verb is called. */
const char *verb_call(enum verb verb);

#endif
