/*
 * blaster: a seeder and a leech.
 *
 *   blaster seed  hash= length= piece= port= [data=] [host= peers=]
 *                 [rate=] [delay=]
 *   blaster leech hash= length= piece= host= port= connections= inflight=
 *                 bytes= [from=] [data= check=1]
 */
#include "blaster.h"

#include <string.h>

int
main(int argc, char **argv)
{
	struct words w;

	if (argc < 2)
		die("usage: blaster seed|leech NAME=VALUE...");
	words_parse(&w, argc - 2, argv + 2);
	if (w.piece == 0 || w.length == 0 || w.port == 0)
		die("piece=, length= and port= are needed");
	if (strcmp(argv[1], "seed") == 0)
		blaster_seed(&w);
	else if (strcmp(argv[1], "leech") == 0)
		blaster_leech(&w);
	else
		die("neither seed nor leech");
	return 0;
}
