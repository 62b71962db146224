#include "daemon/control/peer.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers of Debian 12 (Linux 6.1) do not name it yet. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* Linux allows 65536 supplementary groups (NGROUPS_MAX). */
#define GROUPS_MAX_BYTES (65536 * sizeof(gid_t))

static int read_groups(int socket, struct bd_peer *peer, struct bd_error *error)
{
	socklen_t bytes = 64 * sizeof(gid_t);
	for (;;) {
		gid_t *groups = malloc(bytes);
		if (!groups)
			return bd_error_set(error, -ENOMEM, "no memory for the peer's groups");
		socklen_t length = bytes;
		if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &length) == 0) {
			peer->groups = groups;
			peer->group_count = length / sizeof(gid_t);
			return 0;
		}
		int code = -errno;
		free(groups);
		if (code == -ENODATA || code == -ENOPROTOOPT) /* none recorded: the primary group alone counts */
			return 0;
		if (code != -ERANGE || length <= bytes || length > GROUPS_MAX_BYTES)
			return bd_error_set(error, code, "cannot read the peer's groups: %s", strerror(-code));
		bytes = length;
	}
}

static int open_pidfd(int socket, struct bd_peer *peer)
{
	socklen_t length = sizeof peer->pidfd;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &peer->pidfd, &length) == 0)
		return 0;
	peer->pidfd = -1;
	if (errno == ESRCH || errno == EINVAL) /* dead and reaped before we asked */
		return -ESRCH;
	if (peer->pid <= 0)
		return 0;
	int fd = (int)syscall(SYS_pidfd_open, peer->pid, 0);
	if (fd >= 0)
		peer->pidfd = fd;
	return fd < 0 && errno == ESRCH ? -ESRCH : 0;
}

int bd_peer_init(struct bd_peer *ret_peer, int socket, struct bd_error *error)
{
	struct ucred credentials;
	socklen_t length = sizeof credentials;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
		int code = -errno;
		return bd_error_set(error, code, "cannot read the peer's credentials: %s", strerror(-code));
	}
	struct bd_peer peer = { .pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid, .pidfd = -1 };
	int result = read_groups(socket, &peer, error);
	if (result == 0) {
		result = open_pidfd(socket, &peer);
		if (result < 0)
			bd_error_set(error, result, "process %d is gone already", (int)peer.pid);
	}
	if (result < 0) {
		bd_peer_finish(&peer);
		return result;
	}
	*ret_peer = peer;
	return 0;
}

void bd_peer_finish(struct bd_peer *peer)
{
	free(peer->groups);
	if (peer->pidfd >= 0)
		close(peer->pidfd);
	*peer = (struct bd_peer){ .pidfd = -1 };
}

int bd_peer_copy(const struct bd_peer *peer, struct bd_peer *ret_copy)
{
	struct bd_peer copy = *peer;
	copy.pidfd = -1;
	copy.groups = NULL;
	if (peer->group_count) {
		copy.groups = malloc(peer->group_count * sizeof *copy.groups);
		if (!copy.groups)
			return -ENOMEM;
		memcpy(copy.groups, peer->groups, peer->group_count * sizeof *copy.groups);
	}
	*ret_copy = copy;
	return 0;
}

bool bd_peer_in_group(const struct bd_peer *peer, gid_t group)
{
	if (peer->gid == group)
		return true;
	for (size_t i = 0; i < peer->group_count; i++)
		if (peer->groups[i] == group)
			return true;
	return false;
}

void bd_user_name(uid_t uid, char *ret_name, size_t size)
{
	char buffer[4096];
	struct passwd entry, *found = NULL;
	if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found)
		snprintf(ret_name, size, "%s", entry.pw_name);
	else
		snprintf(ret_name, size, "%u", (unsigned)uid);
}
