#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "cli/json.h"
#include "meta/metainfo.h"
#include "session/exit.h"
#include "session/saved.h"
#include "session/source.h"

/* Enough for all but trackers and files, which are printed in portions. */
#define SHOW_MAX ((size_t)2 << 30)
#define PORTION 65536
/* Room for a URL whose short segments all become "...". */
#define SHOWN_MAX (2 * METAINFO_URL_SIZE_MAX)

static bool
is_listed(const struct metainfo_file *f)
{
	return !(f->flags & METAINFO_PAD);
}

/* Prints what is there once it is a portion: EXIT_COMPLETE, or what ends it
 * and was reported. */
static int
print_portion(struct buffer *out)
{
	int code;

	if (out->used < PORTION)
		return EXIT_COMPLETE;
	code = command_print(out);
	buffer_clear(out);
	return code;
}

/* ---- JSON ---- */

static void
json_hash(struct json *j, const char *key, bool has, const uint8_t *hash,
	  size_t size)
{
	char hex[2 * SHA256_SIZE + 1];

	json_key(j, key);
	if (has)
		hex_encode(hex, hash, size);
	json_string(j, has ? hex : NULL);
}

/* Of what is too long for a URL, who knows where a secret ends? */
static const char *
shown_tracker(char shown[SHOWN_MAX], const char *url, size_t size)
{
	char text[METAINFO_URL_SIZE_MAX + 1];

	if (size >= sizeof(text) || memchr(url, '\0', size))
		return "...";
	memcpy(text, url, size);
	text[size] = '\0';
	return text_tracker_url(shown, SHOWN_MAX, text);
}

/* What has been shown of the trackers. */
struct trackers {
	struct json *j;
	struct buffer *out;
	bool open;		/* a tier is: */
	uint32_t tier;
	int code;
};

static bool
json_tracker(void *ctx, const char *url, size_t size, uint32_t tier)
{
	struct trackers *t = ctx;
	char shown[SHOWN_MAX];

	if (t->open && t->tier != tier) {
		json_close(t->j, ']');
		t->open = false;
	}
	if (!t->open)
		json_open(t->j, '[');
	t->open = true;
	t->tier = tier;
	json_string(t->j, shown_tracker(shown, url, size));
	t->code = print_portion(t->out);
	return t->code == EXIT_COMPLETE;
}

static void
json_web_seed(struct json *j, const char *url)
{
	char shown[SHOWN_MAX];

	json_string(j, text_url(shown, sizeof(shown), url));
}

static int
json_urls(struct json *j, const struct metainfo *m)
{
	struct trackers t = {.j = j, .out = j->out, .code = EXIT_COMPLETE};
	uint32_t i;

	json_key(j, "trackers");
	json_open(j, '[');
	metainfo_each_tracker(m, json_tracker, &t);
	if (t.open)
		json_close(j, ']');
	json_close(j, ']');
	json_key(j, "web_seeds");
	json_open(j, '[');
	for (i = 0; i < m->web_seed_count; i++)
		json_web_seed(j, m->web_seeds[i]);
	json_close(j, ']');
	return t.code;
}

static int
json_files(struct json *j, const struct metainfo *m)
{
	char path[METAINFO_PATH_TEXT];
	int code = EXIT_COMPLETE;

	json_key(j, "files");
	json_open(j, '[');
	for (uint32_t i = 0; i < m->file_count && code == EXIT_COMPLETE; i++) {
		if (!is_listed(&m->files[i]))
			continue;
		metainfo_path(&m->files[i], path);
		json_open(j, '{');
		json_key(j, "path");
		json_string(j, path);
		json_key(j, "length");
		json_number(j, m->files[i].length);
		json_close(j, '}');
		code = print_portion(j->out);
	}
	json_close(j, ']');
	return code;
}

static int
show_json(struct buffer *out, const struct metainfo *m)
{
	struct json j;
	int code;

	json_init(&j, out);
	json_open(&j, '{');
	json_key(&j, "name");
	json_string(&j, m->name);
	json_hash(&j, "info_hash_v1", m->has_v1, m->hash_v1, SHA1_SIZE);
	json_hash(&j, "info_hash_v2", m->has_v2, m->hash_v2, SHA256_SIZE);
	json_key(&j, "length");
	json_number(&j, m->content_length);
	json_key(&j, "piece_length");
	json_number(&j, m->piece_length);
	json_key(&j, "piece_count");
	json_number(&j, m->piece_count);
	json_key(&j, "private");
	json_bool(&j, m->private);
	json_key(&j, "comment");
	json_string(&j, m->comment);
	json_key(&j, "created_by");
	json_string(&j, m->created_by);
	json_key(&j, "creation_date");
	if (m->creation_date < 0)
		json_null(&j);
	else
		json_signed(&j, m->creation_date);
	code = json_urls(&j, m);
	if (code == EXIT_COMPLETE)
		code = json_files(&j, m);
	json_close(&j, '}');
	buffer_u8(out, '\n');
	return code;
}

/* ---- text ---- */

static void
put_clean(struct buffer *out, const char *label, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *to;

	if (!text)
		return;
	buffer_printf(out, "%-15s", label);
	/* Cleaned, it is no longer than before. */
	to = (char *)buffer_room(out, n + 1);
	if (to)
		buffer_added(out, text_put_clean(to, n + 1, text, n));
	buffer_str(out, "\n");
}

static void
put_hash(struct buffer *out, const char *label, const uint8_t *hash,
	 size_t size)
{
	char hex[2 * SHA256_SIZE + 1];

	hex_encode(hex, hash, size);
	buffer_printf(out, "%-15s%s\n", label, hex);
}

static void
put_date(struct buffer *out, int64_t when)
{
	char text[64];
	struct tm tm;
	time_t t = (time_t)when;

	if (when >= 0 && gmtime_r(&t, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		put_clean(out, "created", text);
}

static bool
put_tracker(void *ctx, const char *url, size_t size, uint32_t tier)
{
	struct trackers *t = ctx;
	char label[32];
	char shown[SHOWN_MAX];

	snprintf(label, sizeof(label), "tracker %u", tier + 1);
	buffer_printf(t->out, "%-15s%s\n", label,
		      shown_tracker(shown, url, size));
	t->code = print_portion(t->out);
	return t->code == EXIT_COMPLETE;
}

static int
put_urls(struct buffer *out, const struct metainfo *m)
{
	struct trackers t = {.out = out, .code = EXIT_COMPLETE};
	char shown[SHOWN_MAX];
	uint32_t i;

	metainfo_each_tracker(m, put_tracker, &t);
	for (i = 0; i < m->web_seed_count; i++)
		buffer_printf(out, "%-15s%s\n", "web seed",
			      text_url(shown, sizeof(shown),
				       m->web_seeds[i]));
	for (i = 0; i < m->http_seed_count; i++)
		buffer_printf(out, "%-15s%s\n", "http seed",
			      text_url(shown, sizeof(shown),
				       m->http_seeds[i]));
	return t.code;
}

/* At the right of a column of this width, and two spaces behind it. */
static void
put_right(struct buffer *out, size_t width, const char *text, size_t n)
{
	static const char spaces[] = "                ";

	if (n < width)
		buffer_put(out, spaces, width - n);
	buffer_put(out, text, n);
	buffer_put(out, spaces, 2);
}

/* Cleaned, it is no longer than before. */
static void
put_path(struct buffer *out, const struct metainfo_file *f)
{
	char path[METAINFO_PATH_TEXT];
	size_t n = metainfo_path_length(f);
	char *to = (char *)buffer_room(out, n);

	if (to)
		buffer_added(out, text_put_clean(to, n + 1,
						 metainfo_path(f, path), n));
}

static int
put_files(struct buffer *out, const struct metainfo *m)
{
	char text[32], *end = text + sizeof(text);
	int code = EXIT_COMPLETE;
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->file_count && code == EXIT_COMPLETE; i++) {
		const struct metainfo_file *f = &m->files[i];
		const char *number;

		if (!is_listed(f))
			continue;
		number = text_number(end, ++n);
		put_right(out, 6, number, (size_t)(end - number));
		put_right(out, 10, text,
			  text_put_size(text, sizeof(text), f->length));
		put_path(out, f);
		buffer_u8(out, '\n');
		code = print_portion(out);
	}
	return code;
}

static int
show_text(struct buffer *out, const struct metainfo *m)
{
	char size[32];
	uint32_t files = m->file_count - m->pad_count;
	int code;

	put_clean(out, "name", m->name);
	if (m->has_v1)
		put_hash(out, "info hash", m->hash_v1, SHA1_SIZE);
	if (m->has_v2)
		put_hash(out, "info hash v2", m->hash_v2, SHA256_SIZE);
	buffer_printf(out, "%-15s%s (%llu bytes) in %u file%s\n", "size",
		      text_size(size, sizeof(size), m->content_length),
		      (unsigned long long)m->content_length, files,
		      files == 1 ? "" : "s");
	buffer_printf(out, "%-15s%u of %s\n", "pieces", m->piece_count,
		      text_size(size, sizeof(size), m->piece_length));
	if (metainfo_lacks_layers(m))
		put_clean(out, "piece layers", "missing: peers are asked for "
					       "them");
	if (m->private)
		put_clean(out, "private", "yes");
	put_clean(out, "comment", m->comment);
	put_clean(out, "source", m->source);
	put_clean(out, "created by", m->created_by);
	put_date(out, m->creation_date);
	code = put_urls(out, m);
	buffer_str(out, "files\n");
	return code == EXIT_COMPLETE ? put_files(out, m) : code;
}

/* An empty line is between two of them. */
static int
show_one(const struct options *o, const char *arg, bool *shown)
{
	struct buffer out;
	struct metainfo *m;
	struct error e;
	char label[256];
	int code = EXIT_COMPLETE;

	error_clear(&e);
	buffer_init(&out, SHOW_MAX);
	m = saved_read(arg, o->session.dir, NULL, &e);
	if (m) {
		if (*shown && !o->json)
			buffer_u8(&out, '\n');
		*shown = true;
		code = o->json ? show_json(&out, m) : show_text(&out, m);
		if (code == EXIT_COMPLETE)
			code = command_print(&out);
	} else {
		command_report(source_label(label, sizeof(label), arg),
			       e.text);
		code = command_code(&e);
	}
	metainfo_free(m);
	buffer_release(&out);
	return code;
}

/* What is to be shown must be here already. */
static bool
is_here(const char *arg)
{
	char label[256];

	if (!source_is_url(arg))
		return true;
	command_report(source_label(label, sizeof(label), arg),
		       "show touches no network: fetch the .torrent first");
	return false;
}

int
command_show(const struct options *o)
{
	int code = EXIT_COMPLETE;
	bool shown = false;
	size_t i;

	/* A wrong command line shows nothing at all. */
	for (i = 0; i < o->operand_count; i++)
		if (!is_here(o->operands[i]))
			return EXIT_USAGE;
	for (i = 0; i < o->operand_count; i++)
		code = exit_merge(code, show_one(o, o->operands[i], &shown));
	return code;
}
