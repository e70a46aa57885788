#include "session/config.h"

#include <string.h>

#include "net/iface.h"
#include "net/proxy.h"

void
session_config_init(struct session_config *c)
{
	memset(c, 0, sizeof(*c));
	c->dir = ".";
	c->allocation = ALLOCATION_SPARSE;
	c->port_min = 6881;
	c->port_max = 6999;
	c->max_peers = 100;
	c->encryption = ENCRYPTION_PREFER;
	c->use_dht = true;
	c->use_pex = true;
	c->use_lsd = true;
	c->use_utp = true;
	c->use_portmap = true;
	c->use_webseed = true;
	c->seed_ratio = -1;
	c->seed_time_ns = -1;
}

int
session_config_interface(const char *text, struct error *e)
{
	struct iface r;

	return iface_set(&r, text, e);
}

int
session_config_proxy(const char *text, struct error *e)
{
	struct proxy *p = proxy_new(text, e);

	proxy_free(p);
	return p ? 0 : -1;
}
