/* Reads bytes as a message of the holepunch extension; what is read is
 * written as the same bytes, as far as those say anything. */
#include <stdlib.h>
#include <string.h>

#include "swarm/holepunch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct holepunch m, again;
	struct buffer b;
	size_t same;

	if (!holepunch_parse(&m, data, size))
		return 0;
	buffer_init(&b, HOLEPUNCH_MAX);
	holepunch_put(&b, &m);
	same = m.kind == HOLEPUNCH_ERROR ? b.used : b.used - 4;
	if (b.failed || same > size || memcmp(b.data, data, same) != 0 ||
	    !holepunch_parse(&again, b.data, b.used) ||
	    !addr_equal(&m.addr, &again.addr) || m.error != again.error ||
	    !holepunch_error_name(m.error))
		abort();
	buffer_release(&b);
	return 0;
}
