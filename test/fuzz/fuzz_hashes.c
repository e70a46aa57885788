/*
 * Messages about the hashes of v2 trees, from both ends.  An input is a list
 * of records: a byte that says what it is about, and the 48 bytes of a
 * request; for an answer, a byte that says how many hashes follow it, or that
 * the peer refuses, leaves, or that time goes by.  What is given must be what
 * the tree has by its definition, and what is taken for right must be right.
 */
#include "../swarm/tree_rig.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "swarm/hashes.h"
#include "swarm/layers.h"

enum {
	RECORD_ANSWER = 1,	/* hashes have come; else a request */
	RECORD_ASKED = 2,	/* just those that we would ask for */
	RECORD_TRUE = 4,	/* with the hashes that are right */
	RECORD_FILE = 8,	/* of a file; two bits from here say which */
	RECORD_SOURCE = 64,
};

/* Instead of a number of hashes. */
enum { TIME = 253, LEAVE = 254, REFUSE = 255 };

struct asked {
	struct layers *layers;
	struct layers_source from[2];
	int64_t now;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t lengths[] = {
	40 * 2 * MERKLE_BLOCK + 5, 3 * MERKLE_BLOCK, 100, 600 * MERKLE_BLOCK};
static struct tree_rig rig;
static struct hashes *giver;

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
open_once(void)
{
	if (rig.data)
		return;
	tree_open(&rig, MERKLE_BLOCK, lengths, TREE_FILES);
	giver = hashes_new(&rig.m, &rig.source, NULL);
	must(giver != NULL);
}

static size_t
give(const struct wire_hashes *q, uint8_t *out)
{
	struct hashes_plan plan;

	if (!hashes_plan(giver, q, rig.have, &plan))
		return 0;
	must(plan.blocks <= HASHES_BLOCKS_MAX);
	return hashes_answer(giver, q, &plan, out);
}

static void
check_answer(const struct wire_hashes *q)
{
	uint8_t out[HASHES_ANSWER_MAX * SHA256_SIZE];
	size_t n = give(q, out);
	unsigned skip = 0;
	uint32_t file = 0;

	if (n == 0)
		return;
	must(n == q->count + wire_proofs(q));
	while (memcmp(rig.trees[file].root, q->root, SHA256_SIZE) != 0)
		must(++file < TREE_FILES);
	must(memcmp(out, rig.of[file].levels[q->base] +
		    (size_t)q->index * SHA256_SIZE,
		    q->count * SHA256_SIZE) == 0);
	while ((1u << skip) < q->count)
		skip++;
	for (size_t at = q->count; at < n; at++, skip++)
		must(q->base + skip >= rig.of[file].height ||
		     memcmp(out + at * SHA256_SIZE,
			    rig.of[file].levels[q->base + skip] +
			    ((q->index >> skip) ^ 1) * SHA256_SIZE,
			    SHA256_SIZE) == 0);
}

static void
take(struct asked *a, unsigned what, struct wire_hashes *q, struct bytes *b)
{
	static uint8_t right[HASHES_ANSWER_MAX * SHA256_SIZE];
	struct layers_source *from = &a->from[what & RECORD_SOURCE ? 0 : 1];
	size_t n = bytes_u8(b);
	const uint8_t *hashes;
	int64_t retry;

	if (what & RECORD_ASKED &&
	    !layers_next(a->layers, from, a->now, q, &retry))
		must(retry > a->now);
	if (n == TIME) {
		a->now += 5 * CLOCK_S;
	} else if (n == LEAVE) {
		layers_leave(a->layers, from->address);
	} else if (n == REFUSE) {
		layers_refuse(a->layers, from, q, a->now, &retry);
	} else {
		if (what & RECORD_TRUE)
			n = give(q, right);
		hashes = what & RECORD_TRUE ? right
					    : bytes_take(b, n * SHA256_SIZE);
		if (hashes)
			layers_take(a->layers, from->address, q, hashes, n);
	}
}

static void
check_layers(struct layers *l)
{
	struct metainfo_tree trees[TREE_FILES];
	struct metainfo m = rig.m;

	if (!layers_done(l))
		return;
	memcpy(trees, rig.trees, sizeof(trees));
	m.trees = trees;
	layers_apply(l, &m);
	for (int i = 0; i < TREE_FILES; i++)
		must(!rig.trees[i].layer ||
		     memcmp(trees[i].layer, rig.trees[i].layer,
			    trees[i].layer_count * (size_t)SHA256_SIZE) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_over(data, size);
	struct asked a = {.from = {{.address = 1}, {.address = 2}}, .now = 1};

	open_once();
	a.layers = layers_new(&rig.m, NULL);
	must(a.layers != NULL);
	for (int records = 0; !bytes_failed(&b) &&
	     b.left > WIRE_HASHES_SIZE && records < 32;
	     records++) {
		unsigned what = bytes_u8(&b);
		struct wire_message m = {
			.id = WIRE_HASH_REQUEST,
			.data = bytes_take(&b, WIRE_HASHES_SIZE),
			.size = WIRE_HASHES_SIZE};
		struct wire_hashes q = wire_get_hashes(&m);

		if (what & RECORD_FILE)
			memcpy(q.root, rig.trees[what / 16 % 4].root,
			       SHA256_SIZE);
		if (what & RECORD_ANSWER)
			take(&a, what, &q, &b);
		else
			check_answer(&q);
	}
	check_layers(a.layers);
	layers_free(a.layers);
	return 0;
}
