#include "fixture.h"

#include "store/state.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static unsigned seeks;

/* In the place of libc's. */
off_t
lseek(int fd, off_t at, int whence)
{
	seeks++;
	return fixture_lseek(fd, at, whence);
}

/* Pieces of 1000: a 0..24, b 25..27, c 27..29 and half of 30. */
static const struct fixture_file files[] = {
	{ "a", 25000, 0 }, { "b", 2500, 0 }, { "c", 3000, 0 },
	{ "empty", 0, 0 },
};

static void
start(struct fixture *x)
{
	fixture_torrent(x, "T", 1000, files, COUNT(files));
	fixture_dir(x);
	fixture_open(x);
}

/* A torrent whose pieces have several blocks. */
static void
start_large(struct fixture *x)
{
	const struct fixture_file file = { "x", 1000000, 0 };

	fixture_torrent(x, "T", 100000, &file, 1);
	fixture_dir(x);
}

static void
fill(struct state *s)
{
	struct bitfield blocks;

	bitfield_set(&s->have, 3);
	bitfield_unset(&s->selected, 0);
	s->stamps[0] = (struct files_stamp){ true, 1ULL << 40, -5 };
	s->uploaded = UINT64_MAX;
	s->downloaded = 77;
	s->complete = true;
	bitfield_init(&blocks, 7);
	bitfield_set(&blocks, 2);
	for (uint32_t i = 4; i < 9; i++)
		assert_int_equal(state_add_partial(s, i, &blocks), 0);
	bitfield_release(&blocks);
}

static void
expect_filled(const struct state *s)
{
	assert_int_equal(bitfield_ones(&s->have), 1);
	assert_true(bitfield_get(&s->have, 3));
	assert_false(bitfield_get(&s->selected, 0));
	assert_true(s->stamps[0].there);
	assert_int_equal(s->stamps[0].size, 1ULL << 40);
	assert_int_equal(s->stamps[0].mtime_ns, -5);
	assert_false(s->stamps[1].there);
	assert_true(s->uploaded == UINT64_MAX);
	assert_int_equal(s->downloaded, 77);
	assert_true(s->complete);
	assert_int_equal(s->partial_count, 5);
	assert_int_equal(s->partials[4].piece, 8);
	assert_int_equal(s->partials[4].blocks.count, 7);
	assert_true(bitfield_get(&s->partials[4].blocks, 2));
}

static void
expect_empty(const struct state *s)
{
	assert_int_equal(bitfield_ones(&s->have), 0);
	assert_true(bitfield_full(&s->selected));
	assert_int_equal(s->partial_count, 0);
	assert_false(s->stamps[0].there);
	assert_false(s->complete);
	assert_false(s->was_complete);
	assert_int_equal(s->uploaded, 0);
}

static void
what_is_saved_is_loaded_again(void **unused)
{
	struct state s, again;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	fill(&s);
	assert_int_equal(state_load(&again, x.folder.state, &x.e), 1);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_int_equal(state_load(&again, x.folder.state, &x.e), 0);
	expect_filled(&again);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
any_flipped_or_missing_byte_is_refused(void **unused)
{
	struct state s, again;
	struct buffer b;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	fill(&s);
	buffer_init(&b, 1 << 20);
	state_encode(&s, &b);
	for (size_t i = 0; i < b.used; i++) {
		b.data[i] ^= 0x10;
		assert_int_equal(state_decode(&again, b.data, b.used, &x.e),
				 -1);
		assert_int_equal(x.e.kind, ERROR_DATA);
		b.data[i] ^= 0x10;
		assert_int_equal(state_decode(&again, b.data, i, &x.e), -1);
	}
	expect_empty(&again);
	assert_int_equal(state_decode(&again, b.data, b.used, &x.e), 0);
	expect_filled(&again);
	buffer_release(&b);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
what_is_unchecked_is_loaded_again(void **unused)
{
	struct state s, again;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	fill(&s);
	bitfield_set(&s.unchecked, 4);
	bitfield_set(&s.unchecked, 9);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_int_equal(state_load(&again, x.folder.state, &x.e), 0);
	/* It cannot be complete. */
	assert_false(again.complete);
	again.complete = true;
	expect_filled(&again);
	assert_int_equal(bitfield_ones(&again.unchecked), 2);
	assert_true(bitfield_get(&again.unchecked, 4));
	assert_true(bitfield_get(&again.unchecked, 9));
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

/* Changes some bytes and makes the sum right again. */
static int
decode_with(struct state *into, struct buffer *b, size_t at, uint8_t value)
{
	uint8_t old = b->data[at];
	struct error e;
	int status;

	b->data[at] = value;
	hash_sha256(b->data + b->used - SHA256_SIZE, b->data,
		    b->used - SHA256_SIZE);
	status = state_decode(into, b->data, b->used, &e);
	b->data[at] = old;
	return status;
}

static void
absurd_counts_are_refused_though_the_sum_is_right(void **unused)
{
	/* Magic, id, length, piece length, pieces, files, flags; the
	 * spare bits of both bitfields, whether a stamp is there, the number
	 * of partials, their first piece and its blocks. */
	const size_t places[] = { 0, 8, 28, 36, 44, 48, 68, 70, 71, 72, 106,
				  110, 114, 118 };
	struct state s, again;
	struct buffer b;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	fill(&s);
	buffer_init(&b, 1 << 20);
	state_encode(&s, &b);
	for (size_t i = 0; i < COUNT(places); i++) {
		assert_int_equal(decode_with(&again, &b, places[i], 0xff),
				 -1);
		expect_empty(&again);
	}
	buffer_release(&b);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
unchecked_pieces_have_one_form(void **unused)
{
	const size_t flags = 68, unchecked = 71;
	struct state s, again;
	struct buffer b;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	bitfield_set(&s.unchecked, 0);
	buffer_init(&b, 1 << 20);
	state_encode(&s, &b);
	assert_int_equal(decode_with(&again, &b, flags, 2), 0);
	assert_true(bitfield_get(&again.unchecked, 0));
	assert_int_equal(decode_with(&again, &b, flags, 0), -1);
	assert_int_equal(bitfield_ones(&again.unchecked), 0);
	assert_int_equal(decode_with(&again, &b, flags, 6), -1);
	assert_int_equal(decode_with(&again, &b, unchecked, 0), -1);
	assert_int_equal(decode_with(&again, &b, unchecked + 1, 1), -1);
	buffer_release(&b);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

/* What lies on the side is nothing whole. */
static void
the_side_file_has_one_form(void **unused)
{
	struct state s, again;
	struct buffer b;
	struct fixture x;
	size_t side;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	side = 69 + bitfield_bytes(&s.have) + bitfield_bytes(&s.selected) +
	       17 * (s.stamp_count - 1);
	buffer_init(&b, 1 << 20);
	state_encode(&s, &b);
	assert_int_equal(decode_with(&again, &b, side, 1), 0);
	assert_true(again.stamps[s.stamp_count - 1].there);
	assert_int_equal(decode_with(&again, &b, side, 2), -1);
	assert_int_equal(decode_with(&again, &b, side - 17, 2), 0);
	assert_true(bitfield_get(&again.whole, s.stamp_count - 2));
	buffer_release(&b);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
what_is_damaged_is_loaded_again(void **unused)
{
	const size_t flags = 68;
	struct state s, again;
	struct buffer b;
	struct fixture x;

	(void)unused;
	start_large(&x);
	for (size_t unchecked = 0; unchecked < 2; unchecked++) {
		state_init(&s, &x.m, &x.e);
		state_init(&again, &x.m, &x.e);
		fill(&s);
		bitfield_set(&s.damaged, 7);
		if (unchecked)
			bitfield_set(&s.unchecked, 4);
		buffer_init(&b, 1 << 20);
		state_encode(&s, &b);
		assert_int_equal(decode_with(&again, &b, flags, 8), -1);
		assert_int_equal(bitfield_ones(&again.damaged), 0);
		assert_int_equal(decode_with(&again, &b, flags,
					     unchecked ? 6 : 5), 0);
		assert_int_equal(again.complete, !unchecked);
		again.complete = true;
		expect_filled(&again);
		assert_int_equal(bitfield_ones(&again.unchecked), unchecked);
		assert_int_equal(bitfield_ones(&again.damaged), 1);
		assert_true(bitfield_get(&again.damaged, 7));
		buffer_release(&b);
		state_release(&s);
		state_release(&again);
	}
	fixture_release(&x);
}

static void
what_was_complete_is_not_complete(void **unused)
{
	struct state s, again;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	state_init(&again, &x.m, &x.e);
	fill(&s);
	s.complete = false;
	s.was_complete = true;
	for (size_t unchecked = 0; unchecked < 2; unchecked++) {
		if (unchecked)
			bitfield_set(&s.unchecked, 4);
		assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
		assert_int_equal(state_load(&again, x.folder.state, &x.e), 0);
		assert_true(again.was_complete);
		assert_int_equal(bitfield_ones(&again.unchecked), unchecked);
		assert_false(again.complete);
		again.complete = true;
		expect_filled(&again);
		state_release(&again);
		state_init(&again, &x.m, &x.e);
	}
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
a_state_of_another_torrent_is_refused(void **unused)
{
	struct state s, again;
	struct buffer b;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	x.m.piece_length *= 2;
	state_init(&again, &x.m, &x.e);
	buffer_init(&b, 1 << 20);
	state_encode(&s, &b);
	assert_int_equal(state_decode(&again, b.data, b.used, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_DATA);
	buffer_release(&b);
	state_release(&s);
	state_release(&again);
	fixture_release(&x);
}

static void
partials_are_bounded(void **unused)
{
	struct bitfield blocks;
	struct state s;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	bitfield_init(&blocks, 7);
	for (uint32_t i = 0; i < STATE_PARTIALS_MAX + 10; i++)
		assert_int_equal(state_add_partial(&s, 1, &blocks), 0);
	assert_int_equal(s.partial_count, STATE_PARTIALS_MAX);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	bitfield_release(&blocks);
	state_release(&s);
	fixture_release(&x);
}

#define STATE_FILE \
	".btget/3031323334353637383961626364656630313233.state"

static void
nothing_planted_is_followed_or_waited_for(void **unused)
{
	struct state s;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	fixture_put(&x, "victim", "safe", 4);
	mkfifo(fixture_at(&x, STATE_FILE), 0666);
	assert_int_equal(state_load(&s, x.folder.state, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_STORAGE);
	unlink(fixture_at(&x, STATE_FILE));
	fixture_link(&x, "../victim", STATE_FILE);
	assert_int_equal(state_load(&s, x.folder.state, &x.e), -1);
	fixture_link(&x, "../victim", STATE_FILE ".new");
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_int_equal(state_load(&s, x.folder.state, &x.e), 0);
	assert_true(fixture_holds(&x, "victim", "safe", 4));
	assert_false(fixture_exists(&x, STATE_FILE ".new"));
	state_release(&s);
	fixture_release(&x);
}

static void
an_endless_state_file_is_refused(void **unused)
{
	struct state s;
	struct fixture x;

	(void)unused;
	start_large(&x);
	state_init(&s, &x.m, &x.e);
	fixture_put(&x, STATE_FILE, "", 0);
	assert_int_equal(truncate(fixture_at(&x, STATE_FILE), 1LL << 40), 0);
	assert_int_equal(state_load(&s, x.folder.state, &x.e), -1);
	assert_int_equal(x.e.kind, ERROR_DATA);
	state_release(&s);
	fixture_release(&x);
}

/* --- against the disk --- */

struct compared {
	struct bitfield have;
	struct bitfield check;
	int status;
};

static struct compared
compare(struct fixture *x, const struct state *s)
{
	struct compared c;

	bitfield_init(&c.have, x->m.piece_count);
	bitfield_init(&c.check, x->m.piece_count);
	c.status = state_compare(s, x->store, &c.have, &c.check, NULL, &x->e);
	return c;
}

static void
compared_release(struct compared *c)
{
	bitfield_release(&c->have);
	bitfield_release(&c->check);
}

/* All written, and all but piece 5 verified. */
static void
remember(struct fixture *x, struct state *s)
{
	fixture_write_all(x);
	assert_int_equal(files_sync(x->store, &x->e), 0);
	state_init(s, &x->m, &x->e);
	bitfield_fill(&s->have);
	bitfield_unset(&s->have, 5);
	assert_int_equal(state_stamp(s, x->store, NULL, NULL, &x->e), 0);
	fixture_open(x);
}

static void
files_that_look_as_before_are_vouched_for(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	c = compare(&x, &s);
	assert_int_equal(c.status, 1);
	assert_int_equal(bitfield_ones(&c.have), 30);
	assert_false(bitfield_get(&c.have, 5));
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
what_is_unchecked_is_checked(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	bitfield_set(&s.unchecked, 5);
	bitfield_set(&s.unchecked, 6);	/* had all the same */
	bitfield_unset(&s.have, 7);
	bitfield_unset(&s.have, 26);
	bitfield_set(&s.unchecked, 26);
	c = compare(&x, &s);
	assert_int_equal(c.status, 1);
	assert_int_equal(bitfield_ones(&c.have), 28);
	assert_true(bitfield_get(&c.have, 6));
	assert_int_equal(bitfield_ones(&c.check), 2);
	assert_true(bitfield_get(&c.check, 5));
	assert_true(bitfield_get(&c.check, 26));
	compared_release(&c);
	/* Nothing is to be checked of a file that is gone. */
	unlink(fixture_at(&x, "T.part/b"));
	c = compare(&x, &s);
	assert_int_equal(bitfield_ones(&c.check), 1);
	assert_true(bitfield_get(&c.check, 5));
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
a_changed_file_has_its_pieces_checked(void **unused)
{
	static const struct timespec then[2] = {{1000, 0}, {1000, 0}};
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	assert_int_equal(utimensat(x.folder.dir, "T.part/b", then, 0), 0);
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 27);
	assert_int_equal(bitfield_ones(&c.check), 3);
	assert_true(bitfield_get(&c.check, 25));
	assert_true(bitfield_get(&c.check, 27));
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
pieces_behind_the_end_of_a_file_are_checked(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	/* Cut, and then the state was saved: it looks as it is known. */
	assert_int_equal(truncate(fixture_at(&x, "T.part/a"), 23500), 0);
	assert_int_equal(state_stamp(&s, x.store, NULL, NULL, &x.e), 0);
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.check), 2);
	assert_true(bitfield_get(&c.check, 23));
	assert_true(bitfield_get(&c.check, 24));
	assert_int_equal(bitfield_ones(&c.have), 28);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

/* Stamped twice, with something in between. */
static void
what_others_changed_keeps_its_stamp(void **unused)
{
	struct files_stamp known[COUNT(files) + 1];
	struct bitfield strange;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	memset(known, 0, sizeof(known));
	bitfield_init(&strange, x.m.piece_count);
	state_init(&s, &x.m, &x.e);
	fixture_write_all(&x);
	assert_int_equal(state_stamp(&s, x.store, known, &strange, &x.e), 0);
	assert_int_equal(bitfield_ones(&strange), 0);
	assert_true(known[0].there && known[1].there && known[2].there);
	/* Our own writes are no surprise, others' are. */
	assert_int_equal(truncate(fixture_at(&x, "T.part/a"), 9), 0);
	assert_int_equal(truncate(fixture_at(&x, "T.part/b"), 9), 0);
	assert_int_equal(files_write(x.store, 0, x.bytes, 10, &x.e), 0);
	assert_int_equal(state_stamp(&s, x.store, known, &strange, &x.e), 0);
	assert_int_equal(s.stamps[0].size, 10);
	assert_int_equal(s.stamps[1].size, 2500);
	assert_int_equal(known[1].size, 2500);
	assert_int_equal(bitfield_ones(&strange), 3);
	assert_true(bitfield_get(&strange, 25));
	assert_true(bitfield_get(&strange, 27));
	bitfield_release(&strange);
	state_release(&s);
	fixture_release(&x);
}

static void
another_torrents_data_is_known_by_its_looks(void **unused)
{
	char owner[METAINFO_HEX_MAX];
	struct files_stamp look[2];
	struct state s, own;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	state_init(&own, &x.m, &x.e);
	memset(own.hex, 'f', 40);
	look[0] = (struct files_stamp){ true, 1, 1 };
	look[1] = s.stamps[1];
	assert_false(state_find_owner(&own, x.folder.state, look, 2, owner));
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_true(state_find_owner(&own, x.folder.state, look, 2, owner));
	assert_string_equal(owner, s.hex);
	bitfield_set(&s.unchecked, 5);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_true(state_find_owner(&own, x.folder.state, look, 2, owner));
	assert_false(state_find_owner(&own, x.folder.state, look, 1, owner));
	s.was_complete = true;
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_true(state_find_owner(&own, x.folder.state, look, 2, owner));
	/* It is not its own owner, and nobody's who has nothing verified. */
	assert_false(state_find_owner(&s, x.folder.state, look, 2, owner));
	bitfield_zero(&s.have);
	assert_int_equal(state_save(&s, x.folder.state, &x.e), 0);
	assert_false(state_find_owner(&own, x.folder.state, look, 2, owner));
	state_release(&own);
	state_release(&s);
	fixture_release(&x);
}

/* By file, the first one in the highest bit. */
static void
expect_claims(struct fixture *x, const struct state *s,
	      const struct files_stamp look[4], uint8_t whole, uint8_t begun)
{
	struct state_claims c;

	bitfield_init(&c.whole, 4);
	bitfield_init(&c.begun, 4);
	bitfield_fill(&c.whole);
	assert_int_equal(state_find_claims(x->folder.state, s->hex, look, &c,
					   &x->e), 0);
	assert_int_equal(c.whole.bits[0], whole);
	assert_int_equal(c.begun.bits[0], begun);
	bitfield_release(&c.whole);
	bitfield_release(&c.begun);
}

static void
what_another_torrent_has_is_told_by_file(void **unused)
{
	struct files_stamp look[4];
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	look[0] = look[3] = s.stamps[1];
	look[1] = (struct files_stamp){ true, s.stamps[1].size, 1 };
	look[2] = (struct files_stamp){ true, 0, s.stamps[0].mtime_ns };
	expect_claims(&x, &s, look, 0, 0);
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0, 0x90);
	s.complete = true;
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0x90, 0);
	s.was_complete = true;
	bitfield_set(&s.unchecked, 5);
	bitfield_set(&s.damaged, 6);
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0x90, 0);
	bitfield_zero(&s.have);
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0, 0);
	state_release(&s);
	fixture_release(&x);
}

static void
what_is_complete_has_all_of_some_files(void **unused)
{
	struct files_stamp look[4] = {{0}};
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	bitfield_fill(&s.have);
	bitfield_unset(&s.have, 26);
	state_stamp(&s, x.store, NULL, NULL, &x.e);
	s.complete = true;
	memcpy(look, s.stamps, 3 * sizeof(*look));
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0xa0, 0x40);
	bitfield_set(&s.unchecked, 26);
	s.was_complete = true;
	state_stamp(&s, x.store, NULL, NULL, &x.e);
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0xe0, 0);
	s.complete = s.was_complete = false;
	state_save(&s, x.folder.state, &x.e);
	expect_claims(&x, &s, look, 0, 0xe0);
	state_release(&s);
	fixture_release(&x);
}

static void
damage_is_dropped_where_a_file_looks_otherwise(void **unused)
{
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	bitfield_fill(&s.damaged);
	state_drop_changed(&s, x.store);
	assert_true(bitfield_full(&s.damaged));
	unlink(fixture_at(&x, "T.part/b"));
	state_drop_changed(&s, x.store);
	assert_int_equal(bitfield_ones(&s.damaged), 28);
	state_release(&s);
	fixture_release(&x);
}

static void
a_missing_file_is_neither_vouched_for_nor_checked(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	unlink(fixture_at(&x, "T.part/b"));
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 27);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
a_file_that_is_yet_to_be_cut_is_noticed(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	assert_int_equal(truncate(fixture_at(&x, "T/b"), 2501), 0);
	fixture_open(&x);
	state_init(&s, &x.m, &x.e);
	bitfield_fill(&s.have);
	assert_int_equal(state_stamp(&s, x.store, NULL, NULL, &x.e), 0);
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 31);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
a_missing_empty_file_is_noticed(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	fixture_write_all(&x);
	assert_int_equal(files_finish(x.store, NULL, &x.e), 0);
	remember(&x, &s);
	c = compare(&x, &s);
	assert_int_equal(c.status, 1);
	compared_release(&c);
	unlink(fixture_at(&x, "T/empty"));
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 30);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
without_a_state_all_that_is_there_is_checked(void **unused)
{
	struct compared c;
	struct fixture x;

	(void)unused;
	start(&x);
	c = compare(&x, NULL);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	fixture_put(&x, "T/b", x.bytes, 10);
	fixture_open(&x);
	c = compare(&x, NULL);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 0);
	/* 25 and 26 are all of b; 27 is shared with c, which is not there. */
	assert_int_equal(bitfield_ones(&c.check), 2);
	compared_release(&c);
	fixture_release(&x);
}

static void
a_removed_download_begins_anew(void **unused)
{
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	fixture_rename(&x, "T.part", "elsewhere");
	fixture_open(&x);
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 0);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	state_release(&s);
	fixture_release(&x);
}

static void
another_selection_is_compared_with_care(void **unused)
{
	struct bitfield only_b;
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	bitfield_init(&only_b, COUNT(files));
	bitfield_set(&only_b, 1);
	assert_int_equal(fixture_open_as(&x, &only_b, FILES_NONE, 4), 0);
	/* Piece 27 lies in b and, on the side, in c. */
	assert_int_equal(files_write(x.store, 25000, x.bytes + 25000, 3000,
				     &x.e), 0);
	state_init(&s, &x.m, &x.e);
	bitfield_copy(&s.selected, &only_b);
	for (size_t i = 25; i < 28; i++)
		bitfield_set(&s.have, i);
	assert_int_equal(state_stamp(&s, x.store, NULL, NULL, &x.e), 0);
	assert_int_equal(fixture_open_as(&x, &only_b, FILES_NONE, 4), 0);
	c = compare(&x, &s);
	assert_int_equal(c.status, 1);
	assert_int_equal(bitfield_ones(&c.have), 3);
	compared_release(&c);
	/* All of it from now on: c is not there, and so 27 is not. */
	assert_int_equal(fixture_open_as(&x, NULL, FILES_NONE, 4), 0);
	c = compare(&x, &s);
	assert_int_equal(c.status, 0);
	assert_int_equal(bitfield_ones(&c.have), 2);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	bitfield_release(&only_b);
	state_release(&s);
	fixture_release(&x);
}

/* All is there; from now on only b is wanted. */
static void
files_that_are_wanted_no_more_are_known_as_they_were(void **unused)
{
	struct bitfield only_b, spare;
	struct files_options o = { .allocation = FILES_NONE, .max_open = 4,
				   .id = FIXTURE_ID };
	struct compared c;
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	bitfield_init(&only_b, COUNT(files));
	bitfield_init(&spare, COUNT(files));
	bitfield_set(&only_b, 1);
	fixture_open(&x);
	for (size_t i = 0; i < COUNT(files); i++)
		if (state_knows(&s, x.store, i))
			bitfield_set(&spare, i);
	/* The empty one is made at the end. */
	assert_int_equal(bitfield_ones(&spare), COUNT(files) - 1);
	fixture_close(&x);
	x.layout = layout_new_over(&x.m, &only_b, &spare, &x.e);
	x.store = files_open(x.layout, &x.folder, &o, &x.e);
	c = compare(&x, &s);
	assert_int_equal(bitfield_ones(&c.have), x.m.piece_count - 1);
	assert_int_equal(bitfield_ones(&c.check), 0);
	compared_release(&c);
	bitfield_release(&only_b);
	bitfield_release(&spare);
	state_release(&s);
	fixture_release(&x);
}

static void
a_file_that_changed_or_was_not_selected_is_not_known(void **unused)
{
	struct state s;
	struct fixture x;

	(void)unused;
	start(&x);
	remember(&x, &s);
	fixture_open(&x);
	assert_true(state_knows(&s, x.store, 1));
	bitfield_unset(&s.selected, 1);
	assert_false(state_knows(&s, x.store, 1));
	bitfield_set(&s.selected, 1);
	s.stamps[1].mtime_ns++;
	assert_false(state_knows(&s, x.store, 1));
	memset(&s.stamps[1], 0, sizeof(s.stamps[1]));
	assert_false(state_knows(&s, x.store, 1));
	state_release(&s);
	fixture_release(&x);
}

/* Pieces of 100000 and so of seven blocks, the last one shorter. */
static void
blocks_of_which_nothing_is_there_are_dropped(void **unused)
{
	struct bitfield blocks;
	struct state s;
	struct fixture x;

	(void)unused;
	start_large(&x);
	fixture_open(&x);
	assert_int_equal(state_init(&s, &x.m, &x.e), 0);
	bitfield_init(&blocks, 7);
	bitfield_fill(&blocks);
	state_add_partial(&s, 2, &blocks);
	state_add_partial(&s, 9, &blocks);
	/* The last block of piece 2, and the first of piece 9. */
	files_write(x.store, 299999, x.bytes + 299999, 1, &x.e);
	files_write(x.store, 900000, x.bytes + 900000, 1, &x.e);
	fixture_open(&x);
	state_drop_absent(&s, x.store, NULL);
	assert_true(bitfield_get(&s.partials[0].blocks, 6));
	assert_true(bitfield_get(&s.partials[1].blocks, 0));
	assert_int_equal(bitfield_ones(&s.partials[0].blocks), 1);
	assert_int_equal(bitfield_ones(&s.partials[1].blocks), 1);
	assert_int_equal(unlink(fixture_at(&x, "T.part/x")), 0);
	fixture_open(&x);
	state_drop_absent(&s, x.store, NULL);
	assert_int_equal(bitfield_ones(&s.partials[0].blocks), 0);
	assert_int_equal(bitfield_ones(&s.partials[1].blocks), 0);
	bitfield_release(&blocks);
	state_release(&s);
	fixture_release(&x);
}

/* Each look may ask a server. */
static void
blocks_in_a_row_are_looked_at_in_one(void **unused)
{
	const _Atomic bool stop = true;
	struct bitfield blocks;
	struct state s;
	struct fixture x;

	(void)unused;
	start_large(&x);
	fixture_open(&x);
	fixture_write_all(&x);
	fixture_open(&x);
	assert_int_equal(state_init(&s, &x.m, &x.e), 0);
	bitfield_init(&blocks, 7);
	bitfield_fill(&blocks);
	bitfield_unset(&blocks, 3);
	state_add_partial(&s, 2, &blocks);
	seeks = 0;
	state_drop_absent(&s, x.store, NULL);
	assert_int_equal(bitfield_ones(&s.partials[0].blocks), 6);
	assert_int_equal(seeks, 4);
	assert_int_equal(unlink(fixture_at(&x, "T.part/x")), 0);
	fixture_open(&x);
	state_drop_absent(&s, x.store, &stop);
	assert_int_equal(bitfield_ones(&s.partials[0].blocks), 6);
	bitfield_release(&blocks);
	state_release(&s);
	fixture_release(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_saved_is_loaded_again),
		cmocka_unit_test(what_is_unchecked_is_loaded_again),
		cmocka_unit_test(any_flipped_or_missing_byte_is_refused),
		cmocka_unit_test(unchecked_pieces_have_one_form),
		cmocka_unit_test(the_side_file_has_one_form),
		cmocka_unit_test(what_is_damaged_is_loaded_again),
		cmocka_unit_test(what_was_complete_is_not_complete),
		cmocka_unit_test(
		    absurd_counts_are_refused_though_the_sum_is_right),
		cmocka_unit_test(a_state_of_another_torrent_is_refused),
		cmocka_unit_test(partials_are_bounded),
		cmocka_unit_test(nothing_planted_is_followed_or_waited_for),
		cmocka_unit_test(an_endless_state_file_is_refused),
		cmocka_unit_test(files_that_look_as_before_are_vouched_for),
		cmocka_unit_test(what_is_unchecked_is_checked),
		cmocka_unit_test(a_changed_file_has_its_pieces_checked),
		cmocka_unit_test(pieces_behind_the_end_of_a_file_are_checked),
		cmocka_unit_test(what_others_changed_keeps_its_stamp),
		cmocka_unit_test(another_torrents_data_is_known_by_its_looks),
		cmocka_unit_test(what_another_torrent_has_is_told_by_file),
		cmocka_unit_test(
		    damage_is_dropped_where_a_file_looks_otherwise),
		cmocka_unit_test(what_is_complete_has_all_of_some_files),
		cmocka_unit_test(
		    a_missing_file_is_neither_vouched_for_nor_checked),
		cmocka_unit_test(a_file_that_is_yet_to_be_cut_is_noticed),
		cmocka_unit_test(a_missing_empty_file_is_noticed),
		cmocka_unit_test(without_a_state_all_that_is_there_is_checked),
		cmocka_unit_test(a_removed_download_begins_anew),
		cmocka_unit_test(another_selection_is_compared_with_care),
		cmocka_unit_test(
		    files_that_are_wanted_no_more_are_known_as_they_were),
		cmocka_unit_test(
		    a_file_that_changed_or_was_not_selected_is_not_known),
		cmocka_unit_test(blocks_of_which_nothing_is_there_are_dropped),
		cmocka_unit_test(blocks_in_a_row_are_looked_at_in_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
