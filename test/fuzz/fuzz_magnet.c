/* Reads any text as a magnet link. */
#include <stdlib.h>
#include <string.h>

#include "meta/magnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
check(const struct magnet *m)
{
	must(m->has_v1 || m->has_v2);
	must(!m->name || *m->name);
	for (size_t i = 0; i < m->tracker_count; i++)
		must(strlen(m->trackers[i]) > 0);
	for (size_t i = 0; i < m->web_seed_count; i++)
		must(strlen(m->web_seeds[i]) > 0);
	for (size_t i = 0; i < m->peer_count; i++)
		must(strlen(m->peers[i].host) > 0 && m->peers[i].port > 0);
	for (size_t i = 0; i < m->select_count; i++) {
		must(m->select[i].first <= m->select[i].last);
		must(i == 0 ||
		     m->select[i].first > m->select[i - 1].last + 1);
		must(magnet_selects(m, m->select[i].last));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct magnet *m;
	struct error e;

	must(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	m = magnet_parse(text, &e);
	if (m) {
		must(magnet_is(text));
		check(m);
	}
	magnet_free(m);
	free(text);
	return 0;
}
