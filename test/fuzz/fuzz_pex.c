/* Reads bytes as a message of peer exchange; only addresses that can be
 * dialled come out, and no more than the bound. */
#include <stdlib.h>

#include "swarm/pex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pex_message m;

	if (pex_parse(&m, data, size, NULL) < 0)
		return 0;
	if (m.added_count > PEX_MAX || m.dropped_count > PEX_MAX)
		abort();
	for (size_t i = 0; i < m.added_count; i++)
		if (!addr_usable(&m.added[i].addr))
			abort();
	return 0;
}
