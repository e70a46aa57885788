#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>

#include "swarm/intake.h"
#include "swarm/peer_rig.h"

#define BLOCKS 8
#define PIECE (BLOCKS * WIRE_BLOCK_MAX)
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

/* Takes n blocks of the piece from `from` on: accepted, not yet brought. */
static void
get_parts(struct rig *r, struct picker_peer *pp, uint32_t piece, uint32_t from,
	  size_t n, struct load_part *parts)
{
	struct picker_ask ask = {.max = n};
	struct block blocks[BLOCKS];
	const uint8_t *data = r->bytes + (size_t)piece * PIECE;

	MUST(picker_reserve_piece(r->swarm.picker, pp, piece, &ask,
				  blocks) == n);
	for (size_t i = 0; i < n; i++) {
		MUST(blocks[i].offset == (from + i) * WIRE_BLOCK_MAX);
		MUST(picker_accept(r->swarm.picker, pp, &blocks[i]));
		parts[i] = (struct load_part){blocks[i],
					      data + blocks[i].offset};
	}
}

static int
bring(struct rig *r, struct picker_peer *pp, uint32_t piece, uint32_t from,
      size_t n)
{
	struct load_part parts[BLOCKS];

	get_parts(r, pp, piece, from, n, parts);
	return intake_parts(&r->swarm, pp, parts, n);
}

/* Brings whole pieces in one load. */
static int
bring_load(struct rig *r, struct picker_peer *pp, uint32_t piece,
	   uint32_t pieces)
{
	struct load *load = loads_try(r->swarm.loads);

	MUST(load);
	for (uint32_t i = 0; i < pieces; i++) {
		get_parts(r, pp, piece + i, 0, BLOCKS,
			  load->parts + load->used);
		load->used += BLOCKS;
	}
	return intake_load(&r->swarm, pp, load);
}

static void
begin(struct rig *r)
{
	rig_open_sized(r, none, PIECE, PIECES * PIECE);
	loads_enter(r->swarm.loads);
}

static void
end(struct rig *r, struct picker_peer *pp)
{
	assert_null(picker_check(r->swarm.picker));
	picker_leave(r->swarm.picker, pp);
	loads_exit(r->swarm.loads);
	rig_close(r);
}

static void
neighbours_or_not_all_blocks_are_written(void **state)
{
	struct load_part parts[BLOCKS];
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	begin(&r);
	pp = join(&r, 1);
	get_parts(&r, pp, 0, 0, 3, parts);
	get_parts(&r, pp, 2, 0, 3, parts + 3);
	get_parts(&r, pp, 0, 3, 2, parts + 6);
	assert_int_equal(intake_parts(&r.swarm, pp, parts, 8), 0);
	assert_int_equal(bring(&r, pp, 2, 3, 5), 0);
	assert_int_equal(bring(&r, pp, 0, 5, 3), 0);
	assert_true(havelog_has(r.swarm.havelog, 0));
	assert_true(havelog_has(r.swarm.havelog, 2));
	assert_int_equal(havelog_count(r.swarm.havelog), 2);
	end(&r, pp);
}

static void
what_is_in_loads_is_verified(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	begin(&r);
	pp = join(&r, 1);
	assert_int_equal(bring_load(&r, pp, 0, 2), 0);
	assert_int_equal(bring_load(&r, pp, 2, 2), 0);
	loads_drain(r.swarm.loads);
	assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
	assert_int_equal(r.pieces, PIECES);
	end(&r, pp);
}

static void
a_small_load_is_written_at_once(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	assert_true(BLOCKS < INTAKE_LOAD_MIN);
	begin(&r);
	pp = join(&r, 1);
	assert_int_equal(bring_load(&r, pp, 1, 1), 0);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
}

static void
with_nobody_who_writes_a_load_is_written_at_once(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	rig_open_sized(&r, none, PIECE, PIECES * PIECE);
	pp = join(&r, 1);
	assert_int_equal(bring_load(&r, pp, 0, PIECES), 0);
	assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
	picker_leave(r.swarm.picker, pp);
	rig_close(&r);
}

static void
a_wrong_piece_in_a_load_is_fetched_again(void **state)
{
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	begin(&r);
	pp = join(&r, 9);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring_load(&r, pp, 0, 2), 0);
	loads_drain(r.swarm.loads);
	assert_true(havelog_has(r.swarm.havelog, 0));
	assert_false(havelog_has(r.swarm.havelog, 1));
	assert_int_equal(r.bans, 1);
	assert_int_equal(r.banned, 9);
	r.bytes[PIECE + 5] ^= 1;
	assert_int_equal(bring_load(&r, pp, 1, 2), 0);
	loads_drain(r.swarm.loads);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
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
	begin(&r);
	pp = join(&r, 1);
	signal(SIGXFSZ, SIG_IGN);
	limit_files(WIRE_BLOCK_MAX);
	status = bring(&r, pp, 1, 0, 8);
	limit_files(RLIM_INFINITY);
	assert_int_equal(status, -1);
	assert_int_equal(r.storage, 1);
	assert_int_equal(bring(&r, pp, 1, 0, 8), 0);
	assert_true(havelog_has(r.swarm.havelog, 1));
	end(&r, pp);
}

/* The first piece of the load gets on disk, the others do not. */
static void
a_disk_that_fails_gives_a_loads_blocks_back(void **state)
{
	struct picker_peer *pp;
	struct rig r;
	int status;

	(void)state;
	begin(&r);
	pp = join(&r, 1);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(bring(&r, pp, 3, 0, BLOCKS), 0);
	limit_files(PIECE);
	status = bring_load(&r, pp, 0, 3);
	loads_drain(r.swarm.loads);
	limit_files(RLIM_INFINITY);
	assert_true(status == 0 || sync_processors() < 2);
	assert_int_equal(r.storage, 1);
	assert_true(havelog_has(r.swarm.havelog, 0));
	assert_false(havelog_has(r.swarm.havelog, 1));
	assert_int_equal(bring_load(&r, pp, 1, 2), 0);
	loads_drain(r.swarm.loads);
	assert_int_equal(havelog_count(r.swarm.havelog), PIECES);
	end(&r, pp);
}

/* The file ends behind so many blocks. */
static void
cut(struct rig *r, uint64_t blocks)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s.part", r->dir, RIG_NAME);
	MUST(truncate(path, (off_t)(blocks * WIRE_BLOCK_MAX)) == 0);
}

/* The second half of the piece is noted and not there. */
static void
bring_half(struct rig *r, unsigned versions)
{
	struct picker_peer *pp;
	struct bitfield noted;

	rig_open_all(r, none, PIECE, PIECES * PIECE, versions);
	loads_enter(r->swarm.loads);
	MUST(bitfield_init(&noted, BLOCKS) == 0);
	for (size_t i = BLOCKS / 2; i < BLOCKS; i++)
		bitfield_set(&noted, i);
	MUST(picker_restore_partial(r->swarm.picker, 1, &noted) == 0);
	bitfield_release(&noted);
	pp = join(r, 9);
	MUST(bring(r, pp, 1, 0, 3) == 0);
	cut(r, BLOCKS + 3);
	assert_int_equal(bring(r, pp, 1, 3, 1), 0);
	assert_int_equal(r->storage, 0);
	assert_int_equal(r->bans, 0);
	assert_int_equal(r->freed, 1);
	assert_false(havelog_has(r->swarm.havelog, 1));
	/* It goes on behind the last block that it took. */
	assert_int_equal(bring(r, pp, 1, BLOCKS / 2, BLOCKS / 2), 0);
	assert_int_equal(bring(r, pp, 1, 0, BLOCKS / 2), 0);
	assert_true(havelog_has(r->swarm.havelog, 1));
	end(r, pp);
}

static void
noted_blocks_that_are_gone_are_fetched_again(void **state)
{
	struct rig r;

	(void)state;
	bring_half(&r, SWARM_V1);
	bring_half(&r, SWARM_V1 | SWARM_V2);
	bring_half(&r, SWARM_V2);
}

static void
blocks_of_this_run_that_are_gone_end_it(void **state)
{
	struct load_part parts[BLOCKS];
	struct picker_peer *pp;
	struct rig r;

	(void)state;
	begin(&r);
	pp = join(&r, 1);
	get_parts(&r, pp, 1, 0, BLOCKS, parts);
	assert_int_equal(intake_parts(&r.swarm, pp, parts + 4, 4), 0);
	assert_int_equal(intake_parts(&r.swarm, pp, parts, 3), 0);
	cut(&r, BLOCKS + 3);
	assert_int_equal(intake_parts(&r.swarm, pp, parts + 3, 1), -1);
	assert_int_equal(r.storage, 1);
	end(&r, pp);
}

/* ---- v2 ---- */

static struct picker_peer *
begin_v2(struct rig *r, unsigned versions)
{
	rig_open_all(r, none, PIECE, PIECES * PIECE - 5000, versions);
	loads_enter(r->swarm.loads);
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
		cmocka_unit_test(neighbours_or_not_all_blocks_are_written),
		cmocka_unit_test(what_is_in_loads_is_verified),
		cmocka_unit_test(noted_blocks_that_are_gone_are_fetched_again),
		cmocka_unit_test(blocks_of_this_run_that_are_gone_end_it),
		cmocka_unit_test(a_small_load_is_written_at_once),
		cmocka_unit_test(
			with_nobody_who_writes_a_load_is_written_at_once),
		cmocka_unit_test(a_wrong_piece_in_a_load_is_fetched_again),
		cmocka_unit_test(a_disk_that_fails_gives_the_blocks_back),
		cmocka_unit_test(a_disk_that_fails_gives_a_loads_blocks_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
