// SPDX-License-Identifier: MIT
// Work with a rhythm: so much CPU time once a period, on an absolute timer.
//
//   periodic SECONDS PERIOD_NS WORK_NS [CGROUP_DIRECTORY...]
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>

#include "bench.h"

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
	due = now_ns();
	for (end = due + (int64_t)(seconds * SECOND_NS); due < end; due += period_ns) {
		sleep_until(due);
		work(work_ns);
	}
	return 0;
}
