#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/control/listener.h"

static char folder[64], path[100];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/batchd-listener-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/s", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static int open_at(const char *at, mode_t mode, struct bd_listener *ret_listener, struct bd_error *error)
{
	struct bd_listener_options options = { .path = at, .mode = mode };
	return bd_listener_open(&options, ret_listener, error);
}

static int bind_socket(int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void socket_file_has_its_mode_and_goes_with_the_listener(void **state)
{
	(void)state;
	struct bd_listener listener;
	struct stat status;
	assert_int_equal(open_at(path, 0606, &listener, NULL), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0606);
	assert_int_equal(fcntl(listener.fd, F_GETFD), FD_CLOEXEC);
	bd_listener_close(&listener);
	assert_int_equal(access(path, F_OK), -1);
	bd_listener_close(&listener);
}

static void stale_socket_file_is_replaced(void **state)
{
	(void)state;
	struct bd_listener listener;
	close(bind_socket(SOCK_SEQPACKET));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(open_at(path, 0600, &listener, NULL), 0);
	bd_listener_close(&listener);
}

static void live_listener_is_eaddrinuse_and_stays(void **state)
{
	(void)state;
	struct bd_listener first, second;
	struct bd_error error;
	assert_int_equal(open_at(path, 0600, &first, NULL), 0);
	assert_int_equal(open_at(path, 0600, &second, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "another process listens there"));
	assert_int_equal(access(path, F_OK), 0);
	bd_listener_close(&first);
}

static void listener_of_another_type_is_eaddrinuse(void **state)
{
	(void)state;
	struct bd_listener listener;
	int fd = bind_socket(SOCK_STREAM);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(open_at(path, 0600, &listener, NULL), -EADDRINUSE);
	close(fd);
}

static void file_that_is_no_socket_is_eexist_and_stays(void **state)
{
	(void)state;
	struct bd_listener listener;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(open_at(path, 0600, &listener, NULL), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
}

static void file_of_a_successor_is_not_removed(void **state)
{
	(void)state;
	struct bd_listener first, second;
	assert_int_equal(open_at(path, 0600, &first, NULL), 0);
	unlink(path);
	assert_int_equal(open_at(path, 0600, &second, NULL), 0);
	bd_listener_close(&first);
	assert_int_equal(access(path, F_OK), 0);
	bd_listener_close(&second);
}

static void path_that_does_not_fit_is_enametoolong(void **state)
{
	(void)state;
	char name[300];
	struct bd_listener listener;
	snprintf(name, sizeof name, "%s/%0200d", folder, 0);
	assert_int_equal(open_at(name, 0600, &listener, NULL), -ENAMETOOLONG);
}

static void missing_folder_is_enoent(void **state)
{
	(void)state;
	struct bd_listener listener;
	assert_int_equal(open_at("/nonexistent/s", 0600, &listener, NULL), -ENOENT);
}

static void only_a_listening_seqpacket_socket_is_adopted(void **state)
{
	(void)state;
	struct bd_listener listener;
	int fd = bind_socket(SOCK_SEQPACKET), pipes[2];
	assert_int_equal(bd_listener_adopt(fd, &listener, NULL), -EINVAL);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(bd_listener_adopt(fd, &listener, NULL), 0);
	bd_listener_close(&listener);
	assert_int_equal(access(path, F_OK), 0); /* the service manager's file */
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(bd_listener_adopt(pipes[0], &listener, NULL), -EINVAL);
	assert_int_equal(bd_listener_adopt(-1, &listener, NULL), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}

static void only_a_connected_seqpacket_socket_is_a_peer(void **state)
{
	(void)state;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(bd_listener_check_peer(pair[0], NULL), 0);
	assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(bd_listener_check_peer(pair[0], NULL), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bd_listener_check_peer(fd, NULL), -EINVAL);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(socket_file_has_its_mode_and_goes_with_the_listener),
		TEST(stale_socket_file_is_replaced),
		TEST(live_listener_is_eaddrinuse_and_stays),
		TEST(listener_of_another_type_is_eaddrinuse),
		TEST(file_that_is_no_socket_is_eexist_and_stays),
		TEST(file_of_a_successor_is_not_removed),
		TEST(path_that_does_not_fit_is_enametoolong),
		TEST(missing_folder_is_enoent),
		TEST(only_a_listening_seqpacket_socket_is_adopted),
		TEST(only_a_connected_seqpacket_socket_is_a_peer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
