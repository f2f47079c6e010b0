// SPDX-License-Identifier: MIT
// The reference that the generator is held to: the same schedule, frames and choice of a
// connection, with nothing between them and the kernel.
//
//   generator PORT CONNECTIONS < MOMENTS
//
// Moments are when calls are due: 64-bit nanoseconds from the beginning, as this machine has them.
// Prints lines of a name and numbers: how many calls were planned and answered, the CPU time it
// took, and of response, service and lateness the nanoseconds at p50, p90, p99, p99.9 and the
// highest.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "bench.h"

#define CONNECTIONS 1024
#define TIMEOUT_NS (10 * SECOND_NS)

struct frame {
	uint32_t kind;
	uint32_t zero;
	uint64_t number;
};

struct call {
	int64_t due_ns, sent_ns, ended_ns;
};

static struct pollfd polled[CONNECTIONS];
static int under_way[CONNECTIONS], idle[CONNECTIONS]; /* idle: a ring, the longest idle first */
static unsigned int idle_in, idle_out;
static int connections;
static struct call *calls;
static int64_t count;

static void greet(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int yes = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < connections; i++) {
		int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (file < 0 || connect(file, (void *)&address, sizeof(address)) ||
		    setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) ||
		    fcntl(file, F_SETFL, O_NONBLOCK))
			die("connect");
		polled[i] = (struct pollfd){ .fd = file, .events = POLLIN };
		idle[idle_in++ % CONNECTIONS] = i;
	}
}

static void read_moments(void)
{
	int64_t room = 0, due_ns;

	while (fread(&due_ns, sizeof(due_ns), 1, stdin) == 1) {
		if (count == room) {
			room = 2 * room + 1024;
			calls = realloc(calls, room * sizeof(*calls));
			if (!calls)
				die("realloc");
		}
		calls[count++] = (struct call){ due_ns, 0, 0 };
	}
}

static int choose(void)
{
	int least = 0;

	if (idle_in != idle_out)
		return idle[idle_out++ % CONNECTIONS];
	for (int i = 1; i < connections; i++)
		if (under_way[i] < under_way[least])
			least = i;
	return least;
}

static void send_call(int64_t number, int64_t begin_ns)
{
	struct frame frame = { 1, 0, number };
	int to = choose();

	calls[number].sent_ns = now_ns() - begin_ns;
	if (send(polled[to].fd, &frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
		die("send");
	under_way[to]++;
}

static int64_t receive(int from, int64_t begin_ns)
{
	struct frame frames[256];
	ssize_t got = recv(polled[from].fd, frames, sizeof(frames), 0);
	int64_t now = now_ns() - begin_ns, done;

	if (got <= 0 || got % sizeof(*frames))
		die("recv");
	done = got / (ssize_t)sizeof(*frames);
	for (int64_t i = 0; i < done; i++)
		calls[frames[i].number].ended_ns = now;
	under_way[from] -= done;
	if (!under_way[from])
		idle[idle_in++ % CONNECTIONS] = from;
	return done;
}

static void run(void)
{
	int64_t begin_ns = now_ns() + SECOND_NS / 50, next = 0, answered = 0;

	while (answered < count) {
		int64_t until, now = now_ns() - begin_ns;
		struct timespec wait;
		int ready;

		while (next < count && calls[next].due_ns <= now) {
			send_call(next++, begin_ns);
			now = now_ns() - begin_ns;
		}
		until = next < count ? calls[next].due_ns : calls[count - 1].due_ns + TIMEOUT_NS;
		if (next == count && until <= now)
			return;
		until = until > now ? until - now : 0;
		wait = (struct timespec){ until / SECOND_NS, until % SECOND_NS };
		ready = ppoll(polled, connections, &wait, NULL);
		for (int i = 0; ready > 0 && i < connections; i++)
			if (polled[i].revents) {
				answered += receive(i, begin_ns);
				ready--;
			}
	}
}

static int in_order(const void *a, const void *b)
{
	int64_t first = *(const int64_t *)a, second = *(const int64_t *)b;

	return (first > second) - (first < second);
}

static void print(const char *what, int64_t *values, int64_t number)
{
	static const int permille[] = { 500, 900, 990, 999, 1000 };

	qsort(values, number, sizeof(*values), in_order);
	printf("%s", what);
	for (unsigned int i = 0; i < sizeof(permille) / sizeof(*permille); i++) {
		int64_t place = (number * permille[i] + 999) / 1000 - 1;

		printf(" %lld", number ? (long long)values[place] : -1LL);
	}
	printf("\n");
}

static void report(int64_t cpu_ns)
{
	int64_t *values = calloc(count + 1, sizeof(*values)), answered = 0;

	if (!values)
		die("calloc");
	for (int64_t i = 0; i < count; i++)
		answered += calls[i].ended_ns > 0;
	printf("planned %lld\nanswered %lld\ncpu_ns %lld\n", (long long)count,
	       (long long)answered, (long long)cpu_ns);
#define PRINT(what, from, to)                                                                      \
	do {                                                                                       \
		int64_t number = 0;                                                                \
		for (int64_t i = 0; i < count; i++)                                                \
			if (calls[i].ended_ns > 0)                                                 \
				values[number++] = calls[i].to - calls[i].from;                    \
		print(what, values, number);                                                       \
	} while (0)
	PRINT("response", due_ns, ended_ns);
	PRINT("service", sent_ns, ended_ns);
	PRINT("lateness", due_ns, sent_ns);
}

int main(int argc, char **argv)
{
	int64_t cpu_ns;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc != 3 || atoi(argv[2]) < 1 || atoi(argv[2]) > CONNECTIONS) {
		fprintf(stderr, "usage: generator PORT CONNECTIONS < MOMENTS\n");
		return 2;
	}
	connections = atoi(argv[2]);
	read_moments();
	greet(atoi(argv[1]));
	if (mlockall(MCL_CURRENT))
		die("mlockall");
	become_realtime();
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	run();
	report(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns);
	return 0;
}
