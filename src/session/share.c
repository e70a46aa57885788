#include "session/share.h"

#include "session/listener.h"

#define KEPT 48			/* for all that has no share */
/* More is never needed; and each peer takes 167 KiB of addresses, of which a
 * machine of 32 bits has 3 GiB. */
#define USABLE_MAX (sizeof(void *) < 8 ? 1u << 15 : 1u << 20)
#define FILES_EACH_MAX 128
#define HTTP_MAX 64
#define UTP_MAX 2000
#define SHARE_MIN 4
#define A_PLACE 3

static size_t
within(uint64_t n, uint64_t max)
{
	n = n < max ? n : max;
	return (size_t)(n > SHARE_MIN ? n : SHARE_MIN);
}

void
share_descriptors(struct share *out, uint64_t limit, bool utp)
{
	uint64_t usable = limit > KEPT ? limit - KEPT : 0;
	uint64_t others;

	if (usable > USABLE_MAX)
		usable = USABLE_MAX;
	out->files = within(usable / 8, usable);
	out->files_each = within(usable / 8, FILES_EACH_MAX);
	out->dials = within(usable / 8, LISTENER_DIALS_MAX);
	out->waiting = within(usable / 8, LISTENER_WAITING_MAX);
	out->http = within(usable / 8, HTTP_MAX);
	out->utp = utp ? within(usable / 10, UTP_MAX) : 0;
	others = out->files + out->dials + out->waiting + out->http +
		 out->utp;
	usable = usable > others ? usable - others : 0;
	/* Where there is next to nothing, one torrent and one peer are tried
	 * all the same: what is kept was for more than that. */
	out->places = (size_t)(usable / A_PLACE) + SHARE_TORRENT_PLACES + 1;
}
