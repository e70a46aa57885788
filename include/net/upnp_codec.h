/*
 * upnp_codec: the words that are spoken with a UPnP internet gateway: the
 * search for one (SSDP), its description, and the orders to it (SOAP).
 *
 * Everything it says is hostile until it is shown to be harmless.  Whoever
 * answers a search may only name itself: a URL is an IPv4 address in numbers
 * which must be that of who answered, a port and a path, and is put together
 * anew from these.  The XML is not taken for a tree but walked over once, for
 * the few elements that matter; there are no entities but the five that every
 * document has.
 *
 * It is this small that a library (miniupnpc) would be more to look after
 * than it saves: libcurl is there already, and what is fetched from where
 * stays in our hands.
 *
 * Pure; sizes are bounded by what is given and by UPNP_PATH_MAX.
 * Source: UPnP Device Architecture 1.1 (1.3, 2, 3); InternetGatewayDevice 1
 *         and 2, WANIPConnection 1 and 2, WANPPPConnection 1.
 */
#ifndef BTGET_NET_UPNP_CODEC_H
#define BTGET_NET_UPNP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "net/portmap_codec.h"

#define UPNP_SEARCH_PORT 1900
#define UPNP_SEARCH_IP "239.255.255.250"
#define UPNP_SEARCHES 2		/* upnp_put_search knows so many */
#define UPNP_PATH_MAX 512
#define UPNP_URL_MAX (UPNP_PATH_MAX + ADDR_TEXT_MAX + 16)
#define UPNP_SERVICES_MAX 4	/* of one gateway */

/* Error codes of its faults. */
#define UPNP_CONFLICT 718
#define UPNP_PERMANENT_ONLY 725

struct upnp_url {
	struct addr host;		/* with its port */
	char path[UPNP_PATH_MAX];	/* "/..." with the query */
};

struct upnp_service {
	const char *type;		/* a constant */
	struct upnp_url control;
};

struct upnp_mapping {
	enum portmap_protocol protocol;
	uint16_t external_port;
	uint16_t internal_port;
	struct addr client;		/* ours; the port is ignored */
	uint32_t lifetime;		/* 0: for ever */
};

struct upnp_reply {
	unsigned fault;			/* its error code; 0: none */
	struct addr external_ip;	/* family 0: it does not say */
};

/* A search for gateways of version 1 or 2 (kind 0 or 1). */
void upnp_put_search(struct buffer *out, unsigned kind);

/* Who answers names where its description is; only on itself. */
bool upnp_read_found(const void *data, size_t size, const struct addr *from,
		     struct upnp_url *out);

/* The services of a description that map ports, the preferred one first; of
 * those whose address is on the host that it came from. */
size_t upnp_read_description(const void *xml, size_t size,
			     const struct upnp_url *from,
			     struct upnp_service out[UPNP_SERVICES_MAX]);

char *upnp_format_url(const struct upnp_url *url, char out[UPNP_URL_MAX]);

/* Orders, each for the body of a POST. */
void upnp_put_add(struct buffer *out, const char *type,
		  const struct upnp_mapping *m);
void upnp_put_delete(struct buffer *out, const char *type,
		     const struct upnp_mapping *m);
void upnp_put_get_address(struct buffer *out, const char *type);

/* Their names, for the header SOAPAction: "type#name". */
#define UPNP_ADD "AddPortMapping"
#define UPNP_DELETE "DeletePortMapping"
#define UPNP_GET_ADDRESS "GetExternalIPAddress"

/* False when it is neither a response nor a fault. */
bool upnp_read_reply(const void *xml, size_t size, struct upnp_reply *out);

#endif
