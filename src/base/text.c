#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "text_room.h"

#define BAD_CHARACTER 0xfffd

/* ---- UTF-8 ---- */

struct form {
	uint8_t mask;
	uint8_t lead;
	uint8_t more;
	uint32_t least;		/* anything smaller is an overlong form */
};

static const struct form forms[] = {
	{0x80, 0x00, 0, 0},
	{0xe0, 0xc0, 1, 0x80},
	{0xf0, 0xe0, 2, 0x800},
	{0xf8, 0xf0, 3, 0x10000},
};

static const struct form *
form_of(uint8_t first)
{
	for (size_t i = 0; i < 4; i++)
		if ((first & forms[i].mask) == forms[i].lead)
			return &forms[i];
	return NULL;
}

/* Bytes taken, or 0 if none of the four forms fits. */
static size_t
decode_form(const uint8_t *at, size_t length, uint32_t *code)
{
	const struct form *f = form_of(at[0]);
	uint32_t value;

	if (!f || f->more >= length)
		return 0;
	value = at[0] & (uint8_t)~f->mask;
	for (size_t i = 1; i <= f->more; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (value < f->least || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*code = value;
	return f->more + 1u;
}

size_t
text_decode(const char *text, size_t length, uint32_t *code)
{
	size_t n = 0;

	*code = BAD_CHARACTER;
	if (length > 0)
		n = decode_form((const uint8_t *)text, length, code);
	return n ? n : 1;
}

size_t
text_whole(const char *text, size_t length)
{
	const uint8_t *at = (const uint8_t *)text;

	for (size_t back = 1; back <= 3 && back <= length; back++) {
		uint8_t c = at[length - back];
		const struct form *f = form_of(c);

		if ((c & 0xc0) != 0x80)
			return f && f->more >= back ? length - back : length;
	}
	return length;
}

bool
text_is_utf8(const void *text, size_t length)
{
	const uint8_t *at = text;
	uint32_t code;

	while (length > 0) {
		size_t n = decode_form(at, length, &code);

		if (n == 0)
			return false;
		at += n;
		length -= n;
	}
	return true;
}

size_t
text_columns(const char *text)
{
	size_t length = strlen(text);
	size_t columns = 0;
	uint32_t code;

	while (length > 0) {
		size_t n = text_decode(text, length, &code);

		columns += (size_t)text_width(code);
		text += n;
		length -= n;
	}
	return columns;
}

/* ---- cleaning ---- */

/* C0, DEL and C1 control a terminal; the line and paragraph separators break
 * a log's lines; the bidirectional controls of UAX 9 let a name show as
 * another one. */
bool
text_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

/* Copies the printable ASCII at the front, which most names are; how much of
 * it fits.  Byte by byte: what was just written so is slow to read at once. */
static size_t
room_plain(struct room *r, const char *text, size_t length)
{
	size_t n = 0;

	if (length >= r->left)
		length = r->left > 0 ? r->left - 1 : 0;
	while (n < length && text[n] >= 0x20 && text[n] < 0x7f) {
		r->at[n] = text[n];
		n++;
	}
	r->at += n;
	r->left -= n;
	return n;
}

void
room_clean(struct room *r, const char *text, size_t length)
{
	uint32_t code;

	for (;;) {
		size_t n = room_plain(r, text, length), need;
		bool bad;

		text += n;
		length -= n;
		if (length == 0)
			break;
		n = text_decode(text, length, &code);
		bad = (code == BAD_CHARACTER && n == 1) || text_unsafe(code);
		need = bad ? 1 : n;
		if (need >= r->left) {
			r->left = r->left ? 1 : 0;	/* nothing behind it */
			break;
		}
		if (bad)
			*r->at = '?';
		else
			memcpy(r->at, text, n);
		r->at += need;
		r->left -= need;
		text += n;
		length -= n;
	}
	if (r->left > 0)
		*r->at = '\0';
}

void
room_str(struct room *r, const char *text)
{
	room_clean(r, text, strlen(text));
}

size_t
text_put_clean(char *out, size_t size, const void *text, size_t length)
{
	struct room r = {out, size};

	room_clean(&r, text, length);
	return (size_t)(r.at - out);
}

char *
text_clean_n(char *out, size_t size, const void *text, size_t length)
{
	text_put_clean(out, size, text, length);
	return out;
}

char *
text_clean(char *out, size_t size, const char *text)
{
	return text_clean_n(out, size, text, strlen(text));
}

/* ---- amounts ---- */

char *
text_number(char *end, uint64_t number)
{
	do
		*--end = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	return end;
}

/* Cut to size, as snprintf does it; its length. */
static size_t
put_amount(char *out, size_t size, const char *number, size_t digits,
	   const char *unit)
{
	struct room r = {out, size};

	room_clean(&r, number, digits);
	room_str(&r, unit);
	return (size_t)(r.at - out);
}

/* Without printf, which would be most of the time that a list of 200,000
 * files takes. */
size_t
text_put_size(char *out, size_t size, uint64_t bytes)
{
	static const char units[][5] = {" KiB", " MiB", " GiB", " TiB",
					" PiB", " EiB"};
	char text[24], *end = text + sizeof(text), *at = end;
	unsigned shift = 0;
	uint64_t rest, tenths = 0;

	if (bytes < 1024) {
		at = text_number(end, bytes);
		return put_amount(out, size, at, (size_t)(end - at), " B");
	}
	/* Rounded; 1023.6 KiB is 1.0 MiB. */
	do {
		shift += 10;
		rest = bytes & ((1ULL << shift) - 1);
		tenths = (bytes >> shift) * 10 +
			 ((rest * 10 + (1ULL << (shift - 1))) >> shift);
	} while (tenths >= 10235 && shift < 60);
	if (tenths < 1000) {
		*--at = (char)('0' + tenths % 10);
		*--at = '.';
		at = text_number(at, tenths / 10);
	} else {
		at = text_number(at, (tenths + 5) / 10);
	}
	return put_amount(out, size, at, (size_t)(end - at),
			  units[shift / 10 - 1]);
}

char *
text_size(char *out, size_t size, uint64_t bytes)
{
	text_put_size(out, size, bytes);
	return out;
}

char *
text_rate(char *out, size_t size, uint64_t bytes_per_s)
{
	size_t n = text_put_size(out, size, bytes_per_s);

	if (n < size)
		text_put_clean(out + n, size - n, "/s", 2);
	return out;
}

char *
text_duration(char *out, size_t size, uint64_t seconds)
{
	unsigned long long s = seconds;

	if (s < 60)
		snprintf(out, size, "%llus", s);
	else if (s < 3600)
		snprintf(out, size, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, size, "%lluh%02llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, size, "%llud%02lluh", s / 86400, s / 3600 % 24);
	return out;
}

char *
text_span(char *out, size_t size, int64_t ns)
{
	if (ns >= 60 * CLOCK_S)
		return text_duration(out, size, (uint64_t)(ns / CLOCK_S));
	snprintf(out, size, "%.3gs", (double)ns / CLOCK_S);
	return out;
}

/* ---- signals ---- */

char *
text_signal(char *out, size_t size, int number)
{
	/* Those that end a process; not every libc can tell. */
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{SIGHUP, "HUP"}, {SIGINT, "INT"}, {SIGQUIT, "QUIT"},
		{SIGILL, "ILL"}, {SIGTRAP, "TRAP"}, {SIGABRT, "ABRT"},
		{SIGBUS, "BUS"}, {SIGFPE, "FPE"}, {SIGKILL, "KILL"},
		{SIGUSR1, "USR1"}, {SIGSEGV, "SEGV"}, {SIGUSR2, "USR2"},
		{SIGPIPE, "PIPE"}, {SIGALRM, "ALRM"}, {SIGTERM, "TERM"},
		{SIGXCPU, "XCPU"}, {SIGXFSZ, "XFSZ"}, {SIGSYS, "SYS"},
		{SIGVTALRM, "VTALRM"}, {SIGPROF, "PROF"}, {SIGIO, "IO"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].number != number)
			continue;
		snprintf(out, size, "SIG%s", names[i].name);
		return out;
	}
	snprintf(out, size, "signal %d", number);
	return out;
}

/* ---- numbers from people ---- */

#define MILLION 1000000u

struct decimal {
	uint64_t whole;
	uint32_t millionths;
	bool point;
	bool positive;		/* a digit is not 0 */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *text; false if there are none or they overflow. */
static bool
take_digits(const char **text, uint64_t *value)
{
	const char *at = *text;

	*value = 0;
	for (; is_digit(*at); at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (__builtin_mul_overflow(*value, 10u, value) ||
		    __builtin_add_overflow(*value, digit, value))
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

/* "12" or "1.5"; digits behind the sixth of a fraction count for nothing. */
static bool
take_decimal(const char **text, struct decimal *d)
{
	uint32_t worth = MILLION / 10;

	*d = (struct decimal){0};
	if (!take_digits(text, &d->whole))
		return false;
	d->positive = d->whole > 0;
	if (**text != '.')
		return true;
	d->point = true;
	++*text;
	if (!is_digit(**text))
		return false;
	for (; is_digit(**text); ++*text) {
		d->positive = d->positive || **text != '0';
		d->millionths += (uint32_t)(**text - '0') * worth;
		worth /= 10;
	}
	return true;
}

/* d * unit; unit is at most 2^40 or so, or the fraction would overflow.  What
 * is too little to be anything is refused, since 0 often means "no limit". */
static bool
scale(const struct decimal *d, uint64_t unit, uint64_t *value)
{
	return !__builtin_mul_overflow(d->whole, unit, value) &&
	       !__builtin_add_overflow(*value, d->millionths * unit / MILLION,
				       value) &&
	       (*value > 0 || !d->positive);
}

bool
text_parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "kmgt";
	struct decimal d;
	const char *unit;
	unsigned shift = 0;

	if (!take_decimal(&text, &d))
		return false;
	unit = *text ? strchr(units, *text | 0x20) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		text++;
		if (strcmp(text, "iB") == 0)
			text += 2;
	}
	if (*text != '\0' || (d.point && !unit))
		return false;
	return scale(&d, 1ULL << shift, bytes) && *bytes <= INT64_MAX;
}

static uint64_t
seconds_of(char unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	default:
		return 0;
	}
}

bool
text_parse_duration(const char *text, int64_t *ns)
{
	struct decimal d;
	uint64_t unit = 1, us;

	if (!take_decimal(&text, &d))
		return false;
	if (*text != '\0') {
		unit = seconds_of(*text++);
		if (unit == 0)
			return false;
	}
	/* A quarter of the range, so that now plus it cannot overflow. */
	if (*text != '\0' || !scale(&d, unit * MILLION, &us) ||
	    us > (uint64_t)INT64_MAX / 4 / CLOCK_US)
		return false;
	*ns = (int64_t)us * CLOCK_US;
	return true;
}

bool
text_parse_number(const char *text, uint64_t min, uint64_t max,
		  uint64_t *value)
{
	uint64_t v;

	if (!take_digits(&text, &v) || *text != '\0' || v < min || v > max)
		return false;
	*value = v;
	return true;
}
