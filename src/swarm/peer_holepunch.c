/*
 * Hole punching: others are brought together by us, and we by others.
 *
 * What there is to say comes from other threads too: the word to a peer that
 * somebody wants to meet it comes from that one's.  It waits in a short
 * queue with a lock of its own until the peer's thread comes by.
 *
 * All of it is bounded, since it makes others act: how often a peer may ask
 * us, how often it may have us call, how often it is told something.
 */
#include <string.h>

#include "base/clock.h"
#include "swarm/holepunch.h"
#include "swarm/peer_parts.h"

#define ASKS_EACH (2 * CLOCK_S)	/* a rendezvous, asked for by one peer */
#define ASKS_BURST 20
#define CALLS_EACH CLOCK_S	/* we are told to connect, by one peer */
#define CALLS_BURST 10
#define WORDS_EACH (500 * CLOCK_MS)	/* we tell one peer something */
#define WORDS_BURST 20

/* Private torrents never: only their tracker brings peers together. */
bool
peer_holepunch_on(const struct peer *p)
{
	const struct swarm *s = p->swarm;

	return s->use_holepunch && !atomic_load(&s->private);
}

/* ---- what is to be said ---- */

static bool
note_locked(struct peer *p, const struct holepunch *m) REQUIRES(p->words_lock)
{
	if (p->word_count == PEER_WORDS_MAX)
		return false;
	p->words[p->word_count++] = *m;
	atomic_store(&p->has_words, true);
	return true;
}

static void
answer(struct peer *p, const struct holepunch *m)
{
	mutex_lock(&p->words_lock);
	note_locked(p, m);
	mutex_unlock(&p->words_lock);
}

bool
peer_say_holepunch(struct peer *p, const struct holepunch *m)
{
	bool noted;

	if (!atomic_load(&p->holepunch))
		return false;
	mutex_lock(&p->words_lock);
	noted = clock_allow(&p->words_paid, clock_ns(), WORDS_EACH,
			    WORDS_BURST * WORDS_EACH) &&
		note_locked(p, m);
	mutex_unlock(&p->words_lock);
	if (noted)
		wake_up(&p->wake);
	return noted;
}

static size_t
take_words(struct peer *p, struct holepunch out[PEER_WORDS_MAX])
{
	size_t n;

	mutex_lock(&p->words_lock);
	n = p->word_count;
	memcpy(out, p->words, n * sizeof(*out));
	p->word_count = 0;
	atomic_store(&p->has_words, false);
	mutex_unlock(&p->words_lock);
	return n;
}

/* It takes these messages, and so do we. */
static bool
both_do(const struct peer *p)
{
	return peer_holepunch_on(p) && p->said.ids[EXTENSION_HOLEPUNCH] != 0;
}

void
peer_holepunch_put(struct peer *p)
{
	struct holepunch words[PEER_WORDS_MAX];
	struct buffer b;
	size_t n;

	if (!atomic_load(&p->has_words))
		return;
	n = take_words(p, words);
	for (size_t i = 0; i < n && both_do(p); i++) {
		buffer_init(&b, HOLEPUNCH_MAX);
		holepunch_put(&b, &words[i]);
		peer_put_extended(p, p->said.ids[EXTENSION_HOLEPUNCH], &b);
		buffer_release(&b);
	}
}

/* ---- what comes ---- */

static void
take_rendezvous(struct peer *p, const struct holepunch *m)
{
	struct swarm *s = p->swarm;
	struct holepunch back = {.kind = HOLEPUNCH_CONNECT};

	if (!clock_allow(&p->asks_paid, p->now, ASKS_EACH,
			 ASKS_BURST * ASKS_EACH))
		return;
	back.error = HOLEPUNCH_NO_SUCH_PEER;
	if (addr_usable(&m->addr))
		back.error = s->events.introduce(s->events.ctx, p, &m->addr,
						 &back.addr);
	if (back.error != HOLEPUNCH_FINE) {
		back.kind = HOLEPUNCH_ERROR;
		back.addr = m->addr;
	}
	answer(p, &back);
}

static void
take_connect(struct peer *p, const struct holepunch *m)
{
	struct swarm *s = p->swarm;

	if (addr_usable(&m->addr) &&
	    clock_allow(&p->calls_paid, p->now, CALLS_EACH,
			CALLS_BURST * CALLS_EACH))
		s->events.punch(s->events.ctx, p, &m->addr);
}

static void
take_error(const struct peer *p, const struct holepunch *m)
{
	char text[ADDR_TEXT_MAX];

	log_write(p->swarm->log, LOG_DEBUG, p->swarm->name,
		  "peer %u: no rendezvous with %s: %s", p->id,
		  addr_format(&m->addr, text), holepunch_error_name(m->error));
}

/* Whoever does not take these messages sends us none (BEP 55).  What cannot
 * be read may be of a later version, and is no reason to part. */
void
peer_holepunch_take(struct peer *p, const struct wire_message *wire)
{
	struct holepunch m;

	if (!both_do(p) || !holepunch_parse(&m, wire->data, wire->size))
		return;
	switch (m.kind) {
	case HOLEPUNCH_RENDEZVOUS:
		take_rendezvous(p, &m);
		break;
	case HOLEPUNCH_CONNECT:
		take_connect(p, &m);
		break;
	case HOLEPUNCH_ERROR:
		take_error(p, &m);
		break;
	}
}
