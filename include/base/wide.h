/*
 * wide: sizes of files and times have 64 bits, also where a long has 32.
 *
 * The compiler is told to begin each file with this (Makefile), since it
 * must come before the first header of the system.
 */
#ifndef BTGET_BASE_WIDE_H
#define BTGET_BASE_WIDE_H

#ifndef __LP64__
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#ifndef _TIME_BITS
#define _TIME_BITS 64
#endif
#endif

#endif
