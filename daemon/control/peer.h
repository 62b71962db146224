/*
 * peer.h - who is at the other end of a Unix socket, as the kernel says it.
 *
 * Credentials are those of the process that called connect() or socketpair(), fixed at that moment: user and group by
 * SO_PEERCRED, supplementary groups by SO_PEERGROUPS (no look into /proc, so no race with a process number that is used
 * again, and it works under ProtectProc=invisible). The pidfd (SO_PEERPIDFD of Linux 6.5, else pidfd_open) becomes readable
 * when that process is dead, which the socket does not tell while a forked child keeps its end open.
 */
#ifndef BD_CONTROL_PEER_H
#define BD_CONTROL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <batchd/error.h>

struct bd_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary, owned */
	size_t group_count;
	int pidfd; /* owned; -1 where the peer lives in another PID namespace or the kernel has none */
};

/* -ESRCH where the peer is dead already. The caller owes bd_peer_finish only on 0. */
BD_MUST_CHECK int bd_peer_init(struct bd_peer *ret_peer, int socket, struct bd_error *error);
void bd_peer_finish(struct bd_peer *peer);

/* A copy without the pidfd, for work on another thread. -ENOMEM. */
BD_MUST_CHECK int bd_peer_copy(const struct bd_peer *peer, struct bd_peer *ret_copy);

/* As effective or supplementary group at the time of connecting. */
bool bd_peer_in_group(const struct bd_peer *peer, gid_t group);

/* The user's name, or its number as text where the host knows no name. May ask a directory server: not on the loop. */
void bd_user_name(uid_t uid, char *ret_name, size_t size);

#endif
