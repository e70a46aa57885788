/*
 * session: one run over one or more torrents, from reading them to the exit
 * code.
 *
 * Ownership: the caller owns the session; config, log and events are
 *            borrowed and must outlive it.
 * Threads:   new, add, run and free belong to one thread, the main one.
 *            The snapshot functions may be called from any thread between
 *            session_new and session_free; session_interrupt also from a
 *            signal handler.
 */
#ifndef BTGET_SESSION_SESSION_H
#define BTGET_SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "session/config.h"
#include "session/stats.h"

struct hooks;
struct session;

struct session *session_new(const struct session_config *config,
			    struct log *log,
			    const struct session_events *events,
			    struct error *e);
void session_free(struct session *s);

/* Commands to run, before anything is added; borrowed. */
void session_set_hooks(struct session *s, struct hooks *hooks);

/* Adds a torrent as given on the command line (a path, "-", a URL), which is
 * borrowed until session_free.  One that may keep us waiting is read while
 * the others run.  What cannot be added is told by `refused`, and counts in
 * what session_run returns. */
void session_add(struct session *s, const char *torrent);

/* Runs until every torrent has ended (with --watch until a signal has ended
 * them) and none is waited for, and returns the exit code of all (see
 * session/exit.h). */
int session_run(struct session *s);

/* Asks for the end: state is saved, trackers are told, and session_run
 * returns 128 + signal. */
void session_interrupt(struct session *s, int signal);

/* Makes the log file anew where it was moved away (log_reopen).  Also from a
 * signal handler. */
void session_reopen_log(struct session *s);

/* What a torrent is doing: the first whose number is `from` or more; false
 * if there is none.  Numbers begin at 0.  With --watch, those that ended
 * some time ago are gone. */
bool session_stats(struct session *s, size_t from, struct stats_torrent *out);

/* Which parts of the torrent of this number are there: its length is cut into
 * n cells, each from 0 (nothing verified) to 8 (all of it).  Zeros while
 * unknown. */
#define SESSION_CELL_FULL 8
void session_cells(struct session *s, size_t number, uint8_t *cells, size_t n);

#endif
