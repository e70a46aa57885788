#include "net/nameserver.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 512
#define LINES_MAX 1024
#define PORT 53

static bool
take_line(char *line, struct addr *out)
{
	static const char word[] = "nameserver";
	size_t n = sizeof(word) - 1;

	if (strncmp(line, word, n) != 0 ||
	    (line[n] != ' ' && line[n] != '\t'))
		return false;
	line += n + strspn(line + n, " \t");
	line[strcspn(line, " \t\r\n#;")] = '\0';
	return addr_parse(out, line, PORT);
}

size_t
nameserver_read(const char *path, struct addr out[NAMESERVERS_MAX])
{
	FILE *f = fopen(path, "re");
	char line[LINE_SIZE];
	size_t n = 0;

	if (!f)
		return 0;
	for (int i = 0; i < LINES_MAX && n < NAMESERVERS_MAX &&
			fgets(line, sizeof(line), f); i++)
		n += take_line(line, &out[n]);
	fclose(f);
	return n;
}

bool
nameserver_from(const struct addr *server, struct addr *out)
{
	struct sockaddr_storage sa;
	socklen_t size = addr_to_sockaddr(server, &sa);
	int fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return false;
	found = connect(fd, (struct sockaddr *)&sa, size) == 0;
	size = sizeof(sa);
	found = found && getsockname(fd, (struct sockaddr *)&sa, &size) == 0 &&
		addr_from_sockaddr(out, (struct sockaddr *)&sa);
	close(fd);
	if (found)
		out->port = 0;
	return found;
}
