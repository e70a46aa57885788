/* What a web server says of the part that it sends, and where a torrent's
 * URL leads. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_head.h"
#include "net/http_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
take_head(const char *text, size_t size)
{
	struct http_head h = {0};

	while (size > 0) {
		const char *end = memchr(text, '\n', size);
		size_t n = end ? (size_t)(end - text) + 1 : size;

		http_head_take(&h, text, n);
		if (h.has_range && (h.first > h.last || h.last >= h.size))
			abort();
		text += n;
		size -= n;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = malloc(size + 1);

	take_head((const char *)data, size);
	http_head_wait((const char *)data, size);
	if (url) {
		memcpy(url, data, size);
		url[size] = '\0';
		http_target_is_local(url);
		http_target_url_allowed(url);
	}
	free(url);
	return 0;
}
