#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Tries of a free temporary name: each draws 6 characters anew, so that a second collision already means a hostile folder. */
#define TEMPORARY_SUFFIX ".XXXXXX"

int bd_file_read_full(int fd, void *buffer, size_t bytes, uint64_t offset, size_t *ret_bytes, struct bd_error *error)
{
	size_t done = 0;
	while (done < bytes) {
		ssize_t got = pread(fd, (char *)buffer + done, bytes - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return bd_error_set(error, -errno, "read of %zu bytes at byte %llu: %s", bytes, (unsigned long long)offset,
			                    strerror(errno));
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*ret_bytes = done;
	return 0;
}

/* Reads a descriptor of unknown length to its end. */
static int read_to_end(int fd, size_t limit_bytes, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	size_t room = 0, length = 0;
	uint8_t *bytes = NULL;
	int result = 0;
	for (;;) {
		if (length + 1 >= room) {
			room = room ? 2 * room : 65536;
			uint8_t *larger = realloc(bytes, room);
			if (!larger) {
				result = bd_error_set(error, -ENOMEM, "no memory for %zu bytes", room);
				break;
			}
			bytes = larger;
		}
		ssize_t got = read(fd, bytes + length, room - length - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			result = bd_error_set(error, -errno, "cannot read: %s", strerror(errno));
			break;
		}
		if (got == 0)
			break;
		length += (size_t)got;
		if (length > limit_bytes) {
			result = bd_error_set(error, -EFBIG, "larger than %zu bytes", limit_bytes);
			break;
		}
	}
	if (result) {
		free(bytes);
		return result;
	}
	bytes[length] = 0;
	*ret_bytes = bytes;
	*ret_length = length;
	return 0;
}

int bd_file_read_all(const char *path, size_t limit_bytes, uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	bool standard_input = !strcmp(path, "-");
	int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return bd_error_set(error, -errno, "%s: cannot open: %s", path, strerror(errno));
	int result = read_to_end(fd, limit_bytes, ret_bytes, ret_length, error);
	if (result)
		bd_error_prefix(error, "%s", standard_input ? "standard input" : path);
	if (!standard_input)
		close(fd);
	return result;
}

int bd_write_full(int fd, const void *bytes, size_t length, struct bd_error *error)
{
	for (size_t done = 0; done < length;) {
		ssize_t wrote = write(fd, (const char *)bytes + done, length - done);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return bd_error_set(error, -errno, "cannot write: %s", strerror(errno));
		done += (size_t)wrote;
	}
	return 0;
}

/* A copy of the descriptor, so that the end of the output leaves stdout open. */
static int open_standard_output(struct bd_output *ret_output, struct bd_error *error)
{
	struct bd_output output = { .path = strdup("standard output") };
	int fd = output.path ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
	output.stream = fd < 0 ? NULL : fdopen(fd, "w");
	if (output.stream) {
		*ret_output = output;
		return 0;
	}
	int code = -errno;
	if (fd >= 0)
		close(fd);
	free(output.path);
	return bd_error_set(error, code, "standard output: cannot write: %s", strerror(-code));
}

int bd_output_open(struct bd_output *ret_output, const char *path, bool force, struct bd_error *error)
{
	if (!strcmp(path, "-"))
		return open_standard_output(ret_output, error);
	if (!force && access(path, F_OK) == 0)
		return bd_error_set(error, -EEXIST, "%s: is there already; --force replaces it", path);
	struct bd_output output = { .path = strdup(path), .replace = force };
	size_t size = strlen(path) + sizeof TEMPORARY_SUFFIX;
	output.temporary = malloc(size);
	if (!output.path || !output.temporary) {
		free(output.path);
		free(output.temporary);
		return bd_error_set(error, -ENOMEM, "%s: no memory", path);
	}
	snprintf(output.temporary, size, "%s%s", path, TEMPORARY_SUFFIX);
	int fd = mkostemp(output.temporary, O_CLOEXEC);
	int code = -errno;
	if (fd >= 0) {
		mode_t mask = umask(0);
		umask(mask);
		fchmod(fd, 0666 & ~mask);
		output.stream = fdopen(fd, "w");
		code = -errno;
		if (!output.stream) {
			close(fd);
			unlink(output.temporary);
		}
	}
	if (!output.stream) {
		free(output.path);
		free(output.temporary);
		return bd_error_set(error, code, "%s: cannot create: %s", path, strerror(-code));
	}
	*ret_output = output;
	return 0;
}

/* The rename is on disk only when its folder is. A folder that cannot be synced (some network file systems) is no failure of the data. */
static void sync_folder(const char *path)
{
	char *folder = bd_path_folder(path);
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

/* Without `replace` a name that appeared since the open wins: link refuses where rename would overwrite. */
static int publish(const struct bd_output *output)
{
	if (output->replace)
		return rename(output->temporary, output->path) ? -errno : 0;
	if (link(output->temporary, output->path) == 0) {
		unlink(output->temporary);
		return 0;
	}
	if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
		return rename(output->temporary, output->path) ? -errno : 0;
	return -errno;
}

int bd_output_commit(struct bd_output *output, struct bd_error *error)
{
	int result = 0;
	bool file = output->temporary;
	if (fflush(output->stream) != 0 || ferror(output->stream) || (file && fsync(fileno(output->stream)) != 0))
		result = errno ? -errno : -EIO;
	if (fclose(output->stream) != 0 && !result)
		result = -errno;
	output->stream = NULL;
	if (!result && file)
		result = publish(output);
	if (result)
		bd_error_set(error, result, "%s: cannot write: %s", output->path, strerror(-result));
	else if (file)
		sync_folder(output->path);
	if (result && file)
		unlink(output->temporary);
	free(output->path);
	free(output->temporary);
	*output = (struct bd_output){ 0 };
	return result;
}

void bd_output_abandon(struct bd_output *output)
{
	if (output->stream) {
		fclose(output->stream);
		if (output->temporary)
			unlink(output->temporary);
	}
	free(output->path);
	free(output->temporary);
	*output = (struct bd_output){ 0 };
}

bool bd_code_is_of_path(int code)
{
	switch (code < 0 ? -code : code) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case EACCES:
	case EPERM:
	case ELOOP:
	case ENAMETOOLONG:
	case ENXIO:
	case ENODEV:
	case EFBIG:
	case EOVERFLOW:
		return true;
	default:
		return false;
	}
}

char *bd_path_join(const char *folder, const char *name)
{
	if (name[0] == '/')
		return strdup(name);
	size_t size = strlen(folder) + strlen(name) + 2;
	char *path = malloc(size);
	if (path)
		snprintf(path, size, "%s%s%s", folder, folder[0] && folder[strlen(folder) - 1] != '/' ? "/" : "", name);
	return path;
}

char *bd_path_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *bd_path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int bd_make_folders(const char *path, mode_t mode, struct bd_error *error)
{
	char *partial = strdup(path);
	if (!partial)
		return bd_error_set(error, -ENOMEM, "%s: no memory", path);
	int result = 0;
	for (char *c = partial + 1; !result; c++) {
		if (*c != '/' && *c != 0)
			continue;
		char kept = *c;
		*c = 0;
		struct stat status;
		if (mkdir(partial, mode) != 0 && (errno != EEXIST || stat(partial, &status) != 0 || !S_ISDIR(status.st_mode)))
			result = bd_error_set(error, errno == EEXIST ? -ENOTDIR : -errno, "%s: cannot create the folder: %s",
			                      partial, strerror(errno == EEXIST ? ENOTDIR : errno));
		*c = kept;
		if (!kept)
			break;
	}
	free(partial);
	return result;
}
