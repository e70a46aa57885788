#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>

#include "swarm/intake.h"
#include "swarm/peer_rig.h"

#define PIECE (8 * WIRE_BLOCK_MAX)
#define PIECES 4

static const char none[] = "0000";

/* One who brings blocks, of all pieces. */
static struct picker_peer *
join(struct rig *r, uint32_t id)
{
	struct picker_peer *pp = picker_join(r->swarm.picker, id, id);

	MUST(pp);
	picker_peer_have_all(r->swarm.picker, pp);
	return pp;
}

/* Brings n blocks of the piece from `from` on, in one run. */
static int
bring(struct rig *r, struct picker_peer *pp, uint32_t piece, uint32_t from,
      size_t n)
{
	struct picker_ask ask = {.max = n};
	struct block blocks[PIECE / WIRE_BLOCK_MAX];
	struct intake_part parts[INTAKE_RUN_MAX];
	const uint8_t *data = r->bytes + (size_t)piece * PIECE;

	MUST(picker_reserve_piece(r->swarm.picker, pp, piece, &ask,
				  blocks) == n);
	for (size_t i = 0; i < n; i++) {
		MUST(blocks[i].offset == (from + i) * WIRE_BLOCK_MAX);
		MUST(picker_accept(r->swarm.picker, pp, &blocks[i]));
		parts[i] = (struct intake_part){blocks[i],
						data + blocks[i].offset};
	}
	return intake_run(&r->swarm, pp, parts, n);
}

/* With the thread that hashes, where there is a second core for it. */
static bool
begin(struct rig *r)
{
	rig_open_sized(r, none, PIECE, PIECES * PIECE);
	intake_share(&r->swarm);
	return atomic_load(&r->swarm.hash_queue) != NULL ||
	       sync_processors() < 2;
}

static void
end(struct rig *r, struct picker_peer *pp)
{
	assert_null(picker_check(r->swarm.picker));
	picker_leave(r->swarm.picker, pp);
	rig_close(r);
}

static void
a_piece_that_is_left_to_another_thread_is_verified(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	assert_true(begin(&r));
	pp = join(&r, 1);
	for (uint32_t i = 0; i < PIECES; i++) {
		assert_int_equal(bring(&r, pp, i, 0, 5), 0);
		assert_int_equal(bring(&r, pp, i, 5, 3), 0);
	}
	intake_drain(&r.swarm);
	assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
	assert_int_equal(r.pieces, PIECES);
	end(&r, pp);
}

static void
one_that_is_wrong_is_fetched_again(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	assert_true(begin(&r));
	pp = join(&r, 9);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	intake_drain(&r.swarm);
	assert_int_equal(havelog_count(r.swarm.havelog), 0);
	assert_int_equal(r.bans, 1);
	assert_int_equal(r.banned, 9);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	intake_drain(&r.swarm);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
}

/* Large buffers of others tell that all cores are busy. */
static void
a_piece_may_be_begun_by_one_and_ended_by_the_other(void **state)
{
	struct picker_peer *pp, *other;
	struct rig r;

	(void)state;
	assert_true(begin(&r));
	pp = join(&r, 1);
	other = join(&r, 2);
	for (uint32_t i = 0; i < PIECES; i++) {
		atomic_store(&r.swarm.large_buffers, i % 2 ? 5 : 0);
		assert_int_equal(bring(&r, pp, i, 0, 4), 0);
		atomic_store(&r.swarm.large_buffers, i % 2 ? 0 : 5);
		assert_int_equal(bring(&r, other, i, 4, 4), 0);
	}
	intake_drain(&r.swarm);
	assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
	picker_leave(r.swarm.picker, other);
	end(&r, pp);
}

static void
sharing_begins_once_and_may_end_before_it_began(void **state)
{
	struct hash_queue *q;
	struct rig r;

	(void)state;
	rig_open_sized(&r, none, PIECE, PIECES * PIECE);
	intake_unshare(&r.swarm);
	intake_drain(&r.swarm);
	intake_share(&r.swarm);
	q = atomic_load(&r.swarm.hash_queue);
	intake_share(&r.swarm);
	assert_ptr_equal(atomic_load(&r.swarm.hash_queue), q);
	intake_unshare(&r.swarm);
	assert_null(atomic_load(&r.swarm.hash_queue));
	rig_close(&r);
}

/* No file may grow beyond this. */
static void
limit_files(rlim_t size)
{
	struct rlimit now;

	MUST(getrlimit(RLIMIT_FSIZE, &now) == 0);
	now.rlim_cur = size;
	MUST(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

static void
a_disk_that_fails_gives_the_blocks_back(void **state)
{
	struct picker_peer *pp;
	struct rig r;
	int status;

	(void)state;
	assert_true(begin(&r));
	pp = join(&r, 1);
	signal(SIGXFSZ, SIG_IGN);
	limit_files(WIRE_BLOCK_MAX);
	status = bring(&r, pp, 1, 0, 8);
	limit_files(RLIM_INFINITY);
	assert_int_equal(status, -1);
	assert_int_equal(r.storage, 1);
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	intake_drain(&r.swarm);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
}

/* ---- v2 ---- */

static struct picker_peer *
begin_v2(struct rig *r, unsigned versions)
{
	rig_open_all(r, none, PIECE, PIECES * PIECE - 5000, versions);
	return join(r, 1);
}

static size_t
blocks_of(struct rig *r, uint32_t piece)
{
	return picker_piece_blocks(r->swarm.picker, piece);
}

static void
pieces_of_both_versions_are_verified(void **state)
{
	static const unsigned kinds[] = {SWARM_V2, SWARM_V1 | SWARM_V2};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct picker_peer *pp;
		struct rig r;

		pp = begin_v2(&r, kinds[k]);
		for (uint32_t i = 0; i < PIECES; i++)
			assert_int_equal(bring(&r, pp, i, 0, blocks_of(&r, i)),
					 0);
		assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
		assert_int_equal(r.pieces, PIECES);
		assert_int_equal(r.bans, 0);
		end(&r, pp);
	}
}

static void
bad_data_of_a_v2_piece_is_found(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	pp = begin_v2(&r, SWARM_V2);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring(&r, pp, 0, 0, 8), 0);
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	assert_false(havelog_has(r.swarm.havelog, 1));
	assert_int_equal(r.bans, 1);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
}

/* The data is right by one half of the torrent alone. */
static void
halves_that_disagree_end_the_torrent(void **state)
{
	(void)state;
	for (int half = 0; half < 2; half++) {
		struct picker_peer *pp;
		struct rig r;

		pp = begin_v2(&r, SWARM_V1 | SWARM_V2);
		if (half == 0)
			r.digests[SHA1_SIZE] ^= 1;
		else
			r.layer[SHA256_SIZE] ^= 1;
		assert_int_equal(bring(&r, pp, 0, 0, 8), 0);
		assert_int_equal(bring(&r, pp, 1, 0, 8), -1);
		assert_int_equal(r.storage, 1);
		assert_false(havelog_has(r.swarm.havelog, 1));
		end(&r, pp);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_both_versions_are_verified),
		cmocka_unit_test(bad_data_of_a_v2_piece_is_found),
		cmocka_unit_test(halves_that_disagree_end_the_torrent),
		cmocka_unit_test(
			a_piece_that_is_left_to_another_thread_is_verified),
		cmocka_unit_test(one_that_is_wrong_is_fetched_again),
		cmocka_unit_test(
			a_piece_may_be_begun_by_one_and_ended_by_the_other),
		cmocka_unit_test(
			sharing_begins_once_and_may_end_before_it_began),
		cmocka_unit_test(a_disk_that_fails_gives_the_blocks_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
