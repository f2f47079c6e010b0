// SPDX-License-Identifier: MIT
// Work with a rhythm: so much CPU time once a period, on an absolute timer.
//
//   periodic SECONDS PERIOD_NS WORK_NS [CGROUP_DIRECTORY...]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void move_into(char **directories)
{
	for (; *directories; directories++) {
		char path[4096];
		int file;

		snprintf(path, sizeof(path), "%s/cgroup.procs", *directories);
		file = open(path, O_WRONLY);
		if (file < 0 || write(file, "0", 1) != 1)
			die(path);
		close(file);
	}
}

int main(int argc, char **argv)
{
	double seconds = argc > 3 ? atof(argv[1]) : 0;
	int64_t period_ns = argc > 3 ? atoll(argv[2]) : 0, work_ns = argc > 3 ? atoll(argv[3]) : 0;
	int64_t due, end;

	if (seconds <= 0 || period_ns <= 0 || work_ns <= 0) {
		fprintf(stderr, "usage: periodic SECONDS PERIOD_NS WORK_NS [CGROUP_DIRECTORY...]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	move_into(argv + 4);
	due = clock_ns(CLOCK_MONOTONIC);
	for (end = due + (int64_t)(seconds * SECOND_NS); due < end; due += period_ns) {
		struct timespec at = { due / SECOND_NS, due % SECOND_NS };
		int64_t done;

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			;
		done = clock_ns(CLOCK_THREAD_CPUTIME_ID) + work_ns;
		while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < done)
			;
	}
	return 0;
}
