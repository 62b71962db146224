#include "common/base/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int bd_descriptor_take(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int code = errno;
	close(fd);
	errno = code;
	return moved;
}
