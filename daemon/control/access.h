/*
 * access.h - may this peer read that file? Answered as the kernel would answer the peer itself.
 *
 * Why: the daemon often may read more than its clients. A client that names a dataset by its path must be able to read
 * the dataset file and every shard with its own user and groups: search permission on each folder of the way, read
 * permission on the file, POSIX ACLs included, symbolic links followed step by step as the peer would follow them.
 *
 * Races: the way is walked with O_PATH descriptors, so that what is checked is what is opened; a folder or link that is
 * swapped meanwhile leads at most to another file that was checked, too. struct bd_file_identity lets whoever opens the same
 * path later make sure that it is still that file.
 * Only regular files and folders are accepted: a FIFO or a device could hang a reader.
 * Threads: a walk belongs to one thread; it may wait for a disk: not on the loop.
 */
#ifndef BD_CONTROL_ACCESS_H
#define BD_CONTROL_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <batchd/error.h>

#include "daemon/control/peer.h"
#include "daemon/data/pipeline.h"

/* Files of one folder are often asked for one after the other: the folder that was walked last is kept. */
struct bd_access_walk {
	const struct bd_peer *peer; /* borrowed; NULL: whatever the daemon itself may read */
	char *folder;
	int folder_fd;
};

void bd_access_walk_init(struct bd_access_walk *walk, const struct bd_peer *peer);
void bd_access_walk_finish(struct bd_access_walk *walk);

/*
 * Opens the regular file `path` (absolute) for reading as `walk->peer` may. ret_fd or ret_identity may be NULL.
 * Returns 0, -EACCES with the folder or file that refuses, -ENOENT, -ELOOP, -EINVAL (relative, no regular file), or what
 * the daemon's own open says.
 */
BD_MUST_CHECK int bd_access_open(struct bd_access_walk *walk, const char *path, int *ret_fd, struct bd_file_identity *ret_identity,
                                 struct bd_error *error);

/* Opens the folder `path` (absolute) for listing as `walk->peer` may. Errors like bd_access_open; -ENOTDIR. */
BD_MUST_CHECK int bd_access_open_folder(struct bd_access_walk *walk, const char *path, int *ret_fd, struct bd_error *error);

/* Whether `walk->peer` can see that there is something at `path` (absolute), symbolic links followed: 0, -ENOENT, or -EACCES: it may not know. */
BD_MUST_CHECK int bd_access_look(struct bd_access_walk *walk, const char *path, struct bd_error *error);

/* Permission bits (4 read, 2 write, 1 search) that mode, owner and ACL give the peer; exposed for tests. `acl` is the value of system.posix_acl_access, or NULL. */
unsigned bd_access_bits(const struct bd_peer *peer, uid_t owner, gid_t group, mode_t mode, const void *acl, size_t acl_bytes);

/* An `allow:` list of the configuration: users and groups by number. */
struct bd_access_list {
	bool restricted; /* false: everyone who may connect */
	uid_t *users;
	size_t user_count;
	gid_t *groups;
	size_t group_count;
};

/* Whether the list is unrestricted, or names the peer's user or one of its groups. */
bool bd_access_list_allows(const struct bd_access_list *list, const struct bd_peer *peer);
void bd_access_list_finish(struct bd_access_list *list);

#endif
