/* SPDX-License-Identifier: MIT */
/* What the C programs of the benches share: clocks, the end on an error, the way into a cgroup. */
#ifndef RESONANCE_BENCH_H
#define RESONANCE_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static inline int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline void sleep_until(int64_t due_ns)
{
	struct timespec at = { due_ns / SECOND_NS, due_ns % SECOND_NS };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* CPU time, so that it is the same work when the task is preempted. */
static inline void work(int64_t work_ns)
{
	int64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + work_ns;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
		;
}

static inline void move_into(char **directories)
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

/* A sender must not wait itself. */
static inline void become_realtime(void)
{
	struct sched_param priority = { .sched_priority = 10 };

	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		die("SCHED_FIFO");
}

#endif
