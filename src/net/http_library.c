#include "http_library.h"

#include <dlfcn.h>
#include <stdbool.h>

#include "base/sync.h"

#define LIBRARY "libcurl.so.4"

struct http_library curl;

/* A process has one libcurl: so these are the process's, too. */
static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER};
static bool loaded;	/* lock */

/* As POSIX has it: dlsym's word is written as if it were to data. */
#define FIND(call) \
	*(void **)&found.call = dlsym(library, "curl_" #call); \
	whole = whole && found.call;

/* Fills the table, or leaves it as it was. */
static int
find_calls(void *library, struct error *e)
{
	struct http_library found;
	bool whole = true;
	CURLcode code;

	HTTP_LIBRARY_CALLS(FIND)
	if (!whole)
		return error_set(e, ERROR_INTERNAL, "libcurl is too old");
	code = found.global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
		return error_set(e, ERROR_INTERNAL, "cannot set up libcurl: %s",
				 found.easy_strerror(code));
	curl = found;
	return 0;
}

/* What is loaded stays for as long as the process does. */
static int
load(struct error *e)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	/* The lock keeps others away from dlerror's text. */
	if (!library)
		return error_set(e, ERROR_INTERNAL, "cannot load libcurl: %s",
				 dlerror()); /* NOLINT(concurrency-mt-unsafe) */
	if (find_calls(library, e) == 0)
		return 0;
	dlclose(library);
	return -1;
}

/* Who comes while it is loaded waits for it. */
int
http_library_load(struct error *e)
{
	int rc = 0;

	mutex_lock(&lock);
	if (!loaded)
		rc = load(e);
	loaded = rc == 0;
	mutex_unlock(&lock);
	return rc;
}
