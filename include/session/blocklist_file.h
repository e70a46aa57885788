/*
 * blocklist_file: reads a file of addresses into a sealed blocklist.
 *
 * A line that is wrong refuses the file: who names a list counts on it.
 * Errors are ERROR_USAGE and name the file, and the line where there is one.
 */
#ifndef BTGET_SESSION_BLOCKLIST_FILE_H
#define BTGET_SESSION_BLOCKLIST_FILE_H

#include "base/error.h"
#include "discover/blocklist.h"

struct blocklist *blocklist_file_read(const char *path, struct error *e);

#endif
