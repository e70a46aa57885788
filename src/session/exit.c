#include "session/exit.h"

int
exit_merge(int a, int b)
{
	if (a == EXIT_COMPLETE)
		return b;
	if (b == EXIT_COMPLETE)
		return a;
	if (a == EXIT_INTERNAL)
		return b;
	if (b == EXIT_INTERNAL)
		return a;
	return a < b ? a : b;
}

int
exit_for(enum error_kind kind)
{
	switch (kind) {
	case ERROR_NONE:
		return EXIT_COMPLETE;
	case ERROR_USAGE:
		return EXIT_USAGE;
	case ERROR_TORRENT:
		return EXIT_TORRENT;
	case ERROR_STORAGE:
		return EXIT_STORAGE;
	case ERROR_NETWORK:
		return EXIT_NO_PEERS;
	case ERROR_DATA:
	case ERROR_STOPPED:
		return EXIT_INCOMPLETE;
	case ERROR_LOCKED:
		return EXIT_LOCKED;
	case ERROR_INTERNAL:
	case ERROR_PROTOCOL:
		break;
	}
	return EXIT_INTERNAL;
}
