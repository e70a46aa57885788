/*
 * The v2 half of a torrent.  The file tree is walked once, with the path so
 * far in one buffer; in a hybrid each file must be the next one of the v1
 * list, otherwise it is added.  Keys in the tree must ascend: its order is
 * that of the files, and so nothing is there twice.
 */
#include <stdlib.h>
#include <string.h>

#include "meta/merkle.h"
#include "metainfo_parts.h"

struct tree_walk {
	struct metainfo_whole *w;
	bool hybrid;
	uint32_t next;			/* v1 file that must come next */
	uint32_t tree_room;
	uint64_t end;			/* of the stream so far */
	unsigned depth;
	struct bencode last[BENCODE_DEPTH_MAX + 1];	/* key at each depth */
	size_t sizes[BENCODE_DEPTH_MAX + 1];	/* of the path up to there */
	char path[METAINFO_PATH_SIZE_MAX];
};

enum {
	LEAF_LENGTH,
	LEAF_ROOT,
	LEAF_ATTR,
	LEAF_KEYS,
};

static const struct bencode_key leaf_keys[LEAF_KEYS] = {
	[LEAF_LENGTH] = BENCODE_KEY("length"),
	[LEAF_ROOT] = BENCODE_KEY("pieces root"),
	[LEAF_ATTR] = BENCODE_KEY("attr"),
};

static bool
ascends(struct bencode last, const uint8_t *key, size_t size)
{
	const uint8_t *old;
	size_t old_size;
	int order;

	if (!bencode_str(last, &old, &old_size))
		return true;
	order = memcmp(old, key, old_size < size ? old_size : size);
	return order < 0 || (order == 0 && old_size < size);
}

static struct metainfo_tree *
add_tree(struct tree_walk *t, struct error *e)
{
	struct metainfo *m = &t->w->m;
	struct metainfo_tree *trees;
	uint32_t room = t->w->file_room;

	if (room > t->tree_room) {
		trees = realloc(m->trees, room * sizeof(*trees));
		if (!trees) {
			error_memory(e);
			return NULL;
		}
		memset(trees + t->tree_room, 0,
		       (room - t->tree_room) * sizeof(*trees));
		m->trees = trees;
		t->tree_room = room;
	}
	return &m->trees[m->file_count - 1];
}

/* The v1 file that this one must be, or NULL. */
static struct metainfo_tree *
match(struct tree_walk *t, uint64_t length, unsigned flags, struct error *e)
{
	struct metainfo *m = &t->w->m;
	struct metainfo_file *f;

	while (t->next < m->file_count &&
	       (m->files[t->next].flags & METAINFO_PAD))
		t->next++;
	if (t->next == m->file_count) {
		error_set(e, ERROR_TORRENT, "hybrid: the v2 half has more "
			  "files than the v1 half");
		return NULL;
	}
	f = &m->files[t->next];
	if (f->length != length || f->path_size != t->sizes[t->depth] ||
	    memcmp(f->path, t->path, f->path_size) != 0 ||
	    ((f->flags ^ flags) & METAINFO_SYMLINK)) {
		error_set(e, ERROR_TORRENT, "hybrid: file %u differs between "
			  "the v1 and v2 halves", t->next + 1);
		return NULL;
	}
	if (length > 0 && f->offset != t->end) {
		error_set(e, ERROR_TORRENT, "hybrid: file %u is not where "
			  "the v2 half has it", t->next + 1);
		return NULL;
	}
	return &m->trees[t->next++];
}

/* Adds a file to a torrent without v1. */
static struct metainfo_tree *
add(struct tree_walk *t, uint64_t length, unsigned flags, struct error *e)
{
	struct metainfo *m = &t->w->m;
	struct metainfo_file *f = metainfo_add_file(t->w, e);
	size_t size = t->sizes[t->depth];
	char *path;

	if (!f)
		return NULL;
	path = metainfo_room(t->w, size, e);
	if (!path)
		return NULL;
	memcpy(path, t->path, size);
	metainfo_keep(t->w, size);
	f->path = path;
	f->path_size = (uint16_t)size;
	f->components = (uint16_t)t->depth;
	f->flags = (uint16_t)flags;
	f->length = length;
	f->offset = t->end;
	m->content_length += length;
	return add_tree(t, e);
}

static int
read_leaf(struct tree_walk *t, const struct bencode *v, struct error *e)
{
	struct metainfo_tree *tree;
	unsigned flags = metainfo_attributes(v[LEAF_ATTR]);
	uint64_t piece = t->w->m.piece_length;
	uint64_t length = 0;
	size_t size = 0;

	flags &= METAINFO_EXECUTABLE | METAINFO_HIDDEN | METAINFO_SYMLINK;
	if (!(flags & METAINFO_SYMLINK) &&
	    metainfo_length(v[LEAF_LENGTH], &length, e) != 0)
		return -1;
	if (length > piece * METAINFO_PIECES_MAX - t->end)
		return error_set(e, ERROR_TORRENT, "more than %u pieces",
				 METAINFO_PIECES_MAX);
	if (t->hybrid)
		tree = match(t, length, flags, e);
	else
		tree = add(t, length, flags, e);
	if (!tree)
		return -1;
	if (length == 0)
		return 0;
	t->end += (length + piece - 1) / piece * piece;
	if (!bencode_str(v[LEAF_ROOT], &tree->root, &size) ||
	    size != SHA256_SIZE)
		return error_set(e, ERROR_TORRENT,
				 "no pieces root of %d bytes", SHA256_SIZE);
	return 0;
}

/* Appends a component to the path. */
static int
descend(struct tree_walk *t, const uint8_t *key, size_t size,
	struct error *e)
{
	size_t used = t->sizes[t->depth];

	if (memchr(key, '\0', size))
		return error_set(e, ERROR_TORRENT, "NUL in a path");
	if (size >= sizeof(t->path) - used)
		return error_set(e, ERROR_TORRENT, "a path is too long");
	memcpy(t->path + used, key, size);
	used += size;
	t->path[used++] = '\0';
	t->depth++;
	t->sizes[t->depth] = used;
	t->last[t->depth] = (struct bencode){0};
	return 0;
}

/* Handles the entry whose key was just read. */
static int
read_entry(struct tree_walk *t, struct bencode_iter *it, struct bencode key,
	   struct error *e)
{
	struct bencode v[LEAF_KEYS];
	const uint8_t *at;
	size_t size;

	bencode_str(key, &at, &size);
	if (!ascends(t->last[t->depth], at, size))
		return error_set(e, ERROR_TORRENT,
				 "keys of the file tree are not in order");
	t->last[t->depth] = key;
	if (size > 0) {
		if (descend(t, at, size, e) != 0)
			return -1;
		if (!bencode_enter_dict(it))
			return error_set(e, ERROR_TORRENT, "an entry of the "
					 "file tree is no dictionary");
		return 0;
	}
	if (t->depth == 0)
		return error_set(e, ERROR_TORRENT,
				 "the root of the file tree is a file");
	if (bencode_pick_next(it, leaf_keys, v, LEAF_KEYS, e) != 1 ||
	    read_leaf(t, v, e) != 0) {
		error_prefix(e, "a file of the tree");
		return -1;
	}
	if (bencode_next(it, &key))
		return error_set(e, ERROR_TORRENT, "a file of the tree has "
				 "something beside it");
	return 0;
}

static int
walk(struct tree_walk *t, struct bencode tree, struct error *e)
{
	struct bencode_iter it = bencode_entries(tree);
	struct bencode key;

	for (;;) {
		if (bencode_next(&it, &key)) {
			if (read_entry(t, &it, key, e) != 0)
				return -1;
		} else if (t->depth == 0) {
			return 0;
		} else {
			bencode_leave(&it);
			t->depth--;
		}
	}
}

/* After the walk of a hybrid: nothing but padding may be left over. */
static int
check_hybrid(struct tree_walk *t, struct error *e)
{
	const struct metainfo *m = &t->w->m;

	for (; t->next < m->file_count; t->next++) {
		if (!(m->files[t->next].flags & METAINFO_PAD))
			return error_set(e, ERROR_TORRENT, "hybrid: the v1 "
					 "half has more files than the v2 "
					 "half");
	}
	if (m->piece_count != t->end / m->piece_length)
		return error_set(e, ERROR_TORRENT, "hybrid: the halves have "
				 "different numbers of pieces");
	return 0;
}

/* A tree of one file is that file, whatever the torrent is called: its name
 * is purely advisory (BEP 52). */
static void
name_by_file(struct metainfo *m)
{
	const char *own = m->files[0].path;

	if (strcmp(own, m->name) != 0)
		m->folder = m->name;
	m->name = own;
}

static int
finish_v2(struct tree_walk *t, struct error *e)
{
	struct metainfo *m = &t->w->m;

	if (m->file_count == 0)
		return error_set(e, ERROR_TORRENT, "no files");
	m->multi = m->file_count > 1 || m->files[0].components > 1;
	if (!m->multi)
		name_by_file(m);
	m->piece_count = (uint32_t)(t->end / m->piece_length);
	m->length = t->end;
	return 0;
}

int
metainfo_read_tree(struct metainfo_whole *w, struct bencode tree,
		   struct error *e)
{
	struct tree_walk *t = calloc(1, sizeof(*t));
	int status = -1;

	if (!t)
		return error_memory(e);
	t->w = w;
	t->hybrid = w->m.has_v1;
	if (t->hybrid) {
		w->m.trees = calloc(w->m.file_count, sizeof(*w->m.trees));
		if (!w->m.trees) {
			error_memory(e);
			goto out;
		}
	}
	status = walk(t, tree, e);
	if (status == 0)
		status = t->hybrid ? check_hybrid(t, e) : finish_v2(t, e);
out:
	free(t);
	return status;
}

/* One entry of "piece layers". */
struct layer {
	const uint8_t *root;
	const uint8_t *hashes;
	size_t size;		/* of the hashes, bytes */
	bool checked;		/* they lead to the root */
};

struct layers {
	struct layer *all;	/* by root, ascending */
	size_t count;
	size_t room;
};

static int
compare_layers(const void *a, const void *b)
{
	const struct layer *x = a;
	const struct layer *y = b;

	return memcmp(x->root, y->root, SHA256_SIZE);
}

static int
add_layer(struct layers *l, struct bencode key, struct bencode value,
	  struct error *e)
{
	struct layer layer = {0};
	struct layer *all;
	size_t room = l->room ? 2 * l->room : 16;
	size_t size;

	bencode_str(key, &layer.root, &size);
	if (size != SHA256_SIZE ||
	    !bencode_str(value, &layer.hashes, &layer.size))
		return error_set(e, ERROR_TORRENT, "piece layers: an entry "
				 "is malformed");
	if (l->count == l->room) {
		if (room > METAINFO_FILES_MAX)
			return error_set(e, ERROR_TORRENT, "piece layers: "
					 "more than %u", METAINFO_FILES_MAX);
		all = realloc(l->all, room * sizeof(*all));
		if (!all)
			return error_memory(e);
		l->all = all;
		l->room = room;
	}
	l->all[l->count++] = layer;
	return 0;
}

static int
collect_layers(struct layers *l, struct bencode dict, struct error *e)
{
	struct bencode_iter it = bencode_entries(dict);
	struct bencode key, value;
	bool sorted = true;

	while (bencode_next_entry(&it, &key, &value)) {
		if (add_layer(l, key, value, e) != 0)
			return -1;
		if (l->count > 1 && compare_layers(&l->all[l->count - 2],
						   &l->all[l->count - 1]) >= 0)
			sorted = false;
	}
	if (!sorted)
		qsort(l->all, l->count, sizeof(*l->all), compare_layers);
	for (size_t i = 1; i < l->count; i++) {
		if (compare_layers(&l->all[i - 1], &l->all[i]) == 0)
			return error_set(e, ERROR_TORRENT, "piece layers: a "
					 "root is there twice");
	}
	return 0;
}

/* Each layer is hashed once, however many files have it.  One that is missing
 * can be had of peers. */
static int
set_layer(struct metainfo *m, uint32_t file, struct layers *l,
	  struct hash *h, struct error *e)
{
	struct metainfo_tree *tree = &m->trees[file];
	struct layer key = {.root = tree->root};
	struct layer *layer = NULL;
	uint64_t length = m->files[file].length;
	uint64_t count = (length + m->piece_length - 1) / m->piece_length;
	uint8_t root[SHA256_SIZE];

	if (l->count > 0)
		layer = bsearch(&key, l->all, l->count, sizeof(*l->all),
				compare_layers);
	if (!layer)
		return 0;
	if (layer->size != count * SHA256_SIZE)
		return error_set(e, ERROR_TORRENT, "file %u: its piece layer "
				 "takes %zu bytes, %llu pieces need %llu",
				 file + 1, layer->size,
				 (unsigned long long)count,
				 (unsigned long long)count * SHA256_SIZE);
	if (!layer->checked) {
		merkle_root(h, root, layer->hashes, (size_t)count,
			    merkle_level(m->piece_length));
		if (memcmp(root, tree->root, SHA256_SIZE) != 0)
			return error_set(e, ERROR_TORRENT, "file %u: its "
					 "piece layer does not lead to its "
					 "root", file + 1);
		layer->checked = true;
	}
	tree->layer = layer->hashes;
	tree->layer_count = (uint32_t)count;
	return 0;
}

int
metainfo_read_layers(struct metainfo_whole *w, struct bencode dict,
		     struct error *e)
{
	struct metainfo *m = &w->m;
	struct layers l = {0};
	struct hash *h = hash_new(HASH_SHA256);
	int status = h ? 0 : error_memory(e);

	if (status == 0)
		status = collect_layers(&l, dict, e);
	for (uint32_t i = 0; status == 0 && i < m->file_count; i++) {
		if (m->trees[i].root && m->files[i].length > m->piece_length)
			status = set_layer(m, i, &l, h, e);
	}
	free(l.all);
	hash_free(h);
	return status;
}
