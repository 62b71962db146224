#include "common/stream/daemon_socket.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *named_socket(const char *given)
{
	const char *environment = getenv("BATCHD_SOCKET");
	if (given && given[0])
		return given;
	return environment && environment[0] ? environment : NULL;
}

static const char *service_socket(void)
{
	const char *moved = getenv("BATCHD_SERVICE_SOCKET");
	const char *path = moved && moved[0] ? moved : BD_SERVICE_SOCKET;
	return access(path, F_OK) == 0 ? path : NULL;
}

const char *bd_daemon_socket(const char *given)
{
	const char *named = named_socket(given);
	return named ? named : service_socket();
}

/* "cats", but neither "cats.yaml", "./cats", "-" nor a file of that name. */
static bool is_name(const char *dataset)
{
	size_t length = strlen(dataset);
	bool is_yaml = length > 5 && strcmp(dataset + length - 5, ".yaml") == 0;
	return length > 0 && !strchr(dataset, '/') && strcmp(dataset, "-") != 0 && !is_yaml && access(dataset, F_OK) < 0;
}

const char *bd_daemon_socket_of(const char *given, const char *dataset)
{
	const char *named = named_socket(given);
	return named || !dataset || !is_name(dataset) ? named : service_socket();
}
