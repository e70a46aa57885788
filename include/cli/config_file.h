/*
 * config_file: options out of a file, below those of the command line.
 *
 * A line is `long-option = value`, empty, or a comment that begins with '#'.
 * Options that take no value are followed by yes, no, true or false.  What
 * the command line says wins; lists add up.  Only the download has one.
 *
 * Every error is ERROR_USAGE and names the file, and the line where there is
 * one.
 *
 * Threads: one at a time.
 */
#ifndef BTGET_CLI_CONFIG_FILE_H
#define BTGET_CLI_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/options.h"

#define CONFIG_FILE_MAX (1u << 20)	/* bytes */

/* Reads the command line and the config file that goes with it: the one of
 * --config, else the user's, if it is there.  `o` is always to be
 * released. */
int config_file_options(struct options *o, int argc, char *const *argv,
			struct error *e);

/* Where the user's is, by these two variables (or NULL); false if they do
 * not say.  Relative paths are ignored, as XDG has it. */
bool config_file_path(char *out, size_t size, const char *xdg,
		      const char *home);

/* Pure: sets what the text says.  It is cut up into strings that `o` borrows,
 * and ends in a NUL that `size` does not count. */
int config_file_apply(struct options *o, const char *name, char *text,
		      size_t size, struct error *e);

#endif
