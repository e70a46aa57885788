/*
 * Any packet as a message of the DHT.  What was read is within its bounds,
 * and a query that was read can be written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "discover/dht_krpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
again(const struct krpc *m)
{
	static struct krpc back;
	struct buffer out;

	buffer_init(&out, KRPC_PACKET_MAX);
	if (krpc_write(&out, m) == 0 &&
	    (krpc_read(&back, out.data, out.used, NULL) < 0 ||
	     back.method != m->method ||
	     !dht_id_equal(&back.id, &m->id) ||
	     back.read_only != m->read_only))
		abort();
	buffer_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct krpc m;

	if (krpc_read(&m, data, size, NULL) < 0)
		return 0;
	if (m.node_count > KRPC_NODES_MAX || m.node6_count > KRPC_NODES_MAX ||
	    m.value_count > KRPC_VALUES_MAX || m.transaction.size == 0 ||
	    m.transaction.size > KRPC_TRANSACTION_MAX ||
	    m.token.size > KRPC_TOKEN_MAX)
		abort();
	for (size_t i = 0; i < m.value_count; i++)
		if (!addr_usable(&m.values[i]))
			abort();
	if (m.type == KRPC_QUERY && m.method != KRPC_UNKNOWN)
		again(&m);
	return 0;
}
