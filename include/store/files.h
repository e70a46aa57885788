/*
 * files: a torrent's bytes on disk.
 *
 * Offsets are those of the torrent's byte stream (layout).  A bounded table
 * keeps the last used files open; one in use is pinned, and no lock is held
 * over I/O.  A thread that needs a place while all are pinned waits for one.
 *
 * Place: data is under DIR/NAME.part until files_finish renames it to
 * DIR/NAME.  Where DIR/NAME exists when we start, it is used in place; if
 * NAME.part exists beside it, that one is left alone (files_leftover tells).
 * But an empty file or folder makes way for a NAME.part that is not empty.
 * A file that files_set_aside has hidden is used where it is then, and goes
 * to its place when files_finish finds it wanted, and so whole.
 *
 * Files and folders are created at the first write to them, links are never
 * followed, and what is no regular file is refused; so is one that was there
 * and has other names (hard links), when it is to be written to, and one that
 * has appeared where none was.  A file that was there and is gone is never
 * made anew: that is reported as ERROR_STORAGE, at the latest by the next
 * files_sync or files_finish.
 *
 * Errors:    ERROR_STORAGE, with the file's name; ERROR_DATA from a read
 *            when the bytes are just not there (no file, or it ends before).
 * Ownership: layout and folder are borrowed and outlive the files.
 * Threads:   all functions from any thread, but for open and free.  The
 *            file table's lock is the last but the log's.
 * Units:     bytes; 64 bits everywhere.
 */
#ifndef BTGET_STORE_FILES_H
#define BTGET_STORE_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/bitfield.h"
#include "base/error.h"

struct files;
struct folder;
struct layout;

enum files_allocation {
	FILES_NONE,	/* files grow as they are written; space not checked */
	FILES_SPARSE,	/* at full size at once, with holes; FILES_FULL on a
			 * disk that has none (folder_lacks_holes) */
	FILES_FULL,	/* every block reserved before the first byte */
};

struct fdbudget;

struct files_options {
	enum files_allocation allocation;
	size_t max_open;	/* descriptors at once, at least 1 */
	struct fdbudget *budget;	/* shared with others, or NULL */
	const char *id;		/* info hash in hex: names the side file */
	bool side_as_left;	/* use a side file as it is kept, be it for
				 * another kind of disk */
};

struct files *files_open(const struct layout *l, const struct folder *dir,
			 const struct files_options *o, struct error *e);
void files_free(struct files *f);	/* does not sync */

const struct layout *files_layout(const struct files *f);

/* Its disk has none: what is written far behind a file's end takes long. */
bool files_lacks_holes(const struct files *f);
/* Nothing of the torrent is on disk (as of files_open). */
bool files_fresh(const struct files *f);
/* There is nothing under its name, or but an empty file or folder, now. */
bool files_bare(struct files *f);
/* DIR/NAME is used: there when we started, or finished since. */
bool files_in_place(struct files *f);
/* A NAME.part lies beside a DIR/NAME that was there: worth a warning. */
bool files_leftover(const struct files *f);

/* What is to be written, and to the same disk by others. */
struct files_room {
	uint64_t missing;	/* bytes that are not verified */
	uint64_t others;
	uint64_t need;		/* set: what it will take beside what it has;
				 * 0 with FILES_NONE, which is not checked */
	bool taken;		/* set: but for others it would fit */
	int64_t until;		/* leaves off then, as if it was stopped, and
				 * goes on with the next call; 0: never */
};

/* Before the first write: checks whether the disk takes files of such sizes,
 * and the free space (but for FILES_NONE), and with FILES_FULL reserves it;
 * `stop` (may be NULL) ends that early with ERROR_STOPPED. */
int files_prepare(struct files *f, struct files_room *room,
		  const _Atomic bool *stop, struct error *e);

/* What is free beside what others have been promised and what the wanted files
 * will take, of which no more than `missing` is yet to come; UINT64_MAX where
 * the disk does not tell. */
uint64_t files_room_left(struct files *f, uint64_t missing, uint64_t others);

/*
 * How a buffer for files_read is to be aligned.  Where the first byte lies up
 * to 31 bytes further in its page than in the file's page, the kernel's copy
 * takes four times as long on AMD's processors (Zen 3 and later); and malloc
 * puts large buffers 16 bytes into a page.
 */
#define FILES_ALIGN 64

/* Both read or write all n bytes or fail. */
int files_read(struct files *f, uint64_t offset, void *buf, size_t n,
	       struct error *e);
int files_write(struct files *f, uint64_t offset, const void *buf, size_t n,
		struct error *e);

/* Neighbours in the stream, written in as few calls as there are files. */
int files_writev(struct files *f, uint64_t offset, const struct iovec *iov,
		 size_t count, struct error *e);

/* Writes what the side file has of these bytes of the stream, which lie in
 * one file; nothing where it does not have them. */
int files_take_side(struct files *f, uint64_t offset, uint64_t n,
		    struct error *e);

/* One step of sending to a non-blocking socket, from the page cache: the
 * bytes that went (at most n, perhaps fewer), 0 when the socket takes none
 * now, -1 with ERROR_NETWORK (the socket's fault) or another kind. */
ssize_t files_send(struct files *f, int socket, uint64_t offset, size_t n,
		   struct error *e);

/* Puts all that was written before the call on stable storage, names too,
 * and makes sure that it is still there.  Safe beside writers; calls of
 * several threads follow one another.  After a failure all later ones fail:
 * what the disk has is then unknown, and what the kernel still has of it in
 * memory is dropped, so that the next run reads the disk. */
int files_sync(struct files *f, struct error *e);

/* Has the kernel begin to write what was written so far, so that files_sync
 * finds less to do: some files with each call.  Nothing is promised. */
void files_push(struct files *f);

/* Drops what the kernel has of the data in memory and need not write. */
void files_drop_cached(struct files *f);

/* These bytes were on the disk before this run and are right: files_sync
 * syncs their files too, for whoever wrote them may have died before. */
void files_found(struct files *f, uint64_t offset, uint64_t n);

/*
 * Before files_finish: the files that are not wanted, and of which `have`
 * (verified pieces) lacks something, go to DIR/.btget/INFOHASH.aside/, that
 * nobody takes them for finished.  Where DIR/NAME is used, which may hold
 * what is not ours, only those of `begun` (by file) do.  Folders that are
 * empty then are removed.  Size and time stay, so that what a state says of a
 * file holds on.
 */
int files_set_aside(struct files *f, const struct bitfield *have,
		    const struct bitfield *begun, struct error *e);
bool files_is_aside(struct files *f, size_t file);

/* All is verified: makes empty files, cuts what is too long, syncs, and
 * renames NAME.part to NAME (never over something that has data).  May be
 * called again.  Needs files that are complete: one that is missing is an
 * error.  Empty files can be many: where *stop becomes true among them,
 * ERROR_STOPPED. */
int files_finish(struct files *f, const _Atomic bool *stop, struct error *e);

/* How a file looks now; the side file has the index layout_count. */
struct files_stamp {
	bool there;
	uint64_t size;
	int64_t mtime_ns;
};

int files_stamp(struct files *f, size_t file, struct files_stamp *out,
		struct error *e);

/* Was it written to since this was asked last? */
bool files_touched(struct files *f, size_t file);

/* Before files_finish: sets in `pieces` those that may not have on the disk
 * what was written.  They have a hole; or two kept files are one there, or may
 * be (links, or a disk that takes two names for one). */
int files_inspect(struct files *f, struct bitfield *pieces, struct error *e);

enum files_presence {
	FILES_ABSENT,	/* a byte of it at least is not on disk */
	FILES_HOLE,	/* nothing but holes and padding: zeros */
	FILES_DATA,	/* worth reading */
};

/* What a part of the stream has on disk, without reading it. */
enum files_presence files_presence(struct files *f, uint64_t offset,
				   uint64_t n);
/* The same; `whole`: it is data, and no hole is in it but padding. */
enum files_presence files_presence_whole(struct files *f, uint64_t offset,
					 uint64_t n, bool *whole);

/* Tells the kernel that this will be read soon; the first few files of it. */
void files_readahead(struct files *f, uint64_t offset, uint64_t n);

#endif
