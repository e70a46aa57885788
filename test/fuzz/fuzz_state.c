/*
 * Goal: no state file, however damaged, does more than be refused; and what
 * is taken comes out the same when it is saved again.  The sum is also made
 * right, so that what is behind it is reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "meta/metainfo.h"
#include "store/state.h"

#define SIZE_MAX_TRIED (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
decode(const struct metainfo *m, const uint8_t *data, size_t size)
{
	struct buffer out;
	struct state s;

	if (state_init(&s, m, NULL) < 0)
		return;
	if (state_decode(&s, data, size, NULL) == 0) {
		buffer_init(&out, SIZE_MAX_TRIED);
		state_encode(&s, &out);
		if (out.used != size || memcmp(out.data, data, size) != 0)
			abort();
		buffer_release(&out);
	}
	state_release(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metainfo_file files[3];
	struct metainfo m;
	uint8_t *whole;

	if (size > SIZE_MAX_TRIED - SHA256_SIZE)
		return 0;
	memset(&m, 0, sizeof(m));
	memset(files, 0, sizeof(files));
	m.has_v1 = true;
	memset(m.hash_v1, 'h', sizeof(m.hash_v1));
	m.piece_length = 100000;
	m.length = 1000001;
	m.piece_count = 11;
	m.files = files;
	m.file_count = 3;
	decode(&m, data, size);
	whole = malloc(size + SHA256_SIZE);
	if (!whole)
		return 0;
	memcpy(whole, data, size);
	hash_sha256(whole + size, data, size);
	decode(&m, whole, size + SHA256_SIZE);
	free(whole);
	return 0;
}
