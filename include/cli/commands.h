/*
 * commands: what each verb does.  Each returns the exit code and has said
 * on standard error what went wrong.
 */
#ifndef BTGET_CLI_COMMANDS_H
#define BTGET_CLI_COMMANDS_H

#include "base/error.h"
#include "cli/options.h"

int command_get(const struct options *o);
int command_create(const struct options *o);
int command_show(const struct options *o);
int command_check(const struct options *o);
int command_tracker(const struct options *o);

/* "btget: WHO: text" on standard error; who may be NULL. */
void command_report(const char *who, const char *text);

#endif
