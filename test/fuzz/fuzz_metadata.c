/* Reads bytes as a message of ut_metadata; what is read must be within. */
#include <stdlib.h>

#include "swarm/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metadata_message m;

	if (metadata_parse_message(&m, data, size, NULL) < 0)
		return 0;
	if (m.index > METADATA_SIZE_MAX / METADATA_BLOCK ||
	    (size_t)(m.data - data) > size ||
	    m.size != size - (size_t)(m.data - data))
		abort();
	return 0;
}
