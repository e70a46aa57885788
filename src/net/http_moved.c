#include "net/http_moved.h"

#include <stdlib.h>
#include <string.h>

/* From behind a slash on, the same to the end. */
static size_t
common_tail(const char *a, const char *b)
{
	size_t m = strlen(a), n = strlen(b), same = 0;

	while (same < m && same < n && a[m - same - 1] == b[n - same - 1])
		same++;
	while (same > 0 && a[m - same] != '/')
		same--;
	return same > 0 ? same - 1 : 0;
}

static void
forget(struct http_moved *m)
{
	free(m->from);
	free(m->to);
	m->from = m->to = NULL;
	m->tail = 0;
}

void
http_moved_note(struct http_moved *m, const char *from, const char *to,
		size_t name_at)
{
	size_t tail = common_tail(from, to);

	forget(m);
	m->from = strdup(from);
	m->to = strdup(to);
	if (!m->from || !m->to)
		forget(m);
	else if (!m->exact && tail >= strlen(from) - name_at)
		m->tail = tail;
}

char *
http_moved_find(const struct http_moved *m, const char *url, bool *guess)
{
	size_t head, place, size = strlen(url);
	char *found;

	if (!m->from)
		return NULL;
	*guess = strcmp(url, m->from) != 0;
	if (!*guess)
		return strdup(m->to);
	head = strlen(m->from) - m->tail;
	if (m->tail == 0 || size <= head || memcmp(url, m->from, head) != 0)
		return NULL;
	place = strlen(m->to) - m->tail;
	found = malloc(place + (size - head) + 1);
	if (!found)
		return NULL;
	memcpy(found, m->to, place);
	memcpy(found + place, url + head, size - head + 1);
	return found;
}

void
http_moved_no_guess(struct http_moved *m)
{
	m->exact = true;
	m->tail = 0;
}

void
http_moved_wrong(struct http_moved *m, const char *url, const char *found,
		 bool guess)
{
	bool noted = m->from && strcmp(url, m->from) == 0;
	bool same = noted && strcmp(found, m->to) == 0;

	if (guess && same)
		return;		/* it has just come there */
	if (guess)
		http_moved_no_guess(m);
	if (guess ? !noted : same)
		forget(m);
}

void
http_moved_release(struct http_moved *m)
{
	forget(m);
}
