#include "session/outside.h"

#include <stdlib.h>

#include "base/sync.h"

struct outside {
	struct portmap *portmap;
	struct wake *wake;
	struct mutex lock;
	struct portmap_news news;	/* guarded by lock */
	bool fresh;			/* guarded by lock */
};

static void
on_mapped(void *ctx, const struct portmap_news *news)
{
	struct outside *o = ctx;

	mutex_lock(&o->lock);
	o->news = *news;
	o->fresh = true;
	mutex_unlock(&o->lock);
	wake_up(o->wake);
}

struct outside *
outside_new(uint16_t port, const struct iface *route, struct wake *wake,
	    struct log *log)
{
	struct outside *o = calloc(1, sizeof(*o));
	struct portmap_config config = {
		.port = port, .route = route, .ctx = o, .mapped = on_mapped};
	struct error e;

	if (!o)
		return NULL;
	mutex_init(&o->lock);
	o->wake = wake;
	o->portmap = portmap_start(&config, log, &e);
	if (o->portmap)
		return o;
	log_write(log, LOG_WARNING, NULL, "no port mapping: %s", e.text);
	outside_free(o);
	return NULL;
}

void
outside_hurry(struct outside *o)
{
	portmap_hurry(o->portmap);
}

void
outside_stop(struct outside *o)
{
	if (o)
		portmap_stop(o->portmap);
}

void
outside_free(struct outside *o)
{
	if (!o)
		return;
	portmap_free(o->portmap);
	mutex_release(&o->lock);
	free(o);
}

bool
outside_news(struct outside *o, struct portmap_news *out)
{
	bool fresh;

	mutex_lock(&o->lock);
	fresh = o->fresh;
	o->fresh = false;
	*out = o->news;
	mutex_unlock(&o->lock);
	return fresh;
}
