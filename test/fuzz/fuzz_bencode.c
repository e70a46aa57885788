/* Reads any bytes as bencoding, walks over all that was accepted in every
 * way there is, and writes it again: the result must be the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "meta/bencode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
copy_value(struct buffer *out, struct bencode v, unsigned depth)
{
	struct bencode_iter it;
	struct bencode key, item;
	const uint8_t *at;
	size_t size;
	int64_t number;

	must(depth <= BENCODE_DEPTH_MAX);
	switch (bencode_type(v)) {
	case BENCODE_INT:
		if (bencode_int(v, &number)) {
			bencode_put_int(out, number);
		} else {	/* one that does not fit */
			must(v.size >= sizeof("i9223372036854775808e") - 1);
			buffer_put(out, v.at, v.size);
		}
		break;
	case BENCODE_STR:
		must(bencode_str(v, &at, &size));
		bencode_put_bytes(out, at, size);
		break;
	case BENCODE_LIST:
		bencode_put_list(out);
		it = bencode_items(v);
		while (bencode_next(&it, &item))
			copy_value(out, item, depth + 1);
		bencode_put_end(out);
		break;
	case BENCODE_DICT:
		bencode_put_dict(out);
		it = bencode_entries(v);
		while (bencode_next_entry(&it, &key, &item)) {
			must(bencode_type(key) == BENCODE_STR);
			copy_value(out, key, depth + 1);
			copy_value(out, item, depth + 1);
		}
		bencode_put_end(out);
		break;
	case BENCODE_NONE:
		abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bencode_key keys[] = {
		BENCODE_KEY("a"), BENCODE_KEY("info"),
	};
	struct bencode v, values[2];
	struct bencode_iter it;
	struct buffer out;
	struct error e;
	bool whole = bencode_read(&v, data, size, &e) == 0;

	if (bencode_read_prefix(&v, data, size, &e) != 0) {
		must(!whole);
		return 0;
	}
	must(whole == (v.size == size));
	buffer_init(&out, size);
	copy_value(&out, v, 0);
	must(!out.failed && out.used == v.size &&
	     memcmp(out.data, data, v.size) == 0);
	buffer_release(&out);
	bencode_pick(v, keys, values, 2, &e);
	bencode_find(v, "a", &values[0]);
	it = bencode_items(v);
	while (bencode_pick_next(&it, keys, values, 2, &e) == 1)
		;
	it = bencode_entries(v);
	while (bencode_next(&it, &values[0])) {
		if (bencode_enter_dict(&it))
			bencode_leave(&it);
		else
			bencode_next(&it, &values[1]);
	}
	return 0;
}
