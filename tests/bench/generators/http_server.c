// SPDX-License-Identifier: MIT
// A server whose every answer costs the same, for generators that speak different protocols.
//
//   http_server WORK_NS    prints its port
//
// One thread, and so much CPU time for each request, in order of arrival. A connection whose first
// byte is a letter speaks HTTP/1.1 without bodies; any other sends frames of 16 bytes, which come
// back as they are. In a real-time class, so that what a generator reports too much is its own.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "bench.h"

#define CONNECTIONS 1024
#define FRAME_BYTES 16
#define EVENTS 64

struct connection {
	char data[1 << 14];
	int bytes;
};

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static struct connection connections[CONNECTIONS];
static int64_t work_ns;

// How many bytes the first request has that has come as a whole; 0 if none has.
static int whole(const struct connection *from)
{
	const char *end;

	if (!from->bytes)
		return 0;
	if (!isalpha(from->data[0]))
		return from->bytes >= FRAME_BYTES ? FRAME_BYTES : 0;
	end = memmem(from->data, from->bytes, "\r\n\r\n", 4);
	return end ? end + 4 - from->data : 0;
}

static void serve(int file, struct connection *from)
{
	int bytes;

	while ((bytes = whole(from))) {
		const char *data = isalpha(from->data[0]) ? answer : from->data;
		int length = data == answer ? (int)sizeof(answer) - 1 : FRAME_BYTES;

		work(work_ns);
		if (send(file, data, length, MSG_NOSIGNAL) != length && errno != EPIPE &&
		    errno != ECONNRESET)
			die("send");
		from->bytes -= bytes;
		memmove(from->data, from->data + bytes, from->bytes);
	}
}

static void take(int file)
{
	struct connection *from = &connections[file];
	ssize_t got = recv(file, from->data + from->bytes, sizeof(from->data) - from->bytes, 0);

	if (got <= 0) {
		close(file);
		return;
	}
	from->bytes += got;
	serve(file, from);
}

static void greet(int listener, int poll)
{
	int file = accept4(listener, NULL, NULL, SOCK_CLOEXEC), yes = 1;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = file };

	if (file < 0)
		return;
	if (file >= CONNECTIONS) {
		close(file);
		return;
	}
	connections[file].bytes = 0;
	if (setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) ||
	    epoll_ctl(poll, EPOLL_CTL_ADD, file, &event))
		die("accept");
}

static int listen_anywhere(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, (void *)&address, length) ||
	    listen(listener, CONNECTIONS) || getsockname(listener, (void *)&address, &length))
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS], event = { .events = EPOLLIN };
	int listener, poll = epoll_create1(EPOLL_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 2 || (work_ns = atoll(argv[1])) < 1) {
		fprintf(stderr, "usage: http_server WORK_NS\n");
		return 2;
	}
	listener = event.data.fd = listen_anywhere();
	if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event))
		die("epoll");
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	become_realtime();
	for (;;) {
		int ready = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == listener)
				greet(listener, poll);
			else
				take(events[i].data.fd);
		}
	}
}
