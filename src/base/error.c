#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
error_set(struct error *e, enum error_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	e->kind = kind;
	e->sys = 0;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* Of the two functions of that name, some libcs have the one of POSIX. */
static const char *
reason(int sys, char *out, size_t size)
{
#ifdef __GLIBC__
	return strerror_r(sys, out, size);
#else
	return strerror_r(sys, out, size) == 0 ? out : "unknown error";
#endif
}

int
error_sys(struct error *e, enum error_kind kind, int sys, const char *fmt, ...)
{
	char why[128];
	size_t used;
	va_list ap;

	if (!e)
		return -1;
	e->kind = kind;
	e->sys = sys;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, ": %s",
		 reason(sys, why, sizeof(why)));
	return -1;
}

int
error_memory(struct error *e)
{
	return error_set(e, ERROR_INTERNAL, "out of memory");
}

void
error_prefix(struct error *e, const char *fmt, ...)
{
	char old[ERROR_TEXT_MAX];
	size_t used;
	va_list ap;

	if (!e)
		return;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
}

void
error_clear(struct error *e)
{
	if (!e)
		return;
	e->kind = ERROR_NONE;
	e->sys = 0;
	e->text[0] = '\0';
}
