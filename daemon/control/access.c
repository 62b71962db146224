#include "daemon/control/access.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* As many as the kernel follows. */
#define LINKS_MAX 40

#define ACL_BYTES_MAX 8192

enum { READ = 4, SEARCH = 1, EVERYTHING = 7 };

/* ---- permission bits ---- */

/* linux/posix_acl_xattr.h: a version word, then entries; little-endian */
enum { ACL_VERSION = 2, ACL_USER_OBJECT = 1, ACL_USER = 2, ACL_GROUP_OBJECT = 4, ACL_GROUP = 8, ACL_MASK = 16, ACL_OTHER = 32 };
struct acl_entry {
	uint16_t tag, bits;
	uint32_t id;
};

/* acl(5), "access check algorithm". What several groups grant is joined: a request is one kind of access here, never two at once. */
static unsigned acl_bits(const struct bd_peer *peer, uid_t owner, gid_t group, const struct acl_entry *entries, size_t count)
{
	unsigned mask = EVERYTHING, others = 0, in_groups = 0;
	int owner_bits = -1, user_bits = -1;
	bool group_matches = false;
	for (size_t i = 0; i < count; i++) {
		const struct acl_entry *entry = &entries[i];
		switch (entry->tag) {
		case ACL_USER_OBJECT:
			if (peer->uid == owner)
				owner_bits = entry->bits;
			break;
		case ACL_USER:
			if (peer->uid == entry->id)
				user_bits = entry->bits;
			break;
		case ACL_GROUP_OBJECT:
		case ACL_GROUP:
			if (bd_peer_in_group(peer, entry->tag == ACL_GROUP ? entry->id : group)) {
				group_matches = true;
				in_groups |= entry->bits;
			}
			break;
		case ACL_MASK:
			mask = entry->bits;
			break;
		case ACL_OTHER:
			others = entry->bits;
			break;
		default:
			return 0;
		}
	}
	if (owner_bits >= 0)
		return (unsigned)owner_bits & EVERYTHING;
	if (user_bits >= 0)
		return (unsigned)user_bits & mask & EVERYTHING;
	return (group_matches ? in_groups & mask : others) & EVERYTHING;
}

unsigned bd_access_bits(const struct bd_peer *peer, uid_t owner, gid_t group, mode_t mode, const void *acl, size_t acl_bytes)
{
	if (peer->uid == 0)
		return EVERYTHING;
	if (acl) {
		uint32_t version = 0;
		struct acl_entry entries[ACL_BYTES_MAX / sizeof(struct acl_entry)];
		if (acl_bytes < sizeof version || acl_bytes > sizeof entries || (acl_bytes - sizeof version) % sizeof *entries != 0)
			return 0;
		memcpy(&version, acl, sizeof version);
		if (version != ACL_VERSION)
			return 0;
		memcpy(entries, (const char *)acl + sizeof version, acl_bytes - sizeof version);
		return acl_bits(peer, owner, group, entries, (acl_bytes - sizeof version) / sizeof *entries);
	}
	if (peer->uid == owner)
		return mode >> 6 & EVERYTHING;
	return (bd_peer_in_group(peer, group) ? mode >> 3 : mode) & EVERYTHING;
}

/* `fd` may be O_PATH, on which fgetxattr is refused: the name below /proc leads to the same file. */
static unsigned bits_of(const struct bd_peer *peer, int fd, const struct stat *status)
{
	char name[64], acl[ACL_BYTES_MAX];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t bytes = getxattr(name, "system.posix_acl_access", acl, sizeof acl);
	if (bytes < 0 && errno == ERANGE)
		return 0;
	return bd_access_bits(peer, status->st_uid, status->st_gid, status->st_mode, bytes >= 0 ? acl : NULL,
	                      bytes >= 0 ? (size_t)bytes : 0);
}

/* ---- the way to a file ---- */

void bd_access_walk_init(struct bd_access_walk *walk, const struct bd_peer *peer)
{
	*walk = (struct bd_access_walk){ .peer = peer, .folder_fd = -1 };
}

void bd_access_walk_finish(struct bd_access_walk *walk)
{
	free(walk->folder);
	if (walk->folder_fd >= 0)
		close(walk->folder_fd);
	bd_access_walk_init(walk, NULL);
}

static int refused(const struct bd_peer *peer, const char *path, const char *what, struct bd_error *error)
{
	return bd_error_set(error, -EACCES, "%s: user %u may not %s", path, (unsigned)peer->uid, what);
}

struct steps {
	char rest[PATH_MAX]; /* what is still to be walked */
	int links;
	int fd; /* O_PATH, of the folder reached */
	struct stat status; /* of fd */
};

static int move_to(struct steps *steps, int fd, const char *path, struct bd_error *error)
{
	if (fd < 0 || fstat(fd, &steps->status) != 0) {
		int code = -errno;
		if (fd >= 0)
			close(fd);
		return bd_error_set(error, code, "%s: %s", path, strerror(-code));
	}
	if (steps->fd >= 0)
		close(steps->fd);
	steps->fd = fd;
	return 0;
}

/* `link` (O_PATH, of a symbolic link in the folder reached): its target comes before the rest. */
static int follow_link(struct steps *steps, int link, const char *path, struct bd_error *error)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(link, "", target, sizeof target);
	close(link);
	if (length < 0)
		return bd_error_set(error, -errno, "%s: cannot read a symbolic link: %s", path, strerror(errno));
	if (++steps->links > LINKS_MAX)
		return bd_error_set(error, -ELOOP, "%s: too many symbolic links", path);
	size_t rest = strlen(steps->rest);
	if ((size_t)length + 1 + rest >= sizeof steps->rest)
		return bd_error_set(error, -ENAMETOOLONG, "%s: a symbolic link makes the path too long", path);
	memmove(steps->rest + length + 1, steps->rest, rest + 1);
	memcpy(steps->rest, target, (size_t)length);
	steps->rest[length] = '/';
	if (target[0] == '/')
		return move_to(steps, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/", error);
	return 0;
}

/* Takes the first name off the rest; false at its end. Empty names and "." are left out. */
static bool next_name(struct steps *steps, char ret_name[NAME_MAX + 1], bool *ret_too_long)
{
	*ret_too_long = false;
	for (;;) {
		size_t slashes = strspn(steps->rest, "/"), length = strcspn(steps->rest + slashes, "/");
		if (!length)
			return false;
		*ret_too_long = length > NAME_MAX;
		if (*ret_too_long)
			return true;
		memcpy(ret_name, steps->rest + slashes, length);
		ret_name[length] = 0;
		memmove(steps->rest, steps->rest + slashes + length, strlen(steps->rest + slashes + length) + 1);
		if (strcmp(ret_name, ".") != 0)
			return true;
	}
}

/* Walks steps->rest from steps->fd to its end. */
static int walk_rest(const struct bd_peer *peer, struct steps *steps, const char *path, struct bd_error *error)
{
	char name[NAME_MAX + 1];
	bool too_long;
	while (next_name(steps, name, &too_long)) {
		if (too_long)
			return bd_error_set(error, -ENAMETOOLONG, "%s: a name in it is too long", path);
		if (!S_ISDIR(steps->status.st_mode))
			return bd_error_set(error, -ENOTDIR, "%s: '%s' lies below something that is no folder", path, name);
		if (peer && !(bits_of(peer, steps->fd, &steps->status) & SEARCH))
			return refused(peer, path, "enter a folder on the way to it", error);
		int fd = openat(steps->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat status;
		if (fd < 0 || fstat(fd, &status) != 0) {
			int code = -errno;
			if (fd >= 0)
				close(fd);
			return bd_error_set(error, code, "%s: %s", path, strerror(-code));
		}
		int result = S_ISLNK(status.st_mode) ? follow_link(steps, fd, path, error) : move_to(steps, fd, path, error);
		if (result < 0)
			return result;
	}
	return 0;
}

static int walk_from(const struct bd_peer *peer, int from, const char *rest, const char *path, int *ret_fd, struct stat *ret_status,
                     struct bd_error *error)
{
	struct steps steps = { .fd = -1 };
	if ((size_t)snprintf(steps.rest, sizeof steps.rest, "%s", rest) >= sizeof steps.rest)
		return bd_error_set(error, -ENAMETOOLONG, "%.200s...: the path is too long", path);
	int start = from >= 0 ? fcntl(from, F_DUPFD_CLOEXEC, 0) : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = move_to(&steps, start, path, error);
	if (result == 0)
		result = walk_rest(peer, &steps, path, error);
	if (result < 0) {
		if (steps.fd >= 0)
			close(steps.fd);
		return result;
	}
	*ret_fd = steps.fd;
	*ret_status = steps.status;
	return 0;
}

/* Makes walk->folder_fd the folder that `path`, up to its last '/', lies in. */
static int enter_folder(struct bd_access_walk *walk, const char *path, size_t folder_length, struct bd_error *error)
{
	if (walk->folder && strlen(walk->folder) == folder_length && !strncmp(walk->folder, path, folder_length))
		return 0;
	char *folder = strndup(path, folder_length);
	if (!folder)
		return bd_error_set(error, -ENOMEM, "%s: no memory", path);
	int fd;
	struct stat status;
	int result = walk_from(walk->peer, -1, folder, path, &fd, &status, error);
	if (result < 0) {
		free(folder);
		return result;
	}
	const struct bd_peer *peer = walk->peer;
	bd_access_walk_finish(walk);
	*walk = (struct bd_access_walk){ .peer = peer, .folder = folder, .folder_fd = fd };
	return 0;
}

/* Opens for reading what the O_PATH descriptor `fd` stands for. */
static int reopen(int fd, const char *path, int *ret_fd, struct bd_error *error)
{
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	int opened = open(name, O_RDONLY | O_CLOEXEC);
	if (opened < 0) {
		int code = -errno;
		return bd_error_set(error, code, "%s: batchd itself (user %u) cannot read it: %s", path, (unsigned)geteuid(),
		                    strerror(-code));
	}
	*ret_fd = opened;
	return 0;
}

int bd_access_open(struct bd_access_walk *walk, const char *path, int *ret_fd, struct bd_file_identity *ret_identity,
                   struct bd_error *error)
{
	if (path[0] != '/')
		return bd_error_set(error, -EINVAL, "%s: a path for the daemon must be absolute", path);
	size_t folder_length = (size_t)(strrchr(path, '/') - path) + 1;
	int result = enter_folder(walk, path, folder_length, error);
	if (result < 0)
		return result;
	int fd = -1, opened = -1;
	struct stat status = { 0 };
	result = walk_from(walk->peer, walk->folder_fd, path + folder_length, path, &fd, &status, error);
	if (result < 0)
		return result;
	if (!S_ISREG(status.st_mode))
		result = bd_error_set(error, -EINVAL, "%s: %s", path,
		                      S_ISDIR(status.st_mode) ? "is a folder, not a file" : "is no regular file");
	else if (walk->peer && !(bits_of(walk->peer, fd, &status) & READ))
		result = refused(walk->peer, path, "read it", error);
	else
		result = ret_fd ? reopen(fd, path, &opened, error) : 0;
	close(fd);
	if (result < 0)
		return result;
	if (ret_fd)
		*ret_fd = opened;
	if (ret_identity)
		*ret_identity = (struct bd_file_identity){ .device = status.st_dev, .inode = status.st_ino };
	return 0;
}

int bd_access_open_folder(struct bd_access_walk *walk, const char *path, int *ret_fd, struct bd_error *error)
{
	if (path[0] != '/')
		return bd_error_set(error, -EINVAL, "%s: a path for the daemon must be absolute", path);
	int fd = -1, opened = -1;
	struct stat status = { 0 };
	int result = walk_from(walk->peer, -1, path, path, &fd, &status, error);
	if (result < 0)
		return result;
	if (!S_ISDIR(status.st_mode))
		result = bd_error_set(error, -ENOTDIR, "%s: no folder", path);
	else if (walk->peer && !(bits_of(walk->peer, fd, &status) & READ))
		result = refused(walk->peer, path, "list the folder", error);
	else if ((opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		result = bd_error_set(error, -errno, "%s: batchd itself (user %u) cannot list the folder: %s", path,
		                      (unsigned)geteuid(), strerror(errno));
	close(fd);
	if (result == 0)
		*ret_fd = opened;
	return result;
}

int bd_access_look(struct bd_access_walk *walk, const char *path, struct bd_error *error)
{
	if (path[0] != '/')
		return bd_error_set(error, -EINVAL, "%s: a path for the daemon must be absolute", path);
	size_t folder_length = (size_t)(strrchr(path, '/') - path) + 1;
	int fd, result = enter_folder(walk, path, folder_length, error);
	struct stat status;
	if (result == 0)
		result = walk_from(walk->peer, walk->folder_fd, path + folder_length, path, &fd, &status, error);
	if (result == 0)
		close(fd);
	return result;
}

/* ---- allow lists ---- */

bool bd_access_list_allows(const struct bd_access_list *list, const struct bd_peer *peer)
{
	if (!list->restricted || peer->uid == 0)
		return true;
	for (size_t i = 0; i < list->user_count; i++)
		if (list->users[i] == peer->uid)
			return true;
	for (size_t i = 0; i < list->group_count; i++)
		if (bd_peer_in_group(peer, list->groups[i]))
			return true;
	return false;
}

void bd_access_list_finish(struct bd_access_list *list)
{
	free(list->users);
	free(list->groups);
	*list = (struct bd_access_list){ 0 };
}
