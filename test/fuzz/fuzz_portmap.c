/*
 * Any bytes as what a router sends: a packet of PCP or NAT-PMP, an answer to
 * a search, a description, a reply to an order; the first byte says which.
 * What is taken is within its bounds, and leads to the router alone.
 */
#include <stdlib.h>
#include <string.h>

#include "net/portmap_codec.h"
#include "net/upnp_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct addr router = {
	.ip = {192, 168, 1, 1}, .port = 80, .family = AF_INET};

static void
check_url(const struct upnp_url *url)
{
	char text[UPNP_URL_MAX];

	upnp_format_url(url, text);
	if (strncmp(text, "http://192.168.1.1:", 19) != 0 ||
	    url->host.port == 0 || url->path[0] != '/' ||
	    strlen(text) >= sizeof(text) - 1)
		abort();
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~')
			abort();
}

static void
check_packet(const struct portmap_answer *a, enum portmap_method by)
{
	struct portmap_question q = {.protocol = a->protocol,
				     .internal_port = a->internal_port};
	struct portmap_epoch e = {true, 1000, 0};
	uint8_t out[PORTMAP_PACKET_MAX];

	memcpy(q.nonce, a->nonce, sizeof(q.nonce));
	if (portmap_answers(a, by, &q) != (a->kind == PORTMAP_MAPPED))
		abort();
	if (a->external_ip.family != 0 && a->result != 0)
		abort();
	if (portmap_renew_at(a->lifetime, 0) < PORTMAP_RENEW_MIN_S * CLOCK_S)
		abort();
	portmap_epoch_take(&e, by, a->epoch, 3600 * CLOCK_S);
	portmap_result(by, a->result);
	pcp_put_map(out, &q);
}

static void
check_description(const uint8_t *data, size_t size)
{
	struct upnp_url from = {.host = router, .path = "/folder/d.xml"};
	struct upnp_service list[UPNP_SERVICES_MAX];
	size_t n = upnp_read_description(data, size, &from, list);

	if (n > UPNP_SERVICES_MAX)
		abort();
	for (size_t i = 0; i < n; i++) {
		check_url(&list[i].control);
		if (strncmp(list[i].type, "urn:", 4) != 0)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct portmap_answer a;
	struct upnp_reply reply;
	struct upnp_url url;
	uint8_t kind;

	if (size == 0)
		return 0;
	kind = data[0] % 5;
	data++;
	size--;
	if (kind == 0 && pcp_read(data, size, &a))
		check_packet(&a, PORTMAP_PCP);
	if (kind == 1 && natpmp_read(data, size, &a))
		check_packet(&a, PORTMAP_NATPMP);
	if (kind == 2 && upnp_read_found(data, size, &router, &url))
		check_url(&url);
	if (kind == 3)
		check_description(data, size);
	if (kind == 4 && upnp_read_reply(data, size, &reply) &&
	    reply.fault > 65535)
		abort();
	return 0;
}
