/*
 * Any bytes as the answer of an HTTP tracker: what comes out must be within
 * the bounds that the header promises.
 */
#include <stdlib.h>
#include <string.h>

#include "discover/tracker_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tracker_answer answer;
	struct error e = {0};
	int status;

	tracker_answer_init(&answer);
	status = tracker_http_parse(&answer,
				    "http://u:p@a/k%41y/announce?pass=abc",
				    data, size, &e);
	if (status != 0 && e.text[0] == '\0')
		abort();
	if (answer.peer_count > TRACKER_PEERS_MAX)
		abort();
	for (size_t i = 0; i < answer.peer_count; i++) {
		if (!addr_usable(&answer.peers[i]))
			abort();
	}
	if (answer.name_count > TRACKER_NAMES_MAX)
		abort();
	for (size_t i = 0; i < answer.name_count; i++) {
		if (!memchr(answer.names[i].host, '\0', TRACKER_HOST_MAX) ||
		    answer.names[i].port == 0)
			abort();
	}
	if (!memchr(answer.id, '\0', sizeof(answer.id)) ||
	    !memchr(answer.warning, '\0', sizeof(answer.warning)))
		abort();
	tracker_answer_release(&answer);
	return 0;
}
