// SPDX-License-Identifier: MIT
// How long is a server that is due kept waiting? And how much work do its neighbours get done?
//
//   wakeup serve SECONDS   requests arrive at set moments whether or not earlier ones are
//                          answered (open loop, 2000 a second, 50 us of work each); prints the
//                          nanoseconds from each send to the server's first instruction after it
//   wakeup spin SECONDS    works without a pause; prints how much it did
//
// The sender must not wait itself, so it is SCHED_FIFO; where the kernel schedules real-time
// tasks by group it can be that only in the root group, so it stays where this program was
// started, and the server moves to the cgroup named by the directories that follow SECONDS.
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "bench.h"

#define RATE_HZ 2000
#define WORK_NS 50000

static void serve(int requests, int64_t count, char **directories, int ready)
{
	int64_t *waits = calloc(count, sizeof(*waits));
	int64_t sent, taken = 0;

	move_into(directories);
	if (!waits || write(ready, "", 1) != 1)
		die("serve");
	while (taken < count && recv(requests, &sent, sizeof(sent), 0) == sizeof(sent) && sent) {
		int64_t begun = now_ns();

		waits[taken++] = begun - sent;
		while (now_ns() < begun + WORK_NS)
			;
	}
	for (int64_t i = 0; i < taken; i++)
		printf("%lld\n", (long long)waits[i]);
	fflush(stdout);
	_exit(0);
}

static void send_requests(int requests, int64_t count)
{
	int64_t due = now_ns() + SECOND_NS / 100, end = 0;

	become_realtime();
	for (int64_t i = 0; i < count; i++, due += SECOND_NS / RATE_HZ) {
		int64_t sent;

		sleep_until(due);
		sent = now_ns();
		if (send(requests, &sent, sizeof(sent), 0) != sizeof(sent))
			die("send");
	}
	if (send(requests, &end, sizeof(end), 0) != sizeof(end))
		die("send");
}

static int run_server(double seconds, char **directories)
{
	int requests[2], ready[2], room = 64 << 20, status;
	int64_t count = (int64_t)(seconds * RATE_HZ);
	char byte;
	pid_t server;

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
		serve(requests[1], count, directories, ready[1]);
	}
	close(requests[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the server did not start");
	send_requests(requests[0], count);
	return waitpid(server, &status, 0) == server && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int spin(double seconds, char **directories)
{
	volatile uint64_t done = 0;
	int64_t end;

	move_into(directories);
	end = now_ns() + (int64_t)(seconds * SECOND_NS);
	do {
		for (int i = 0; i < 10000; i++)
			done++;
	} while (now_ns() < end);
	printf("%llu\n", (unsigned long long)done);
	return 0;
}

int main(int argc, char **argv)
{
	double seconds = argc > 2 ? atof(argv[2]) : 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (seconds > 0 && !strcmp(argv[1], "serve"))
		return run_server(seconds, argv + 3);
	if (seconds > 0 && !strcmp(argv[1], "spin"))
		return spin(seconds, argv + 3);
	fprintf(stderr, "usage: wakeup serve|spin SECONDS [CGROUP_DIRECTORY...]\n");
	return 2;
}
