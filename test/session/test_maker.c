#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"
#include "meta/merkle.h"
#include "session/maker.h"

/* What a sandbox says to each question of that kind, or 0. */
static int refused;

int
faccessat(int dir, const char *path, int mode, int flags)
{
	(void)flags;
	errno = refused;
	return refused ? -1 : (int)syscall(SYS_faccessat, dir, path, mode);
}

static struct error error;
static char folder[] = "/tmp/btget-test-maker-XXXXXX";
static char home[4096];

/* Every test runs within a folder of its own. */
static int
enter(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	if (!getcwd(home, sizeof(home)) || !mkdtemp(folder))
		return -1;
	error_clear(&error);
	return chdir(folder);
}

static int
delete_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int
leave(void **state)
{
	(void)state;
	if (chdir(home) != 0)
		return -1;
	return nftw(folder, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
put_file(const char *path, size_t size, unsigned seed)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	for (size_t i = 0; i < size; i++)
		putc((int)((i * 31 + i / 251 + seed) & 255), f);
	assert_int_equal(fclose(f), 0);
}

static void
put_folder(const char *path)
{
	assert_int_equal(mkdir(path, 0777), 0);
}

static struct maker_options
plain(void)
{
	struct maker_options o = {.creation_date = -1, .threads = 2};

	return o;
}

static struct metainfo *
make(const char *path, const struct maker_options *o)
{
	struct maker_progress progress = {0};
	struct metainfo *m = NULL;
	struct buffer b;

	buffer_init(&b, METAINFO_SIZE_MAX);
	if (maker_run(path, o, &progress, &b, &error) == 0) {
		m = metainfo_parse(b.data, b.used, &error);
		assert_non_null(m);
		assert_true(progress.total == m->content_length);
		assert_true(progress.hashed == m->content_length);
	}
	buffer_release(&b);
	return m;
}

/* All files of the torrent one after another, hashed piece by piece. */
static void
assert_pieces(const struct metainfo *m, const char *root)
{
	uint8_t *all = calloc(1, (size_t)m->length + 1);
	uint8_t hash[SHA1_SIZE];

	assert_non_null(all);
	for (uint32_t i = 0; i < m->file_count; i++) {
		const struct metainfo_file *f = &m->files[i];
		char path[256];
		const char *part = f->path;
		FILE *in;
		size_t n = (size_t)snprintf(path, sizeof(path), "%s", root);

		for (unsigned k = 0; m->multi && k < f->components; k++) {
			n += (size_t)snprintf(path + n, sizeof(path) - n,
					      "/%s", part);
			part += strlen(part) + 1;
		}
		if (f->flags & METAINFO_PAD)
			continue;
		in = fopen(path, "rb");
		assert_non_null(in);
		assert_true(fread(all + f->offset, 1, (size_t)f->length, in) ==
			    f->length);
		fclose(in);
	}
	for (uint32_t i = 0; i < m->piece_count; i++) {
		hash_sha1(hash, all + (size_t)i * m->piece_length,
			  metainfo_piece_size(m, i));
		assert_memory_equal(hash, m->pieces + (size_t)i * SHA1_SIZE,
				    SHA1_SIZE);
	}
	free(all);
}

static void
one_file_is_hashed(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_file("x.bin", 100000, 1);
	m = make("x.bin", &o);
	assert_non_null(m);
	assert_false(m->multi);
	assert_string_equal(m->name, "x.bin");
	assert_int_equal(m->piece_length, 16384);
	assert_pieces(m, "x.bin");
	metainfo_free(m);
}

static void
folder_is_hashed_in_order_of_the_names(void **state)
{
	static const char *const order[] = {
		".hidden", "A", "a", "a.txt", "empty", "z",
	};
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_folder("d");
	put_folder("d/a");
	put_folder("d/nothing");
	put_file("d/z", 70000, 1);
	put_file("d/a.txt", 5, 2);
	put_file("d/a/deep", 40000, 3);
	put_file("d/A", 20000, 4);
	put_file("d/.hidden", 1, 5);
	put_file("d/empty", 0, 6);
	m = make("d/", &o);
	assert_non_null(m);
	assert_true(m->multi);
	assert_string_equal(m->name, "d");
	assert_int_equal(m->file_count, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_string_equal(m->files[i].path, order[i]);
	assert_int_equal(m->files[2].components, 2);
	assert_pieces(m, "d");
	metainfo_free(m);
}

static void
any_piece_length_and_number_of_threads_give_the_same(void **state)
{
	static const uint32_t lengths[] = {
		1000, 16384, 65537, 1 << 20, 16 << 20,
	};
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_folder("d");
	put_file("d/a", 700001, 1);
	put_file("d/b", 3, 2);
	put_file("d/c", 1400000, 3);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (o.threads = 0; o.threads < 5; o.threads += 2) {
			o.piece_length = lengths[i];
			m = make("d", &o);
			assert_non_null(m);
			assert_int_equal(m->piece_length, lengths[i]);
			assert_pieces(m, "d");
			metainfo_free(m);
		}
	}
}

static void
many_runs_are_shared_among_threads(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_file("x", 20 << 20, 1);
	o.threads = 3;
	o.piece_length = 1 << 20;
	m = make("x", &o);
	assert_non_null(m);
	assert_int_equal(m->piece_count, 20);
	assert_pieces(m, "x");
	metainfo_free(m);
}

static void
empty_files_make_a_torrent(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_file("x", 0, 1);
	m = make("x", &o);
	assert_non_null(m);
	assert_int_equal(m->piece_count, 0);
	metainfo_free(m);
}

static void
empty_folders_do_not(void **state)
{
	struct maker_options o = plain();

	(void)state;
	put_folder("d");
	put_folder("d/e");
	assert_null(make("d", &o));
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_non_null(strstr(error.text, "no files"));
}

static void
count_warning(void *ctx, const char *line)
{
	int *count = ctx;

	assert_non_null(strstr(line, "left out"));
	(*count)++;
}

/* Programs that did not know it for padding have written it. */
static void
padding_by_name_is_left_out(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;
	int warnings = 0;

	(void)state;
	put_folder("d");
	put_file("d/x", 10, 1);
	put_file("d/_____padding_file_0_if you see this file____", 10, 0);
	o.warning = count_warning;
	o.ctx = &warnings;
	m = make("d", &o);
	assert_non_null(m);
	assert_int_equal(m->file_count, 1);
	assert_int_equal(warnings, 1);
	metainfo_free(m);
}

static void
links_and_special_files_are_left_out(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;
	int warnings = 0;

	(void)state;
	put_folder("d");
	put_file("d/x", 10, 1);
	assert_int_equal(symlink("x", "d/link"), 0);
	assert_int_equal(symlink("/tmp", "d/out"), 0);
	assert_int_equal(mkfifo("d/pipe", 0600), 0);
	o.warning = count_warning;
	o.ctx = &warnings;
	m = make("d", &o);
	assert_non_null(m);
	assert_int_equal(m->file_count, 1);
	assert_int_equal(warnings, 3);
	metainfo_free(m);
}

struct warnings {
	int count;
	char last[512];
};

static void
keep_warning(void *ctx, const char *line)
{
	struct warnings *w = ctx;

	w->count++;
	snprintf(w->last, sizeof(w->last), "%s", line);
}

static void
names_that_a_reader_changes_are_told_once(void **state)
{
	struct maker_options o = plain();
	struct warnings w = {0};

	(void)state;
	put_folder("d");
	put_file("d/fine", 10, 1);
	o.warning = keep_warning;
	o.ctx = &w;
	metainfo_free(make("d", &o));
	assert_int_equal(w.count, 0);
	put_file("d/caf\xe9", 10, 1);
	put_file("d/tab\t", 10, 1);
	metainfo_free(make("d", &o));
	assert_int_equal(w.count, 1);
	assert_non_null(strstr(w.last, "'caf?' and 1 more"));
	put_file("x.part", 10, 1);
	metainfo_free(make("x.part", &o));
	assert_int_equal(w.count, 2);
	assert_non_null(strstr(w.last, "'x.part': "));
}

static void
a_link_that_is_named_is_followed(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_file("x", 10, 1);
	assert_int_equal(symlink("x", "link"), 0);
	m = make("link", &o);
	assert_non_null(m);
	assert_string_equal(m->name, "link");
	assert_int_equal(m->length, 10);
	metainfo_free(m);
}

static void
special_and_missing_paths_are_refused(void **state)
{
	struct maker_options o = plain();

	(void)state;
	assert_null(make("missing", &o));
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_int_equal(error.sys, ENOENT);
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_null(make("pipe", &o));
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_null(make("/dev/null", &o));
	assert_int_equal(error.kind, ERROR_STORAGE);
}

static void
grow_a(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
	put_file("d/a", 50001, 1);
}

static void
shrink_a(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
	assert_int_equal(truncate("d/a", 100), 0);
}

static void
rewrite_a(void *ctx, const char *line)
{
	struct timespec times[2] = {{1000, 0}, {1000, 0}};

	(void)ctx;
	(void)line;
	assert_int_equal(utimensat(AT_FDCWD, "d/a", times, 0), 0);
}

/* The warning about the link comes after "a" was seen and before it is read:
 * the moment to change it. */
static void
files_that_change_meanwhile_are_found_out(void **state)
{
	maker_warning *const changes[] = {grow_a, shrink_a, rewrite_a};
	struct maker_options o = plain();

	(void)state;
	put_folder("d");
	assert_int_equal(symlink("a", "d/b"), 0);
	for (unsigned i = 0; i < 3; i++) {
		put_file("d/a", 50000, 1);
		o.warning = changes[i];
		assert_null(make("d", &o));
		assert_int_equal(error.kind, ERROR_STORAGE);
		assert_non_null(strstr(error.text, "'a' changed"));
	}
}

static void
grow_empty(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
	put_file("d/a", 1, 1);
}

/* Nobody reads it, so that nobody would see. */
static void
an_empty_file_that_grows_meanwhile_is_found_out(void **state)
{
	struct maker_options o = plain();

	(void)state;
	put_folder("d");
	put_file("d/a", 0, 1);
	put_file("d/c", 50000, 1);
	assert_int_equal(symlink("a", "d/b"), 0);
	o.warning = grow_empty;
	assert_null(make("d", &o));
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_non_null(strstr(error.text, "'a' changed"));
}

static void
what_btget_knows_of_downloads_is_left_out(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_folder("d");
	put_folder("d/.btget");
	put_file("d/.btget/url-1.torrent", 100, 1);
	put_file("d/a", 1, 1);
	m = make("d", &o);
	assert_non_null(m);
	assert_int_equal(m->file_count, 1);
	metainfo_free(m);
}

static void
stop_ends_it(void **state)
{
	struct maker_progress progress = {.stop = true};
	struct maker_options o = plain();
	struct buffer b;

	(void)state;
	put_file("x", 100000, 1);
	buffer_init(&b, METAINFO_SIZE_MAX);
	assert_int_equal(maker_run("x", &o, &progress, &b, &error), -1);
	assert_int_equal(error.kind, ERROR_STOPPED);
	assert_int_equal(b.used, 0);
	buffer_release(&b);
}

/* metainfo_parse has looked at the layers; here the data's part is. */
static void
assert_tree(const struct metainfo *m, uint32_t file, const char *path)
{
	const struct metainfo_file *f = &m->files[file];
	size_t size = (size_t)f->length;
	uint8_t *data = malloc(size + 1), root[SHA256_SIZE];
	struct hash *h = hash_new(HASH_SHA256);
	FILE *in = fopen(path, "rb");
	struct merkle t;

	assert_non_null(data);
	assert_non_null(h);
	assert_non_null(in);
	assert_true(fread(data, 1, size, in) == size);
	fclose(in);
	merkle_begin(&t, h, 0);
	merkle_add_bytes(&t, data, size);
	merkle_end(&t, root, 0);
	assert_memory_equal(m->trees[file].root, root, SHA256_SIZE);
	hash_free(h);
	free(data);
}

static const size_t v2_sizes[] = {16384, 0, 100000, 1, 32768, 32769};
#define V2_FILES (sizeof(v2_sizes) / sizeof(*v2_sizes))

static struct metainfo *
make_several(enum create_kind kind)
{
	struct maker_options o = plain();
	char path[16];

	o.kind = kind;
	o.piece_length = 32768;
	put_folder("d");
	for (unsigned i = 0; i < V2_FILES; i++) {
		snprintf(path, sizeof(path), "d/%u", i);
		put_file(path, v2_sizes[i], i);
	}
	return make("d", &o);
}

static void
v2_files_have_their_trees(void **state)
{
	struct metainfo *m = make_several(CREATE_V2);
	char path[16];

	(void)state;
	assert_false(m->has_v1);
	assert_int_equal(m->file_count, V2_FILES);
	for (unsigned i = 0; i < V2_FILES; i++) {
		snprintf(path, sizeof(path), "d/%u", i);
		if (v2_sizes[i] > 0)
			assert_tree(m, i, path);
		else
			assert_null(m->trees[i].root);
	}
	assert_int_equal(m->piece_count, 1 + 4 + 1 + 1 + 2);
	metainfo_free(m);
}

/* The reader has compared the halves already. */
static void
hybrid_files_are_padded_to_pieces(void **state)
{
	struct metainfo *m = make_several(CREATE_HYBRID);

	(void)state;
	assert_true(m->has_v1 && m->has_v2);
	assert_int_equal(m->pad_count, 4);
	assert_int_equal(m->length, 9 * 32768);
	assert_pieces(m, "d");
	metainfo_free(m);
}

static void
lone_file_of_a_hybrid_is_not_padded(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	o.kind = CREATE_HYBRID;
	put_file("x", 50000, 1);
	m = make("x", &o);
	assert_int_equal(m->file_count, 1);
	assert_int_equal(m->length, 50000);
	assert_pieces(m, "x");
	assert_tree(m, 0, "x");
	metainfo_free(m);
}

static void
folder_that_v2_takes_for_a_file_is_refused(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_folder("d");
	put_file("d/d", 5, 1);
	o.kind = CREATE_V2;
	assert_null(make("d", &o));
	assert_int_equal(error.kind, ERROR_USAGE);
	error_clear(&error);
	o.kind = CREATE_V1;
	m = make("d", &o);
	assert_non_null(m);
	metainfo_free(m);
}

static void
wrong_piece_lengths_are_refused(void **state)
{
	struct maker_options o = plain();

	(void)state;
	put_file("x", 10, 1);
	o.kind = CREATE_HYBRID;
	o.piece_length = 8192;
	assert_null(make("x", &o));
	assert_int_equal(error.kind, ERROR_USAGE);
	o.piece_length = 3 * 16384;
	assert_null(make("x", &o));
	assert_int_equal(error.kind, ERROR_USAGE);
	o = plain();
	o.piece_length = METAINFO_PIECE_LENGTH_MAX + 1;
	assert_null(make("x", &o));
	assert_int_equal(error.kind, ERROR_USAGE);
}

/* Told at once: hashing 256 GiB would take longer than this test may. */
static void
a_torrent_that_would_be_too_large_is_refused(void **state)
{
	struct maker_options o = plain();

	(void)state;
	put_file("x", 1, 1);
	if (truncate("x", 1LL << 38) != 0)
		skip();
	o.piece_length = 16384;
	for (int kind = CREATE_V1; kind <= CREATE_HYBRID; kind++) {
		o.kind = (enum create_kind)kind;
		error_clear(&error);
		assert_null(make("x", &o));
		assert_int_equal(error.kind, ERROR_USAGE);
		assert_string_equal(error.text, "piece length 16384 makes a "
				    "torrent of more than 268435456 bytes");
	}
	assert_int_equal(unlink("x"), 0);
}

static void
assert_name(const char *path, const char *want)
{
	char *name = maker_name(path, &error);

	assert_non_null(name);
	assert_string_equal(name, want);
	free(name);
}

static void
name_is_the_last_component(void **state)
{
	(void)state;
	assert_name("a", "a");
	assert_name("/b/c", "c");
	assert_name("b/c///", "c");
	assert_name(".", strrchr(folder, '/') + 1);
	put_folder("d");
	assert_name("d/..", strrchr(folder, '/') + 1);
	assert_name("d/.", "d");
	assert_null(maker_name("/", &error));
	assert_null(maker_name("gone/..", &error));
}

/* Nothing has been hashed; saving there would have failed the same. */
static void
refuses_output(const char *output, int sys)
{
	struct maker_progress progress = {0};
	struct maker_options o = plain();
	struct error saving;
	struct buffer b;

	o.output = output;
	buffer_init(&b, METAINFO_SIZE_MAX);
	assert_int_equal(maker_run("x", &o, &progress, &b, &error), -1);
	assert_int_equal(progress.hashed, 0);
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_int_equal(error.sys, sys);
	assert_int_equal(maker_save(output, &b, &saving), -1);
	assert_string_equal(error.text, saving.text);
	buffer_release(&b);
}

static void
an_output_that_cannot_be_written_is_told_before_hashing(void **state)
{
	struct maker_options o = plain();
	struct metainfo *m;

	(void)state;
	put_file("x", 100000, 1);
	put_folder("busy");
	put_file("busy/x", 1, 1);
	refuses_output("gone/out", ENOENT);
	refuses_output("x/out", ENOTDIR);
	refuses_output("busy", EISDIR);
	assert_int_equal(symlink("nowhere", "link"), 0);
	o.output = "link";
	m = make("x", &o);
	assert_non_null(m);
	metainfo_free(m);
}

static void
a_sandbox_that_refuses_the_question_is_no_answer(void **state)
{
	static const struct {
		int said;
		bool good;
	} cases[] = {
		{ EPERM, true }, { ENOSYS, true }, { EINVAL, true },
		{ EACCES, false }, { EROFS, false }, { ENOENT, false },
		{ ENOTDIR, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		refused = cases[i].said;
		assert_int_equal(maker_can_save("out", &error),
				 cases[i].good ? 0 : -1);
		assert_int_equal(maker_can_save("/dev/null", &error),
				 cases[i].good ? 0 : -1);
	}
	refused = 0;
}

static void
save_writes_to_what_is_no_plain_file(void **state)
{
	struct buffer b;
	struct stat st;
	char text[16] = "";
	int fd;

	(void)state;
	buffer_init(&b, 100);
	buffer_str(&b, "content");
	assert_int_equal(mkfifo("pipe", 0600), 0);
	fd = open("pipe", O_RDWR | O_NONBLOCK);
	assert_true(fd >= 0);
	assert_int_equal(maker_save("pipe", &b, &error), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 7);
	assert_string_equal(text, "content");
	close(fd);
	assert_int_equal(lstat("pipe", &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(symlink("pointed-at", "link"), 0);
	put_file("pointed-at", 1000, 1);
	assert_int_equal(maker_save("link", &b, &error), 0);
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat("pointed-at", &st), 0);
	assert_int_equal(st.st_size, 7);
	assert_int_equal(unlink("pipe"), 0);
	assert_int_equal(unlink("link"), 0);
	assert_int_equal(unlink("pointed-at"), 0);
	buffer_release(&b);
}

static void
save_replaces_and_leaves_nothing_aside(void **state)
{
	struct buffer b;
	char text[16] = "";
	FILE *f;

	(void)state;
	put_file("out", 1000, 1);
	buffer_init(&b, 100);
	buffer_str(&b, "content");
	assert_int_equal(maker_save("out", &b, &error), 0);
	f = fopen("out", "rb");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, sizeof(text), f), 7);
	fclose(f);
	assert_string_equal(text, "content");
	assert_int_equal(unlink("out"), 0);
	put_folder("busy");
	put_file("busy/x", 1, 1);
	assert_int_equal(maker_save("busy", &b, &error), -1);
	assert_int_equal(error.kind, ERROR_STORAGE);
	assert_int_equal(maker_save("gone/out", &b, &error), -1);
	assert_int_equal(error.sys, ENOENT);
	assert_int_equal(unlink("busy/x"), 0);
	assert_int_equal(rmdir("busy"), 0);
	/* Now the folder is empty, or something was left in it. */
	assert_int_equal(chdir(home), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	buffer_release(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_file_is_hashed),
		TEST(folder_is_hashed_in_order_of_the_names),
		TEST(any_piece_length_and_number_of_threads_give_the_same),
		TEST(many_runs_are_shared_among_threads),
		TEST(empty_files_make_a_torrent),
		TEST(empty_folders_do_not),
		TEST(padding_by_name_is_left_out),
		TEST(links_and_special_files_are_left_out),
		TEST(names_that_a_reader_changes_are_told_once),
		TEST(a_link_that_is_named_is_followed),
		TEST(special_and_missing_paths_are_refused),
		TEST(files_that_change_meanwhile_are_found_out),
		TEST(an_empty_file_that_grows_meanwhile_is_found_out),
		TEST(what_btget_knows_of_downloads_is_left_out),
		TEST(stop_ends_it),
		TEST(v2_files_have_their_trees),
		TEST(hybrid_files_are_padded_to_pieces),
		TEST(lone_file_of_a_hybrid_is_not_padded),
		TEST(folder_that_v2_takes_for_a_file_is_refused),
		TEST(a_torrent_that_would_be_too_large_is_refused),
		TEST(wrong_piece_lengths_are_refused),
		TEST(name_is_the_last_component),
		TEST(an_output_that_cannot_be_written_is_told_before_hashing),
		TEST(a_sandbox_that_refuses_the_question_is_no_answer),
		TEST(save_writes_to_what_is_no_plain_file),
		TEST(save_replaces_and_leaves_nothing_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
