/*
 * terminal: what the environment and the terminal say of themselves.
 *
 * Threads: any; nothing in this program changes the environment.
 */
#ifndef BTGET_CLI_TERMINAL_H
#define BTGET_CLI_TERMINAL_H

#include <stdbool.h>

#include "cli/options.h"
#include "cli/screen.h"

/* From the terminal, else COLUMNS, else 80 by 24. */
struct screen_size terminal_size(int fd);

/* What --progress means for this descriptor: bars are for terminals. */
enum progress_mode terminal_mode(enum progress_mode asked, int fd);

/* Is its text UTF-8?  By LC_ALL, LC_CTYPE and LANG, whether or not that
 * locale is installed. */
bool terminal_utf8(void);

/* A terminal that knows colours, for a user who wants them (NO_COLOR). */
bool terminal_colour(int fd);

/* Another process group has this terminal: we are in the background and
 * must not paint over what it shows. */
bool terminal_taken(int fd);

#endif
