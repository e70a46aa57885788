/*
 * The whole loop of a peer against what a far end says after a good
 * handshake.  The first byte of an input sets the scene, the second says how
 * many of the peer's requests are answered as they should be, the rest is
 * what the far end says then; and then it closes its side.  The peer has to
 * end soon, has to leave the picker in order, and what it calls verified has
 * to be on disk.
 */
#include "../swarm/peer_rig.h"

#define PIECE (WIRE_BLOCK_MAX + 512)	/* no multiple of a block */
#define PIECES 3
#define LENGTH (2 * PIECE + 700)
#define BLOCKS 5

enum {
	SCENE_FAST = 1,
	SCENE_EXTENDED = 2,
	SCENE_SILENT = 4,	/* the input is the far end's first word */
	SCENE_UNCHOKE = 8,
	SCENE_DIALLED = 16,
	SCENE_SOME = 32,	/* we have the first piece */
	SCENE_ALL = 64,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;
static struct remote remote;

static void
clean_up(void)
{
	rig_begin(&rig, "");
	rig_close(&rig);
}

static void
open_once(void)
{
	if (rig.bytes)
		return;
	rig_open_sized(&rig, "", PIECE, LENGTH);
	rig_end(&rig);
	atexit(clean_up);
}

static void
begin(const char *have)
{
	rig_begin(&rig, have);
	rig_write(&rig, have);
	rig.pieces = rig.storage = rig.ended = 0;
	rig.swarm.downloaded = rig.swarm.uploaded = rig.swarm.wasted = 0;
}

/* A seed that unchokes and answers so many requests. */
static void
be_a_seed(unsigned scene, unsigned answers)
{
	static const uint8_t bits = 0xe0;
	struct wire_message asked;

	if (scene & SCENE_FAST)
		remote_say_id(&remote, WIRE_HAVE_ALL);
	else
		remote_say_payload(&remote, WIRE_BITFIELD, &bits, 1);
	remote_say_id(&remote, WIRE_UNCHOKE);
	if (scene & SCENE_ALL)
		return;
	while (answers-- > 0) {
		asked = remote_await(&remote, WIRE_REQUEST);
		remote_say_piece(&remote, rig.bytes, PIECE, &asked);
	}
}

static void
meet(unsigned scene)
{
	struct handshake h;

	rig_connect(&rig, &remote, !(scene & SCENE_DIALLED));
	remote_say_handshake(&remote, scene & SCENE_FAST,
			     scene & SCENE_EXTENDED);
	MUST(remote_hear_handshake(&remote, &h));
	if (scene & SCENE_UNCHOKE)
		peer_order_unchoke(rig.peer, true);
}

static void
check(void)
{
	uint8_t is[PIECE];

	MUST(rig.storage == 0);
	MUST(picker_check(rig.swarm.picker) == NULL);
	for (uint32_t i = 0; i < PIECES; i++) {
		uint64_t at = (uint64_t)i * PIECE;
		uint32_t n = metainfo_piece_size(&rig.meta, i);

		MUST(picker_have(rig.swarm.picker, i) ==
		     havelog_has(rig.swarm.havelog, i));
		if (!havelog_has(rig.swarm.havelog, i))
			continue;
		MUST(files_read(rig.swarm.files, at, is, n, NULL) == 0);
		MUST(memcmp(is, rig.bytes + at, n) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned scene, answers, missing = BLOCKS;

	if (size < 2 || size > 65536)
		return 0;
	open_once();
	scene = data[0];
	if (scene & SCENE_SOME)
		missing -= 2;
	answers = data[1] % (missing + 1);
	begin(scene & SCENE_ALL ? "111" : scene & SCENE_SOME ? "100" : "000");
	meet(scene);
	if (!(scene & SCENE_SILENT))
		be_a_seed(scene, answers);
	remote_say(&remote, data + 2, size - 2);
	shutdown(remote.fd, SHUT_WR);
	rig_await_end(&rig);
	close(remote.fd);
	peer_free(rig.peer);
	rig.peer = NULL;
	check();
	rig_end(&rig);
	return 0;
}
