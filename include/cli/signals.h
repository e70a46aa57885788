/*
 * signals: the first HUP, INT or TERM asks for the end, a second one ends
 * the process at once, with the terminal restored.
 *
 * A HUP that was ignored when the process began (nohup) does not end it, and
 * what stops or resizes the display stays ignored.  INT and TERM count in any
 * case.  One at a time: the process has but one set of handlers.
 */
#ifndef BTGET_CLI_SIGNALS_H
#define BTGET_CLI_SIGNALS_H

struct progress;

struct signals {
	/* Within the handler: async-signal-safe. */
	void (*interrupt)(void *ctx, int signal);
	/* Or NULL; what HUP does instead of ending: the same. */
	void (*hangup)(void *ctx);
	void *ctx;
	struct progress *progress;	/* or NULL */
};

/* From now on until signals_end; `s` is borrowed for that time. */
void signals_begin(const struct signals *s);
/* It is ending already, and how is known: the first signal changes nothing
 * from now on. */
void signals_settled(void);
/* From now on the first signal ends the process at once, too. */
void signals_end(void);

/* The first signal that came, or 0. */
int signals_caught(void);

/* For the start of the process: SIGPIPE never ends it. */
void signals_setup(void);

#endif
