/*
 * blocklist_file: reads a file of addresses into a sealed blocklist.
 *
 * Who names a list counts on it: lines that are wrong refuse the file, unless
 * they are 1 % of those with an address at most; then they are left out, with
 * a warning.  Errors are ERROR_USAGE and name the file, and the line where
 * there is one.
 */
#ifndef BTGET_SESSION_BLOCKLIST_FILE_H
#define BTGET_SESSION_BLOCKLIST_FILE_H

#include "base/error.h"
#include "base/log.h"
#include "discover/blocklist.h"

struct blocklist *blocklist_file_read(const char *path, struct log *log,
				      struct error *e);

#endif
