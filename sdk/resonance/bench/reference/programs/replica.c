// SPDX-License-Identifier: MIT
// One replica: a single thread, a queue served first come first served, and no sleep anywhere,
// so that every tail comes from queueing and from the scheduler.
//
//   replica calibrate WORK_NS                    prints how many iterations take so much CPU time
//   replica serve CPU ITERATIONS [CGROUP_DIRECTORY...]    prints its port; CPU -1 for any
//
// Frames of 16 bytes go both ways over persistent TCP. A request is answered exactly once: done,
// or dropped when it was cancelled while it still waited. What is being worked on is finished,
// and a cancellation that finds nothing is not answered, because the answer is already under way.
// Between two requests everything that has come is read, so a queue is in order of arrival.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "bench.h"

#define CONNECTIONS 1024
#define QUEUE (1 << 17)
#define TRIALS 400

enum kind { REQUEST = 1, CANCEL = 2, PROBE = 3, DONE = 4, DROPPED = 5, PROBED = 6 };

struct frame {
	uint32_t kind;
	uint32_t queued; /* PROBED: requests that wait here */
	uint64_t number; /* the sender's; PROBED: what a request takes here, in ns */
};

struct connection {
	char data[1 << 12];
	int bytes;
};

struct waiting {
	int file; /* -1: dropped */
	uint64_t number;
	int64_t since_ns;
};

static struct connection connections[CONNECTIONS];
static struct waiting queue[QUEUE];
static unsigned int head, tail; /* in at the head, out at the tail */
static uint32_t queued;
static double usual_ns;

static void burn(uint64_t iterations)
{
	uint64_t state = iterations;

	for (uint64_t i = 0; i < iterations; i++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		__asm__ volatile("" : "+r"(state));
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

// The quickest of many: whatever else the machine did, it did less of it then.
static int calibrate(int64_t work_ns)
{
	const uint64_t iterations = 200000;
	int64_t least_ns = INT64_MAX;

	for (int i = 0; i < TRIALS; i++) {
		int64_t begun_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), took_ns;

		burn(iterations);
		took_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begun_ns;
		if (took_ns < least_ns)
			least_ns = took_ns;
	}
	printf("%lld\n", (long long)((double)work_ns * iterations / least_ns));
	return 0;
}

static void answer(int file, enum kind kind, uint64_t number, uint32_t waiting)
{
	struct frame frame = { kind, waiting, number };

	if (send(file, &frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame) && errno != EPIPE &&
	    errno != ECONNRESET)
		die("send");
}

static void leave(struct waiting *one)
{
	one->file = -1;
	queued--;
}

static void cancel(int file, uint64_t number)
{
	for (unsigned int i = tail; i != head; i++) {
		struct waiting *one = &queue[i % QUEUE];

		if (one->file == file && one->number == number) {
			leave(one);
			answer(file, DROPPED, number, 0);
			return;
		}
	}
}

static void take(int file, const struct frame *frame)
{
	switch (frame->kind) {
	case REQUEST:
		if (head - tail == QUEUE)
			die("more requests wait than there is room for");
		queue[head++ % QUEUE] = (struct waiting){ file, frame->number, now_ns() };
		queued++;
		break;
	case CANCEL:
		cancel(file, frame->number);
		break;
	case PROBE:
		answer(file, PROBED, (uint64_t)usual_ns, queued);
		break;
	default:
		die("a frame of no known kind");
	}
}

static void forget(int file)
{
	for (unsigned int i = tail; i != head; i++)
		if (queue[i % QUEUE].file == file)
			leave(&queue[i % QUEUE]);
	connections[file].bytes = 0;
	close(file);
}

static void receive(int file)
{
	struct connection *from = &connections[file];
	int used = 0;
	ssize_t got = recv(file, from->data + from->bytes, sizeof(from->data) - from->bytes, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		forget(file);
		return;
	}
	from->bytes += got;
	for (; from->bytes - used >= (int)sizeof(struct frame); used += sizeof(struct frame)) {
		struct frame frame;

		memcpy(&frame, from->data + used, sizeof(frame));
		take(file, &frame);
	}
	from->bytes -= used;
	memmove(from->data, from->data + used, from->bytes);
}

static void greet(int listener, int events)
{
	int file = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = file };

	if (file < 0 || file >= CONNECTIONS)
		die("accept");
	setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (epoll_ctl(events, EPOLL_CTL_ADD, file, &event))
		die("epoll_ctl");
}

static void work_once(uint64_t iterations)
{
	struct waiting one = queue[tail++ % QUEUE];

	if (one.file < 0)
		return;
	burn(iterations);
	queued--;
	usual_ns += 0.2 * (now_ns() - one.since_ns - usual_ns);
	answer(one.file, DONE, one.number, 0);
}

static int serve(uint64_t iterations)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int events = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || events < 0 || bind(listener, (void *)&address, sizeof(address)) ||
	    listen(listener, 128) || getsockname(listener, (void *)&address, &length) ||
	    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event))
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		struct epoll_event ready[128];
		int count = epoll_wait(events, ready, 128, head == tail ? -1 : 0);

		if (count < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (ready[i].data.fd == listener)
				greet(listener, events);
			else
				receive(ready[i].data.fd);
		}
		if (head != tail)
			work_once(iterations);
	}
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc == 3 && !strcmp(argv[1], "calibrate") && atoll(argv[2]) > 0)
		return calibrate(atoll(argv[2]));
	if (argc < 4 || strcmp(argv[1], "serve") || atoll(argv[3]) <= 0) {
		fprintf(stderr, "usage: replica calibrate WORK_NS\n"
				"       replica serve CPU ITERATIONS [CGROUP_DIRECTORY...]\n");
		return 2;
	}
	move_into(argv + 4);
	if (atoi(argv[2]) >= 0)
		pin(atoi(argv[2]));
	return serve(strtoull(argv[3], NULL, 10));
}
