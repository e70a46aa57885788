/*
 * common: what the programs of the bench share: their words, the torrent they
 * are about, and sockets.  They end the process when anything fails: a bench
 * that goes on after an error measures something else.
 */
#ifndef BTGET_BENCH_COMMON_H
#define BTGET_BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>

#include "swarm/wire.h"

#define BLOCK 16384u

/* Words NAME=VALUE from the command line; what is not said is 0 or NULL. */
struct words {
	uint8_t hash[20];
	uint64_t length;
	uint32_t piece;		/* bytes */
	const char *data;	/* a file with the torrent's data */
	const char *out;	/* a file to write */
	struct in_addr host;	/* of the seeder; or the first one of many */
	struct in_addr from;	/* the first of our own addresses */
	uint16_t port;
	uint32_t peers;		/* how many addresses the tracker gives */
	uint32_t connections;
	uint32_t inflight;	/* blocks asked for at a time */
	uint32_t threads;
	uint64_t rate;		/* bytes a second for each connection */
	uint64_t bytes;		/* to be fetched in all */
	uint32_t delay_ms;	/* a request waits so long */
	bool check;		/* compare what came with data */
};

void words_parse(struct words *w, int argc, char **argv);

_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The data mapped for reading, all of its pages present. */
const uint8_t *map_data(const struct words *w);

/* Of the torrent: */
uint32_t piece_count(const struct words *w);
uint32_t piece_size(const struct words *w, uint32_t piece);
uint32_t block_size(const struct words *w, uint32_t piece, uint32_t offset);

/* Connects from the address, if it is set; blocking. */
int connect_from(struct in_addr from, struct in_addr to, uint16_t port);
struct in_addr nth_addr(struct in_addr first, uint32_t i);

/* The handshake of a peer that has the one extension asked for. */
void hello(uint8_t out[HANDSHAKE_SIZE], const struct words *w, bool extended);

int64_t now_ns(void);

/* All of it, or the process ends. */
void send_all(int fd, const void *data, size_t n);
void recv_all(int fd, void *data, size_t n);

#endif
