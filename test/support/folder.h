/*
 * folder: a group of tests in a new folder of its own, where it may give its
 * files any names; they are its to remove.
 *
 *     cmocka_run_group_tests(tests, folder_enter, folder_leave)
 */
#ifndef BTGET_TEST_FOLDER_H
#define BTGET_TEST_FOLDER_H

#include <stdlib.h>
#include <unistd.h>

static char folder_path[] = "/tmp/btget-test-XXXXXX";

static inline int
folder_enter(void **state)
{
	(void)state;
	return mkdtemp(folder_path) ? chdir(folder_path) : -1;
}

static inline int
folder_leave(void **state)
{
	(void)state;
	return chdir("/") < 0 ? -1 : rmdir(folder_path);
}

#endif
