// SPDX-License-Identifier: MIT
// How long do requests take beside periodic work? One line per request: when it was due
// (CLOCK_MONOTONIC, ns), and the nanoseconds from then until it was sent, and to the end of its
// work. The last line is the CPU time of the sender in nanoseconds.
//
//   requests SECONDS RATE_HZ WORK_NS [CGROUP_DIRECTORY...]
//
// Requests are due at set moments whether or not earlier ones are answered (open loop). The
// sender must not wait itself, so it is SCHED_FIFO and stays in the cgroup it was started in;
// the server is an ordinary task and enters the cgroup named by the directories. A request's
// work is CPU time, so it is the same when the server is preempted.
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench.h"

#define EARLY_NS 100000 /* what it may take to be woken; looked for without sleeping */

struct request {
	int64_t due_ns, sent_ns;
};

static void serve(int requests, int64_t count, int64_t work_ns, char **directories, int ready)
{
	int64_t(*answers)[3] = calloc(count, sizeof(*answers)), taken = 0;
	struct request request;

	move_into(directories);
	if (!answers || write(ready, "", 1) != 1)
		die("serve");
	while (taken < count && recv(requests, &request, sizeof(request), 0) == sizeof(request) &&
	       request.due_ns) {
		work(work_ns);
		answers[taken][0] = request.due_ns;
		answers[taken][1] = request.sent_ns - request.due_ns;
		answers[taken++][2] = now_ns() - request.due_ns;
	}
	for (int64_t i = 0; i < taken; i++)
		printf("%lld %lld %lld\n", (long long)answers[i][0], (long long)answers[i][1],
		       (long long)answers[i][2]);
	fflush(stdout);
	_exit(0);
}

static void send_requests(int requests, int64_t count, double rate_hz)
{
	int64_t start = now_ns() + SECOND_NS / 100;
	struct request request = { 0 };

	become_realtime();
	for (int64_t i = 0; i < count; i++) {
		request.due_ns = start + (int64_t)(i / rate_hz * SECOND_NS);
		sleep_until(request.due_ns - EARLY_NS);
		do
			request.sent_ns = now_ns();
		while (request.sent_ns < request.due_ns);
		if (send(requests, &request, sizeof(request), 0) != sizeof(request))
			die("send");
	}
	request.due_ns = 0;
	if (send(requests, &request, sizeof(request), 0) != sizeof(request))
		die("send");
}

int main(int argc, char **argv)
{
	double seconds = argc > 3 ? atof(argv[1]) : 0, rate_hz = argc > 3 ? atof(argv[2]) : 0;
	int64_t work_ns = argc > 3 ? atoll(argv[3]) : 0, count = (int64_t)(seconds * rate_hz);
	int requests[2], ready[2], room = 64 << 20, status;
	char byte;
	pid_t server;

	if (count <= 0 || work_ns <= 0) {
		fprintf(stderr, "usage: requests SECONDS RATE_HZ WORK_NS [CGROUP_DIRECTORY...]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	// Datagrams keep requests apart; the room is for those that a late server finds waiting.
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, requests) || pipe(ready))
		die("socketpair");
	setsockopt(requests[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	server = fork();
	if (server < 0)
		die("fork");
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(requests[0]);
		serve(requests[1], count, work_ns, argv + 4, ready[1]);
	}
	close(requests[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the server did not start");
	send_requests(requests[0], count, rate_hz);
	if (waitpid(server, &status, 0) != server || !WIFEXITED(status) || WEXITSTATUS(status))
		return 1;
	printf("%lld\n", (long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
