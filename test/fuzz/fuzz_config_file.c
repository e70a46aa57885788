/* Reads any text as a config file. */
#include <stdlib.h>
#include <string.h>

#include "cli/config_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct options o;
	struct error e;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	error_clear(&e);
	options_init(&o);
	if (config_file_apply(&o, "file", text, size, &e) < 0) {
		/* Each error says where. */
		if (strncmp(e.text, "file:", 5) != 0)
			abort();
	} else if (e.kind != ERROR_NONE) {
		abort();
	}
	options_release(&o);
	free(text);
	return 0;
}
