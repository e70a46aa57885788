#include "session/maker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/text.h"
#include "maker_hash.h"
#include "maker_names.h"
#include "meta/merkle.h"

/* What a thread takes at once, at least: neighbours in a file are read by
 * one thread, as disks like it, and the last ones to work end together. */
#define RUN_SIZE (8u << 20)

char *
maker_name(const char *path, struct error *e)
{
	size_t end = strlen(path);
	size_t start;
	char *real = NULL;
	char *name;

	while (end > 0 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (end == start || (end - start == 1 && path[start] == '.') ||
	    (end - start == 2 && memcmp(path + start, "..", 2) == 0)) {
		real = realpath(path, NULL);
		if (!real) {
			error_sys(e, ERROR_STORAGE, errno, "cannot find '%s'",
				  path);
			return NULL;
		}
		path = real;
		end = strlen(path);
		start = (size_t)(strrchr(path, '/') - path) + 1;
	}
	if (end == start) {
		error_set(e, ERROR_STORAGE, "'%s' has no name", path);
		free(real);
		return NULL;
	}
	name = strndup(path + start, end - start);
	free(real);
	if (!name)
		error_memory(e);
	return name;
}

/* Hashes may be missing from it. */
static struct create
torrent_of(const struct maker_job *j, const char *name,
	   const struct maker_options *o)
{
	return (struct create){
		.kind = o->kind,
		.name = name,
		.multi = j->list->multi,
		.private = o->private,
		.piece_length = j->piece_length,
		.files = j->list->files,
		.file_count = j->list->count,
		.pieces = j->hashes,
		.piece_count = j->piece_count,
		.trackers = o->trackers,
		.tracker_count = o->tracker_count,
		.web_seeds = o->web_seeds,
		.web_seed_count = o->web_seed_count,
		.comment = o->comment,
		.source = o->source,
		.created_by = o->created_by,
		.creation_date = o->creation_date,
	};
}

static int
write_torrent(const struct maker_job *j, const char *name,
	      const struct maker_options *o, struct buffer *out,
	      struct error *e)
{
	struct create c = torrent_of(j, name, o);

	return create_write(&c, out, e);
}

/* Each file that is not empty begins at a piece. */
static void
align_files(struct maker_job *j)
{
	struct maker_list *l = j->list;
	uint64_t at = 0;

	for (size_t i = 0; i < l->count; i++) {
		l->more[i].offset = at;
		at += create_pieces(l->files[i].length, j->piece_length) *
		      j->piece_length;
	}
	j->length = at;
}

/* Without a v1 half, a folder that holds one file is a torrent of that file
 * (BEP 52), which here would take the folder's place. */
static int
check_tree(const struct maker_list *l, const char *name, struct error *e)
{
	if (!l->multi || l->count != 1 || strcmp(l->files[0].path, name) != 0)
		return 0;
	return error_set(e, ERROR_USAGE, "the folder '%s' holds nothing but "
			 "'%s': only --v1 can tell that from a file", name,
			 name);
}

/* The same under another name can be had, but others will have no folder. */
static void
tell_folder(const struct maker_list *l, const char *name,
	    const struct maker_options *o)
{
	char folder[256], file[256];
	char line[640];

	if (o->kind != CREATE_V2 || !o->warning || !l->multi ||
	    l->count != 1 || strchr(l->files[0].path, '/'))
		return;
	text_clean(folder, sizeof(folder), name);
	text_clean(file, sizeof(file), l->files[0].path);
	snprintf(line, sizeof(line), "'%s' holds nothing but '%s': others get "
		 "that without the folder, which --v2 has no word for", folder,
		 file);
	o->warning(o->ctx, line);
}

/* Sets the piece length, and how many there are. */
static int
count_pieces(struct maker_job *j, const struct maker_options *o, struct error *e)
{
	struct maker_list *l = j->list;
	uint64_t count;

	j->piece_length = o->piece_length;
	if (j->piece_length == 0)
		j->piece_length = create_piece_length(o->kind, l->length,
						      l->count);
	/* Not so many that the sum of the gaps could overflow. */
	count = l->length / j->piece_length;
	if (count <= METAINFO_PIECES_MAX) {
		if (j->v2)
			align_files(j);
		count = create_pieces(j->length, j->piece_length);
	}
	if (count > METAINFO_PIECES_MAX)
		return error_set(e, ERROR_USAGE, "piece length %u makes more "
				 "than %u pieces", j->piece_length,
				 METAINFO_PIECES_MAX);
	j->piece_count = (uint32_t)count;
	return 0;
}

/* A torrent that no reader would take is not worth hashing. */
static int
check_size(const struct maker_job *j, const char *name,
	   const struct maker_options *o, struct error *e)
{
	struct create c = torrent_of(j, name, o);

	if (create_fits(&c, METAINFO_SIZE_MAX))
		return 0;
	return error_set(e, ERROR_USAGE, "piece length %u makes a torrent of "
			 "more than %u bytes", j->piece_length,
			 METAINFO_SIZE_MAX);
}

static int
job_init(struct maker_job *j, const char *name, const struct maker_options *o,
	 struct error *e)
{
	struct maker_list *l = j->list;
	size_t count;

	j->v1 = o->kind != CREATE_V2;
	j->v2 = o->kind != CREATE_V1;
	j->padded = create_padded(o->kind, l->count);
	j->length = l->length;
	if ((j->v2 && check_tree(l, name, e) != 0) ||
	    count_pieces(j, o, e) != 0 || check_size(j, name, o, e) != 0)
		return -1;
	count = j->piece_count;
	j->run = j->piece_length < RUN_SIZE ? RUN_SIZE / j->piece_length : 1;
	j->runs = j->piece_count / j->run + 1;
	j->hashes = malloc(count > 0 ? count * SHA1_SIZE : 1);
	if (j->v2) {
		j->layers = malloc(count > 0 ? count * SHA256_SIZE : 1);
		j->roots = malloc(l->count * SHA256_SIZE);
	}
	if (!j->hashes || (j->v2 && (!j->layers || !j->roots)))
		return error_memory(e);
	return 0;
}

/* From the pieces' hashes to the files'. */
static int
join_layers(struct maker_job *j, struct error *e)
{
	struct maker_list *l = j->list;
	struct hash *h = hash_new(HASH_SHA256);

	if (!h)
		return error_memory(e);
	for (size_t i = 0; i < l->count; i++) {
		struct create_file *f = &l->files[i];
		uint64_t first = l->more[i].offset / j->piece_length;
		const uint8_t *layer = j->layers + first * SHA256_SIZE;
		uint8_t *root = j->roots + i * SHA256_SIZE;

		if (f->length == 0)
			continue;
		f->root = layer;
		if (f->length <= j->piece_length)
			continue;
		merkle_root(h, root, layer,
			    (size_t)create_pieces(f->length, j->piece_length),
			    merkle_level(j->piece_length));
		f->root = root;
		f->layer = layer;
	}
	hash_free(h);
	return 0;
}

static int
check_options(const struct maker_options *o, struct error *e)
{
	if (o->piece_length > METAINFO_PIECE_LENGTH_MAX)
		return error_set(e, ERROR_USAGE, "piece length %u is more "
				 "than %u", o->piece_length,
				 METAINFO_PIECE_LENGTH_MAX);
	if (o->kind != CREATE_V1 && o->piece_length != 0 &&
	    (o->piece_length < MERKLE_BLOCK ||
	     (o->piece_length & (o->piece_length - 1)) != 0))
		return error_set(e, ERROR_USAGE, "piece length %u of a v2 "
				 "torrent is not a power of two from %d on",
				 o->piece_length, MERKLE_BLOCK);
	return 0;
}

int
maker_run(const char *path, const struct maker_options *options,
	  struct maker_progress *progress, struct buffer *out,
	  struct error *e)
{
	struct maker_list list = {.root = -1};
	struct maker_job job = {.progress = progress, .list = &list};
	char *name = NULL;
	int status = -1;

	if (check_options(options, e) != 0)
		return -1;
	name = maker_name(path, e);
	if (!name || maker_walk(&list, path, options, progress, e) != 0 ||
	    maker_can_save(options->output, e) != 0 ||
	    job_init(&job, name, options, e) != 0)
		goto out;
	tell_folder(&list, name, options);
	atomic_store(&progress->total, list.length);
	if (maker_hash(&job, options->threads, e) != 0 ||
	    (job.v2 && join_layers(&job, e) != 0))
		goto out;
	status = write_torrent(&job, name, options, out, e);
	if (status == 0)
		status = maker_check_names(out, options, e);
out:
	free(job.hashes);
	free(job.layers);
	free(job.roots);
	maker_list_release(&list);
	free(name);
	return status;
}
