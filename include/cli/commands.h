/*
 * commands: what each verb does.  Each returns the exit code and has said
 * on standard error what went wrong.  Main thread.
 */
#ifndef BTGET_CLI_COMMANDS_H
#define BTGET_CLI_COMMANDS_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"
#include "cli/options.h"
#include "cli/progress.h"

int command_get(const struct options *o);
int command_create(const struct options *o);
int command_show(const struct options *o);
int command_check(const struct options *o);
int command_tracker(const struct options *o);

/* ---- what they share ---- */

#define COMMAND_LINE_MAX 2048
#define COMMAND_PATIENCE_NS (1500 * CLOCK_MS)	/* for readers, at the end */

/* "btget: WHO: text"; who may be NULL. */
void command_line(char *out, size_t size, const char *who, const char *text);

/* The same, cleaned, as a line on standard error. */
void command_report(const char *who, const char *text);

/* Puts a result on standard output; the exit code.  A reader who leaves has
 * enough (`| head`), or must have had it all. */
int command_print(const struct buffer *out);
int command_print_whole(const struct buffer *out);

/* Puts there what is no result: one that is closed or full ends nothing. */
void command_mention(const struct buffer *out);

/* The exit code for an error while a torrent was being read. */
int command_code(const struct error *e);

/* A bar that fills from the left, by what was checked. */
void command_fill(const struct stats_torrent *now, uint8_t *cells, size_t n);

/* Bars on standard error, if that is a terminal that can; else none. */
enum progress_mode command_progress_mode(void);

#endif
