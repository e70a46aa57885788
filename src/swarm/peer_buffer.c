/*
 * The buffer that a peer's bytes come into.  Its own takes two blocks, and
 * grows for the few messages that are longer (a bitfield, an extension
 * message).  Who is fast receives into loads.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/ratelimit.h"
#include "swarm/intake.h"
#include "swarm/loads.h"
#include "swarm/peer_parts.h"

#define FULL_RECEIVES 4		/* in a row: it is fast, */
#define FAST_BPS (4 << 20)	/* unless they come seldom */
#define SMALL_RECEIVES 64	/* in a row: it is fast no more */
#define WINDOW_FAST (512 << 10)

static int
fit(struct peer *p, uint8_t **buffer, size_t *size)
{
	size_t need = p->in_wanted > p->in_used ? p->in_wanted : p->in_used;
	size_t wanted = need > PEER_IN_SIZE ? need : PEER_IN_SIZE;
	uint8_t *in;

	if (wanted == *size)
		return 0;
	in = realloc(*buffer, wanted);
	if (!in)
		return peer_end(p, PEER_END_STOPPED, "out of memory");
	*buffer = in;
	*size = wanted;
	return 0;
}

int
peer_fit_buffer(struct peer *p)
{
	return fit(p, &p->in, &p->in_size);
}

/* ---- fast ones ---- */

/*
 * The kernel has room for 64 KiB at first, and for more as round trips go by.
 * With many fast peers that is too little to be worth a turn of each: with
 * this much, 64 of them take 5 % less of the processors, and 4 % less time.
 * SO_RCVLOWAT makes the room (Linux 4.18) and, other than SO_RCVBUF, leaves
 * the rest to the kernel.
 */
static void
widen_window(const struct peer *p)
{
	static const int room = WINDOW_FAST, any = 1;

	setsockopt(p->fd, SOL_SOCKET, SO_RCVLOWAT, &room, sizeof(room));
	setsockopt(p->fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof(any));
}

void
peer_judge_speed(struct peer *p, size_t got, bool full)
{
	if (p->fast) {
		p->in_full = got < PEER_IN_SIZE ? p->in_full + 1 : 0;
		if (p->in_full == SMALL_RECEIVES)
			peer_slow_down(p);
		return;
	}
	if (pipeline_rate(&p->pipeline) < FAST_BPS)
		full = false;
	p->in_full = full ? p->in_full + 1 : 0;
	if (p->in_full < FULL_RECEIVES)
		return;
	p->in_full = 0;
	p->fast = true;
	if (!ratelimit_enabled(p->swarm->down))
		widen_window(p);
	loads_enter(p->swarm->loads);
}

void
peer_slow_down(struct peer *p)
{
	if (!p->fast)
		return;
	p->fast = false;
	p->in_full = 0;
	loads_leave(p->swarm->loads, &p->seeker);
	loads_exit(p->swarm->loads);
}

/* What was gathered in a load lies where it is. */
void
peer_keep_rest(struct peer *p, size_t at)
{
	if (p->load)
		p->in += at;
	else if (at > 0 && p->in_used > 0)
		memmove(p->in, p->in + at, p->in_used);
}

bool
peer_take_load(struct peer *p)
{
	/* A long message is not worth one. */
	if (!p->fast || p->in_size > PEER_IN_SIZE)
		return true;
	p->load = loads_take(p->swarm->loads, &p->seeker);
	if (!p->load)
		return !p->seeker.in_line;
	memcpy(p->load->data, p->in, p->in_used);
	p->in_own = p->in;
	p->in_own_size = p->in_size;
	p->in = p->load->data;
	p->in_size = LOAD_SIZE;
	return true;
}

int
peer_give_load(struct peer *p)
{
	struct load *load = p->load;
	int status;

	if (!load)
		return 0;
	status = fit(p, &p->in_own, &p->in_own_size);
	if (status == 0)
		memcpy(p->in_own, p->in, p->in_used);
	p->in = p->in_own;
	p->in_size = p->in_own_size;
	p->load = NULL;
	if (intake_load(p->swarm, p->pp, load) < 0)
		return peer_end(p, PEER_END_STOPPED, "storage failed");
	return status;
}
