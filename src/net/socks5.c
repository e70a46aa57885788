#include "net/socks5.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define VERSION 5
#define LOGIN_VERSION 1
#define COMMAND_CONNECT 1

#define METHOD_NONE 0x00
#define METHOD_PASSWORD 0x02
#define METHOD_REFUSED 0xff

enum { TYPE_IPV4 = 1, TYPE_NAME = 3, TYPE_IPV6 = 4 };

#define HEAD_SIZE 4		/* of the last answer, up to the type */

static enum socks5_status
bad(struct socks5 *s, const char *why)
{
	s->why = why;
	s->in_want = 0;
	s->out_used = s->out_sent = 0;
	return s->status = SOCKS5_BAD;
}

/* ---- what we say ---- */

static void
put(struct socks5 *s, const void *data, size_t n)
{
	memcpy(s->out + s->out_used, data, n);
	s->out_used += n;
}

static void
put_u8(struct socks5 *s, size_t value)
{
	s->out[s->out_used++] = (uint8_t)value;
}

/* The lengths were looked at when it began. */
static void
put_text(struct socks5 *s, const char *text)
{
	size_t n = strlen(text);

	put_u8(s, n);
	put(s, text, n);
}

static void
say(struct socks5 *s, enum socks5_stage stage, size_t want)
{
	s->stage = stage;
	s->in_used = 0;
	s->in_want = want;
}

static void
say_methods(struct socks5 *s)
{
	put_u8(s, VERSION);
	put_u8(s, s->user[0] ? 2 : 1);
	put_u8(s, METHOD_NONE);
	if (s->user[0])
		put_u8(s, METHOD_PASSWORD);
	say(s, SOCKS5_METHOD, 2);
}

static void
say_login(struct socks5 *s)
{
	put_u8(s, LOGIN_VERSION);
	put_text(s, s->user);
	put_text(s, s->password);
	say(s, SOCKS5_LOGIN, 2);
}

static void
say_connect(struct socks5 *s)
{
	uint8_t port[2];

	put_u8(s, VERSION);
	put_u8(s, COMMAND_CONNECT);
	put_u8(s, 0);
	if (s->host[0]) {
		put_u8(s, TYPE_NAME);
		put_text(s, s->host);
	} else {
		put_u8(s, s->to.family == AF_INET ? TYPE_IPV4 : TYPE_IPV6);
		put(s, s->to.ip, addr_ip_size(&s->to));
	}
	put_u16(port, s->to.port);
	put(s, port, sizeof(port));
	say(s, SOCKS5_CONNECT, HEAD_SIZE);
}

static bool
copy(char out[SOCKS5_TEXT_MAX + 1], const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (n > SOCKS5_TEXT_MAX)
		return false;
	if (n > 0)
		memcpy(out, text, n);
	out[n] = '\0';
	return true;
}

void
socks5_begin(struct socks5 *s, const struct addr *to, const char *host,
	     const char *user, const char *password)
{
	memset(s, 0, sizeof(*s));
	s->to = *to;
	if (copy(s->host, host) && copy(s->user, user) &&
	    copy(s->password, password))
		say_methods(s);
	else
		bad(s, "a name is too long for it");
}

void
socks5_forget(struct socks5 *s)
{
	explicit_bzero(s, sizeof(*s));
}

const uint8_t *
socks5_output(const struct socks5 *s, size_t *n)
{
	*n = s->out_used - s->out_sent;
	return s->out + s->out_sent;
}

void
socks5_sent(struct socks5 *s, size_t n)
{
	s->out_sent += n;
	if (s->out_sent >= s->out_used)
		s->out_used = s->out_sent = 0;
}

/* ---- what it answers ---- */

static enum socks5_status
judge_method(struct socks5 *s)
{
	if (s->in[0] != VERSION)
		return bad(s, "it does not speak SOCKS5");
	if (s->in[1] == METHOD_NONE)
		say_connect(s);
	else if (s->in[1] == METHOD_PASSWORD && s->user[0])
		say_login(s);
	else if (s->in[1] == METHOD_REFUSED && s->user[0])
		return bad(s, "it takes neither a password nor none");
	else if (s->in[1] == METHOD_REFUSED)
		return bad(s, "it wants a user name and a password");
	else
		return bad(s, "it chose a method that was not offered");
	return SOCKS5_MORE;
}

/* Some give SOCKS' own version here. */
static enum socks5_status
judge_login(struct socks5 *s)
{
	if (s->in[0] != LOGIN_VERSION && s->in[0] != VERSION)
		return bad(s, "its answer makes no sense");
	if (s->in[1] != 0)
		return bad(s, "it refuses the user name and the password");
	say_connect(s);
	return SOCKS5_MORE;
}

/* Proxies say 1 for whatever went wrong at the other end. */
static enum socks5_status
judge_reply(struct socks5 *s)
{
	static const int errors[] = {
		0, ECONNABORTED, EACCES, ENETUNREACH, EHOSTUNREACH,
		ECONNREFUSED, ETIMEDOUT, 0, EAFNOSUPPORT,
	};
	uint8_t reply = s->in[1];

	if (s->in[0] != VERSION)
		return bad(s, "its answer makes no sense");
	if (reply >= sizeof(errors) / sizeof(*errors))
		return bad(s, "it gives an unknown reason for its refusal");
	if (reply != 0 && errors[reply] == 0)
		return bad(s, "it does not connect");
	if (reply == 0)
		return SOCKS5_MORE;
	s->sys = errors[reply];
	s->in_want = 0;
	return s->status = SOCKS5_UNREACHABLE;
}

/* How long the last answer is, by what is there of it; 0: bad. */
static size_t
reply_size(const struct socks5 *s)
{
	switch (s->in[3]) {
	case TYPE_IPV4:
		return HEAD_SIZE + 4 + 2;
	case TYPE_IPV6:
		return HEAD_SIZE + 16 + 2;
	case TYPE_NAME:
		if (s->in_used == HEAD_SIZE)
			return HEAD_SIZE + 1;
		return HEAD_SIZE + 1 + (size_t)s->in[HEAD_SIZE] + 2;
	default:
		return 0;
	}
}

static enum socks5_status
judge_connect(struct socks5 *s)
{
	if (s->in_used == HEAD_SIZE && judge_reply(s) != SOCKS5_MORE)
		return s->status;
	s->in_want = reply_size(s);
	if (s->in_want == 0)
		return bad(s, "its answer makes no sense");
	if (s->in_want > s->in_used)
		return SOCKS5_MORE;
	s->in_want = 0;
	return s->status = SOCKS5_DONE;
}

static enum socks5_status
judge(struct socks5 *s)
{
	switch (s->stage) {
	case SOCKS5_METHOD:
		return judge_method(s);
	case SOCKS5_LOGIN:
		return judge_login(s);
	case SOCKS5_CONNECT:
		break;
	}
	return judge_connect(s);
}

size_t
socks5_wants(const struct socks5 *s)
{
	return s->status == SOCKS5_MORE ? s->in_want - s->in_used : 0;
}

enum socks5_status
socks5_feed(struct socks5 *s, const uint8_t *data, size_t n)
{
	if (s->status != SOCKS5_MORE || n == 0)
		return s->status;
	/* An answer before the whole question, or behind its own end. */
	if (s->out_used > 0 || n > socks5_wants(s))
		return bad(s, "it speaks out of turn");
	memcpy(s->in + s->in_used, data, n);
	s->in_used += n;
	return s->in_used < s->in_want ? SOCKS5_MORE : judge(s);
}
