/*
 * A text that is being put together; of base/text alone.
 */
#ifndef BTGET_BASE_TEXT_ROOM_H
#define BTGET_BASE_TEXT_ROOM_H

#include <stddef.h>

/* What is still free of it; never more than fits, always terminated. */
struct room {
	char *at;
	size_t left;		/* with the NUL's byte */
};

/* Cleaned, as text_clean does it. */
void room_clean(struct room *r, const char *text, size_t length);
void room_str(struct room *r, const char *text);

#endif
