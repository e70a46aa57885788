#include "net/upnp_codec.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define HTTP_PORT 80
#define HEADER_MAX 1024		/* a line of an answer to a search */

/* The types that map ports, the preferred one first. */
static const char *const types[] = {
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
};
#define TYPES (sizeof(types) / sizeof(*types))

struct span {
	const char *at;
	size_t size;
};

static bool
span_is(struct span s, const char *text)
{
	return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span
trim(struct span s)
{
	while (s.size > 0 && is_space(s.at[0])) {
		s.at++;
		s.size--;
	}
	while (s.size > 0 && is_space(s.at[s.size - 1]))
		s.size--;
	return s;
}

/* Takes what is before the mark, and the mark; or all, and false. */
static bool
take_to(struct bytes *b, const char *mark, struct span *out)
{
	const uint8_t *end = b->left > 0 ? memmem(b->at, b->left, mark,
						  strlen(mark)) : NULL;
	size_t n = end ? (size_t)(end - b->at) : b->left;

	*out = (struct span){(const char *)bytes_take(b, n), n};
	if (end)
		bytes_take(b, strlen(mark));
	return end != NULL;
}

/* ---- URLs ---- */

char *
upnp_format_url(const struct upnp_url *url, char out[UPNP_URL_MAX])
{
	char host[ADDR_TEXT_MAX];

	addr_format_ip(&url->host, host);
	snprintf(out, UPNP_URL_MAX, "http://%s:%u%s", host, url->host.port,
		 url->path);
	return out;
}

/* Nothing but printable ASCII, up to the fragment. */
static bool
set_path(struct upnp_url *out, struct span s)
{
	size_t n = 0;

	if (s.size == 0 || s.at[0] != '/')
		out->path[n++] = '/';
	for (size_t i = 0; i < s.size && s.at[i] != '#'; i++) {
		if (s.at[i] <= ' ' || s.at[i] > '~' ||
		    n == sizeof(out->path) - 1)
			return false;
		out->path[n++] = s.at[i];
	}
	out->path[n] = '\0';
	return true;
}

static bool
has_scheme(struct span s)
{
	return s.size >= 7 && strncasecmp(s.at, "http://", 7) == 0;
}

/* A whole URL; only of an IPv4 address in numbers. */
static bool
parse_url(struct upnp_url *out, struct span s)
{
	char host[ADDR_TEXT_MAX], number[ADDR_TEXT_MAX];
	uint16_t port = HTTP_PORT;
	size_t n = 0;

	if (!has_scheme(s))
		return false;
	s.at += 7;
	s.size -= 7;
	while (n < s.size && s.at[n] != '/' && s.at[n] != '?' &&
	       s.at[n] != '#')
		n++;
	if (n == 0 || n >= sizeof(host) || memchr(s.at, '\0', n))
		return false;
	memcpy(host, s.at, n);
	host[n] = '\0';
	if (strchr(host, ':')) {
		if (!addr_split(host, number, sizeof(number), &port))
			return false;
	} else {
		memcpy(number, host, n + 1);
	}
	if (!addr_parse(&out->host, number, port) ||
	    out->host.family != AF_INET)
		return false;
	return set_path(out, (struct span){s.at + n, s.size - n});
}

/* A URL in a document that came from `base`, and on the same address. */
static bool
join_url(struct upnp_url *out, const struct upnp_url *base, struct span s)
{
	char path[UPNP_PATH_MAX];
	size_t folder = 0;

	if (has_scheme(s))
		return parse_url(out, s) &&
		       addr_same_ip(&out->host, &base->host);
	/* "//host" and other schemes lead elsewhere. */
	if (s.size == 0 || (s.size >= 2 && memcmp(s.at, "//", 2) == 0) ||
	    memmem(s.at, s.size, "://", 3))
		return false;
	out->host = base->host;
	if (s.at[0] == '/')
		return set_path(out, s);
	for (size_t i = 0; base->path[i] && base->path[i] != '?'; i++)
		if (base->path[i] == '/')
			folder = i + 1;
	if (s.size > sizeof(path) - folder)
		return false;
	memcpy(path, base->path, folder);
	memcpy(path + folder, s.at, s.size);
	return set_path(out, (struct span){path, folder + s.size});
}

/* ---- the search ---- */

void
upnp_put_search(struct buffer *out, unsigned kind)
{
	buffer_printf(out,
		      "M-SEARCH * HTTP/1.1\r\n"
		      "HOST: " UPNP_SEARCH_IP ":%d\r\n"
		      "MAN: \"ssdp:discover\"\r\n"
		      "MX: 1\r\n"
		      "ST: urn:schemas-upnp-org:device:"
		      "InternetGatewayDevice:%u\r\n\r\n",
		      UPNP_SEARCH_PORT, kind + 1);
}

bool
upnp_read_found(const void *data, size_t size, const struct addr *from,
		struct upnp_url *out)
{
	static const char name[] = "location:";
	struct bytes b = bytes_over(data, size);
	struct span line;

	take_to(&b, "\n", &line);
	if (line.size < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 ||
	    memcmp(line.at + 8, " 200", 4) != 0)
		return false;
	while (b.left > 0) {
		take_to(&b, "\n", &line);
		line = trim(line);
		if (line.size < sizeof(name) || line.size > HEADER_MAX ||
		    strncasecmp(line.at, name, sizeof(name) - 1) != 0)
			continue;
		line.at += sizeof(name) - 1;
		line.size -= sizeof(name) - 1;
		return parse_url(out, trim(line)) &&
		       addr_same_ip(&out->host, from);
	}
	return false;
}

/* ---- XML, as far as it goes here ---- */

struct tag {
	struct span name;	/* without its prefix */
	bool closes;
	struct span text;	/* up to the next one */
};

/* A tag ends at a '>' that stands in no quotes. */
static void
skip_tag(struct bytes *b)
{
	char quote = 0;

	while (b->left > 0) {
		char c = (char)bytes_u8(b);

		if (quote && c == quote)
			quote = 0;
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (!quote && c == '>')
			return;
	}
}

/* Comments, instructions and declarations. */
static bool
skip_other(struct bytes *b)
{
	static const char *const others[][2] = {
		{"!--", "-->"}, {"![CDATA[", "]]>"}, {"?", "?>"}, {"!", ">"},
	};
	struct span skipped;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		size_t n = strlen(others[i][0]);

		if (b->left < n || memcmp(b->at, others[i][0], n) != 0)
			continue;
		bytes_take(b, n);
		take_to(b, others[i][1], &skipped);
		return true;
	}
	return false;
}

static struct span
take_name(struct bytes *b)
{
	struct span s = {(const char *)b->at, 0};

	while (b->left > 0 && !is_space((char)*b->at) && *b->at != '>' &&
	       *b->at != '/') {
		if (bytes_u8(b) == ':')
			s = (struct span){(const char *)b->at, 0};
		else
			s.size++;
	}
	return s;
}

static bool
next_tag(struct bytes *b, struct tag *out)
{
	struct span before;

	do {
		if (!take_to(b, "<", &before))
			return false;
	} while (skip_other(b));
	out->closes = b->left > 0 && *b->at == '/';
	if (out->closes)
		bytes_take(b, 1);
	out->name = take_name(b);
	skip_tag(b);
	out->text.at = (const char *)b->at;
	out->text.size = 0;
	while (out->text.size < b->left && b->at[out->text.size] != '<')
		out->text.size++;
	bytes_take(b, out->text.size);
	out->text = trim(out->text);
	return true;
}

/* Writes the text with its entities resolved; false if it does not fit. */
static bool
unescape(char *out, size_t size, struct span s)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'},
		     {"&quot;", '"'}, {"&apos;", '\''}};
	size_t n = 0;

	while (s.size > 0) {
		size_t step = 1;
		char c = s.at[0];

		for (size_t i = 0; c == '&' && i < 5; i++) {
			size_t k = strlen(known[i].name);

			if (s.size < k || memcmp(s.at, known[i].name, k) != 0)
				continue;
			c = known[i].is;
			step = k;
			break;
		}
		if (n + 1 >= size || c == '\0')
			return false;
		out[n++] = c;
		s.at += step;
		s.size -= step;
	}
	out[n] = '\0';
	return true;
}

/* ---- the description ---- */

static size_t
type_of(struct span s)
{
	size_t i = 0;

	while (i < TYPES && !span_is(s, types[i]))
		i++;
	return i;
}

/* Puts it where it belongs in the order of preference. */
static size_t
insert(struct upnp_service *list, size_t count, const struct upnp_service *new)
{
	size_t at = count;

	if (count == UPNP_SERVICES_MAX)
		return count;
	while (at > 0 &&
	       type_of((struct span){new->type, strlen(new->type)}) <
	       type_of((struct span){list[at - 1].type,
				     strlen(list[at - 1].type)})) {
		list[at] = list[at - 1];
		at--;
	}
	list[at] = *new;
	return count + 1;
}

/* Where the relative URLs of the document begin: version 1.0 may say so. */
static void
find_base(struct bytes b, struct upnp_url *base)
{
	char text[UPNP_PATH_MAX];
	struct upnp_url said;
	struct tag tag;

	while (next_tag(&b, &tag)) {
		if (tag.closes || !span_is(tag.name, "URLBase"))
			continue;
		if (unescape(text, sizeof(text), tag.text) &&
		    join_url(&said, base, (struct span){text, strlen(text)}))
			*base = said;
		return;
	}
}

size_t
upnp_read_description(const void *xml, size_t size,
		      const struct upnp_url *from,
		      struct upnp_service out[UPNP_SERVICES_MAX])
{
	struct bytes b = bytes_over(xml, size);
	struct upnp_service new = {0};
	struct upnp_url base = *from;
	char text[UPNP_PATH_MAX] = "";
	size_t count = 0, type = TYPES;
	struct tag tag;

	find_base(b, &base);
	while (next_tag(&b, &tag)) {
		if (span_is(tag.name, "serviceType") && !tag.closes) {
			type = type_of(tag.text);
		} else if (span_is(tag.name, "controlURL") && !tag.closes) {
			if (!unescape(text, sizeof(text), tag.text))
				text[0] = '\0';
		} else if (span_is(tag.name, "service")) {
			if (tag.closes && type < TYPES &&
			    join_url(&new.control, &base,
				     (struct span){text, strlen(text)})) {
				new.type = types[type];
				count = insert(out, count, &new);
			}
			type = TYPES;
			text[0] = '\0';
		}
	}
	return count;
}

/* ---- orders ---- */

static void
put_head(struct buffer *out, const char *action, const char *type)
{
	buffer_printf(out,
		      "<?xml version=\"1.0\"?>\r\n"
		      "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/"
		      "envelope/\" s:encodingStyle=\"http://schemas.xmlsoap."
		      "org/soap/encoding/\"><s:Body><u:%s xmlns:u=\"%s\">",
		      action, type);
}

static void
put_tail(struct buffer *out, const char *action)
{
	buffer_printf(out, "</u:%s></s:Body></s:Envelope>\r\n", action);
}

static void
put_key(struct buffer *out, const struct upnp_mapping *m)
{
	buffer_printf(out,
		      "<NewRemoteHost></NewRemoteHost>"
		      "<NewExternalPort>%u</NewExternalPort>"
		      "<NewProtocol>%s</NewProtocol>",
		      m->external_port,
		      m->protocol == PORTMAP_TCP ? "TCP" : "UDP");
}

void
upnp_put_add(struct buffer *out, const char *type,
	     const struct upnp_mapping *m)
{
	char ip[ADDR_TEXT_MAX];

	put_head(out, UPNP_ADD, type);
	put_key(out, m);
	buffer_printf(out,
		      "<NewInternalPort>%u</NewInternalPort>"
		      "<NewInternalClient>%s</NewInternalClient>"
		      "<NewEnabled>1</NewEnabled>"
		      "<NewPortMappingDescription>btget"
		      "</NewPortMappingDescription>"
		      "<NewLeaseDuration>%u</NewLeaseDuration>",
		      m->internal_port, addr_format_ip(&m->client, ip),
		      m->lifetime);
	put_tail(out, UPNP_ADD);
}

void
upnp_put_delete(struct buffer *out, const char *type,
		const struct upnp_mapping *m)
{
	put_head(out, UPNP_DELETE, type);
	put_key(out, m);
	put_tail(out, UPNP_DELETE);
}

void
upnp_put_get_address(struct buffer *out, const char *type)
{
	put_head(out, UPNP_GET_ADDRESS, type);
	put_tail(out, UPNP_GET_ADDRESS);
}

static void
take_address(struct upnp_reply *out, struct span s)
{
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (!unescape(text, sizeof(text), s) || !addr_parse(&a, text, 1) ||
	    !addr_usable(&a))
		return;
	a.port = 0;
	out->external_ip = a;
}

bool
upnp_read_reply(const void *xml, size_t size, struct upnp_reply *out)
{
	static const char tail[] = "Response";
	struct bytes b = bytes_over(xml, size);
	bool answered = false;
	char text[16];
	uint64_t code;
	struct tag tag;

	memset(out, 0, sizeof(*out));
	while (next_tag(&b, &tag)) {
		if (tag.closes)
			continue;
		if (span_is(tag.name, "NewExternalIPAddress"))
			take_address(out, tag.text);
		if (span_is(tag.name, "errorCode") &&
		    unescape(text, sizeof(text), tag.text) &&
		    text_parse_number(text, 1, 65535, &code))
			out->fault = (unsigned)code;
		if (tag.name.size > sizeof(tail) - 1 &&
		    memcmp(tag.name.at + tag.name.size - sizeof(tail) + 1,
			   tail, sizeof(tail) - 1) == 0)
			answered = true;
	}
	return answered || out->fault != 0;
}
