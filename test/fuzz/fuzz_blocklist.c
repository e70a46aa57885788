/* Reads any text as a blocklist, and looks its lines' addresses up. */
#include <stdlib.h>
#include <string.h>

#include "discover/blocklist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

/* What a line of its own blocks, the whole list blocks. */
static void
check_line(const struct blocklist *all, const char *line, size_t length)
{
	struct blocklist *one = blocklist_new(NULL);
	char text[64];
	struct addr a;

	must(one != NULL);
	must(blocklist_add(one, line, length, NULL) == 0);
	blocklist_seal(one);
	must(blocklist_ranges(one) <= 1);
	if (length > 0 && length < sizeof(text) &&
	    !memchr(line, '\0', length)) {
		memcpy(text, line, length);
		text[length] = '\0';
		if (addr_parse(&a, text, 1) && !strchr(text, '%') &&
		    *text != '[') {
			must(blocklist_has(one, &a));
			must(blocklist_has(all, &a));
		}
	}
	blocklist_free(one);
}

static size_t
line_length(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));

	return (size_t)((stop ? stop : end) - at);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct blocklist *b = blocklist_new(NULL);
	uint8_t taken[256] = {0};
	size_t lines = 0, n;

	must(b != NULL);
	for (const uint8_t *at = data; at < end && lines < 256; at += n + 1) {
		n = line_length(at, end);
		taken[lines++] = blocklist_add(b, (const char *)at, n, NULL) ==
				 0;
	}
	blocklist_seal(b);
	lines = 0;
	for (const uint8_t *at = data; at < end && lines < 256; at += n + 1) {
		n = line_length(at, end);
		if (taken[lines++])
			check_line(b, (const char *)at, n);
	}
	blocklist_free(b);
	return 0;
}
