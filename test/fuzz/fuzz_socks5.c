/*
 * Any bytes as what a proxy answers.  The first byte says what we ask for
 * and in which portions the answers come.  It must end after a bounded
 * number of bytes, never ask for one more than an answer has, and say
 * nothing once it is over.
 */
#include <stdlib.h>
#include <string.h>

#include "net/socks5.h"

#define ANSWERS_MAX (2 + 2 + SOCKS5_IN_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
say(struct socks5 *s)
{
	size_t n;

	socks5_output(s, &n);
	if (n > SOCKS5_OUT_MAX)
		abort();
	socks5_sent(s, n);
}

static void
check(struct socks5 *s, size_t eaten)
{
	size_t left, wants = socks5_wants(s);

	if (s->status == SOCKS5_MORE) {
		if (wants == 0 || wants > SOCKS5_IN_MAX - s->in_used ||
		    eaten > ANSWERS_MAX)
			abort();
		return;
	}
	socks5_output(s, &left);
	if (left != 0 || wants != 0)
		abort();
	if (s->status == SOCKS5_BAD && (!s->why || !*s->why))
		abort();
	if (s->status == SOCKS5_UNREACHABLE && s->sys == 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addr to = {.ip = {192, 0, 2, 1}, .port = 6881};
	struct socks5 s;
	size_t eaten = 0, step;
	uint8_t how;

	if (size == 0)
		return 0;
	how = *data++;
	size--;
	to.family = how & 1 ? AF_INET6 : AF_INET;
	socks5_begin(&s, &to, how & 2 ? "a.example" : NULL,
		     how & 4 ? "user" : NULL, how & 8 ? "secret" : "");
	while (s.status == SOCKS5_MORE && eaten < size) {
		say(&s);
		step = how & 16 ? 1 : socks5_wants(&s);
		if (how & 32)	/* more than was asked for */
			step = size - eaten;
		if (step > size - eaten)
			step = size - eaten;
		socks5_feed(&s, data + eaten, step);
		eaten += step;
		check(&s, how & 32 ? 0 : eaten);
	}
	socks5_forget(&s);
	return 0;
}
