/*
 * Any datagram as an announce of local service discovery.  What was read is
 * within its bounds, and reads the same when it is written again.
 */
#include <stdlib.h>
#include <string.h>

#include "discover/lsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lsd_message m, back;
	struct buffer out;

	if (lsd_read(&m, data, size) < 0)
		return 0;
	if (m.port == 0 || m.count == 0 || m.count > LSD_HASHES_MAX ||
	    !memchr(m.cookie, '\0', sizeof(m.cookie)))
		abort();
	buffer_init(&out, LSD_PACKET_MAX);
	if (lsd_write(&out, AF_INET, &m) < 0 ||
	    lsd_read(&back, out.data, out.used) < 0 || back.port != m.port ||
	    back.count != m.count ||
	    memcmp(back.hashes, m.hashes, m.count * 20) != 0)
		abort();
	buffer_release(&out);
	return 0;
}
