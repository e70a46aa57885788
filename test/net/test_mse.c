#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "net/mse.h"

#define BOTH (MSE_PLAIN | MSE_RC4)
#define IA_SIZE 68

static struct rc4_library *library;

/* Random bytes out of a hash of a counter; two bytes are asked for when the
 * length of the padding is drawn. */
struct dice {
	uint8_t seed;
	uint16_t pad;
	uint32_t count;
};

static void
roll(void *ctx, void *out, size_t n)
{
	struct dice *d = ctx;
	uint8_t *to = out;

	if (n == 2) {
		put_u16(to, d->pad);
		return;
	}
	while (n > 0) {
		uint8_t in[5] = {d->seed}, hash[SHA1_SIZE];
		size_t part = n < sizeof(hash) ? n : sizeof(hash);

		put_u32(in + 1, d->count++);
		hash_sha1(hash, in, sizeof(in));
		memcpy(to, hash, part);
		to += part;
		n -= part;
	}
}

static const uint8_t torrents[3][20] = {"first of the hashes!",
					"second of the hashes",
					"third of the hashes!"};

static bool
find(void *ctx, const uint8_t hash[MSE_HASH_SIZE], uint8_t info_hash[20])
{
	uint8_t ours[MSE_HASH_SIZE];

	(void)ctx;
	for (size_t i = 0; i < 2; i++) {
		mse_torrent_hash(ours, torrents[i]);
		if (memcmp(ours, hash, sizeof(ours)) == 0) {
			memcpy(info_hash, torrents[i], 20);
			return true;
		}
	}
	return false;
}

static const struct mse_finder finder = {NULL, find};

struct pair {
	struct dice dice[2];
	struct mse *a, *b;
	struct mse_ciphers of_a, of_b;
};

struct setting {
	unsigned provide, allow, prefer;
	uint16_t pad_a, pad_b;
	size_t torrent;
	size_t ia_size;
};

static const struct setting usual = {BOTH, BOTH, MSE_RC4, 17, 300, 1, IA_SIZE};

static void
open_pair(struct pair *p, const struct setting *s)
{
	struct mse_config a = {library, s->provide, 0, roll, &p->dice[0]};
	struct mse_config b = {library, s->allow, s->prefer, roll,
			       &p->dice[1]};
	uint8_t ia[IA_SIZE];

	*p = (struct pair){.dice = {{1, s->pad_a, 0}, {2, s->pad_b, 0}}};
	memset(ia, 'i', sizeof(ia));
	p->a = mse_new_outgoing(&a, torrents[s->torrent], ia, s->ia_size);
	p->b = mse_new_incoming(&b, &finder);
	assert_true(p->a && p->b);
}

static void
close_pair(struct pair *p)
{
	rc4_free(p->of_a.in);
	rc4_free(p->of_a.out);
	rc4_free(p->of_b.in);
	rc4_free(p->of_b.out);
	mse_free(p->a);
	mse_free(p->b);
}

/* Moves up to `max` bytes; true when any went.  What the receiver leaves is
 * given to the stream: `rest` gets it. */
static bool
move(struct mse *from, struct mse *to, size_t max, struct buffer *rest)
{
	size_t n, used = 0;
	const uint8_t *data = mse_output(from, &n);

	if (n == 0)
		return false;
	if (n > max)
		n = max;
	if (mse_status(to) == MSE_MORE)
		mse_feed(to, data, n, &used);
	if (used < n && mse_status(to) == MSE_DONE)
		buffer_put(rest, data + used, n - used);
	mse_sent(from, n);
	return true;
}

static void
run_pair(struct pair *p, size_t max, struct buffer *rest)
{
	bool moved = true;

	while (moved) {
		moved = move(p->a, p->b, max, rest);
		moved = move(p->b, p->a, max, rest) || moved;
	}
}

static void
check_direction(struct rc4 *out, struct rc4 *in)
{
	uint8_t data[1000];

	memset(data, 'x', sizeof(data));
	rc4_crypt(out, data, sizeof(data));
	rc4_crypt(in, data, sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		assert_int_equal(data[i], 'x');
}

/* Both are done, agree, and what each says the other understands. */
static void
check_pair(struct pair *p, const struct setting *s, unsigned method,
	   struct buffer *rest)
{
	assert_int_equal(mse_status(p->a), MSE_DONE);
	assert_int_equal(mse_status(p->b), MSE_DONE);
	assert_int_equal(mse_method(p->a), method);
	assert_int_equal(mse_method(p->b), method);
	assert_memory_equal(mse_info_hash(p->b), torrents[s->torrent], 20);
	mse_take_ciphers(p->a, &p->of_a);
	mse_take_ciphers(p->b, &p->of_b);
	assert_int_equal(rest->used, s->ia_size);
	if (method == MSE_PLAIN) {
		assert_null(p->of_a.in);
		assert_null(p->of_a.out);
		assert_null(p->of_b.out);
		assert_int_equal(p->of_b.in_left, s->ia_size);
		assert_int_equal(p->of_b.in != NULL, s->ia_size > 0);
	} else {
		assert_true(p->of_b.in_left == UINT64_MAX);
		assert_true(p->of_a.in_left == UINT64_MAX);
	}
	if (rest->used > 0)
		rc4_crypt(p->of_b.in, rest->data, rest->used);
	for (size_t i = 0; i < rest->used; i++)
		assert_int_equal(rest->data[i], 'i');
	if (method == MSE_RC4) {
		check_direction(p->of_a.out, p->of_b.in);
		check_direction(p->of_b.out, p->of_a.in);
	}
}

static void
meet(const struct setting *s, size_t max, unsigned method)
{
	struct buffer rest;
	struct pair p;

	buffer_init(&rest, 4096);
	open_pair(&p, s);
	run_pair(&p, max, &rest);
	check_pair(&p, s, method, &rest);
	close_pair(&p);
	buffer_release(&rest);
}

static void
methods_are_agreed_on(void **state)
{
	static const struct {
		unsigned provide, allow, prefer, method;
	} cases[] = {
		{BOTH, BOTH, MSE_RC4, MSE_RC4},
		{BOTH, BOTH, MSE_PLAIN, MSE_PLAIN},
		{BOTH, MSE_RC4, MSE_PLAIN, MSE_RC4},
		{BOTH, MSE_PLAIN, MSE_RC4, MSE_PLAIN},
		{MSE_RC4, BOTH, MSE_PLAIN, MSE_RC4},
		{MSE_PLAIN, BOTH, MSE_RC4, MSE_PLAIN},
		{MSE_RC4, MSE_RC4, 0, MSE_RC4},
		{MSE_PLAIN, MSE_PLAIN, 0, MSE_PLAIN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct setting s = usual;

		s.provide = cases[i].provide;
		s.allow = cases[i].allow;
		s.prefer = cases[i].prefer;
		meet(&s, SIZE_MAX, cases[i].method);
	}
}

static void
padding_of_any_length_is_passed_over(void **state)
{
	static const uint16_t pads[] = {0, 1, 7, 8, 19, 20, 511, 512};
	struct setting s = usual;

	(void)state;
	for (size_t i = 0; i < sizeof(pads) / sizeof(*pads); i++)
		for (size_t k = 0; k < sizeof(pads) / sizeof(*pads); k++) {
			s.pad_a = pads[i];
			s.pad_b = pads[k];
			meet(&s, SIZE_MAX, MSE_RC4);
		}
}

static void
the_torrent_is_found_among_several(void **state)
{
	struct setting s = usual;

	(void)state;
	for (s.torrent = 0; s.torrent < 2; s.torrent++)
		meet(&s, SIZE_MAX, MSE_RC4);
}

static void
nothing_need_be_sent_along(void **state)
{
	struct setting s = usual;

	(void)state;
	s.ia_size = 0;
	meet(&s, SIZE_MAX, MSE_RC4);
	s.prefer = MSE_PLAIN;
	meet(&s, SIZE_MAX, MSE_PLAIN);
}

static void
any_portions_will_do(void **state)
{
	struct setting s = usual;

	(void)state;
	for (size_t max = 1; max < 100; max = max * 2 + 1) {
		s.prefer = MSE_RC4;
		meet(&s, max, MSE_RC4);
		s.prefer = MSE_PLAIN;
		meet(&s, max, MSE_PLAIN);
	}
}

/* All that A sends, split once at each byte. */
static void
a_split_at_any_byte_changes_nothing(void **state)
{
	struct setting s = usual;

	(void)state;
	s.pad_a = 3;
	s.pad_b = 5;
	for (size_t at = 1; at < 220; at++) {
		struct buffer rest;
		struct pair p;

		buffer_init(&rest, 4096);
		open_pair(&p, &s);
		move(p.a, p.b, at, &rest);
		move(p.b, p.a, at, &rest);
		run_pair(&p, SIZE_MAX, &rest);
		check_pair(&p, &s, MSE_RC4, &rest);
		close_pair(&p);
		buffer_release(&rest);
	}
}

static void
fails(const struct setting *s, bool at_a, const char *why)
{
	struct buffer rest;
	struct pair p;

	buffer_init(&rest, 4096);
	open_pair(&p, s);
	run_pair(&p, SIZE_MAX, &rest);
	assert_int_equal(mse_status(at_a ? p.a : p.b), MSE_BAD);
	assert_string_equal(mse_why(at_a ? p.a : p.b), why);
	close_pair(&p);
	buffer_release(&rest);
}

static void
a_torrent_that_we_do_not_have_is_refused(void **state)
{
	struct setting s = usual;

	(void)state;
	s.torrent = 2;
	fails(&s, false, "not one of our torrents");
}

static void
no_method_in_common_is_the_end(void **state)
{
	struct setting s = usual;

	(void)state;
	s.provide = MSE_PLAIN;
	s.allow = MSE_RC4;
	fails(&s, false, "no method that both sides allow");
	s.provide = 0;
	s.allow = BOTH;
	fails(&s, false, "no method that both sides allow");
}

static void
garbage_ends_within_its_bound(void **state)
{
	struct dice d = {9, 0, 0};
	uint8_t noise[4096];
	struct pair p;
	size_t used;

	(void)state;
	roll(&d, noise, sizeof(noise));
	noise[0] = 0x7f;	/* a key below P */
	open_pair(&p, &usual);
	mse_feed(p.b, noise, sizeof(noise), &used);
	assert_int_equal(mse_status(p.b), MSE_BAD);
	assert_int_equal(used, MSE_KEY_SIZE + MSE_PAD_MAX + MSE_HASH_SIZE);
	mse_feed(p.a, noise, sizeof(noise), &used);
	assert_int_equal(mse_status(p.a), MSE_BAD);
	assert_int_equal(used, MSE_KEY_SIZE + MSE_PAD_MAX + 8);
	close_pair(&p);
}

static void
nothing_goes_out_after_the_end(void **state)
{
	uint8_t noise[4096];
	struct pair p;
	size_t n;

	(void)state;
	memset(noise, 0x55, sizeof(noise));
	open_pair(&p, &usual);
	mse_feed(p.b, noise, sizeof(noise), &n);
	assert_int_equal(mse_status(p.b), MSE_BAD);
	mse_output(p.b, &n);
	assert_int_equal(n, 0);
	close_pair(&p);
}

static void
keys_that_give_the_secret_away_are_refused(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		uint8_t key[MSE_KEY_SIZE] = {0};
		struct pair p;
		size_t used;

		if (kind == 1)
			key[MSE_KEY_SIZE - 1] = 1;
		if (kind == 2)
			memset(key, 0xff, sizeof(key));
		open_pair(&p, &usual);
		mse_feed(p.b, key, sizeof(key), &used);
		assert_int_equal(mse_status(p.b), MSE_BAD);
		mse_feed(p.a, key, sizeof(key), &used);
		assert_int_equal(mse_status(p.a), MSE_BAD);
		assert_string_equal(mse_why(p.a), "a public key that is none");
		close_pair(&p);
	}
}

static void
a_plain_answer_is_known_at_once(void **state)
{
	uint8_t plain[68] = "\x13" "BitTorrent protocol";
	struct pair p;
	size_t used;

	(void)state;
	open_pair(&p, &usual);
	mse_feed(p.a, plain, 20, &used);
	assert_int_equal(mse_status(p.a), MSE_BAD);
	assert_string_equal(mse_why(p.a), "answers in plain");
	close_pair(&p);
}

static void
half_a_handshake_waits_for_more(void **state)
{
	struct pair p;
	struct buffer rest;

	(void)state;
	buffer_init(&rest, 4096);
	open_pair(&p, &usual);
	move(p.a, p.b, 95, &rest);
	assert_int_equal(mse_status(p.b), MSE_MORE);
	move(p.a, p.b, 1, &rest);
	move(p.b, p.a, SIZE_MAX, &rest);
	move(p.a, p.b, 17 + 20 + 20 + 14 + 1, &rest);
	assert_int_equal(mse_status(p.b), MSE_MORE);
	move(p.a, p.b, 1, &rest);
	assert_int_equal(mse_status(p.b), MSE_DONE);
	close_pair(&p);
	buffer_release(&rest);
}

static void
what_is_replayed_opens_nothing(void **state)
{
	uint8_t said[4096];
	struct buffer rest;
	struct pair p, q;
	const uint8_t *out;
	size_t n, size;

	(void)state;
	buffer_init(&rest, 4096);
	open_pair(&p, &usual);
	out = mse_output(p.a, &size);
	memcpy(said, out, size);
	move(p.a, p.b, SIZE_MAX, &rest);
	move(p.b, p.a, SIZE_MAX, &rest);
	out = mse_output(p.a, &n);
	memcpy(said + size, out, n);
	size += n;
	open_pair(&q, &usual);
	q.dice[1].seed = 77;	/* the key is another one each time */
	memset(said + size, 0, sizeof(said) - size);
	mse_feed(q.b, said, sizeof(said), &n);
	assert_int_equal(mse_status(q.b), MSE_BAD);
	assert_string_equal(mse_why(q.b), "no answer to our key");
	close_pair(&p);
	close_pair(&q);
	buffer_release(&rest);
}

/*
 * One side by hand, to say what an honest one does not.  With the private
 * key 1 its public key is 2, and the secret is the other side's public key.
 */
struct hand {
	uint8_t secret[MSE_KEY_SIZE];
	struct rc4 *in, *out;
};

static struct rc4 *
hand_cipher(const struct hand *h, const char *name)
{
	uint8_t all[4 + MSE_KEY_SIZE + 20], key[MSE_HASH_SIZE];

	memcpy(all, name, 4);
	memcpy(all + 4, h->secret, MSE_KEY_SIZE);
	memcpy(all + 4 + MSE_KEY_SIZE, torrents[0], 20);
	hash_sha1(key, all, sizeof(all));
	return rc4_new(library, key, sizeof(key), 1024);
}

static void
hand_hash(const struct hand *h, const char *name, uint8_t out[MSE_HASH_SIZE])
{
	uint8_t all[4 + MSE_KEY_SIZE];

	memcpy(all, name, 4);
	memcpy(all + 4, h->secret, MSE_KEY_SIZE);
	hash_sha1(out, all, sizeof(all));
}

static void
hand_meet(struct hand *h, struct mse *m, bool as_a)
{
	uint8_t two[MSE_KEY_SIZE] = {[MSE_KEY_SIZE - 1] = 2};
	size_t n;

	if (as_a)
		mse_feed(m, two, sizeof(two), &n);
	memcpy(h->secret, mse_output(m, &n), MSE_KEY_SIZE);
	assert_true(n >= MSE_KEY_SIZE);
	if (!as_a)
		mse_feed(m, two, sizeof(two), &n);
	h->out = hand_cipher(h, as_a ? "keyA" : "keyB");
	h->in = hand_cipher(h, as_a ? "keyB" : "keyA");
	assert_true(h->out && h->in);
}

static void
hand_part(struct hand *h)
{
	rc4_free(h->in);
	rc4_free(h->out);
}

/* What B answers: a padding, VC, a selection and another padding. */
static enum mse_status
answered(uint32_t select, uint16_t pad, const char **why)
{
	uint8_t head[14 + MSE_PAD_MAX];
	struct setting s = usual;
	struct hand h;
	struct pair p;
	size_t n, size = 14 + (size_t)(pad > MSE_PAD_MAX ? 0 : pad);
	enum mse_status status;

	s.torrent = 0;
	open_pair(&p, &s);
	hand_meet(&h, p.a, false);
	memset(head, 0, 8);
	memset(head + 14, 'p', MSE_PAD_MAX);
	put_u32(head + 8, select);
	put_u16(head + 12, pad);
	rc4_crypt(h.out, head, size);
	mse_feed(p.a, (const uint8_t *)"some padding", 12, &n);
	assert_int_equal(mse_status(p.a), MSE_MORE);
	status = mse_feed(p.a, head, size, &n);
	assert_int_equal(n, size);
	if (why)
		*why = mse_why(p.a);
	if (status == MSE_DONE && select == MSE_RC4) {
		mse_take_ciphers(p.a, &p.of_a);
		check_direction(h.out, p.of_a.in);
	}
	hand_part(&h);
	close_pair(&p);
	return status;
}

static void
the_padding_of_the_answer_is_bounded(void **state)
{
	const char *why;

	(void)state;
	assert_int_equal(answered(MSE_RC4, 0, NULL), MSE_DONE);
	assert_int_equal(answered(MSE_RC4, 1, NULL), MSE_DONE);
	assert_int_equal(answered(MSE_RC4, 512, NULL), MSE_DONE);
	assert_int_equal(answered(MSE_PLAIN, 512, NULL), MSE_DONE);
	assert_int_equal(answered(MSE_RC4, 513, &why), MSE_BAD);
	assert_string_equal(why, "too much padding");
	assert_int_equal(answered(MSE_RC4, 65535, &why), MSE_BAD);
}

static void
only_what_was_offered_may_be_selected(void **state)
{
	static const uint32_t wrong[] = {0, 3, 4, 0x80000002};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(answered(wrong[i], 0, &why), MSE_BAD);
		assert_string_equal(why, "selects what was not offered");
	}
}

struct words {
	uint32_t vc;
	uint32_t provide;
	uint16_t pad;
	uint16_t ia;
};

/* What A says: a padding, the proof, and its words. */
static enum mse_status
called(const struct words *w, bool with_length, const char **why)
{
	uint8_t said[3 + 40 + 14 + MSE_PAD_MAX + 2] = "pad";
	uint8_t *proof = said + 3, *head = proof + 40, other[MSE_HASH_SIZE];
	size_t n, pad = w->pad > MSE_PAD_MAX ? 0 : w->pad;
	size_t size = 14 + pad + (with_length ? 2 : 0);
	enum mse_status status;
	struct hand h;
	struct pair p;

	open_pair(&p, &usual);
	hand_meet(&h, p.b, true);
	hand_hash(&h, "req1", proof);
	hand_hash(&h, "req3", other);
	mse_torrent_hash(proof + 20, torrents[0]);
	for (size_t i = 0; i < MSE_HASH_SIZE; i++)
		proof[20 + i] ^= other[i];
	put_u32(head, w->vc);
	put_u32(head + 4, 0);
	put_u32(head + 8, w->provide);
	put_u16(head + 12, w->pad);
	put_u16(head + 14 + pad, w->ia);
	rc4_crypt(h.out, head, size);
	status = mse_feed(p.b, said, (size_t)(head + size - said), &n);
	*why = mse_why(p.b);
	if (status == MSE_DONE) {
		mse_take_ciphers(p.b, &p.of_b);
		if (mse_method(p.b) == MSE_RC4)
			check_direction(h.out, p.of_b.in);
		else
			assert_true(p.of_b.in_left == w->ia);
	}
	hand_part(&h);
	close_pair(&p);
	return status;
}

static void
the_padding_of_the_offer_is_bounded(void **state)
{
	static const uint16_t pads[] = {0, 1, 512, 513, 65535};
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(pads) / sizeof(*pads); i++) {
		struct words w = {0, BOTH, pads[i], 0};

		assert_int_equal(called(&w, false, &why),
				 pads[i] > MSE_PAD_MAX ? MSE_BAD : MSE_MORE);
		assert_int_equal(called(&w, true, &why),
				 pads[i] > MSE_PAD_MAX ? MSE_BAD : MSE_DONE);
	}
}

static void
what_is_sent_along_takes_no_memory(void **state)
{
	struct words w = {0, MSE_PLAIN, 0, 65535};
	const char *why;

	(void)state;
	assert_int_equal(called(&w, true, &why), MSE_DONE);
	w.provide = MSE_RC4;
	assert_int_equal(called(&w, true, &why), MSE_DONE);
}

static void
a_wrong_constant_is_the_end(void **state)
{
	struct words w = {1, BOTH, 0, 0};
	const char *why;

	(void)state;
	assert_int_equal(called(&w, true, &why), MSE_BAD);
	assert_string_equal(why, "no verification constant");
}

static void
methods_of_the_future_are_passed_over(void **state)
{
	struct words w = {0, 0xfffffffc, 0, 0};
	const char *why;

	(void)state;
	assert_int_equal(called(&w, true, &why), MSE_BAD);
	w.provide |= MSE_PLAIN;
	assert_int_equal(called(&w, true, &why), MSE_DONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_are_agreed_on),
		cmocka_unit_test(padding_of_any_length_is_passed_over),
		cmocka_unit_test(the_torrent_is_found_among_several),
		cmocka_unit_test(nothing_need_be_sent_along),
		cmocka_unit_test(any_portions_will_do),
		cmocka_unit_test(a_split_at_any_byte_changes_nothing),
		cmocka_unit_test(a_torrent_that_we_do_not_have_is_refused),
		cmocka_unit_test(no_method_in_common_is_the_end),
		cmocka_unit_test(garbage_ends_within_its_bound),
		cmocka_unit_test(nothing_goes_out_after_the_end),
		cmocka_unit_test(keys_that_give_the_secret_away_are_refused),
		cmocka_unit_test(a_plain_answer_is_known_at_once),
		cmocka_unit_test(half_a_handshake_waits_for_more),
		cmocka_unit_test(what_is_replayed_opens_nothing),
		cmocka_unit_test(the_padding_of_the_answer_is_bounded),
		cmocka_unit_test(only_what_was_offered_may_be_selected),
		cmocka_unit_test(the_padding_of_the_offer_is_bounded),
		cmocka_unit_test(what_is_sent_along_takes_no_memory),
		cmocka_unit_test(a_wrong_constant_is_the_end),
		cmocka_unit_test(methods_of_the_future_are_passed_over),
	};
	int failed;

	library = rc4_library_new(NULL);
	if (!library) {
		printf("no RC4 on this machine: nothing to test\n");
		return 0;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rc4_library_free(library);
	return failed;
}
