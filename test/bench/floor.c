/*
 * floor: the work that no client can avoid, and nothing else.
 *
 *   floor get  hash= length= piece= host= port= out=    a download
 *   floor hash length= piece= data= threads=            verifying, creating
 *
 * A download is one blocking thread: a recvmsg for each piece that puts the
 * blocks where they belong in one buffer that is used again and again, SHA-1
 * over the piece, one pwrite.  It prints the SHA-1 of all pieces' hashes, so
 * that nothing of it can be left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "common.h"

#define AHEAD (4u << 20)		/* bytes asked for beforehand */
#define CHUNK (256u * 1024)
#define PART_BLOCKS 256			/* that one recvmsg takes */
#define THREADS_MAX 64

static const struct in_addr anywhere = {0};

static void
digest_start(EVP_MD_CTX *c)
{
	if (EVP_DigestInit_ex(c, EVP_sha1(), NULL) != 1)
		die("no SHA-1");
}

/* ---- the download ---- */

static void
ask_piece(const struct words *w, int fd, uint32_t piece)
{
	uint8_t out[WIRE_MESSAGE_MAX * PART_BLOCKS];
	uint32_t size = piece_size(w, piece);
	size_t n = 0;

	for (uint32_t at = 0; at < size; at += BLOCK) {
		if (n + WIRE_MESSAGE_MAX > sizeof(out)) {
			send_all(fd, out, n);
			n = 0;
		}
		n += wire_put_block(out + n, WIRE_REQUEST, piece, at,
				    block_size(w, piece, at));
	}
	send_all(fd, out, n);
}

/* Blocks of the piece from `at`, at most PART_BLOCKS; returns their bytes. */
static uint32_t
receive_part(const struct words *w, int fd, uint32_t piece, uint32_t at,
	     uint8_t *to)
{
	uint8_t heads[PART_BLOCKS][WIRE_PIECE_HEADER];
	uint8_t want[WIRE_MESSAGE_MAX];
	struct iovec iov[2 * PART_BLOCKS];
	uint32_t size = piece_size(w, piece), from = at;
	size_t blocks = 0, total = 0;
	struct msghdr m = {.msg_iov = iov};
	ssize_t n;

	for (; at < size && blocks < PART_BLOCKS; blocks++) {
		uint32_t length = block_size(w, piece, at);

		iov[2 * blocks] = (struct iovec){heads[blocks],
						 WIRE_PIECE_HEADER};
		iov[2 * blocks + 1] = (struct iovec){to + at, length};
		total += WIRE_PIECE_HEADER + length;
		at += length;
	}
	m.msg_iovlen = 2 * blocks;
	n = recvmsg(fd, &m, MSG_WAITALL);
	if (n < 0 || (size_t)n != total)
		die("a piece came short: %m");
	for (size_t i = 0; i < blocks; i++) {
		uint32_t offset = from + (uint32_t)i * BLOCK;

		wire_put_piece_header(want, piece, offset,
				      block_size(w, piece, offset));
		if (memcmp(want, heads[i], WIRE_PIECE_HEADER) != 0)
			die("another block than was asked for");
	}
	return at - from;
}

/* Everything up to the unchoke. */
static int
shake_hands(const struct words *w)
{
	int fd = connect_from(anywhere, w->host, w->port);
	uint8_t data[HANDSHAKE_SIZE], head[5];
	uint8_t *skip = malloc(piece_count(w) / 8 + 1024);

	if (!skip)
		die("out of memory");
	hello(data, w, false);
	send_all(fd, data, sizeof(data));
	send_all(fd, data, wire_put_plain(data, WIRE_INTERESTED));
	recv_all(fd, data, sizeof(data));
	do {
		uint32_t n;

		recv_all(fd, head, sizeof(head));
		n = get_u32(head);
		if (n < 1 || n > piece_count(w) / 8 + 1024)
			die("an unexpected message");
		recv_all(fd, skip, n - 1);
	} while (head[4] != WIRE_UNCHOKE);
	free(skip);
	return fd;
}

static void
get(const struct words *w)
{
	int fd = shake_hands(w);
	int out = open(w->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	uint8_t *buffer = aligned_alloc(64, (w->piece + 63) / 64 * 64);
	uint8_t digest[20];
	EVP_MD_CTX *c = EVP_MD_CTX_new(), *all = EVP_MD_CTX_new();
	uint32_t ahead = AHEAD / w->piece + 1, asked = 0;

	if (out < 0 || !buffer || !c || !all)
		die("cannot begin: %m");
	digest_start(all);
	for (uint32_t i = 0; i < piece_count(w); i++) {
		uint32_t size = piece_size(w, i), at = 0;

		while (asked < piece_count(w) && asked <= i + ahead)
			ask_piece(w, fd, asked++);
		while (at < size)
			at += receive_part(w, fd, i, at, buffer);
		digest_start(c);
		EVP_DigestUpdate(c, buffer, size);
		EVP_DigestFinal_ex(c, digest, NULL);
		EVP_DigestUpdate(all, digest, 20);
		if (pwrite(out, buffer, size, (off_t)i * w->piece) !=
		    (ssize_t)size)
			die("cannot write: %m");
	}
	EVP_DigestFinal_ex(all, digest, NULL);
	printf("%02x%02x%02x%02x\n", digest[0], digest[1], digest[2],
	       digest[3]);
	EVP_MD_CTX_free(c);
	EVP_MD_CTX_free(all);
	free(buffer);
	close(out);
	close(fd);
}

/* ---- verifying ---- */

struct hashing {
	const struct words *w;
	int fd;
	_Atomic uint32_t next;
	_Atomic unsigned sum;
};

static void
hash_piece(struct hashing *h, EVP_MD_CTX *c, uint8_t *buffer, uint32_t piece)
{
	uint32_t size = piece_size(h->w, piece);
	uint8_t digest[20];

	digest_start(c);
	for (uint32_t at = 0; at < size;) {
		uint32_t part = size - at < CHUNK ? size - at : CHUNK;

		if (pread(h->fd, buffer, part, (off_t)piece * h->w->piece +
			  at) != (ssize_t)part)
			die("cannot read: %m");
		EVP_DigestUpdate(c, buffer, part);
		at += part;
	}
	EVP_DigestFinal_ex(c, digest, NULL);
	atomic_fetch_add(&h->sum, get_u32(digest));
}

static void *
hash_some(void *arg)
{
	struct hashing *h = arg;
	uint8_t *buffer = aligned_alloc(64, CHUNK);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint32_t piece;

	if (!buffer || !c)
		die("out of memory");
	while ((piece = atomic_fetch_add(&h->next, 1)) < piece_count(h->w))
		hash_piece(h, c, buffer, piece);
	EVP_MD_CTX_free(c);
	free(buffer);
	return NULL;
}

static void
hash(const struct words *w)
{
	struct hashing h = {.w = w};
	pthread_t threads[THREADS_MAX];

	h.fd = open(w->data, O_RDONLY | O_CLOEXEC);
	if (h.fd < 0)
		die("cannot open '%s': %m", w->data);
	if (w->threads < 1 || w->threads > THREADS_MAX)
		die("threads=1 to %d", THREADS_MAX);
	for (uint32_t i = 0; i < w->threads; i++)
		if (pthread_create(&threads[i], NULL, hash_some, &h) != 0)
			die("cannot start a thread");
	for (uint32_t i = 0; i < w->threads; i++)
		pthread_join(threads[i], NULL);
	printf("%08x\n", atomic_load(&h.sum));
	close(h.fd);
}

int
main(int argc, char **argv)
{
	struct words w;

	if (argc < 2)
		die("usage: floor get|hash NAME=VALUE...");
	words_parse(&w, argc - 2, argv + 2);
	if (w.piece == 0 || w.length == 0)
		die("piece= and length= are needed");
	if (strcmp(argv[1], "get") == 0 && w.out)
		get(&w);
	else if (strcmp(argv[1], "hash") == 0 && w.data)
		hash(&w);
	else
		die("nothing to do");
	return 0;
}
