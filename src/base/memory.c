#include "base/memory.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void
memory_expect(void *at, size_t size)
{
#ifdef MADV_POPULATE_WRITE
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t before = -(uintptr_t)at & (page - 1);	/* the first whole one */

	if (size >= before + page)
		madvise((uint8_t *)at + before, (size - before) & ~(page - 1),
			MADV_POPULATE_WRITE);
#else
	(void)at;
	(void)size;
#endif
}
