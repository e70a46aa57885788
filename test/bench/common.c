#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Noreturn void
die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "bench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

static void
parse_hash(uint8_t out[20], const char *text)
{
	for (size_t i = 0; i < 20; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			die("no info hash: '%s'", text);
		out[i] = (uint8_t)byte;
	}
}

static uint64_t
parse_number(const char *text, uint64_t max)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || end == text || n > max)
		die("no number: '%s'", text);
	return n;
}

static struct in_addr
parse_addr(const char *text)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		die("no address: '%s'", text);
	return a;
}

static bool
parse_text(struct words *w, const char *name, const char *value)
{
	if (strcmp(name, "hash") == 0)
		parse_hash(w->hash, value);
	else if (strcmp(name, "data") == 0)
		w->data = value;
	else if (strcmp(name, "out") == 0)
		w->out = value;
	else if (strcmp(name, "host") == 0)
		w->host = parse_addr(value);
	else if (strcmp(name, "from") == 0)
		w->from = parse_addr(value);
	else
		return false;
	return true;
}

static bool
parse_count(struct words *w, const char *name, const char *value)
{
	const struct { const char *name; uint32_t *to; } counts[] = {
		{"piece", &w->piece}, {"peers", &w->peers},
		{"connections", &w->connections}, {"inflight", &w->inflight},
		{"threads", &w->threads}, {"delay", &w->delay_ms},
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		if (strcmp(name, counts[i].name) != 0)
			continue;
		*counts[i].to = (uint32_t)parse_number(value, UINT32_MAX);
		return true;
	}
	return false;
}

void
words_parse(struct words *w, int argc, char **argv)
{
	memset(w, 0, sizeof(*w));
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			die("not NAME=VALUE: '%s'", argv[i]);
		*value++ = '\0';
		if (parse_text(w, argv[i], value) ||
		    parse_count(w, argv[i], value))
			continue;
		if (strcmp(argv[i], "length") == 0)
			w->length = parse_number(value, INT64_MAX);
		else if (strcmp(argv[i], "rate") == 0)
			w->rate = parse_number(value, INT64_MAX);
		else if (strcmp(argv[i], "bytes") == 0)
			w->bytes = parse_number(value, INT64_MAX);
		else if (strcmp(argv[i], "port") == 0)
			w->port = (uint16_t)parse_number(value, UINT16_MAX);
		else if (strcmp(argv[i], "check") == 0)
			w->check = parse_number(value, 1) == 1;
		else
			die("unknown word '%s'", argv[i]);
	}
}

const uint8_t *
map_data(const struct words *w)
{
	int fd = open(w->data, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		die("cannot open '%s': %m", w->data);
	if ((uint64_t)st.st_size < w->length)
		die("'%s' is too short", w->data);
	map = mmap(NULL, w->length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd,
		   0);
	if (map == MAP_FAILED)
		die("cannot map '%s': %m", w->data);
	close(fd);
	return map;
}

uint32_t
piece_count(const struct words *w)
{
	return (uint32_t)((w->length + w->piece - 1) / w->piece);
}

uint32_t
piece_size(const struct words *w, uint32_t piece)
{
	uint64_t rest = w->length - (uint64_t)piece * w->piece;

	return rest < w->piece ? (uint32_t)rest : w->piece;
}

uint32_t
block_size(const struct words *w, uint32_t piece, uint32_t offset)
{
	uint32_t rest = piece_size(w, piece) - offset;

	return rest < BLOCK ? rest : BLOCK;
}

struct in_addr
nth_addr(struct in_addr first, uint32_t i)
{
	return (struct in_addr){htonl(ntohl(first.s_addr) + i)};
}

int
connect_from(struct in_addr from, struct in_addr to, uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = from};
	struct sockaddr_in remote = {.sin_family = AF_INET, .sin_addr = to,
				     .sin_port = htons(port)};

	if (fd < 0)
		die("cannot make a socket: %m");
	if (from.s_addr &&
	    bind(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
		die("cannot bind: %m");
	if (connect(fd, (struct sockaddr *)&remote, sizeof(remote)) < 0)
		die("cannot connect: %m");
	return fd;
}

void
hello(uint8_t out[HANDSHAKE_SIZE], const struct words *w, bool extended)
{
	struct handshake h = {.extended = extended};
	unsigned r = (unsigned)now_ns() ^ (unsigned)getpid();

	memcpy(h.info_hash, w->hash, 20);
	memcpy(h.peer_id, "-BN0001-", 8);
	for (size_t i = 8; i < 20; i++) {
		r = r * 1664525u + 1013904223u;
		h.peer_id[i] = (uint8_t)('a' + (r >> 16) % 26);
	}
	handshake_put(out, &h);
}

int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void
send_all(int fd, const void *data, size_t n)
{
	const uint8_t *at = data;

	while (n > 0) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			die("cannot send: %m");
		at += sent;
		n -= (size_t)sent;
	}
}

void
recv_all(int fd, void *data, size_t n)
{
	uint8_t *at = data;

	while (n > 0) {
		ssize_t got = recv(fd, at, n, MSG_WAITALL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			die("cannot receive: %s", got ? strerror(errno)
						      : "closed");
		at += got;
		n -= (size_t)got;
	}
}
