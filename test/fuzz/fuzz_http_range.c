/* What a web server says of the part that it sends, and where a torrent's
 * URL leads. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_range.h"
#include "net/http_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t first, last, all;
	char *url = malloc(size + 1);

	if (http_range_parse((const char *)data, size, &first, &last, &all) &&
	    (first > last || last >= all))
		abort();
	if (url) {
		memcpy(url, data, size);
		url[size] = '\0';
		http_target_is_local(url);
		http_target_url_allowed(url);
	}
	free(url);
	return 0;
}
