#include "daemon/control/metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/test.h"

static char *text_of(void *context)
{
	return strdup(context);
}

/* One that was free a moment ago. */
static unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static int connect_to(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons((uint16_t)port),
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static void ask(uv_loop_t *loop, int fd, const char *request, char *ret_answer, size_t room)
{
	ssize_t length = 0;
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	for (int i = 0; i < 5000 && (length = recv(fd, ret_answer, room - 1, MSG_DONTWAIT)) < 0; i++) {
		uv_run(loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	ret_answer[length > 0 ? length : 0] = 0;
	close(fd);
}

static void figures_are_served_and_nothing_else(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct bd_metrics_http *http;
	char listen[64], answer[4096], text[] = "batchd_up 1\n";
	unsigned port = free_port();
	uv_loop_init(&loop);
	snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
	assert_int_equal(bd_metrics_http_create(&loop, listen, text_of, text, &http, NULL), 0);
	ask(&loop, connect_to(port), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
	assert_non_null(strstr(answer, "200 OK"));
	ask(&loop, connect_to(port), "GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
	assert_non_null(strstr(answer, "404"));
	ask(&loop, connect_to(port), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", answer,
	    sizeof answer);
	assert_non_null(strstr(answer, "405"));
	bd_metrics_http_destroy(http);
	uv_run(&loop, UV_RUN_DEFAULT);
	/* connections that this side has closed linger; the daemon that follows gets the port all the same */
	assert_int_equal(bd_metrics_http_create(&loop, listen, text_of, text, &http, NULL), 0);
	bd_metrics_http_destroy(http);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* Else a collector would get the figures of now one, now the other. */
static void port_of_another_daemon_is_refused(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct bd_metrics_http *http, *second;
	struct bd_error error = { 0 };
	char listen[64], text[] = "";
	uv_loop_init(&loop);
	snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
	assert_int_equal(bd_metrics_http_create(&loop, listen, text_of, text, &http, NULL), 0);
	assert_int_equal(bd_metrics_http_create(&loop, listen, text_of, text, &second, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "cannot listen on 127.0.0.1:"));
	assert_non_null(strstr(error.text, strerror(EADDRINUSE)));
	bd_metrics_http_destroy(http);
	uv_run(&loop, UV_RUN_DEFAULT);
	/* and taken again at once by a daemon that follows */
	assert_int_equal(bd_metrics_http_create(&loop, listen, text_of, text, &http, NULL), 0);
	bd_metrics_http_destroy(http);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void an_ipv6_port_is_served(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct bd_metrics_http *http;
	struct bd_error error = { 0 };
	char listen[64], answer[4096], text[] = "batchd_up 1\n";
	unsigned port = free_port();
	uv_loop_init(&loop);
	snprintf(listen, sizeof listen, "[::1]:%u", port);
	int result = bd_metrics_http_create(&loop, listen, text_of, text, &http, &error);
	if (result == -EADDRNOTAVAIL || result == -EAFNOSUPPORT) {
		uv_loop_close(&loop);
		print_message("skipped: this host has no IPv6 loopback\n");
		skip();
	}
	assert_int_equal(result, 0);
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
		                        .sin6_port = htons((uint16_t)port),
		                        .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	ask(&loop, fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", answer, sizeof answer);
	assert_non_null(strstr(answer, "200 OK"));
	bd_metrics_http_destroy(http);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_served_and_nothing_else),
		cmocka_unit_test(an_ipv6_port_is_served),
		cmocka_unit_test(port_of_another_daemon_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
