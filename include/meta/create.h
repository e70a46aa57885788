/*
 * create: writes a .torrent out of its parts.
 *
 * Reading and hashing the files is the business of session/maker; this is
 * pure.  v1 only.  Everything is borrowed for the call.
 *
 * Source: BEP 3, 12, 19, 27, 47.
 */
#ifndef BTGET_META_CREATE_H
#define BTGET_META_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "meta/metainfo.h"

struct create_file {
	const char *path;	/* components joined by '/' */
	uint64_t length;
	bool executable;
};

struct create {
	const char *name;
	bool multi;		/* otherwise there is one file: `name` */
	bool private;
	uint32_t piece_length;
	const struct create_file *files;
	size_t file_count;
	const uint8_t *pieces;	/* 20 bytes a piece */
	size_t piece_count;

	const struct metainfo_tracker *trackers;	/* tiers ascending */
	size_t tracker_count;
	const char *const *web_seeds;
	size_t web_seed_count;
	const char *comment;	/* this and the next may be NULL */
	const char *source;
	const char *created_by;
	int64_t creation_date;	/* -1: none */
};

/* Appends the torrent; fails on parts that do not fit one another
 * (ERROR_INTERNAL), and if the buffer does. */
int create_write(const struct create *c, struct buffer *out,
		 struct error *e);

/* A power of two, 16 KiB to 16 MiB, for some 2000 pieces at most. */
uint32_t create_piece_length(uint64_t length);

#endif
